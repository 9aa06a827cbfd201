"""A model made ready to run, which goes on in smaller pieces where the memory does not suffice."""

from __future__ import annotations

import logging
import sys
from threading import Lock
from typing import Any

import numpy as np
import torch

from napari_cellrestore.engine.held import held_bytes, room_on
from napari_cellrestore.engine.runs import Array, Run, compiled_run, openvino_run, padded, torch_run
from napari_cellrestore.model import Model
from napari_cellrestore.tiling import round_up

log = logging.getLogger(__name__)

#: How libraries say that there is no memory left, where they do not raise an exception of that name.
NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "bad_alloc", "bad allocation")


def runner(model: Model, engine: str, device: str, precision: str = "float32") -> Runner:
    """Return the runner of a model; made once for each engine, device and precision, since making one takes seconds."""
    key = (f"{engine} {precision}", device)
    ready: Runner = model.runners.setdefault(key, Runner(model, engine, device, precision))
    return ready


class Runner:
    """A model made ready to run; can be sent to another process, which makes it ready again there.

    Parameters
    ----------
    model : Model
        What to run.
    engine, device, precision : str
        As resolved by :func:`choose`.
    """

    def __init__(self, model: Model, engine: str, device: str, precision: str = "float32") -> None:
        self._made_of = model, engine, device, precision
        self._run: Run | None = None
        self._making = Lock()  # tiles come from several threads; the first makes the engine ready for all

    def __getstate__(self) -> dict[str, Any]:
        return {"_made_of": self._made_of}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["_made_of"])  # type: ignore[misc]

    def __dask_tokenize__(self) -> tuple[str, ...]:
        model, *how = self._made_of
        return model.card.weights_sha256, *how

    def __call__(self, image: Array) -> Array:
        """Run on (Y, X, C) float32 in -1..1, once there is room for it beside what other threads run."""
        model, _, device, _ = self._made_of
        run = self.ready()
        with room_on(device).taken(tile_bytes(model, image.shape[0] * image.shape[1])):
            return run(image)

    def ready(self) -> Run:
        """Make the engine ready, once, and return what runs it."""
        with self._making:
            self._run = self._run or _made(*self._made_of)
        return self._run


def tile_bytes(model: Model, pixels: int) -> int:
    """Return the memory that a tile takes at most, its numbers before and after the network included."""
    card = model.card
    numbers = card.in_channels + 2 * card.out_channels
    return pixels * (held_bytes(model.network, card.in_channels, card.stride) + 4 * numbers)


def _made(model: Model, engine: str, device: str, precision: str) -> Run:
    card, network = model.card, model.network
    if engine == "openvino":
        run = openvino_run(network, card.in_channels, precision=precision)
    elif engine == "compiled":
        run = compiled_run(network, card.in_channels, precision=precision)
    else:
        run = torch_run(network, device, precision=precision)
    halo = round_up(card.halo_px, card.stride) if card.tile_safe else sys.maxsize
    return in_pieces(padded(run, card.stride), card.stride, halo)


# --- memory ----------------------------------------------------------------------------------------------------


def in_pieces(run: Run, stride: int, halo: int) -> Run:
    """Return ``run`` that cuts an image in two where the memory does not suffice, and these again, until it does.

    Cut is the longer side, at a multiple of the stride; both pieces are run with the halo of the other, so that the
    result is that of the whole. What was too large once is not tried again. MemoryError where nothing can be cut.
    """
    too_large = float("inf")  # pixels

    def run_what_fits(image: Array) -> Array:
        nonlocal too_large
        rows, columns = image.shape[:2]
        cut = _cut(max(rows, columns), stride, halo)
        if rows * columns < too_large or not cut:
            try:
                return run(image)
            except (MemoryError, RuntimeError) as error:
                if not _is_no_memory(error):
                    raise
                if not cut:
                    raise MemoryError(
                        f"{rows} x {columns} px do not fit in memory and cannot be cut: close other programs, or run on "
                        "the processor (device cpu)"
                    ) from error
            # Here and not above: what was raised holds the layers' memory for as long as it is handled.
            too_large = min(too_large, rows * columns)
            log.warning("%d x %d px do not fit in memory: they are run in two pieces", rows, columns)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return _in_two(run_what_fits, image, cut, halo)

    return run_what_fits


def _cut(length: int, stride: int, halo: int) -> int:
    """Return where a length is cut, 0 where its pieces would be no smaller."""
    place = length // 2 // stride * stride
    return place if place > halo else 0


def _in_two(run: Run, image: Array, cut: int, halo: int) -> Array:
    if image.shape[0] >= image.shape[1]:
        return np.concatenate([run(image[: cut + halo])[:cut], run(image[cut - halo :])[halo:]])
    return np.concatenate([run(image[:, : cut + halo])[:, :cut], run(image[:, cut - halo :])[:, halo:]], axis=1)


def _is_no_memory(error: Exception) -> bool:
    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(words in said for words in NO_MEMORY)
