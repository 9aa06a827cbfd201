"""Restoration: a plan in which everything is decided, and the lazy image that follows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from math import lcm
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import dask.array as da
import numpy as np
import torch
from dask.array.overlap import overlap
from pydantic import BaseModel, ConfigDict
from torch import nn

from napari_cellrestore.card import ModelCard
from napari_cellrestore.domain import judge_pixels
from napari_cellrestore.engine import choose
from napari_cellrestore.files import write_tiff
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.passes import Passes, check_way, passes_of
from napari_cellrestore.sample import as_stack, deciding_pixels, grey_range, thinned
from napari_cellrestore.spread import WAYS, mean_and_spread
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.tiling import round_up, tile_sizes

Array = np.ndarray
ImageLike: TypeAlias = Array | da.Array | ImageStack
#: One model or its name; of the way "members" several.
Models: TypeAlias = Model | str | Sequence[Model | str]

#: What made an image of the spread, in its provenance.
SPREAD = "model unsure"
#: Side of a tile unless asked for otherwise: small enough to appear at once, large enough that the halo costs little.
TILE_PX = 512


class Plan(BaseModel):
    """Everything decided before a restoration runs; printed, shown and saved with the result.

    The network gets ``2 (x - low) / (high - low) - 1`` of every grey level ``x``, one map for the whole image; its
    output goes back through the inverse.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    weights_sha256: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    colours: str  # "rgb", "rgb + alpha", "grey"
    channels: int = 3  # that the network takes and gives
    intensity: tuple[float, float]  # grey levels that the network knows as -1 and 1
    fill: float  # stands in for pixels that are not finite
    rows: tuple[int, ...]  # heights of the tiles
    columns: tuple[int, ...]  # widths of the tiles
    stride: int
    halo_px: int
    engine: str
    device: str
    precision: str
    way: str = "once"  # one of spread.WAYS
    passes: int = 1  # of the network, or networks, over each tile
    seed: int | None = None  # of dropout
    memory_bytes: int  # of one tile in the network, at most
    warnings: tuple[str, ...] = ()
    versions: dict[str, str] = {}

    @property
    def n_tiles(self) -> int:
        """Tiles over all planes."""
        lengths = dict(zip(self.axes, self.shape, strict=True))
        planes = np.prod([n for letter, n in lengths.items() if letter not in "YXS"], initial=1)
        return int(planes) * len(self.rows) * len(self.columns)

    def __str__(self) -> str:
        size = " x ".join(f"{letter} {n}" for letter, n in zip(self.axes, self.shape, strict=True))
        low, high = self.intensity
        lines = [
            f"model      {self.model} ({self.weights_sha256[:12]})",
            f"image      {size}, {self.dtype}, {self.colours}",
            f"intensity  {low:g} to {high:g} grey levels become the network's -1 to 1; the result is {self.dtype} again",
            f"tiles      {self.n_tiles} of at most {max(self.rows)} x {max(self.columns)} px, halo {self.halo_px} px, "
            f"aligned to {self.stride} px",
            *(
                []
                if self.passes == 1
                else [f"passes     {self.passes} over each tile, {WAYS[self.way]}; the result is their mean"]
            ),
            f"engine     {self.engine} on {self.device}, {self.precision}",
            f"memory     at most {self.memory_bytes / 2**20:.0f} MiB for each tile at work",
        ]
        return "\n".join(lines + [f"warning    {text}" for text in self.warnings])


def plan_restoration(
    image_or_stack: ImageLike,
    model: Models,
    *,
    tile: int | None = None,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    intensity: tuple[float, float] | None = None,
    turned: bool = False,
    way: str | None = None,
    passes: int | None = None,
    seed: int = 0,
) -> Plan:
    """Decide how an image will be restored, without restoring it.

    Parameters
    ----------
    image_or_stack : array or ImageStack
        An array is taken as (Y, X), (Y, X, 3 or 4 colour samples), (Z, Y, X) or (Z, Y, X, 3 or 4).
    model : Model or str, or several
        A loaded model or its name; of the way "members" two or more of one task.
    tile : int, optional
        Side of a tile in pixels, rounded up to the stride.
    engine, device, precision : str
        "auto" or a name, see :mod:`napari_cellrestore.engine`.
    intensity : (float, float), optional
        Grey levels of black and of the brightest the detector can tell. Known for 8 bit; for other types taken from
        the data and said in the plan's warnings.
    turned : bool
        The same as the way "turned": restore all eight turned and mirrored copies; eight times slower.
    way : str, optional
        Of :data:`napari_cellrestore.spread.WAYS`: how the passes over each tile differ. All but "once" give a spread, see
        :func:`restore_with_spread`.
    passes, seed : int
        Of dropout: how many passes, and where its chance begins. Its masks differ from tile to tile, so that tiles give
        what the whole would have given only on average; all other ways give the same.

    Returns
    -------
    Plan
    """
    way = way or ("turned" if turned else "members" if _several(model) else "once")
    if turned and way != "turned":
        raise ValueError(f"turned=True and way={way!r}: give one of them")
    models = _loaded(model)
    number = check_way(models, way, passes, seed)
    cards = [one.card for one in models]
    stack = as_stack(image_or_stack)
    (colours,) = {_colours(stack, card) for card in cards}
    pixels = deciding_pixels(stack)
    few = thinned(pixels, stack)
    low, high, guessed = grey_range(stack, pixels, intensity or _known_range(stack, cards))
    engine, device, precision = choose("torch" if way == "dropout" and engine == "auto" else engine, device, precision)
    if way == "dropout" and engine != "torch":
        raise ValueError(f"dropout runs by the engine torch, not by {engine!r}: leave engine out")
    stride = lcm(*(card.stride for card in cards))
    halo = round_up(max(card.halo_px for card in cards), stride)
    rows, columns = _tiles(stack, cards, tile, stride, halo)
    minds = [text for card in cards for text in judge_pixels(stack, card, few, (low, high), guessed).warnings]
    finite = few[np.isfinite(few)]
    tile_px = (max(rows) + 2 * halo) * (max(columns) + 2 * halo)
    return Plan(
        model=", ".join(card.name for card in cards),
        weights_sha256=", ".join(card.weights_sha256 for card in cards),
        axes=stack.axes,
        shape=stack.data.shape,
        dtype=str(stack.data.dtype),
        colours=colours,
        channels=cards[0].in_channels,
        intensity=(low, high),
        fill=float(np.median(finite)) if finite.size else low,
        rows=rows,
        columns=columns,
        stride=stride,
        halo_px=halo,
        engine=engine,
        device=device,
        precision=precision,
        way=way,
        passes=number,
        seed=seed if way == "dropout" else None,
        memory_bytes=max(_activation_bytes(one.network, one.card) for one in models) * tile_px,
        warnings=tuple(dict.fromkeys([*guessed, *_nonfinite(stack, pixels), *minds])),
        versions={name: version(name) for name in ("napari-cellrestore", "torch", "numpy")},
    )


def restore(image_or_stack: ImageLike, model: Models, plan: Plan | None = None) -> da.Array:
    """Return the restored image as a dask array that computes only what is asked for.

    Every plane is restored by itself. The result has the shape, dtype and units of the input; integer types are
    rounded and limited to their range as a camera's are; pixels that are not finite stay NaN.

    Parameters
    ----------
    image_or_stack, model
        As in :func:`plan_restoration`.
    plan : Plan, optional
        From :func:`plan_restoration`; made here if not given. Of several passes the result is the mean.

    Examples
    --------
    >>> image = np.full((40, 60, 3), 200, np.uint8)
    >>> restored = restore(image, "deblur-fast")
    >>> restored.shape, restored.dtype, restored.chunks[:2]
    ((40, 60, 3), dtype('uint8'), ((40,), (60,)))
    """
    models, stack = _loaded(model), as_stack(image_or_stack)
    plan = plan or plan_restoration(stack, models[0] if len(models) == 1 else models)
    if plan.passes > 1:
        return restore_with_spread(stack, models, plan)[0]
    return _by_tiles(_restore_once, stack, models, plan)


def restore_with_spread(image_or_stack: ImageLike, model: Models, plan: Plan) -> tuple[da.Array, da.Array]:
    """Return the mean of several passes, as :func:`restore` does, and how far they differ: where the model is not sure.

    The passes are those of the plan (``way``). Both arrays are lazy, and computed together each pass runs once.

    Parameters
    ----------
    image_or_stack, model
        As in :func:`plan_restoration`.
    plan : Plan
        Of a way other than "once".

    Returns
    -------
    mean : dask array
        Like the input.
    spread : dask array (..., Y, X) float32
        Standard deviation over the passes in grey levels of the input, not rounded, ``s^2 = sum (x - mean)^2 / (n - 1)``;
        of colours the root of its mean. NaN where the input is.

    Examples
    --------
    >>> image = np.random.default_rng(0).integers(80, 200, (48, 64, 3)).astype(np.uint8)
    >>> mean, spread = restore_with_spread(image, "deblur-fast", plan_restoration(image, "deblur-fast", turned=True))
    >>> mean.shape, spread.shape, bool(spread.max().compute() > 0)
    ((48, 64, 3), (48, 64), True)
    """
    models, stack = _loaded(model), as_stack(image_or_stack)
    if plan.passes < 2:
        raise ValueError("the plan restores once, which has no spread: make a plan with turned=True, or of another way")
    return halves(_by_tiles(_restore_several, stack, models, plan), stack.rgb)


def halves(both: da.Array, rgb: bool) -> tuple[da.Array, da.Array]:
    """Return mean and spread of an array whose blocks hold both; computed together, each block is computed once."""
    nothing = np.empty((0,) * both.ndim, both.dtype)
    mean = da.map_blocks(itemgetter(0), both, dtype=both.dtype, meta=nothing)
    chunks = (*both.chunks[:-1], (1,)) if rgb else both.chunks  # of colours there is one spread
    spread = da.map_blocks(itemgetter(1), both, chunks=chunks, dtype=np.float32, meta=nothing.astype(np.float32))
    return mean, spread[..., 0] if rgb else spread


def restore_stack(stack: ImageStack, model: Models, plan: Plan | None = None) -> ImageStack:
    """Return the restored stack: lazy pixels, the calibration of its source, and how it was made as provenance."""
    models = _loaded(model)
    plan = plan or plan_restoration(stack, models[0] if len(models) == 1 else models)
    return stack.replace(data=restore(stack, models, plan), provenance=provenance(stack, plan), notes=())


def restore_stack_with_spread(stack: ImageStack, model: Models, plan: Plan) -> tuple[ImageStack, ImageStack]:
    """Return the restored stack and that of the spread, see :func:`restore_with_spread`, both calibrated and marked."""
    mean, spread = restore_with_spread(stack, model, plan)
    return (
        stack.replace(data=mean, provenance=provenance(stack, plan), notes=()),
        stack.replace(
            data=spread, axes=stack.axes.removesuffix("S"), provenance=spread_provenance(stack, plan), notes=()
        ),
    )


def write_with_spread(
    path: Path, mean: ImageStack, spread: ImageStack, *, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write the restored stack, and its spread beside it, as OME-TIFF; return both files.

    Each tile is computed once: both go to temporary files first, since a TIFF is written plane by plane.
    """
    beside = spread_path(path)
    with TemporaryDirectory(prefix=".unfinished-", dir=path.parent, ignore_cleanup_errors=True) as folder:
        held = [
            np.memmap(Path(folder) / str(number), one.data.dtype, "w+", shape=one.data.shape)
            for number, one in enumerate((mean, spread))
        ]
        da.store([da.asarray(mean.data), da.asarray(spread.data)], held, lock=False)
        for target, one, pixels in zip((path, beside), (mean, spread), held, strict=True):
            write_tiff(target, one.replace(data=pixels), overwrite=overwrite)
    return path, beside


def spread_path(path: Path) -> Path:
    """Return the file of the spread of a restored file.

    >>> spread_path(Path("cells.ome.tif")).name, spread_path(Path("a.tif")).name
    ('cells_unsure.ome.tif', 'a_unsure.tif')
    """
    ends = ".ome" + path.suffix if path.stem.lower().endswith(".ome") else path.suffix
    return path.with_name(f"{path.name[: -len(ends)]}_unsure{ends}")


def provenance(stack: ImageStack, plan: Plan) -> dict[str, Any]:
    """Return what a restored image carries with it: that it is generated, from what, by what and how."""
    passes = "" if plan.passes == 1 else f", mean of {plan.passes} passes {WAYS[plan.way]}"
    return {
        "generated": f"restored by {plan.model}{passes}: the pixels are computed, not recorded",
        "model": plan.model,
        "weights_sha256": plan.weights_sha256,
        "source": stack.source,
        "source_provenance": dict(stack.provenance),
        "plan": plan.model_dump(mode="json"),
    }


def spread_provenance(stack: ImageStack, plan: Plan) -> dict[str, Any]:
    """Return what an image of the spread carries with it; no model made its pixels, so none can be asked for them."""
    said = f"spread (standard deviation) of {plan.passes} restorations by {plan.model}, {WAYS[plan.way]}: computed, not recorded"
    return {"generated": said, "step": SPREAD, "unit": "grey levels", "made_from": provenance(stack, plan)}


# --- one tile ----------------------------------------------------------------------------------------------


def _by_tiles(function: Any, stack: ImageStack, models: Sequence[Model], plan: Plan) -> da.Array:
    """Return what ``function(plane, passes, plan)`` makes of every plane, tile by tile, each read with its halo."""
    _check_plan(plan, stack, models)
    source = da.asarray(stack.data)
    chunks = tuple(
        {"Y": plan.rows, "X": plan.columns, "S": (length,)}.get(letter, (1,) * length)
        for letter, length in zip(stack.axes, stack.data.shape, strict=True)
    )
    y, x = stack.axes.index("Y"), stack.axes.index("X")
    depth = {axis: plan.halo_px if axis in (y, x) and len(chunks[axis]) > 1 else 0 for axis in range(source.ndim)}
    read = overlap(source.rechunk(chunks), depth=depth, boundary="none", allow_rechunk=False)
    return da.map_blocks(
        function,
        read,
        passes=passes_of(
            models, plan.engine, plan.device, way=plan.way, stride=plan.stride, number=plan.passes, seed=plan.seed
        ),
        plan=plan,
        depth=(depth[y], depth[x]),
        counts=(y, len(plan.rows), x, len(plan.columns)),
        chunks=chunks,
        dtype=source.dtype,
        meta=np.empty((0,) * source.ndim, source.dtype),
    )


def _restore_once(block: Array, *, passes: Passes, plan: Plan, block_info: Any = None, **place: Any) -> Array:
    """Restore the planes of one block with its halo, and crop the halo off."""
    (plane,), shape, kept = _planes(block, block_info, **place)
    (estimate,) = _estimates(plane, passes, plan)
    return _like(estimate, plane).reshape(shape)[kept]


def _restore_several(
    block: Array, *, passes: Passes, plan: Plan, block_info: Any = None, **place: Any
) -> tuple[Array, Array]:
    """Return mean and spread over the passes of one block, the halo cropped off."""
    (plane,), shape, kept = _planes(block, block_info, **place)
    mean, spread = mean_and_spread(_estimates(plane, passes, plan))
    if plane.dtype.kind == "f":
        missing = ~np.isfinite(plane)
        spread[missing if plane.ndim == 2 else missing.any(axis=-1)] = np.nan
    one_colour = shape if plane.ndim == 2 else (*shape[:-1], 1)
    return _like(mean, plane).reshape(shape)[kept], spread.reshape(one_colour)[kept]


def _planes(
    block: Array, block_info: Any, depth: tuple[int, int], counts: tuple[int, int, int, int]
) -> tuple[Array, tuple[int, ...], tuple[slice, ...]]:
    """Return the one plane of a block, the shape of the block, and what of it is not halo."""
    y, rows, x, columns = counts
    where = block_info[0]["chunk-location"]
    kept = [slice(None)] * block.ndim
    for axis, count, halo in ((y, rows, depth[0]), (x, columns, depth[1])):
        before = halo if where[axis] > 0 else 0
        after = halo if where[axis] < count - 1 else 0
        kept[axis] = slice(before, block.shape[axis] - after)
    return block.reshape((-1, *block.shape[y:])), block.shape, tuple(kept)


def _estimates(plane: Array, passes: Passes, plan: Plan) -> Iterator[Array]:
    """Yield what each pass makes of a plane (Y, X) or (Y, X, S): float32 grey levels, (Y, X) or (Y, X, 3).

    A grey plane is given to all colours of a network, whose mean is taken.
    """
    low, high = plan.intensity
    gain = (high - low) / 2
    grey = plane.ndim == 2
    colour = (np.repeat(plane[..., None], plan.channels, -1) if grey else plane[..., :3]).astype(np.float32)
    if plane.dtype.kind == "f":
        colour[~np.isfinite(plane[..., :3] if plane.ndim == 3 else plane)] = plan.fill
    # In place: on small images as much time goes into copies as into the network.
    colour -= np.float32(low + gain)
    colour /= np.float32(gain)
    for run in passes:
        output = run(colour) * np.float32(gain)
        output += np.float32(low + gain)
        yield output.mean(axis=-1) if plane.ndim == 2 else output


def _like(output: Array, plane: Array) -> Array:
    """Return grey levels in the type of a plane, its alpha beside them; what was missing is NaN."""
    if plane.dtype.kind in "iu":
        info = np.iinfo(plane.dtype)
        output = output if plane.dtype.itemsize <= 2 else output.astype(np.float64)  # float32 cannot hold its limits
        np.rint(output, out=output)
        np.clip(output, info.min, info.max, out=output)
    result = output.astype(plane.dtype)
    if plane.ndim == 3 and plane.shape[-1] == 4:
        result = np.concatenate([result, plane[..., 3:]], axis=-1)
    if plane.dtype.kind == "f":
        result[~np.isfinite(plane)] = np.nan
    return result


# --- what a plan is decided from -----------------------------------------------------------------------------


def _several(model: Models) -> bool:
    return isinstance(model, Sequence) and not isinstance(model, str)


def _loaded(model: Models) -> list[Model]:
    """Return the models, loaded."""
    given = list(model) if isinstance(model, Sequence) and not isinstance(model, str) else [model]
    return [one if isinstance(one, Model) else load_model(one) for one in given]


def _colours(stack: ImageStack, card: ModelCard) -> str:
    if stack.data.dtype.kind not in "iuf":
        raise TypeError(f"image is {stack.data.dtype}: grey levels must be integers or floating point")
    if card.task == "distance":
        raise ValueError(f"model {card.name!r} tells the distance from focus and makes no image: choose another model")
    channels = (card.in_channels, card.out_channels)
    if channels not in ((1, 1), (3, 3)):
        raise ValueError(
            f"model {card.name!r} maps {card.in_channels} channels to {card.out_channels}: one image is restored here, "
            "grey (1 to 1) or in colour (3 to 3)"
        )
    if channels == (1, 1) and stack.rgb:
        raise ValueError(
            f"model {card.name!r} takes grey images and this one is in colour: take one of its colours, or a model of "
            "colour images"
        )
    return {1: "grey", 3: "rgb", 4: "rgb + alpha"}[stack.size("S")]


def _known_range(stack: ImageStack, cards: Sequence[ModelCard]) -> tuple[float, float] | None:
    """Return the grey levels that models of other than 8 bit were trained on, for such images."""
    ranges = {card.input_range for card in cards}
    if len(ranges) > 1:
        raise ValueError(
            f"the models know different grey levels as black and full scale ({', '.join(map(str, sorted(ranges)))}): restore "
            "with each by itself"
        )
    (known,) = ranges
    return known if known != (0.0, 255.0) and stack.data.dtype != np.uint8 else None


def _nonfinite(stack: ImageStack, sample: Array) -> list[str]:
    if stack.data.dtype.kind != "f":
        return []
    count = int(np.count_nonzero(~np.isfinite(sample)))
    seen = "" if isinstance(stack.data, np.ndarray) else " in the middle plane (others were not looked at)"
    if not count:
        return []
    return [
        f"{count} pixels are NaN or infinite{seen}: they stay NaN in the result, and their surroundings are guesses"
    ]


def _tiles(
    stack: ImageStack, cards: Sequence[ModelCard], tile: int | None, stride: int, halo: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if tile is not None and (not isinstance(tile, int) or tile < 1):
        raise ValueError(f"tile is {tile!r}: give the side of a tile in pixels, or None")
    rows, columns = stack.yx_shape
    if whole := [card.name for card in cards if not card.tile_safe]:
        if tile is not None and tile < max(rows, columns):
            raise ValueError(
                f"model {whole[0]!r} takes statistics of the whole image and cannot run in tiles of {tile} px; leave "
                "tile out"
            )
        return (rows,), (columns,)
    side = tile or TILE_PX
    return tile_sizes(rows, side, stride=stride, halo=halo), tile_sizes(columns, side, stride=stride, halo=halo)


def _activation_bytes(network: nn.Module, card: ModelCard) -> int:
    """Return the memory of all layers' outputs per pixel of a tile: more than the network holds at one time."""
    total = 0

    def add(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * output.element_size()

    hooks = [part.register_forward_hook(add) for part in network.modules() if not list(part.children())]
    try:
        with torch.inference_mode():
            network(torch.zeros(1, card.in_channels, card.stride, card.stride))
    finally:
        for hook in hooks:
            hook.remove()
    return -(-total // card.stride**2)


def _check_plan(plan: Plan, stack: ImageStack, models: Sequence[Model]) -> None:
    if plan.weights_sha256 != ", ".join(model.card.weights_sha256 for model in models):
        names = ", ".join(model.card.name for model in models)
        raise ValueError(f"the plan was made for model {plan.model!r}, not for {names!r}: make a new plan")
    if (plan.axes, plan.shape, plan.dtype) != (stack.axes, tuple(stack.data.shape), str(stack.data.dtype)):
        raise ValueError(
            f"the plan was made for {plan.axes} {plan.shape} {plan.dtype}, the image is {stack.axes} "
            f"{tuple(stack.data.shape)} {stack.data.dtype}: make a new plan"
        )
