"""What this machine has to run networks: devices, engines, bfloat16; and where what was found out about it is kept."""

from __future__ import annotations

import os
import platform
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import torch
from platformdirs import user_cache_path

ENGINES = ("torch", "openvino", "compiled")
PRECISIONS = ("float32", "bfloat16")


def available_engines() -> dict[str, str]:
    """Return each engine with what it can use here, or why it cannot be used."""
    openvino = "processor" if find_spec("openvino") else "not installed: pip install 'napari-cellrestore[openvino]'"
    device = {"cuda": "CUDA", "mps": "MPS", "cpu": "processor"}[devices()[0]]
    return {"torch": device, "openvino": openvino, "compiled": _compiled()}


def _compiled() -> str:
    named = os.environ.get("CXX", "").split()
    compiler = next(filter(shutil.which, named[:1] or ("g++", "clang++", "c++", "cl")), None)
    if compiler is None:
        return "not installed: a C++ compiler (g++, clang++ or cl)"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "not installed: the header files of Python (python3-dev)"
    return f"processor, by {Path(compiler).name}"


def devices() -> list[str]:
    """Return the devices of torch here, the one taken unless asked for otherwise first."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [device for device, is_there in there.items() if is_there]


def check_device(device: str) -> str:
    """Return the name of a device, "auto" resolved; ValueError where it is not there."""
    there = devices()
    if device not in ("auto", *there):
        raise ValueError(f"no device {device!r} on this machine; there are {', '.join(sorted(['auto', *there]))}")
    return there[0] if device == "auto" else device


def memory_bytes(device: str) -> int | None:
    """Return how much memory a device has, None where that is not known."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def has_bfloat16(engine: str, device: str) -> bool:
    """Whether there is hardware that computes bfloat16 for an engine; without it, it is slower than float32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu":
        return False
    if engine == "openvino":
        import openvino

        return "BF16" in list(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def processor_name(device: str) -> str:
    """Return the name of what computes, as its maker calls it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def cache_folder() -> Path:
    """Folder of what can be found out again: ``$CELLRESTORE_CACHE`` or the platform's cache folder."""
    return Path(os.environ.get("CELLRESTORE_CACHE") or user_cache_path("napari-cellrestore"))


def keep_compiled() -> None:
    """Let torch keep what it compiles in our cache folder, unless the user named another or it cannot be written."""
    folder = cache_folder() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
