"""The curves of a kernel, of the planes of a stack, of beads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from napari.components import ViewerModel
from qtpy.QtWidgets import QTabWidget

from napari_cellrestore.beads import BeadPsf
from napari_cellrestore.gui.psf.kernel_plot import BandPlot, Curve
from napari_cellrestore.gui.psf.words import ABSOLUTE, OTF, RESIDUAL, THEORY
from napari_cellrestore.gui.psf.work import Recovered
from napari_cellrestore.recover import PsfRecovery


class KernelFigure(QTabWidget):
    """Tabs: transfer function, kernel, and of a stack the widths over z."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.otf_plot, self.psf_plot, self.z_plot = (BandPlot(viewer) for _ in range(3))
        self.setMinimumHeight(215)

    def show_kernel(self, shown: Recovered | None, *, over_z: bool = False) -> None:
        """Show a kernel, or none; with ``over_z`` there is a tab for :meth:`show_widths`."""
        tabs = {"OTF": self.otf_plot, "PSF": self.psf_plot}
        self._have_tabs(tabs | {"Over z": self.z_plot} if over_z else tabs)
        if shown is None:
            self.otf_plot.show_curves([], "", "")
            self.psf_plot.show_curves([], "", "")
        else:
            self._draw_otf(shown)
            self._draw_psf(shown.found)

    def show_widths(self, shown: Mapping[int, PsfRecovery], z_um: np.ndarray | None, here: int | None) -> None:
        """Draw the widths of the planes of a stack, and where the plane in view is."""
        planes = list(shown)
        x = np.array(planes if z_um is None else [z_um[plane] for plane in planes], float)
        curves = [Curve(x, np.array([found.fwhm_um for found in shown.values()]), OTF, dots=True)]
        absolute = [found.absolute_fwhm_um for found in shown.values()]
        if planes and None not in absolute:
            curves.append(Curve(x, np.array(absolute, float), ABSOLUTE, dots=True))
        at = [] if here is None else [float(here) if z_um is None else float(z_um[here])]
        label = "plane" if z_um is None else "z (µm)"
        self.z_plot.show_curves(curves if planes else [], label, "FWHM (µm)", marks=at if planes else [])

    def show_beads(self, found: BeadPsf) -> None:
        """Draw lines through the centre of the average bead along z, y and x."""
        self._have_tabs({"PSF": self.psf_plot})
        z, y, x = middle = [length // 2 for length in found.psf.shape]
        lines = found.psf[:, y, x], found.psf[z, :, x], found.psf[z, y]
        sizes = (found.z_step_um, found.pixel_um, found.pixel_um)
        curves = [
            Curve((np.arange(len(line)) - centre) * size, line / found.psf[z, y, x], colour)
            for line, centre, size, colour in zip(lines, middle, sizes, (None, OTF, THEORY), strict=True)
        ]
        self.psf_plot.show_curves(curves, "distance from the centre (µm)", "average bead")
        self.psf_plot.setToolTip("Lines through the centre of the average")

    def _have_tabs(self, wanted: Mapping[str, BandPlot]) -> None:
        """Have these tabs, and keep the one in front."""
        if [self.tabText(number) for number in range(self.count())] != list(wanted):
            self.clear()
            for name, plot in wanted.items():
                self.addTab(plot, name)

    def _draw_otf(self, shown: Recovered) -> None:
        found = shown.found
        trusted = float(found.frequency[found.trusted].max(initial=0.0))
        end = 1.15 * trusted or float(found.frequency[-1])
        seen = found.frequency <= end
        curves = [
            Curve(found.frequency[seen], found.residual[seen], RESIDUAL),
            Curve(found.frequency[seen], found.otf[seen], OTF, found.otf_std[seen]),
        ]
        if shown.theory is not None:
            curves.insert(0, Curve(found.frequency[seen], shown.theory[seen], THEORY, broad=True))
        low = min(-0.1, float(np.min(found.otf[seen])) - 0.05)
        self.otf_plot.show_curves(
            curves, "cycles/µm", "relative OTF", x_range=(0, end), y_range=(low, 1.1), marks=[trusted]
        )
        self.otf_plot.setToolTip(
            "Band: ± 2 standard deviations. Grey: residual |G − F·OTF| / |G|. Dotted: end of trust"
        )

    def _draw_psf(self, found: PsfRecovery) -> None:
        radius_um = np.linspace(0, 4 * max(found.fwhm_um, found.pixel_um), 81)
        lines = []
        for absolute, colour in ((False, OTF), (True, ABSOLUTE)):
            if absolute and found.objective is None:
                continue
            value, std = found.radial_psf(radius_um, absolute=absolute)
            lines.append(Curve(radius_um, value / value[0], colour, std / value[0]))
        self.psf_plot.show_curves(lines, "distance from the centre (µm)", "PSF / its peak")
        self.psf_plot.setToolTip(
            "Orange: relative to the sharp image. Green: absolute, of the microscope, where the optics are known"
        )
