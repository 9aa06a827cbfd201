"""Measure how long the window stands still while a restored layer fills in, beside a plain lazy layer.

With a path of a large image on disk (OME-Zarr, TIFF) that is what is restored, where the view first lies: how long until the
first tile is shown, and the gaps while the view moves on. Run with ``xvfb-run -a -s "-screen 0 1600x1000x24" .venv/bin/python
benchmarks/window.py``, or on a screen. Nothing here is asserted. A timer of 5 ms runs in the window's event loop; the longest
time between two of its ticks is the gap.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ["NAPARI_CONFIG"] = ""  # not the user's settings

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.gui.restore.widget import RestoreWidget
from napari_cellrestore.model import load_model
from napari_cellrestore.restore import restore
from napari_cellrestore.stack import ImageStack

SHAPE = (1200, 1920, 3)


def gaps_ms(
    start: Callable[[], object], finished: Callable[[], bool], limit_s: float = 60
) -> tuple[float, list[float]]:
    """Return the milliseconds that ``start`` holds the window up, and the gaps until it is finished."""
    begin = time.perf_counter()
    start()
    held = 1e3 * (time.perf_counter() - begin)
    ticks = [time.perf_counter()]
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(5)
    while not finished() and time.perf_counter() - begin < limit_s:
        QApplication.processEvents()
        time.sleep(0.001)
    timer.stop()
    return held, sorted(1e3 * np.diff(ticks))[::-1]


def wait(seconds: float) -> None:
    """Let the event loop turn."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.001)


def large(viewer: napari.Viewer, path: Path) -> None:
    """Print what a large image on disk takes."""
    begin = time.perf_counter()
    (layer,) = viewer.open(str(path), plugin="napari-cellrestore")
    wait(3)
    widget = RestoreWidget(viewer)
    viewer.window.add_dock_widget(widget)
    load_model("deblur-fast")
    viewer.camera.zoom = (
        viewer.camera.zoom * max(layer.data[0].shape[:2] if layer.multiscale else layer.data.shape[:2]) / 900
    )
    wait(3)
    print(f"{path.name}: opened, and the widget ready, after {time.perf_counter() - begin - 6:.1f} s")
    held, gaps = gaps_ms(widget.apply, lambda: bool(widget._live and widget._live.n_finished))
    print(
        f"Apply holds the window up {held:.0f} ms; the first tile came {held + sum(gaps):.0f} ms after the click, gaps of",
        end=" ",
    )
    print(", ".join(f"{gap:.0f}" for gap in gaps[:3]), "ms")
    moves = iter(range(1, 60))

    def move() -> None:
        step = next(moves, None)
        if step is not None:
            viewer.camera.center = tuple(c + 8 * step for c in viewer.camera.center[-2:])

    timer = QTimer()
    timer.timeout.connect(move)
    timer.start(100)
    _, gaps = gaps_ms(lambda: None, lambda: next(moves, None) is None, limit_s=8)
    timer.stop()
    print(
        f"while the view moved for 8 s: gaps of {', '.join(f'{gap:.0f}' for gap in gaps[:5])} ms, "
        f"{widget._live.n_finished} tiles"
    )
    viewer.reset_view()
    _, gaps = gaps_ms(lambda: None, lambda: False, limit_s=5)
    print(f"the whole in view: gaps of {', '.join(f'{gap:.0f}' for gap in gaps[:3])} ms; {widget.status.text()}")


def main() -> None:
    """Print both, or what a large image takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, nargs="?", help="a large image on disk")
    path = parser.parse_args().path
    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    if path is not None:
        large(viewer, path)
        viewer.close()
        return
    image = np.random.default_rng(0).integers(60, 230, SHAPE).astype(np.uint8)
    ((data, options, _),) = layer_data(ImageStack(image, "YXS", pixel_um=0.1))
    viewer.add_image(data, **options)
    widget = RestoreWidget(viewer)
    viewer.window.add_dock_widget(widget)
    for _ in range(100):
        QApplication.processEvents()
        time.sleep(0.005)

    held, _ = gaps_ms(lambda: viewer.add_image(image.copy(), scale=(0.1, 0.1), units="um", name="copy"), lambda: True)
    print(f"napari itself, a layer of the same size: adding it holds the window up {held:.0f} ms")
    held, gaps = gaps_ms(widget.apply, lambda: widget._live is not None and widget._live.n_finished == 12)
    print(f"Apply, {'x'.join(map(str, SHAPE))}: holds the window up {held:.0f} ms, then gaps of", end=" ")
    print(", ".join(f"{gap:.0f}" for gap in gaps[:5]), f"ms at most while {widget._live.n_finished} tiles fill in")
    lazy = restore(image, load_model("deblur-fast"))
    held, _ = gaps_ms(lambda: viewer.add_image(lazy, name="plain", scale=(0.1, 0.1), units="um"), lambda: True)
    print(f"the same as a plain dask layer: the window stands still for {held:.0f} ms")
    viewer.close()


if __name__ == "__main__":
    main()
