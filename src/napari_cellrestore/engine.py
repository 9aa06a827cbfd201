"""Engines: how a network is run. Every engine gives what eager float32 torch gives, within the card's tolerance."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_cellrestore.model import Model
from napari_cellrestore.networks import stride_of
from napari_cellrestore.rewriting import rewritten
from napari_cellrestore.tiling import round_up

Array = np.ndarray
#: Runs a network on (Y, X, C) float32 in -1..1, any size, and returns (Y, X, C) float32.
Run = Callable[[Array], Array]


def padded(run: Callable[[Array], Array], stride: int) -> Run:
    """Return ``run`` for any size: the image is extended at its lower and right border to the stride, then cropped.

    The extension mirrors the image; where it is smaller than the extension, the mirror image is mirrored again.
    """

    def run_any_size(image: Array) -> Array:
        rows, columns = image.shape[:2]
        lower, right = round_up(rows, stride) - rows, round_up(columns, stride) - columns
        if lower or right:
            image = np.pad(image, ((0, lower), (0, right), (0, 0)), mode="symmetric")
        return run(image)[:rows, :columns]

    return run_any_size


def torch_run(network: nn.Module, device: str = "cpu", *, rewrite: bool = True) -> Callable[[Array], Array]:
    """Run by torch: written in a faster way (:mod:`napari_cellrestore.rewriting`), memory laid out channels-last."""
    network = deepcopy(network).eval()
    if rewrite:
        network = rewritten(network)
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in stubs

    def run(image: Array) -> Array:
        with torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(image, np.float32)).to(device)
            output = network(tensor.permute(2, 0, 1)[None])  # (Y, X, C) is channels-last already
            return np.asarray(output[0].permute(1, 2, 0).contiguous().cpu().numpy())

    return run


def openvino_run(network: nn.Module, in_channels: int) -> Callable[[Array], Array]:
    """Run by OpenVINO on the processor, float32, image sizes free."""
    import openvino

    side = round_up(64, stride_of(network))
    example = torch.zeros(1, in_channels, side, side)
    with warnings.catch_warnings():
        # torch announces the end of tracing; what follows it, torch.export, OpenVINO reads with more warnings and slower.
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(deepcopy(network).eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
    converted = openvino.convert_model(traced, example_input=example)
    converted.reshape({0: [1, in_channels, -1, -1]})
    compiled = openvino.Core().compile_model(
        converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    )

    def run(image: Array) -> Array:
        nchw = np.ascontiguousarray(np.moveaxis(image, -1, 0)[None], np.float32)
        # A request of its own for each call: tiles are run from several threads.
        result = compiled.create_infer_request().infer([nchw])[compiled.output(0)]
        return np.ascontiguousarray(np.moveaxis(result[0], 0, -1))

    return run


ENGINES = ("torch", "openvino")


def available_engines() -> dict[str, str]:
    """Return each engine with what it can use here, or why it cannot be used."""
    openvino = "processor" if find_spec("openvino") else "not installed: pip install 'napari-cellrestore[openvino]'"
    return {"torch": "CUDA" if torch.cuda.is_available() else "processor", "openvino": openvino}


def choose(engine: str, device: str, precision: str) -> tuple[str, str, str]:
    """Resolve "auto" and refuse what is not there; returns (engine, device, precision)."""
    if engine not in ("auto", *ENGINES):
        raise ValueError(f"no engine {engine!r}; known are auto, {', '.join(ENGINES)}")
    if precision not in ("auto", "float32"):
        raise ValueError(f"no precision {precision!r}; known are auto, float32")
    devices = {"auto", "cpu", *(["cuda"] if torch.cuda.is_available() else [])}
    if device not in devices:
        raise ValueError(f"no device {device!r} on this machine; there are {', '.join(sorted(devices))}")
    if device == "auto":
        device = "cuda" if "cuda" in devices else "cpu"
    if engine == "openvino" and not find_spec("openvino"):
        raise ValueError("the engine openvino is not installed: pip install 'napari-cellrestore[openvino]'")
    if engine == "openvino" and device != "cpu":
        raise ValueError(f"the engine openvino runs on the cpu, not on {device!r}")
    if engine == "auto":
        engine = "torch"  # as fast as OpenVINO on these networks in tiles, and ready at once
    return engine, device, "float32"


def runner(model: Model, engine: str, device: str) -> Runner:
    """Return the runner of a model; made once for each engine and device, since making one takes seconds."""
    ready: Runner = model.runners.setdefault((engine, device), Runner(model, engine, device))
    return ready


class Runner:
    """A model made ready to run; can be sent to another process, which makes it ready again there.

    Parameters
    ----------
    model : Model
        What to run.
    engine, device : str
        As resolved by :func:`choose`.
    """

    def __init__(self, model: Model, engine: str, device: str) -> None:
        self._model, self._engine, self._device = model, engine, device
        self._run: Run | None = None
        self._making = Lock()  # tiles come from several threads; the first makes the engine ready for all

    def __getstate__(self) -> dict[str, Any]:
        return {"_model": self._model, "_engine": self._engine, "_device": self._device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_model"], state["_engine"], state["_device"])  # type: ignore[misc]

    def __dask_tokenize__(self) -> tuple[str, str, str]:
        return self._model.card.weights_sha256, self._engine, self._device

    def __call__(self, image: Array) -> Array:
        """Run on (Y, X, C) float32 in -1..1."""
        with self._making:
            self._run = self._run or self._make()
        return self._run(image)

    def _make(self) -> Run:
        card, network = self._model.card, self._model.network
        if self._engine == "openvino":
            return padded(openvino_run(network, card.in_channels), card.stride)
        return padded(torch_run(network, self._device), card.stride)
