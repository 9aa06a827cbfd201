"""Losses over steps, as they come."""

from __future__ import annotations

from math import ceil, floor, log10

import numpy as np
import pyqtgraph as pg
from napari.components import ViewerModel

from napari_cellrestore.gui.plot import PALETTE, ThemedPlot
from napari_cellrestore.gui.train.loss_history import LossHistory

#: Points of a curve; with more steps each is the mean over several.
POINTS = 200
VALIDATION = "validation"


class LossPlot(ThemedPlot):
    """A line for each loss and a dot for each validation; over a logarithmic axis where no loss is below 0.

    Parameters
    ----------
    viewer : napari viewer
        Its theme is followed.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer, "loss")
        self._labels["bottom"] = "step"
        #: What is drawn: ``{name: (steps, values)}``.
        self.curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._restyle()

    def show_history(self, history: LossHistory) -> None:
        """Draw the losses of a run."""
        self.curves = {name: history.curve(name, POINTS) for name in history.names}
        steps, errors = history.validation()
        if len(steps):
            self.curves[VALIDATION] = steps, errors
        values = [values for _, values in self.curves.values()]
        low, high = (float(f([f(one) for one in values if len(one)] or [0])) for f in (np.min, np.max))
        self.setLogMode(y=low > 0)
        self.getAxis("left").setTicks([log_ticks(low, high)] if low > 0 else None)
        self._restyle()

    def legend(self) -> str:
        """Return names, colours and last values as rich text."""
        lines = zip(self.curves.items(), self._colours().values(), strict=True)
        return " &nbsp; ".join(
            f"<span style='color:{colour}'>{'●' if name == VALIDATION else '▬'}</span>&nbsp;{_unbroken(name)}"
            f"&nbsp;{values[-1]:.3g}"
            for (name, (_, values)), colour in lines
            if len(values)
        )

    def _colours(self) -> dict[str, str]:
        return {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(self.curves)}

    def _draw(self, text: str, background: str) -> None:
        for name, colour in self._colours().items():
            steps, values = self.curves[name]
            if name == VALIDATION:
                dots = {"symbol": "o", "symbolSize": 7, "symbolPen": pg.mkPen(background), "symbolBrush": colour}
                self.plot(steps, values, pen=pg.mkPen(colour, width=1), **dots)
            else:
                self.plot(steps, values, pen=pg.mkPen(colour, width=2))


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return places and words of ticks along a logarithmic axis: 1, 2, 5 of each decade, of many the decades alone.

    >>> [words for _, words in log_ticks(0.4, 6)]
    ['0.2', '0.5', '1', '2', '5', '10']
    """
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    values = [digit * 10.0**decade for decade in decades for digit in ((1, 2, 5) if len(decades) < 5 else (1,))]
    return [(log10(value), f"{value:g}") for value in values if low / 2.5 < value < high * 2.5]


def _unbroken(name: str) -> str:
    return name.replace(" ", "&nbsp;").replace("-", "\u2011")
