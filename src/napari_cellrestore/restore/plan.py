"""The plan of a restoration: everything that is decided before it runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from napari_cellrestore.spread import WAYS


class Plan(BaseModel):
    """Everything decided before a restoration runs; printed, shown and saved with the result.

    The network gets ``2 (x - low) / (high - low) - 1`` of every grey level ``x``, one map for the whole image; its
    output goes back through the inverse, or to the grey levels of the images that it learned to make.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    weights_sha256: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    colours: str  # "rgb", "rgb + alpha", "grey"
    channels: int = 3  # that the network takes
    out_channels: int = 3  # that it gives
    planes: tuple[int, ...] = ()  # that it takes together, in its order; none: one after another
    intensity: tuple[float, float]  # grey levels that the network knows as -1 and 1
    result_dtype: str
    result_intensity: tuple[float, float]  # grey levels of the result for the network's -1 and 1
    fill: float  # stands in for pixels that are not finite
    rows: tuple[int, ...]  # heights of the tiles
    columns: tuple[int, ...]  # widths of the tiles
    stride: int
    halo_px: int
    engine: str
    device: str
    precision: str
    engine_why: str = ""  # where it was not named
    way: str = "once"  # one of spread.WAYS
    passes: int = 1  # of the network, or networks, over each tile
    seed: int | None = None  # of dropout
    memory_bytes: int  # of one tile in the network, at most
    at_once: int = 1  # tiles that a process computes at the same time, at most
    warnings: tuple[str, ...] = ()
    versions: dict[str, str] = {}

    @property
    def n_tiles(self) -> int:
        """Tiles over all planes."""
        lengths = dict(zip(self.axes, self.shape, strict=True))
        planes = np.prod([n for letter, n in lengths.items() if letter not in "YXS"], initial=1)
        return (1 if self.planes else int(planes)) * len(self.rows) * len(self.columns)

    @property
    def result_channels(self) -> int:
        """Samples of a pixel of the result: a network of colours makes a grey image of a grey one."""
        if self.colours == "grey":
            return 1 if self.channels > 1 and not self.planes else self.out_channels
        return 4 if self.colours == "rgb + alpha" and self.out_channels == 3 and not self.planes else self.out_channels

    @property
    def result_axes(self) -> str:
        """Axes of the result."""
        leading = "" if self.planes else "".join(letter for letter in self.axes if letter not in "YXS")
        return leading + ("YXS" if self.result_channels > 1 else "YX")

    @property
    def _result(self) -> str:
        if (self.result_dtype, self.result_intensity) == (self.dtype, self.intensity):
            return f"{self.dtype} again"
        low, high = self.result_intensity
        return f"{self.result_dtype}, {low:g} to {high:g} for these"

    def __str__(self) -> str:
        size = " x ".join(f"{letter} {n}" for letter, n in zip(self.axes, self.shape, strict=True))
        low, high = self.intensity
        lines = [
            f"model      {self.model} ({self.weights_sha256[:12]})",
            f"image      {size}, {self.dtype}, {self.colours}",
            *(
                [f"planes     {len(self.planes)} together make one image: {_listed(self.planes)}"]
                if self.planes
                else []
            ),
            f"intensity  {low:g} to {high:g} grey levels become the network's -1 to 1; the result is {self._result}",
            f"tiles      {self.n_tiles} of at most {max(self.rows)} x {max(self.columns)} px, halo {self.halo_px} px, "
            f"aligned to {self.stride} px",
            *(
                []
                if self.passes == 1
                else [f"passes     {self.passes} over each tile, {WAYS[self.way]}; the result is their mean"]
            ),
            f"engine     {self.engine} on {self.device}, {self.precision}"
            + (f" ({self.engine_why})" if self.engine_why else ""),
            f"memory     at most {self.memory_bytes / 2**20:.0f} MiB for each tile, {min(self.at_once, self.n_tiles)} at once",
        ]
        return "\n".join(lines + [f"warning    {text}" for text in self.warnings])


def _listed(planes: Sequence[int]) -> str:
    few = ", ".join(map(str, planes[:12]))
    return few if len(planes) <= 12 else f"{few} and {len(planes) - 12} more"
