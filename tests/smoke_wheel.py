"""What must work where nothing but the wheel is installed, and no Qt: a plain script for a clean environment.

Run: python tests/smoke_wheel.py
"""

import subprocess
import sys
from importlib.metadata import distribution, version
from importlib.resources import files
from importlib.util import find_spec

NAME = "napari_cellrestore"
BINDINGS = ("PyQt5", "PyQt6", "PySide2", "PySide6")
HEAVY = {"torch", "qtpy", "napari", *BINDINGS}
PACKAGED = (
    "napari.yaml",
    "py.typed",
    "data/README.md",
    "data/mitochondria.tif",
    "data/smear.jpg",
    "weights/deblur-fast/card.json",
    "weights/deblur-fast/weights.safetensors",
)


def check(condition: bool, said: str) -> None:
    """Stop with what is wrong."""
    if not condition:
        sys.exit(f"the wheel is not whole: {said}")


def check_environment() -> None:
    """Look that this is the wheel, in an environment without Qt."""
    there = [binding for binding in BINDINGS if find_spec(binding)]
    check(not there, f"{', '.join(there)} is installed: the base dependencies must not bring a Qt binding")
    spec = find_spec(NAME)
    check(spec is not None and "site-packages" in str(spec.origin), f"{NAME} is not installed from a wheel ({spec})")


def check_import() -> None:
    """Import the package, which must bring nothing heavy."""
    __import__(NAME)
    brought = HEAVY & set(sys.modules)
    check(not brought, f"importing {NAME} imports {', '.join(sorted(brought))}")


def check_files() -> None:
    """Look for what is no Python: manifest, samples, models."""
    missing = [name for name in PACKAGED if not files(NAME).joinpath(name).is_file()]
    check(not missing, f"{', '.join(missing)} is not in it")
    folders = {str(path).split("/")[0] for path in distribution("napari-cellrestore").files or ()}
    check(not folders & {"tests", "docs", "examples"}, f"it has folders of the repository: {sorted(folders)}")


def check_manifest() -> None:
    """Read the manifest as napari does."""
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-cellrestore")
    widgets = [widget.display_name for widget in manifest.contributions.widgets or ()]
    check({"Focus", "Restore", "Compare"} <= set(widgets), f"its manifest has the widgets {widgets}")


def check_samples() -> None:
    """Open a shipped stack with its calibration."""
    from napari_cellrestore.files import open_stack

    stack = open_stack(str(files(NAME) / "data" / "mitochondria.tif"))
    check(stack.axes == "ZYX" and stack.z_step_um == 0.1, f"the sample is opened as {stack}")


def check_restoration() -> None:
    """Restore a small image, in tiles and whole."""
    import numpy as np

    from napari_cellrestore.model import load_model
    from napari_cellrestore.restore import plan_restoration, restore
    from napari_cellrestore.simulate import defocus_stack, draw_smear, smear_objectives

    smear = draw_smear((96, 112), 0.1, np.random.default_rng(0))
    blurred, sharp = defocus_stack(smear, 0.1, smear_objectives(), [0.8, 0.0]).data
    model = load_model("deblur-fast")
    whole = restore(blurred, model).compute()
    tiled = restore(blurred, model, plan_restoration(blurred, model, tile=48)).compute()
    check(whole.shape == blurred.shape and whole.dtype == blurred.dtype, f"restored is {whole.dtype} {whole.shape}")
    check(int(np.abs(whole.astype(int) - tiled).max()) <= 1, "tiles change the result")
    error, before = (float(np.square(image.astype(float) - sharp).mean()) for image in (whole, blurred))
    check(error < before / 2, f"the error is {error:.2f} after restoration and {before:.2f} before it")


def check_shell() -> None:
    """Run the command line; none of all this needs a window."""
    done = subprocess.run([sys.executable, "-m", NAME, "--version"], capture_output=True, text=True, check=False)
    check(version("napari-cellrestore") in done.stdout, f"the command line said {done.stdout}{done.stderr}")
    brought = (HEAVY - {"torch"}) & set(sys.modules)
    check(not brought, f"restoring imports {', '.join(sorted(brought))}")


if __name__ == "__main__":
    for step in (
        check_environment,
        check_import,
        check_files,
        check_manifest,
        check_samples,
        check_restoration,
        check_shell,
    ):
        step()
    print(f"ok: the wheel of napari-cellrestore {version('napari-cellrestore')} is whole and needs no Qt")
