"""Take the pictures of the documentation from real windows, with the samples that are shipped.

Run: xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py [NAME ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["NAPARI_CONFIG"] = ""  # the window of a new user, and no user's settings changed

import napari
import numpy as np
import tifffile
from PIL import Image
from qtpy.QtCore import QSize
from qtpy.QtPdf import QPdfDocument
from qtpy.QtWidgets import QScrollArea, QWidget
from skimage.io import imsave

from napari_cellrestore.files import write_tiff
from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.gui.samples import smear_stack
from napari_cellrestore.gui.show import settle
from napari_cellrestore.pairs import read_smear
from napari_cellrestore.recipe import RECIPES, ImageSource
from napari_cellrestore.simulate import DetectorNoise, defocus_stack, draw_smear, smear_objectives

IMAGES = Path(__file__).parent / "images"
SIZE = (1240, 800)
LARGEST_BYTES = 300_000
#: Distance from focus at which restoration is shown.
DEFOCUS_UM = 0.8
BLURRED = f"{DEFOCUS_UM:g} µm off focus"


# --- the pictures ------------------------------------------------------------------------------------------


def window(viewer: napari.Viewer) -> None:
    """Show a stained smear out of focus and restored, as ``cellrestore demo`` makes them."""
    run_demo()
    for name in ("smear focus stack", "smear restored"):
        viewer.open(f"demo/{name}.ome.tif", plugin="napari-cellrestore")
    for layer, name in zip(viewer.layers, (BLURRED, "restored (generated)"), strict=True):
        layer.name, layer.name_overlay.visible = name, True
    focus = dock(viewer, "Focus")
    go_to_z(viewer, DEFOCUS_UM)
    wait_for(lambda: focus.frame_curve is not None)
    viewer.canvas.grid.shape = (1, 2)
    viewer.canvas.grid.enabled = True
    settle(1)
    viewer.reset_view()
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 24, 36.5), 15
    viewer.canvas.overlays.scale_bar.visible = True


def opening(viewer: napari.Viewer) -> None:
    """Show a file that does not say what its pages are, and where that is told."""
    tifffile.imwrite("scan.tif", smear_stack().data, photometric="rgb", metadata=None)
    viewer.open("scan.tif", plugin="napari-cellrestore")
    focus = dock(viewer, "Focus")
    wait_for(lambda: focus.frame_curve is not None)
    focus.calibration.expand(animate=False)
    settle(1)


def focus(viewer: napari.Viewer) -> None:
    """Show the curves of the frame and of two regions."""
    viewer.open_sample("napari-cellrestore", "mitochondria")
    focus = dock(viewer, "Focus")
    focus.add_region()
    shapes = focus.region_choice.layer
    shapes.add_rectangles([[40, 90], [40, 160], [125, 160], [125, 90]])
    shapes.add_rectangles([[150, 85], [150, 120], [215, 120], [215, 85]])
    shapes.mode = "pan_zoom"
    shapes.selected_data = set()
    settle(3)


def restore(viewer: napari.Viewer) -> None:
    """Show a large stack while it is restored where one looks."""
    smear = draw_smear((1536, 1536), 0.1, np.random.default_rng(3))
    stack = defocus_stack(smear, 0.1, smear_objectives(), [-DEFOCUS_UM, 0, DEFOCUS_UM], DetectorNoise())
    ((data, options, _),) = layer_data(stack)
    viewer.add_image(data, **{**options, "name": "smear"})
    go_to_z(viewer, DEFOCUS_UM)
    restore = dock(viewer, "Restore")
    restore.apply()
    wait_for(lambda: restore.progress.value() >= 4)


def compare(viewer: napari.Viewer) -> None:
    """Show a blurred plane and its restoration against the sharpest plane."""
    viewer.window.resize(1400, 740)
    viewer.open_sample("napari-cellrestore", "blood_smear")
    focus = dock(viewer, "Focus")
    wait_for(lambda: focus.frame_curve is not None)
    focus.extract_sharpest()
    viewer.layers[-1].name = "sharpest"
    restore_blurred(viewer)
    compare = dock(viewer, "Compare", tabify=True)
    compare.reference.choose(viewer.layers["sharpest"])
    compare.view.beside_button.setChecked(True)
    compare.map_buttons["difference"].setChecked(True)
    wait_for(lambda: any(layer.name.startswith("difference") for layer in viewer.layers))
    settle(3)


def swipe(viewer: napari.Viewer) -> None:
    """Show a blurred plane left of a line and its restoration right of it, and grey levels along a line."""
    viewer.window.resize(1400, 800)
    viewer.open_sample("napari-cellrestore", "blood_smear")
    restore_blurred(viewer)
    compare = dock(viewer, "Compare", tabify=True)
    compare.view.swipe_button.setChecked(True)
    wait_for(lambda: compare.view.swipe.layer is not None and compare.view.swipe.layer.visible)
    compare.curves.draw_line()
    rows, columns = viewer.layers[0].data.shape[1:3]
    line = viewer.layers["profile line"]
    line.add_lines([[[0.41 * rows, 0.28 * columns], [0.41 * rows, 0.6 * columns]]])
    line.mode = "pan_zoom"
    wait_for(lambda: compare.curves.curves is not None)
    settle(3)


def report(viewer: napari.Viewer) -> None:
    """Show a report that was just written."""
    viewer.open_sample("napari-cellrestore", "blood_smear")
    restore_blurred(viewer)
    report = dock(viewer, "Report", tabify=True)
    report.sharpest_box.setChecked(True)
    report.write(Path("smear report"))
    wait_for(lambda: Path("smear report", "report.html").exists())


def evaluate(viewer: napari.Viewer) -> None:
    """Show how a model does on parts of one smear, put out of focus by simulation."""
    viewer.window.resize(1100, 740)
    with as_file(files("napari_cellrestore") / "data" / "smear.jpg") as path:
        smear = read_smear(path)
    z_um = [round(0.2 * step, 1) for step in range(-6, 7)]
    stack = defocus_stack(smear, 0.1, smear_objectives(), z_um, DetectorNoise(), seed=1)
    Path("simulated smears").mkdir()
    for number, (row, column) in enumerate(np.ndindex(3, 4), 1):
        part = np.s_[:, 160 * row : 160 * (row + 1), 160 * column : 160 * (column + 1)]
        write_tiff(f"simulated smears/part {number}.ome.tif", stack.replace(data=stack.data[part]))
    evaluate = dock(viewer, "Evaluate")
    evaluate.stacks.line.setText("simulated smears")
    evaluate.evaluate()
    wait_for(lambda: evaluate.view.evaluation is not None, 600)
    _, worst = evaluate.view.evaluation.extremes("deblur-fast", "mse", 1)
    evaluate.open_stack(worst[0])
    go_to_z(viewer, DEFOCUS_UM)
    evaluate.view.path.hide()  # that of a temporary folder
    scroll = evaluate.findChild(QScrollArea)
    scroll.ensureWidgetVisible(evaluate.view.page_button, 0, 6)
    settle(1)


def train(viewer: napari.Viewer) -> None:
    """Show a training on sharp smears after its first minute, and what the network makes of the plane in view."""
    os.environ["CELLRESTORE_MODELS"] = str(Path("models").resolve())
    viewer.window.resize(1240, 900)
    viewer.open_sample("napari-cellrestore", "blood_smear")
    go_to_z(viewer, DEFOCUS_UM)
    rng = np.random.default_rng(2)
    Path("sharp smears").mkdir()
    for number in range(1, 13):
        pixels = draw_smear((256, 320), 0.1, rng).astype(np.uint8)
        imsave(f"sharp smears/field {number}.png", pixels, check_contrast=False)
    source = ImageSource(input="sharp smears")
    changes = {"name": "my smears", "steps": 600, "batch": 2, "checkpoint_every": 50, "images": (source,)}
    recipe = RECIPES["deblur-fast"].model_copy(update=changes)
    Path("my smears.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    train = dock(viewer, "Train")
    train.setup.load(Path("my smears.yaml"))
    train.start()
    wait_for(lambda: Path("runs/my smears/samples/0000300.png").exists(), 600)
    settle(3)
    scroll = train.findChild(QScrollArea)
    scroll.ensureWidgetVisible(train.view, 0, 6)
    settle(1)


def models(viewer: napari.Viewer) -> None:
    """Show the models there are, and the card of one."""
    os.environ["CELLRESTORE_MODELS"] = os.devnull
    viewer.open_sample("napari-cellrestore", "blood_smear")
    dock(viewer, "Models")
    settle(1)


def psf(viewer: napari.Viewer) -> None:
    """Show the blur of the planes of a smear against the sharpest one."""
    viewer.open_sample("napari-cellrestore", "blood_smear")
    go_to_z(viewer, DEFOCUS_UM)
    psf = dock(viewer, "PSF")
    psf.what.setCurrentText("all planes and sharpest")
    for field, text in ((psf.optics.na, "1.05"), (psf.optics.wavelength, "0.53"), (psf.optics.index, "1.515")):
        field.setText(text)
    psf.recover()
    wait_for(lambda: psf.recover_button.text() == "Recover")


def leds(viewer: napari.Viewer) -> None:
    """Show the plan of an LED array, its phase contrast, and planes that are chosen by rule."""
    viewer.window.resize(1240, 920)
    for layer, name in zip(
        viewer.open_sample("napari-cellrestore", "unstained_blood"), ("stained", "unstained"), strict=True
    ):
        layer.name = name
    leds = dock(viewer, "LEDs")
    leds.composites.azimuth.setValue(30)
    settle(0.5)
    for step in ("differential phase", "colour by angle"):
        leds.composites.ask(step)
    wait_for(lambda: len(viewer.layers) == 4)
    leds.go_to(7)
    rule = leds.selection.choice
    number = next(i for i in range(rule.count()) if rule.itemText(i).startswith("up to 36°, no"))
    rule.activated.emit(number)
    rule.setCurrentIndex(number)
    for layer in viewer.layers:
        layer.name_overlay.visible, layer.colorbar.visible = True, False
    viewer.canvas.grid.shape = (2, 2)
    viewer.canvas.grid.enabled = True
    settle(1)
    viewer.reset_view()


def stain(viewer: napari.Viewer) -> None:
    """Show an unstained stack, the stain that a model makes of it, and the truth."""
    viewer.window.resize(1240, 700)
    truth, stack = viewer.open_sample("napari-cellrestore", "unstained_blood")
    restore = dock(viewer, "Restore")
    restore.layer_choice.choose(stack)
    restore.model_choice.setCurrentText("virtual-stain-sim")
    restore.apply()
    wait_for(lambda: restore.progress.value() >= 1)
    for layer, name in zip(
        (truth, stack, viewer.layers[-1]), ("stained, the truth", "unstained", "restored"), strict=True
    ):
        layer.name = name
        layer.name_overlay.visible, layer.colorbar.visible = True, False
    viewer.canvas.grid.shape = (1, 3)
    viewer.canvas.grid.enabled = True
    settle(1)
    viewer.reset_view()


def report_page() -> Image.Image:
    """Return the report of ``cellrestore demo`` as it is printed."""
    run_demo()
    document = QPdfDocument(None)
    document.load("demo/report/report.pdf")
    size = document.pagePointSize(0)
    document.render(0, QSize(900, round(900 * size.height() / size.width()))).save("page.png")
    page = Image.open("page.png")
    return Image.alpha_composite(Image.new("RGBA", page.size, "white"), page.convert("RGBA"))


WINDOWS: dict[str, Callable[[napari.Viewer], None]] = {
    function.__name__: function
    for function in (window, opening, focus, restore, compare, swipe, report, evaluate, psf, train, models, leds, stain)
}
PAGES: dict[str, Callable[[], Image.Image]] = {"report-page": report_page}


# --- steps -------------------------------------------------------------------------------------------------


def run_demo() -> None:
    """Make the files of the demo in ``demo``, once."""
    if not Path("demo").exists():
        run = [sys.executable, "-m", "napari_cellrestore", "demo", "--out", "demo", "--no-window"]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL)


def restore_blurred(viewer: napari.Viewer) -> None:
    """Restore a blurred plane of the first layer."""
    blurred = viewer.layers[0]
    blurred.name = BLURRED
    go_to_z(viewer, DEFOCUS_UM)
    restore = dock(viewer, "Restore", tabify=True)
    restore.layer_choice.choose(blurred)
    restore.apply()
    wait_for(lambda: restore.progress.value() > 0)
    viewer.layers[-1].name = "restored"


def dock(viewer: napari.Viewer, name: str, *, tabify: bool = False) -> QWidget:
    """Open a widget of the plugin at the right and bring it to the front."""
    frame, widget = viewer.window.add_plugin_dock_widget("napari-cellrestore", name, tabify=tabify)
    frame.raise_()
    settle(0.3)
    return widget


def go_to_z(viewer: napari.Viewer, z_um: float) -> None:
    """Move the slider of the first layer to a position."""
    known = np.asarray(viewer.layers[0].metadata["cellrestore"]["z_um"])
    viewer.dims.set_current_step(0, int(np.argmin(np.abs(known - z_um))))


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Let the window work until something has happened."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"nothing happened in {seconds:g} s")
        settle(0.05)
    settle(0.5)


# --- files -------------------------------------------------------------------------------------------------


def take(arrange: Callable[[napari.Viewer], None]) -> Image.Image:
    """Open a window of its own, arrange it and take its picture."""
    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    settle(0.5)
    try:
        arrange(viewer)
        return Image.fromarray(viewer.screenshot(canvas_only=False, flash=False))
    finally:
        viewer.close()


def write(name: str, picture: Image.Image) -> None:
    """Write a picture in 256 colours, dithered where the file stays small enough for a page."""
    path = IMAGES / f"{name}.png"
    picture = picture.convert("RGB")
    palette = picture.quantize(256, kmeans=3)
    for dither in (Image.Dither.FLOYDSTEINBERG, Image.Dither.NONE):
        picture.quantize(palette=palette, dither=dither).save(path, optimize=True)
        if path.stat().st_size <= LARGEST_BYTES:
            break
    said = f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB"
    if path.stat().st_size > LARGEST_BYTES:
        raise ValueError(f"{said}: a picture may have {LARGEST_BYTES / 1000:.0f} kB")
    print(said, flush=True)


def main(names: list[str]) -> None:
    """Take the pictures asked for, or all."""
    IMAGES.mkdir(exist_ok=True)
    home = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)  # so that what is shown names files without a folder
        for name in names or [*WINDOWS, *PAGES]:
            write(name, PAGES[name]() if name in PAGES else take(WINDOWS[name]))
        os.chdir(home)


if __name__ == "__main__":
    main(sys.argv[1:])
