"""The engines: torch, torch compiled for this processor, and OpenVINO. Each makes of a network a function of an image."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from queue import Empty, SimpleQueue
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn

from napari_cellrestore.engine.machine import keep_compiled
from napari_cellrestore.networks import stride_of
from napari_cellrestore.rewriting import rewritten
from napari_cellrestore.tiling import round_up

Array = np.ndarray
#: Runs a network on (Y, X, C) float32 in -1..1, any size, and returns (Y, X, C) float32.
Run = Callable[[Array], Array]

_ON_CUDA = Lock()  # what is set for cuDNN holds for the whole process


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


# --- torch -----------------------------------------------------------------------------------------------------


def torch_run(
    network: nn.Module, device: str = "cpu", *, precision: str = "float32", rewrite: bool = True
) -> Callable[[Array], Array]:
    """Run by torch: written in a faster way (:mod:`napari_cellrestore.rewriting`), memory laid out channels-last."""
    return _by_torch(_prepared(network, precision, rewrite).to(device), device, precision)


def compiled_run(network: nn.Module, in_channels: int, *, precision: str = "float32") -> Callable[[Array], Array]:
    """Run by torch, compiled for this processor once for all image sizes, which takes seconds to a minute.

    What was compiled is kept in the user's cache folder: the next time takes seconds.
    """
    keep_compiled()
    side = round_up(64, stride_of(network))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch, which the compiler itself makes use of
        planar = bool(getattr(network, "planar", False))
        run = _by_torch(torch.compile(_prepared(network, precision), dynamic=True), "cpu", precision, planar=planar)
        # Several strides of unequal number: of one, or of a square, a program for that case alone would be made.
        run(np.zeros((2 * side, 3 * side, in_channels), np.float32))
    return run


def _prepared(network: nn.Module, precision: str, rewrite: bool = True) -> nn.Module:
    """Return a copy that is ready to run; in bfloat16 are the weights of what takes the time, norms and sums stay float32."""
    network = deepcopy(network).eval().requires_grad_(False)
    if rewrite:
        network = rewritten(network)
    if precision == "bfloat16":
        for part in network.modules():
            if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                part.bfloat16()
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # missing in stubs


def _by_torch(
    network: Callable[[Tensor], Tensor], device: str, precision: str, *, planar: bool = False
) -> Callable[[Array], Array]:
    def run(image: Array) -> Array:
        with torch.inference_mode(), _computing(device, precision):
            tensor = torch.from_numpy(np.ascontiguousarray(image, np.float32)).to(device)
            tensor = tensor.permute(2, 0, 1)[None]  # (Y, X, C) is channels-last already
            output = network(tensor.contiguous() if planar else tensor)
            return np.asarray(output[0].permute(1, 2, 0).contiguous().float().cpu().numpy())

    return run


@contextmanager
def _computing(device: str, precision: str) -> Iterator[None]:
    """Compute float32 as float32, which graphics cards do not by themselves, or what is heavy in bfloat16."""
    kind = device.partition(":")[0]
    lower: AbstractContextManager[object] = (
        torch.autocast(kind, torch.bfloat16) if precision == "bfloat16" else nullcontext()
    )
    with lower:
        if kind != "cuda":
            yield
            return
        with _ON_CUDA, torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield


# --- OpenVINO --------------------------------------------------------------------------------------------------


def openvino_run(network: nn.Module, in_channels: int, *, precision: str = "float32") -> Callable[[Array], Array]:
    """Run by OpenVINO on the processor, image sizes free."""
    import openvino
    from openvino import Layout
    from openvino.preprocess import PrePostProcessor

    side = round_up(64, stride_of(network))
    example = torch.zeros(1, in_channels, side, side)
    with warnings.catch_warnings():
        # torch announces the end of tracing; what follows it, torch.export, OpenVINO reads with more warnings and slower.
        warnings.simplefilter("ignore", DeprecationWarning)
        source = rewritten(deepcopy(network).eval())
        traced = torch.jit.trace(source, example, check_trace=False)  # type: ignore[no-untyped-call]
    converted = openvino.convert_model(traced, example_input=example)
    converted.reshape({0: [1, in_channels, -1, -1]})
    # Images come and go with channels last, as the network takes them: nothing is copied into another order before.
    layout = PrePostProcessor(converted)
    for end in (layout.input(), layout.output()):
        end.tensor().set_layout(Layout("NHWC"))
        end.model().set_layout(Layout("NCHW"))
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    compiled = openvino.Core().compile_model(
        layout.build(), "CPU", {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    )
    # A request holds the memory of the layers. Tiles come from several threads, so each takes one that is free.
    free: SimpleQueue[openvino.InferRequest] = SimpleQueue()

    def run(image: Array) -> Array:
        try:
            request = free.get_nowait()
        except Empty:
            request = compiled.create_infer_request()
        nhwc = np.ascontiguousarray(image, np.float32)[None]
        result = np.array(request.infer([nhwc], share_inputs=True, share_outputs=True)[compiled.output(0)][0])
        free.put(request)
        return result

    return run
