"""How well methods restore: scores by distance from focus, success rates, intervals, comparisons, best and worst.

After Olofsson & Wagnström 2019 (tables 6.1, 7.1, A.1 to A.6, figure 6.8) and Wulff 2022 (section 4.2.4). Scores are
arrays (N, L): images by focus levels.
"""

from napari_cellrestore.evaluate.agreement import Agreement, agreement
from napari_cellrestore.evaluate.cell_classes import CellClassifier, cell_features, simulated_cells_classifier
from napari_cellrestore.evaluate.certainty import mean_interval, paired_test
from napari_cellrestore.evaluate.comparison import Comparison, compare_methods
from napari_cellrestore.evaluate.evaluation import Evaluation
from napari_cellrestore.evaluate.ledger import LEDGER, Ledger, read_evaluation, write_nuclei, write_scores
from napari_cellrestore.evaluate.pairs import PAIR_METRICS, pair_method, paired_sample, paired_samples
from napari_cellrestore.evaluate.robustness import BON_METRICS, FEW_IMAGES, RobustnessRow, RobustnessTable, robustness
from napari_cellrestore.evaluate.scoring import Method, Sample, Scored, score_levels, score_samples
from napari_cellrestore.evaluate.stacks import recorded_sample, recorded_samples
from napari_cellrestore.evaluate.success import INTERVALS_UM, SHARP_UM, interval_rates, success_matrix
from napari_cellrestore.evaluate.tables import ScoreTable, Table

__all__ = [
    "BON_METRICS",
    "FEW_IMAGES",
    "INTERVALS_UM",
    "LEDGER",
    "PAIR_METRICS",
    "SHARP_UM",
    "Agreement",
    "CellClassifier",
    "Comparison",
    "Evaluation",
    "Ledger",
    "Method",
    "RobustnessRow",
    "RobustnessTable",
    "Sample",
    "ScoreTable",
    "Scored",
    "Table",
    "agreement",
    "cell_features",
    "compare_methods",
    "interval_rates",
    "mean_interval",
    "pair_method",
    "paired_sample",
    "paired_samples",
    "paired_test",
    "read_evaluation",
    "recorded_sample",
    "recorded_samples",
    "robustness",
    "score_levels",
    "score_samples",
    "simulated_cells_classifier",
    "success_matrix",
    "write_nuclei",
    "write_scores",
]
