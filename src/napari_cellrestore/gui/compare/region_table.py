"""Statistics of the images within each region drawn, and their table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QTableWidgetItem

from napari_cellrestore.focus import green
from napari_cellrestore.gui.compare.metrics_table import ImageTable, Value, digits, measured
from napari_cellrestore.gui.regions import Area
from napari_cellrestore.metrics import METRICS

#: Of grey levels, of colours those of the green channel.
STATISTICS: dict[str, Callable[[np.ndarray], float]] = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max}
#: Against the reference.
AGAINST = ("mse", "fpw")
LABELS = {**{name: name for name in STATISTICS}, **{name: METRICS[name].label for name in AGAINST}}
#: Lines that are seen without scrolling.
SHOWN_ROWS = 8

#: By (number of the region, place of the image, name).
RegionValues = Mapping[tuple[int, int, str], Value]


def region_values(areas: Sequence[Area], images: Sequence[np.ndarray]) -> Iterator[tuple[tuple[int, int, str], Value]]:
    """Yield what is measured in each region of each image, of which the first is the reference."""
    for area in areas:
        boxes = [image[area.inside] for image in images]
        for place, box in enumerate(boxes):
            levels = green(box)[area.mask].astype(float)
            for name, function in STATISTICS.items():
                yield (area.number, place, name), float(function(levels)) if levels.size else "no pixel inside"
            for name in AGAINST if place else ():
                yield (area.number, place, name), measured(name, boxes[0], box, mask=area.mask)


class RegionTable(ImageTable):
    """A block of lines for each region, headed by its area."""

    def __init__(self) -> None:
        super().__init__()
        self._areas: list[Area] = []
        self._values: RegionValues = {}
        self._pixel_yx_um: tuple[float, float] | None = None

    def show_values(
        self,
        images: Sequence[Image],
        areas: Sequence[Area],
        values: RegionValues,
        pixel_yx_um: tuple[float, float] | None,
    ) -> None:
        """Show values; areas in square micrometres too where the size of a pixel is known."""
        self._areas, self._values, self._pixel_yx_um = list(areas), values, pixel_yx_um
        self.clearSpans()
        self.show_images(images)
        self.setRowCount(len(areas) * (1 + len(LABELS)))
        heads = []
        for block, area in enumerate(areas):
            first = block * (1 + len(LABELS))
            self._put_area(first, area)
            for row, name in enumerate(LABELS, first + 1):
                for column in range(len(images)):
                    self.put(row, column, values.get((area.number, column, name)))
            heads += [f"region {area.number}", *LABELS.values()]
        self.setVerticalHeaderLabels(heads)
        self._fit_height()

    @property
    def shown_rows(self) -> int:
        """How many lines are seen without scrolling."""
        return min(self.rowCount(), SHOWN_ROWS)

    def _put_area(self, row: int, area: Area) -> None:
        item = QTableWidgetItem(self._area_said(area))
        font = item.font()
        font.setBold(True)
        item.setFont(font)
        self.setItem(row, 0, item)
        self.setSpan(row, 0, 1, max(len(self.images), 2))

    def _area_said(self, area: Area) -> str:
        area_um2 = self._area_um2(area)
        calibrated = "" if area_um2 is None else f"  ·  {area_um2:.4g} µm²"
        return f"{np.count_nonzero(area.mask)} px{calibrated}"

    def _area_um2(self, area: Area) -> float | None:
        if self._pixel_yx_um is None:
            return None
        return float(np.count_nonzero(area.mask) * np.prod(self._pixel_yx_um))

    def text(self) -> str:
        """Return a line for each region and image with full digits, columns parted by tabs."""
        lines = [["region", "area (px)", "area (µm²)", "image", *LABELS.values()]]
        for area in self._areas:
            said = [str(area.number), str(np.count_nonzero(area.mask)), digits(self._area_um2(area))]
            for place, layer in enumerate(self.images):
                values = (digits(self._values.get((area.number, place, name))) for name in LABELS)
                lines.append([*said, layer.name, *values])
        return "\n".join("\t".join(line) for line in lines)
