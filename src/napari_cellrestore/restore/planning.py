"""What decides how an image is restored, before it is."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from math import lcm, prod

import numpy as np

from napari_cellrestore.card import ModelCard
from napari_cellrestore.domain import judge_pixels
from napari_cellrestore.engine import Choice, at_once, choose_for, memory_bytes, tile_bytes
from napari_cellrestore.model import Model
from napari_cellrestore.networks import COLOUR_MAPS
from napari_cellrestore.passes import check_way
from napari_cellrestore.restore.inputs import ImageLike, Models, colours_of, loaded, planes_of
from napari_cellrestore.restore.plan import Plan
from napari_cellrestore.sample import as_stack, deciding_pixels, grey_range, thinned
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.tiling import round_up, tile_sizes

Array = np.ndarray

#: Sides of a tile unless asked for otherwise, each with the part of the memory that such a tile may take. The larger it is, the
#: less is computed twice as halo; the least takes what it takes.
TILES_PX = {1024: 1 / 8, 512: 1 / 2, 256: float("inf")}
#: Where it is not known how much memory there is.
MEMORY_BYTES = 8 * 2**30


def plan_restoration(
    image_or_stack: ImageLike,
    model: Models,
    *,
    tile: int | None = None,
    soon: bool = False,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    intensity: tuple[float, float] | None = None,
    turned: bool = False,
    way: str | None = None,
    passes: int | None = None,
    seed: int = 0,
    planes: Sequence[int] | None = None,
) -> Plan:
    """Decide how an image will be restored, without restoring it.

    Parameters
    ----------
    image_or_stack : array or ImageStack
        An array is taken as (Y, X), (Y, X, 3 or 4 colour samples), (Z, Y, X) or (Z, Y, X, 3 or 4).
    model : Model or str, or several
        A loaded model or its name; of the way "members" two or more of one task.
    tile : int, optional
        Side of a tile in pixels, rounded up to the stride; as large as suits the memory by default.
    soon : bool
        Smaller tiles by default, so that the first is there soon.
    engine, device, precision : str
        "auto" or a name, see :mod:`napari_cellrestore.engine`. "auto" is what was found fastest on this machine, if it was
        measured (:func:`napari_cellrestore.engine.measure`); nothing is measured here.
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
    planes : sequence of int, optional
        Of a model that makes one image of several planes: which, in its order. Those of LED stacks are found by the LED table.

    Returns
    -------
    Plan
    """
    way = way or ("turned" if turned else "members" if _several(model) else "once")
    if turned and way != "turned":
        raise ValueError(f"turned=True and way={way!r}: give one of them")
    models = loaded(model)
    number = check_way(models, way, passes, seed)
    cards = [one.card for one in models]
    stack = as_stack(image_or_stack)
    (colours,) = {colours_of(stack, card) for card in cards}
    if colours == "grey" and any(card.network in COLOUR_MAPS for card in cards):
        raise ValueError(
            f"image has shape {stack.data.shape}: stains are told apart by colour; give (Y, X, 3), red first"
        )
    (chosen, *others) = {planes_of(stack, card, planes) for card in cards}
    if others:
        raise ValueError(
            f"models {', '.join(card.name for card in cards)} take other planes each: restore with each by itself"
        )
    pixels = deciding_pixels(stack)
    few = thinned(pixels, stack)
    low, high, guessed = grey_range(stack, pixels, intensity or _known_range(stack, cards))
    result_dtype, result_range = _result(stack, cards)
    stride = lcm(*(card.stride for card in cards))
    halo = round_up(max(card.halo_px for card in cards), stride)
    verdicts = [judge_pixels(stack, card, few, (low, high), guessed, planes=chosen) for card in cards]
    minds = [text for verdict in verdicts for text in verdict.warnings]
    finite = few[np.isfinite(few)]
    work_mpx = np.prod(stack.data.shape) / stack.size("S") / max(len(chosen), 1) / 1e6
    choice = _choice(models, (engine, device, precision), way, megapixels=work_mpx * number)
    pixel_bytes = max(tile_bytes(one, 1) for one in models)
    rows, columns = _tiles(stack, cards, tile, stride, halo, usual=_side(pixel_bytes, halo, choice.device, soon))
    read = (min(max(sizes) + 2 * halo, sum(sizes)) for sizes in (rows, columns))
    a_tile = pixel_bytes * prod(read)
    minds += _too_large(a_tile, choice.device, whole=not all(card.tile_safe for card in cards))
    return Plan(
        model=", ".join(card.name for card in cards),
        weights_sha256=", ".join(card.weights_sha256 for card in cards),
        axes=stack.axes,
        shape=stack.data.shape,
        dtype=str(stack.data.dtype),
        colours=colours,
        channels=cards[0].in_channels,
        out_channels=cards[0].out_channels,
        planes=chosen,
        intensity=(low, high),
        result_dtype=result_dtype,
        result_intensity=result_range or (low, high),
        fill=float(np.median(finite)) if finite.size else low,
        rows=rows,
        columns=columns,
        stride=stride,
        halo_px=halo,
        engine=choice.engine,
        device=choice.device,
        precision=choice.precision,
        engine_why=choice.why,
        way=way,
        passes=number,
        seed=seed if way == "dropout" else None,
        memory_bytes=a_tile,
        at_once=at_once(a_tile, choice.device),
        warnings=tuple(dict.fromkeys([*guessed, *_nonfinite(stack, pixels, halo), *minds, *choice.warnings])),
        versions={name: version(name) for name in ("napari-cellrestore", "torch", "numpy")},
    )


# --- what a plan is decided from -----------------------------------------------------------------------------


def _choice(models: Sequence[Model], named: tuple[str, str, str], way: str, *, megapixels: float) -> Choice:
    """Return how models are run; several, or one with units dropped, by torch in float32 unless named otherwise."""
    engine, device, precision = named
    if way == "dropout" and engine not in ("auto", "torch"):
        raise ValueError(f"dropout runs by the engine torch, not by {engine!r}: leave engine out")
    if way != "dropout" and len(models) == 1:
        return choose_for(models[0], engine, device, precision, megapixels=megapixels)
    alike = ["torch" if engine == "auto" else engine, device, "float32" if precision == "auto" else precision]
    choices = [choose_for(one, *alike) for one in models]
    return choices[0]._replace(warnings=tuple(text for choice in choices for text in choice.warnings))


def _too_large(tile_bytes: int, device: str, *, whole: bool) -> list[str]:
    """Return what is to be minded of a tile that may need more memory than there is."""
    there = memory_bytes(device)
    if there is None or tile_bytes <= there:
        return []
    return [
        f"a tile may take {tile_bytes / 2**30:.0f} GiB of memory, and the {device} has {there / 2**30:.0f} GiB: "
        f"{'restore a smaller part' if whole else 'give a smaller tile'}"
    ]


def _several(model: Models) -> bool:
    return isinstance(model, Sequence) and not isinstance(model, str)


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


def _result(stack: ImageStack, cards: Sequence[ModelCard]) -> tuple[str, tuple[float, float] | None]:
    """Return the type of the result, and its grey levels for -1 and 1 where they are not those of the image."""
    made = {(card.output_dtype, card.output_range) for card in cards}
    if len(made) > 1:
        raise ValueError(
            f"models {', '.join(card.name for card in cards)} make images of other grey levels each: restore with each by itself"
        )
    ((dtype, levels),) = made
    # Of floating point stays floating point, which can hold what was missing.
    return str(stack.data.dtype) if dtype is None or stack.data.dtype.kind == "f" else dtype, levels


def _nonfinite(stack: ImageStack, sample: Array, halo: int) -> list[str]:
    if stack.data.dtype.kind != "f":
        return []
    finite = np.isfinite(sample)
    count = int(np.count_nonzero(~(finite.all(axis=-1) if stack.rgb else finite)))
    seen = "" if isinstance(stack.data, np.ndarray) else " in the middle plane (others were not looked at)"
    if not count:
        return []
    around = ", and their surroundings are guesses" if halo else ""
    return [f"{count} pixels are NaN or infinite{seen}: they stay NaN in the result{around}"]


def _side(pixel_bytes: int, halo: int, device: str, soon: bool) -> int:
    """Return the usual side of a tile: the largest that takes no more of the memory than it may."""
    there = memory_bytes(device) or MEMORY_BYTES
    sides = list(TILES_PX.items())[1 if soon else 0 :]
    return next(side for side, part in sides if pixel_bytes * (side + 2 * halo) ** 2 <= part * there)


def _tiles(
    stack: ImageStack, cards: Sequence[ModelCard], tile: int | None, stride: int, halo: int, *, usual: int
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
    side = tile or usual
    return tile_sizes(rows, side, stride=stride, halo=halo), tile_sizes(columns, side, stride=stride, halo=halo)
