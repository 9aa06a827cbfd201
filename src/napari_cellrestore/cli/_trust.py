"""What ``compare`` and ``restore`` say of trust: how far a result can be trusted, and whether the model knows such images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import aligned

if TYPE_CHECKING:
    import numpy as np

    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.domain import Domain
    from napari_cellrestore.stack import ImageStack
    from napari_cellrestore.trust import Trust

HEADING = "Is this image what the model knows?"
#: Judges (measured, restored, provenance of the restored one).
Judge = Callable[["np.ndarray", "np.ndarray", Mapping[str, Any]], "Trust"]


def judge_with(model_name: str | None) -> Judge:
    """Return how images are judged: by the pair alone, or with a model that is asked how sure it is."""
    from napari_cellrestore.trust import judge_pair

    if model_name is None:
        return lambda measured, restored, _made: judge_pair(measured, restored)
    from napari_cellrestore.model import load_model
    from napari_cellrestore.trust.asking import Maker, judge_made, maker_of

    model = load_model(model_name)

    def ask(measured: np.ndarray, restored: np.ndarray, made: Mapping[str, Any]) -> Trust:
        if "model" not in made:  # a file without provenance: taken to be of the model that was named
            return judge_made(measured, restored, Maker((model,)))
        if made.get("weights_sha256") == model.card.weights_sha256:
            return judge_made(measured, restored, Maker((model,), made.get("plan") or {}))
        maker = maker_of(made)
        raise ValueError(f"the image was made by {maker.name}, not by {model.card.name}: give --model {maker.name!r}")

    return ask


def legend(asked: bool) -> str:
    """Return what the kinds of trust mean, a line each."""
    from napari_cellrestore.trust import kinds_of

    return "\n".join(f"{number} {verdict.name}: {verdict.meaning}" for number, verdict in kinds_of(asked))


def domain_of(
    stack: ImageStack,
    card: ModelCard,
    intensity: tuple[float, float] | None = None,
    planes: Sequence[int] = (),
) -> Domain:
    """Return how far an image lies from what a model knows, its defocus predicted where a model can."""
    from napari_cellrestore.defocus_prediction import predicted_defocus_um
    from napari_cellrestore.domain import judge_domain

    defocus = predicted_defocus_um(stack, intensity=intensity)
    return judge_domain(stack, card, predicted_defocus_um=defocus, intensity=intensity, planes=planes)


def domain_said(domain: Domain) -> str:
    """Return a domain as a table with its heading."""
    return f"{HEADING}\n{aligned(domain.table())}"


def domain_json(domain: Domain) -> dict[str, Any]:
    """Return a domain as JSON can hold it."""
    return {"model": domain.model, "verdict": domain.verdict, "traits": [asdict(trait) for trait in domain.traits]}
