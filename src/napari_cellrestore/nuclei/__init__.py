"""Nuclei of stained white cells: where they are, how many lobes they have, and which a restored image lost or invented.

A network that makes images can leave out a nucleus, or draw one, and hardly lower its SSIM (Wulff 2022, figure 4.6).
"""

from napari_cellrestore.nuclei.comparing import NucleiComparison, compare_nuclei
from napari_cellrestore.nuclei.counts import NucleiCounts, Rate, wilson
from napari_cellrestore.nuclei.finding import Nuclei, stained_nuclei
from napari_cellrestore.nuclei.lobes import count_lobes

__all__ = [
    "Nuclei",
    "NucleiComparison",
    "NucleiCounts",
    "Rate",
    "compare_nuclei",
    "count_lobes",
    "stained_nuclei",
    "wilson",
]
