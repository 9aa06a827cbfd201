"""The views of an evaluation: what they are called, and what their numbers mean."""

from __future__ import annotations

from napari_cellrestore.evaluate import Evaluation
from napari_cellrestore.report.evaluation import JUDGED, SIMULATED
from napari_cellrestore.report.pairs import COUNTED, PROPOSED, nuclei_said

AGAINST, CURVES, LEVELS, MATRIX, RATES, EXTREME, CAUSES, NUCLEI, MINDED = VIEWS = (
    "Against each other",
    "Curves",
    "By focus level",
    "Success matrix",
    "Success rates",
    "Best and worst",
    "Likely causes",
    "Nuclei",
    "Samples to mind",
)
MEANS = "Means"
#: Views of pairs, which have no focus levels.
PAIR_VIEWS = (AGAINST, MEANS, EXTREME, CAUSES, NUCLEI, MINDED)
#: What a number means that the table does not say itself.
NOTES = {
    AGAINST: f"Difference of means over {{kind}}s, with its 95 % interval below. {JUDGED}",
    MEANS: "Mean over {count} pairs and its bootstrap 95 % interval.",
    CURVES: "Lines: mean over {count} stacks. Bands: bootstrap 95 % intervals of the mean.",
    LEVELS: "Means over stacks. The PSNR of identical images counts as 50 dB.",
    MATRIX: "Rows: focus level of the input. Columns: plane of its stack that the restored image is as good as, in percent "
    "of stacks; in brackets those that count as sharp. SR: success rate, their sum.",
    RATES: "Percent of restored planes that are as good as one that counts as sharp ({low} to {high} µm), by how far from "
    "focus they were.",
    EXTREME: "By the mean over the focus levels that all stacks have.",
    CAUSES: f"Of the worst by each metric, and of those whose nuclei differ. {PROPOSED}",
    NUCLEI: COUNTED,
    MINDED: "Doubtful ones were scored; those left out were not.",
}
RECORDED = "Restored pixels were compared with the sharpest plane of the same stack, which is noisy itself."
PAIRED = "What was made of the inputs was compared with the targets."
#: What is said where a view has nothing to show.
EMPTY = {
    CAUSES: "No causes were looked for: the stacks were simulated, or the evaluation did not come to its end.",
    MINDED: "None was left out, none is doubtful.",
    NUCLEI: "Nuclei were not counted: they need images in colours and a known pixel size.",
}


def views_of(evaluation: Evaluation) -> tuple[str, ...]:
    """Return the views that an evaluation has."""
    return PAIR_VIEWS if evaluation.of_pairs else VIEWS


def kind_of(evaluation: Evaluation) -> str:
    """Return what one sample is called."""
    return "pair" if evaluation.of_pairs else "stack"


def note_of(evaluation: Evaluation, view: str, empty: bool) -> str:
    """Return what is said below a view."""
    if empty and view in EMPTY:
        return EMPTY[view]
    if view == EXTREME and evaluation.of_pairs:
        return ""
    low, high = (f"{value:g}".replace("-", "−") for value in evaluation.sharp_um)
    return NOTES[view].format(count=len(evaluation.kept), low=low, high=high, kind=kind_of(evaluation))


def headline(evaluation: Evaluation) -> str:
    """Return over what the scores are, what they are against, and what became of nuclei."""
    images = str(evaluation.settings.get("images", "samples"))
    left_out = f"; {len(evaluation.left_out)} left out" if evaluation.left_out else ""
    simulated = images.startswith("focus stacks simulated")
    against = PAIRED if evaluation.of_pairs else SIMULATED if simulated else RECORDED
    nuclei = nuclei_said(evaluation) if evaluation.nuclei else []
    said = f"Over {len(evaluation.kept)} {images.removeprefix('recorded ')}{left_out}. {against}"
    return "\n".join([said, *nuclei])
