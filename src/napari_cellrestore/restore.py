"""Restoration: a plan in which everything is decided, and the lazy image that follows it."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from typing import Any

import dask.array as da
import numpy as np
import torch
from dask.array.overlap import overlap
from pydantic import BaseModel, ConfigDict
from torch import nn

from napari_cellrestore.card import ModelCard
from napari_cellrestore.engine import Runner, choose, runner
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.tiling import round_up, tile_sizes
from napari_cellrestore.trust import estimate_noise

Array = np.ndarray

#: Side of a tile unless asked for otherwise: small enough to appear at once, large enough that the halo costs little.
TILE_PX = 512
#: Times the noise of the training images from which an image is said to be noisier.
NOISIER = 2.5
#: Full scales that images of more than 8 bit, or of floating point, are taken to have.
FULL_SCALES = {"i": (255, 1023, 4095, 16383, 65535), "f": (1, 255, 4095, 65535)}


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
    intensity: tuple[float, float]  # grey levels that the network knows as -1 and 1
    fill: float  # stands in for pixels that are not finite
    rows: tuple[int, ...]  # heights of the tiles
    columns: tuple[int, ...]  # widths of the tiles
    stride: int
    halo_px: int
    engine: str
    device: str
    precision: str
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
            f"engine     {self.engine} on {self.device}, {self.precision}",
            f"memory     at most {self.memory_bytes / 2**20:.0f} MiB for each tile at work",
        ]
        return "\n".join(lines + [f"warning    {text}" for text in self.warnings])


def plan_restoration(
    image_or_stack: Array | da.Array | ImageStack,
    model: Model | str,
    *,
    tile: int | None = None,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    intensity: tuple[float, float] | None = None,
) -> Plan:
    """Decide how an image will be restored, without restoring it.

    Parameters
    ----------
    image_or_stack : array or ImageStack
        An array is taken as (Y, X), (Y, X, 3 or 4 colour samples), (Z, Y, X) or (Z, Y, X, 3 or 4).
    model : Model or str
        A loaded model or its name.
    tile : int, optional
        Side of a tile in pixels, rounded up to the stride.
    engine, device, precision : str
        "auto" or a name, see :mod:`napari_cellrestore.engine`.
    intensity : (float, float), optional
        Grey levels of black and of the brightest the detector can tell. Known for 8 bit; for other types taken from
        the data and said in the plan's warnings.

    Returns
    -------
    Plan
    """
    model = _loaded(model)
    stack = as_stack(image_or_stack)
    card = model.card
    colours = _colours(stack, card)
    sample = _sample(stack)
    few = _thinned(sample, stack)
    low, high, said = _intensity(stack, sample, intensity)
    engine, device, precision = choose(engine, device, precision)
    halo = round_up(card.halo_px, card.stride)
    rows, columns = _tiles(stack, card, tile, halo)
    checks = said + _nonfinite(stack, sample) + _fit(stack, card, colours, few, (low, high))
    finite = few[np.isfinite(few)]
    return Plan(
        model=card.name,
        weights_sha256=card.weights_sha256,
        axes=stack.axes,
        shape=stack.data.shape,
        dtype=str(stack.data.dtype),
        colours=colours,
        intensity=(low, high),
        fill=float(np.median(finite)) if finite.size else low,
        rows=rows,
        columns=columns,
        stride=card.stride,
        halo_px=halo,
        engine=engine,
        device=device,
        precision=precision,
        memory_bytes=_activation_bytes(model.network, card) * (max(rows) + 2 * halo) * (max(columns) + 2 * halo),
        warnings=tuple(checks),
        versions={name: version(name) for name in ("napari-cellrestore", "torch", "numpy")},
    )


def restore(image_or_stack: Array | da.Array | ImageStack, model: Model | str, plan: Plan | None = None) -> da.Array:
    """Return the restored image as a dask array that computes only what is asked for.

    Every plane is restored by itself. The result has the shape, dtype and units of the input; integer types are
    rounded and limited to their range as a camera's are; pixels that are not finite stay NaN.

    Parameters
    ----------
    image_or_stack, model
        As in :func:`plan_restoration`.
    plan : Plan, optional
        From :func:`plan_restoration`; made here if not given.

    Examples
    --------
    >>> image = np.full((40, 60, 3), 200, np.uint8)
    >>> restored = restore(image, "deblur-fast")
    >>> restored.shape, restored.dtype, restored.chunks[:2]
    ((40, 60, 3), dtype('uint8'), ((40,), (60,)))
    """
    model = _loaded(model)
    stack = as_stack(image_or_stack)
    plan = plan or plan_restoration(stack, model)
    _check_plan(plan, stack, model)
    source = da.asarray(stack.data)
    chunks = tuple(
        {"Y": plan.rows, "X": plan.columns, "S": (length,)}.get(letter, (1,) * length)
        for letter, length in zip(stack.axes, stack.data.shape, strict=True)
    )
    y, x = stack.axes.index("Y"), stack.axes.index("X")
    depth = {axis: plan.halo_px if axis in (y, x) and len(chunks[axis]) > 1 else 0 for axis in range(source.ndim)}
    read = overlap(source.rechunk(chunks), depth=depth, boundary="none", allow_rechunk=False)
    return da.map_blocks(
        _restore_block,
        read,
        runner=runner(model, plan.engine, plan.device),
        plan=plan,
        depth=(depth[y], depth[x]),
        counts=(y, len(plan.rows), x, len(plan.columns)),
        chunks=chunks,
        dtype=source.dtype,
        meta=np.empty((0,) * source.ndim, source.dtype),
    )


def restore_stack(stack: ImageStack, model: Model | str, plan: Plan | None = None) -> ImageStack:
    """Return the restored stack: lazy pixels, the calibration of its source, and how it was made as provenance."""
    model = _loaded(model)
    plan = plan or plan_restoration(stack, model)
    return stack.replace(data=restore(stack, model, plan), provenance=provenance(stack, model.card, plan), notes=())


def provenance(stack: ImageStack, card: ModelCard, plan: Plan) -> dict[str, Any]:
    """Return what a restored image carries with it: that it is generated, from what, by what and how."""
    return {
        "generated": f"restored by {card.name}: the pixels are computed, not recorded",
        "model": card.name,
        "weights_sha256": card.weights_sha256,
        "source": stack.source,
        "source_provenance": dict(stack.provenance),
        "plan": plan.model_dump(mode="json"),
    }


def as_stack(image_or_stack: Array | da.Array | ImageStack) -> ImageStack:
    """Return an ImageStack; plain arrays get the axes that :func:`plan_restoration` states."""
    if isinstance(image_or_stack, ImageStack):
        return image_or_stack
    if not isinstance(image_or_stack, np.ndarray | da.Array):
        raise TypeError(f"image is a {type(image_or_stack).__name__}: give a numpy or dask array or an ImageStack")
    colour = image_or_stack.ndim > 2 and image_or_stack.shape[-1] in (3, 4)
    axes = {2: "YX", 3: "YXS" if colour else "ZYX", 4: "ZYXS" if colour else ""}.get(image_or_stack.ndim, "")
    if not axes:
        raise ValueError(
            f"image has shape {image_or_stack.shape}: give (Y, X), (Y, X, 3), (Z, Y, X) or (Z, Y, X, 3), or an "
            "ImageStack, which states its axes"
        )
    return ImageStack(image_or_stack, axes)


# --- one tile ----------------------------------------------------------------------------------------------


def _restore_block(
    block: Array,
    runner: Runner,
    plan: Plan,
    depth: tuple[int, int],
    counts: tuple[int, int, int, int],
    block_info: Any = None,
) -> Array:
    """Restore the planes of one block with its halo, and crop the halo off."""
    y, rows, x, columns = counts
    where = block_info[0]["chunk-location"]
    kept = [slice(None)] * block.ndim
    for axis, count, halo in ((y, rows, depth[0]), (x, columns, depth[1])):
        before = halo if where[axis] > 0 else 0
        after = halo if where[axis] < count - 1 else 0
        kept[axis] = slice(before, block.shape[axis] - after)
    planes = block.reshape((-1, *block.shape[y:]))
    restored = np.stack([restore_plane(plane, runner, plan) for plane in planes]).reshape(block.shape)
    return restored[tuple(kept)]


def restore_plane(plane: Array, runner: Runner, plan: Plan) -> Array:
    """Restore one plane (Y, X) or (Y, X, S) as the plan says; no tiles."""
    low, high = plan.intensity
    gain = (high - low) / 2
    missing = ~np.isfinite(plane) if plane.dtype.kind == "f" else None
    colour = (
        plane[..., :3].astype(np.float32) if plane.ndim == 3 else np.repeat(plane[..., None], 3, -1).astype(np.float32)
    )
    if missing is not None and missing.any():
        colour[missing[..., :3] if plane.ndim == 3 else missing] = plan.fill
    # In place: on small images as much time goes into copies as into the network.
    colour -= np.float32(low + gain)
    colour /= np.float32(gain)
    output = runner(colour)
    output = output * np.float32(gain)
    output += np.float32(low + gain)
    if plane.ndim == 2:
        output = output.mean(axis=-1)
    if plane.dtype.kind in "iu":
        info = np.iinfo(plane.dtype)
        output = output if plane.dtype.itemsize <= 2 else output.astype(np.float64)  # float32 cannot hold its limits
        np.rint(output, out=output)
        np.clip(output, info.min, info.max, out=output)
    result = output.astype(plane.dtype)
    if plane.ndim == 3 and plane.shape[-1] == 4:
        result = np.concatenate([result, plane[..., 3:]], axis=-1)
    if missing is not None:
        result[missing] = np.nan
    return np.asarray(result)


# --- what a plan is decided from -----------------------------------------------------------------------------


def _loaded(model: Model | str) -> Model:
    return model if isinstance(model, Model) else load_model(model)


def _colours(stack: ImageStack, card: ModelCard) -> str:
    if stack.data.dtype.kind not in "iuf":
        raise TypeError(f"image is {stack.data.dtype}: grey levels must be integers or floating point")
    if card.in_channels != 3 or card.out_channels != 3:
        raise ValueError(
            f"model {card.name!r} maps {card.in_channels} channels to {card.out_channels}: one colour image is restored "
            "here, 3 to 3"
        )
    return {1: "grey", 3: "rgb", 4: "rgb + alpha"}[stack.size("S")]


def _sample(stack: ImageStack) -> Array:
    """Return the pixels that decide the plan: all of an array in memory, the middle plane of a lazy one."""
    if isinstance(stack.data, np.ndarray):
        return stack.data
    middle = tuple(stack.size(letter) // 2 for letter in stack.plane_axes)
    rows, columns = (max(1, n // 2048) for n in stack.yx_shape)
    return np.asarray(stack.data[(*middle, slice(None, None, rows), slice(None, None, columns))])


def _thinned(sample: Array, stack: ImageStack) -> Array:
    """Return every so many-th pixel, enough for means and medians: deciding must not take longer than looking."""
    steps = [slice(None, None, max(1, n // 256)) for n in stack.yx_shape]
    where: tuple[Any, ...] = (..., *steps, *([slice(3)] if stack.rgb else []))
    return np.asarray(sample[where])


def _intensity(
    stack: ImageStack, sample: Array, intensity: tuple[float, float] | None
) -> tuple[float, float, list[str]]:
    if intensity is not None:
        low, high = map(float, intensity)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"intensity is {intensity}: give (black, full scale), two numbers, the first lower")
        return low, high, []
    dtype = stack.data.dtype
    if dtype == np.uint8:
        return 0.0, 255.0, []
    colour = sample[..., :3] if stack.rgb else sample
    finite = colour[np.isfinite(colour)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    scales = FULL_SCALES["f" if dtype.kind == "f" else "i"]
    high = float(next((scale for scale in scales if most <= scale), most))
    low = min(0.0, least)
    seen = "the image" if isinstance(stack.data, np.ndarray) else "its middle plane"
    return (
        low,
        high,
        [
            f"the full scale of {dtype} is not stated: {seen} reaches from {least:g} to {most:g}, so {low:g} to {high:g} was "
            "taken; state the full scale (intensity) to change it"
        ],
    )


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


def _tiles(stack: ImageStack, card: ModelCard, tile: int | None, halo: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if tile is not None and (not isinstance(tile, int) or tile < 1):
        raise ValueError(f"tile is {tile!r}: give the side of a tile in pixels, or None")
    rows, columns = stack.yx_shape
    if not card.tile_safe:
        if tile is not None and tile < max(rows, columns):
            raise ValueError(
                f"model {card.name!r} takes statistics of the whole image and cannot run in tiles of {tile} px; leave "
                "tile out"
            )
        return (rows,), (columns,)
    side = tile or TILE_PX
    return (
        tile_sizes(rows, side, stride=card.stride, halo=halo),
        tile_sizes(columns, side, stride=card.stride, halo=halo),
    )


def _fit(stack: ImageStack, card: ModelCard, colours: str, sample: Array, intensity: tuple[float, float]) -> list[str]:
    """Return what does not fit between image and card, with both numbers."""
    said = []
    rows, columns = stack.yx_shape
    if min(rows, columns) < 2 * card.stride:
        said.append(
            f"the image is {rows} x {columns} px, the network sees {2 * card.stride} px and more: mirrored borders fill "
            "the rest, so take the result for a guess"
        )
    if colours == "grey":
        said.append(
            "the model knows colour images: the grey image is shown to it in all three colours, the mean is taken"
        )
    if card.pixel_um is not None:
        if stack.pixel_um is None:
            said.append(f"the pixel size is not known; the model was trained at {card.pixel_um:g} um per pixel")
        elif not 0.8 <= stack.pixel_um / card.pixel_um <= 1.25:
            said.append(
                f"pixels are {stack.pixel_um:g} um, the model was trained at {card.pixel_um:g} um: resample the image by "
                f"{stack.pixel_um / card.pixel_um:.3g}"
            )
    said += _noise_fit(stack, card, intensity)
    if card.colour_mean and colours != "grey":
        low, high = intensity
        inner = np.asarray(card.input_range)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an all-NaN image is said elsewhere
            mean = np.nanmean(sample[..., :3].reshape(-1, 3).astype(float), axis=0)
        levels = (mean - low) / (high - low) * (inner[1] - inner[0]) + inner[0]
        far = np.abs(levels - card.colour_mean) / np.asarray(card.colour_std)
        if (worst := float(np.max(far))) > 3:
            channel = int(np.argmax(far))
            said.append(
                f"{('red', 'green', 'blue')[channel]} is {levels[channel]:.0f} of {inner[1]:g} on average, training images "
                f"{card.colour_mean[channel]:.0f} +- {card.colour_std[channel]:.0f} ({worst:.1f} deviations away)"
            )
    return said


def _noise_fit(stack: ImageStack, card: ModelCard, intensity: tuple[float, float]) -> list[str]:
    """Say where the image is much noisier than what the model was trained on."""
    gain = card.recipe.get("pairs", {}).get("noise_gain")
    if not gain or min(stack.yx_shape) < 32:
        return []
    middle = _middle(stack)
    if not np.isfinite(middle).all():
        return []
    low, high = intensity
    scale = (card.input_range[1] - card.input_range[0]) / (high - low)
    level = (float(np.mean(middle[..., :3])) - low) * scale
    noise, known = estimate_noise(middle) * scale, float(np.sqrt(max(gain * level, 0) + 1 / 12))
    if noise <= NOISIER * known:
        return []
    return [
        f"the noise is about {noise:.2g} grey levels of {card.input_range[1]:g}, in training it was {known:.2g}: it may be taken "
        "for detail"
    ]


def _middle(stack: ImageStack) -> Array:
    """Return the middle of the middle plane, in full resolution."""
    where: list[Any] = [stack.size(letter) // 2 for letter in stack.plane_axes]
    where += [slice(max(0, (n - 256) // 2), (n + 256) // 2) for n in stack.yx_shape]
    return np.asarray(stack.data[tuple(where)])


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


def _check_plan(plan: Plan, stack: ImageStack, model: Model) -> None:
    if plan.weights_sha256 != model.card.weights_sha256:
        raise ValueError(f"the plan was made for model {plan.model!r}, not for {model.card.name!r}: make a new plan")
    if (plan.axes, plan.shape, plan.dtype) != (stack.axes, tuple(stack.data.shape), str(stack.data.dtype)):
        raise ValueError(
            f"the plan was made for {plan.axes} {plan.shape} {plan.dtype}, the image is {stack.axes} "
            f"{tuple(stack.data.shape)} {stack.data.dtype}: make a new plan"
        )
