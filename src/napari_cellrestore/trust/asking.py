"""Asking the model that made an image: how sure it is, and what it usually leaves.

Kept apart from the rest of trust, since it needs the models and with them torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_cellrestore.model import Model, load_model, model_folders
from napari_cellrestore.restore import Plan, plan_restoration, restore, restore_with_spread
from napari_cellrestore.trust.judgement import Trust, explaining_kernels, judge, left_of, like_images
from napari_cellrestore.trust.maps import estimate_noise

Array = np.ndarray


@dataclass(frozen=True)
class Maker:
    """The model, or the models, that made an image, and the plan by which they did (as saved with the image)."""

    models: tuple[Model, ...]
    plan: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Names of the models."""
        return ", ".join(model.card.name for model in self.models)

    def plan_for(self, image: Array, *, several: bool) -> Plan:
        """Return the plan to restore an image as the first one was, or where it was once, turned if ``several``."""
        said = {key: self.plan.get(key) for key in ("intensity", "way", "passes", "seed")}
        way = said["way"] or ("members" if len(self.models) > 1 else "once")
        return plan_restoration(
            image,
            self.models if way == "members" else self.models[0],
            intensity=None if said["intensity"] is None else tuple(said["intensity"]),
            way="turned" if several and way == "once" else way,
            passes=said["passes"] if way == "dropout" else None,
            seed=said["seed"] or 0,
        )


def maker_of(provenance: Mapping[str, Any]) -> Maker:
    """Return the model that made an image, by the provenance of the image.

    Raises
    ------
    ValueError
        The image does not say by what it was made; the model is not in the list any more, or its weights are others.
    """
    if "model" not in provenance or "generated" not in provenance:
        raise ValueError("the image does not say which model made it")
    plan = provenance.get("plan")
    names, hashes = (str(provenance.get(key) or "").split(", ") for key in ("model", "weights_sha256"))
    models = []
    for number, name in enumerate(names):
        if name not in model_folders():
            raise ValueError(f"the model {name!r} that made it is not in the list of models any more")
        models.append(load_model(name))
        if hashes[number : number + 1] != [models[-1].card.weights_sha256]:
            raise ValueError(f"the model {name!r} in the list has other weights than the one that made it")
    return Maker(tuple(models), plan if isinstance(plan, Mapping) else {})


def judge_made(
    measured: npt.ArrayLike, restored: npt.ArrayLike, maker: Maker, *, noise_std: float | None = None
) -> Trust:
    """Judge a restored image and ask its model; see :func:`judging` and :func:`napari_cellrestore.trust.judge_pair`."""
    *_, trust = judging(measured, restored, maker, noise_std=noise_std)
    assert isinstance(trust, Trust)
    return trust


def judging(
    measured: npt.ArrayLike, restored: npt.ArrayLike, maker: Maker, *, noise_std: float | None = None
) -> Iterator[float | Trust]:
    """Yield, tile by tile, which part of the asking is done (0 to 1), at last the :class:`Trust`.

    The model restores the measured image several times, as the plan says or else turned and mirrored, for its spread; and
    the restored image blurred again with fresh noise, four times, since what it leaves there, where the truth is known, is
    what it usually leaves.
    """
    if np.shape(measured) != np.shape(restored):
        raise ValueError(
            f"the measured image has shape {np.shape(measured)}, the restored one {np.shape(restored)}: give images of one "
            "field and size"
        )
    recorded = np.asarray(measured)
    recorded = recorded[..., :3] if recorded.ndim == 3 else recorded
    kernels = explaining_kernels(measured, restored)
    noise = estimate_noise(measured) if noise_std is None else float(noise_std)
    likes = like_images(measured, restored, kernels, noise)
    once, several = maker.plan_for(likes[0], several=False), maker.plan_for(recorded, several=True)
    models = list(maker.models)
    work = len(likes) * once.passes * once.n_tiles + several.passes * several.n_tiles
    made, spread = [np.empty_like(like) for like in likes], np.empty(recorded.shape[:2], np.float32)
    again = [(target, restore(like, models, once), once.passes) for target, like in zip(made, likes, strict=True)]
    done = 0
    for target, lazy, passes in (
        *again,
        (spread, restore_with_spread(recorded, models, several)[1], several.passes),
    ):
        for where, block in _blocks(lazy):
            target[where] = block.compute(scheduler="synchronous")
            done += passes
            yield done / work
    yield judge(
        measured,
        restored,
        kernels,
        noise_std=noise,
        usual=[left_of(*pair) for pair in zip(likes, made, strict=True)],
        spread=spread,
    )


def _blocks(lazy: da.Array) -> Iterator[tuple[tuple[slice, ...], da.Array]]:
    """Yield each block and its place."""
    for place in product(*map(range, lazy.numblocks)):
        starts = [sum(sizes[:index]) for sizes, index in zip(lazy.chunks, place, strict=True)]
        where = (slice(start, start + sizes[i]) for start, sizes, i in zip(starts, lazy.chunks, place, strict=True))
        yield tuple(where), lazy.blocks[place]
