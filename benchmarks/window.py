"""Measure how long the window stands still while a restored layer fills in, beside a plain lazy layer.

Run with ``xvfb-run -a -s "-screen 0 1600x1000x24" .venv/bin/python benchmarks/window.py``, or on a screen. Nothing here is
asserted. A timer of 5 ms runs in the window's event loop; the longest time between two of its ticks is the gap.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

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


def main() -> None:
    """Print both."""
    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
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
