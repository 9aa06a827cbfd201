"""Many stacks: a ledger of what became of each, and the workers of a cluster that restore them.

>>> from napari_cellrestore.batch import Ledger, connected
"""

from napari_cellrestore.batch.arriving import held
from napari_cellrestore.batch.cluster import Cluster, connected
from napari_cellrestore.batch.each import Done, each_on, said
from napari_cellrestore.batch.ledger import LEDGER, Ledger, Row, remove_unfinished, stamp

__all__ = [
    "LEDGER",
    "Cluster",
    "Done",
    "Ledger",
    "Row",
    "connected",
    "each_on",
    "held",
    "remove_unfinished",
    "said",
    "stamp",
]
