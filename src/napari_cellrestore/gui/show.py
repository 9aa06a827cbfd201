"""Open a focus stack and its restored plane in napari, as the demo does: ``python -m napari_cellrestore.gui.show``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication


def main() -> None:
    """Show the files, with the Focus and Restore widgets beside them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stack", type=Path)
    parser.add_argument("restored", type=Path)
    parser.add_argument("--screenshot", type=Path, help="take a picture of the window and end")
    options = parser.parse_args()
    viewer = napari.Viewer(title="Cell Restore demo", show=options.screenshot is None)
    arrange(viewer, options.stack, options.restored)
    if options.screenshot is None:
        napari.run()
        return
    viewer.window.show()
    viewer.window.resize(1500, 950)
    settle(2.0)
    viewer.screenshot(str(options.screenshot), canvas_only=False, flash=False)
    viewer.close()
    QThreadPool.globalInstance().waitForDone()  # what is still being computed would complain that Python has ended


def arrange(viewer: napari.Viewer, stack: Path, restored: Path) -> None:
    """Open both files side by side, at the plane that was restored."""
    for path in (stack, restored):
        viewer.open(path, plugin="napari-cellrestore")
    focus, _ = viewer.window.add_plugin_dock_widget("napari-cellrestore", "Focus")
    viewer.window.add_plugin_dock_widget("napari-cellrestore", "Restore", tabify=True)
    focus.raise_()
    z_um = np.asarray(viewer.layers[0].metadata["cellrestore"]["z_um"])
    viewer.dims.set_current_step(0, int(np.argmin(np.abs(z_um - 0.8))))
    viewer.canvas.grid.enabled = True
    viewer.reset_view()


def settle(seconds: float) -> None:
    """Let the window work for a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main()
