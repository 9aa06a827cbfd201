"""What comes out of a restoration: lazy images, calibrated and marked, and files of them."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask.array as da
import numpy as np

from napari_cellrestore.files import check_image, write_image
from napari_cellrestore.restore.inputs import ImageLike, Models, before, loaded
from napari_cellrestore.restore.plan import Plan
from napari_cellrestore.restore.planning import plan_restoration
from napari_cellrestore.restore.tiles import restored_tiles, tiles_with_spread
from napari_cellrestore.sample import as_stack
from napari_cellrestore.spread import WAYS
from napari_cellrestore.stack import ImageStack

#: What made an image of the spread, in its provenance.
SPREAD = "model unsure"


def restore(image_or_stack: ImageLike, model: Models, plan: Plan | None = None) -> da.Array:
    """Return the restored image as a dask array that computes only what is asked for.

    Every plane is restored by itself, unless the model makes one image of several planes. The result has the axes of the
    plan (``result_axes``) and dtype and units of the input, or of the images that the model learned to make; integer types
    are rounded and limited to their range as a camera's are; pixels that are not finite stay NaN.

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
    models, stack = loaded(model), as_stack(image_or_stack)
    plan = plan or plan_restoration(stack, models[0] if len(models) == 1 else models)
    if plan.passes > 1:
        return restore_with_spread(stack, models, plan)[0]
    tiles = restored_tiles(stack, models, plan)
    return tiles if plan.result_axes.endswith("S") else tiles[..., 0]


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
    models, stack = loaded(model), as_stack(image_or_stack)
    if plan.passes < 2:
        raise ValueError("the plan restores once, which has no spread: make a plan with turned=True, or of another way")
    mean, spread = halves(tiles_with_spread(stack, models, plan))
    return mean if plan.result_axes.endswith("S") else mean[..., 0], spread


def halves(both: da.Array) -> tuple[da.Array, da.Array]:
    """Return mean (..., Y, X, channels) and spread (..., Y, X) of an array whose blocks hold both.

    Computed together, each block is computed once.
    """
    nothing = np.empty((0,) * both.ndim, both.dtype)
    mean = da.map_blocks(itemgetter(0), both, dtype=both.dtype, meta=nothing)
    chunks = (*both.chunks[:-1], (1,))  # of colours there is one spread
    spread = da.map_blocks(itemgetter(1), both, chunks=chunks, dtype=np.float32, meta=nothing.astype(np.float32))
    return mean, spread[..., 0]


def restore_stack(stack: ImageStack, model: Models, plan: Plan | None = None) -> ImageStack:
    """Return the restored stack: lazy pixels, the calibration of its source, and how it was made as provenance."""
    models = loaded(model)
    plan = plan or plan_restoration(stack, models[0] if len(models) == 1 else models)
    return _made(stack, plan, restore(stack, models, plan), provenance(stack, plan))


def restore_stack_with_spread(stack: ImageStack, model: Models, plan: Plan) -> tuple[ImageStack, ImageStack]:
    """Return the restored stack and that of the spread, see :func:`restore_with_spread`, both calibrated and marked."""
    mean, spread = restore_with_spread(stack, model, plan)
    result = _made(stack, plan, mean, provenance(stack, plan))
    return result, result.replace(
        data=spread, axes=result.axes.removesuffix("S"), provenance=spread_provenance(stack, plan)
    )


def _made(stack: ImageStack, plan: Plan, pixels: da.Array, made: dict[str, Any]) -> ImageStack:
    """Return pixels with the calibration of the stack that they were made of."""
    return before(stack, plan).replace(data=pixels, axes=plan.result_axes, provenance=made, notes=())


def write_with_spread(
    path: Path,
    mean: ImageStack,
    spread: ImageStack,
    *,
    overwrite: bool = False,
    resume: Mapping[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write the restored stack, and its spread beside it, as OME-TIFF or OME-Zarr; return both.

    Each tile is computed once: both go to temporary files first, and from there to where they belong. What was computed is lost
    where that breaks off; with ``resume``, see :func:`napari_cellrestore.files.write_image`, the same call is not refused then.
    """
    targets, stacks = (path, spread_path(path)), (mean, spread)
    for target, one in zip(targets, stacks, strict=True):
        check_image(target, one, overwrite=overwrite, resume=resume)
    with TemporaryDirectory(prefix=".unfinished-", dir=path.parent, ignore_cleanup_errors=True) as folder:
        held = [
            np.memmap(Path(folder) / str(number), one.data.dtype, "w+", shape=one.data.shape)
            for number, one in enumerate(stacks)
        ]
        da.store([da.asarray(one.data) for one in stacks], held, lock=False)
        for target, one, pixels in zip(targets, stacks, held, strict=True):
            write_image(target, held_stack(one, pixels), overwrite=overwrite, resume=resume)
    return targets


def held_stack(stack: ImageStack, pixels: np.ndarray) -> ImageStack:
    """Return a lazy stack with pixels that were computed meanwhile, in the blocks that it has."""
    return stack.replace(data=da.from_array(pixels, chunks=da.asarray(stack.data).chunks, name=False))


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
