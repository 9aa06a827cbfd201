"""The pixels of two aligned images on one grid, cut to what both show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_cellrestore.simulate import quantise
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.transfer.judging import SMALLEST_SIDE_PX, Alignment
from napari_cellrestore.transfer.placement import Placement
from napari_cellrestore.transfer.planes import Plane
from napari_cellrestore.transfer.warping import Roi, common_rectangle, warped


@dataclass(frozen=True, eq=False)
class AlignedPair:
    """Two images on one grid, cut to what both show.

    Attributes
    ----------
    alignment : Alignment
        How one lies on the other, how sure that is, and why it is a bad pair if it is one.
    input, target : ImageStack or None
        Of one size and pixel size, in their own grey levels; None where no map was found. A bad pair has them too where
        there is a map, to look at.
    region : (rows, columns) or None
        Where the pair was cut from the image that keeps its pixels.
    keep : str
        Which image that is.
    """

    alignment: Alignment
    input: ImageStack | None = None
    target: ImageStack | None = None
    region: Roi | None = None
    keep: str = "target"

    @property
    def good(self) -> bool:
        """Whether nothing speaks against the pair."""
        return self.alignment.good

    @property
    def reason(self) -> str:
        """Why it is a bad pair, empty where it is a good one."""
        return self.alignment.reason


def cut_pair(ours: Plane, theirs: Plane, alignment: Alignment, keep: str = "target") -> AlignedPair:
    """Return the pixels of a pair whose map is known: see :func:`align_pair` for which of them are interpolated."""
    place = alignment.place
    if place is None:
        raise ValueError(f"the images have no place to be cut at: {alignment.reason}")
    kept, moved, to_kept = (theirs, ours, place) if keep == "target" else (ours, theirs, place.inverse())
    region = common_rectangle(moved.yx_shape, to_kept, kept.yx_shape)
    if region is None or min(part.stop - part.start for part in region) < SMALLEST_SIDE_PX:
        reason = alignment.reason or f"less than {SMALLEST_SIDE_PX} px a side are in both images"
        return AlignedPair(replace(alignment, reason=reason), keep=keep)
    first = np.array([part.start for part in region], float)
    shape = region[0].stop - region[0].start, region[1].stop - region[1].start
    into = Placement(to_kept.matrix, to_kept.shift_px - first)
    pixels = quantise(warped(moved.pixels, into, shape, mode="nearest"), moved.pixels.dtype)
    said = {"step": "pair", "kept": keep, **numbers(alignment)}
    still = _crop(kept, kept.pixels[region].copy(), kept.pixel_um, {**said, "pixels": "as recorded"})
    put = _crop(moved, pixels, kept.pixel_um, {**said, "pixels": "interpolated"})
    ours_cut, theirs_cut = (put, still) if keep == "target" else (still, put)
    return AlignedPair(alignment, ours_cut, theirs_cut, region, keep)


def numbers(alignment: Alignment) -> dict[str, Any]:
    """Return what is said of an alignment in provenance and tables."""
    place = alignment.place
    return {
        "residual_px": round(alignment.residual_px, 4),
        "residual95_px": round(alignment.residual95_px, 4),
        "sift_px": round(alignment.points_px, 4),
        "sift95_px": round(alignment.points95_px, 4),
        "inliers": alignment.inliers,
        "matches": alignment.matches,
        "tiles": alignment.tiles,
        "correlation": round(alignment.correlation, 4),
        "scale": round(alignment.scale, 5),
        "magnification": round(place.scale, 5) if place else float("nan"),
        "rotation_deg": round(place.rotation_deg, 4) if place else float("nan"),
        "shear_deg": round(place.shear_deg, 4) if place else float("nan"),
        "anisotropy": round(place.anisotropy, 5) if place else float("nan"),
        "matrix": place.matrix.round(7).tolist() if place else None,
        "shift_px": place.shift_px.round(4).tolist() if place else None,
    }


def _crop(plane: Plane, pixels: np.ndarray, pixel_um: float | None, said: dict[str, Any]) -> ImageStack:
    axes = "YX" if pixels.ndim == 2 else "YXS"
    provenance = {**plane.provenance, "paired": said}
    return ImageStack(pixels, axes, pixel_um=pixel_um, source=plane.source, provenance=provenance)
