"""An image stack: pixels, what their axes mean, and how large they are.

This is the one thing that is passed around: readers make it, focus measures and networks take it,
layers and writers are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import dask.array as da

    from napari_cellrestore.leds import LedTable

#: What each axis letter means. ``S`` is the samples of one colour pixel (red, green, blue[, alpha]).
AXES = {
    "T": "time",
    "P": "position",
    "A": "LED",
    "C": "channel",
    "Z": "depth",
    "Q": "unknown",
    "Y": "row",
    "X": "column",
    "S": "colour sample",
}


@dataclass(frozen=True, eq=False)
class ImageStack:
    """Pixels with axes and calibration. Frozen: :meth:`replace` makes a changed copy.

    Parameters
    ----------
    data : numpy or dask array
        Grey levels as they were acquired, one array axis for each letter of ``axes``.
    axes : str
        Letters of :data:`AXES`, slowest first; always contains ``"YX"``, and ``S`` only as the last.
    pixel_um : float, optional
        Width of a pixel (X) at the object in micrometres; None where it is not known.
    pixel_y_um : float, optional
        Height of a pixel (Y), where pixels are not square; None means square.
    z_um : sequence of float, optional
        Position of each plane along Z in micrometres; None where there is no Z or no calibration.
    leds : LedTable, optional
        One row for each plane along A, in their order: its column ``plane`` is counted anew.
    channels : sequence of str
        Names along C, where the file gives them.
    source : str, optional
        The file or folder the pixels came from.
    notes : sequence of str
        What a reader had to decide or could not tell, in sentences for the user.
    provenance : mapping
        How the pixels were made, where they are not an acquisition (model, hash, plan, versions).

    Examples
    --------
    >>> import numpy as np
    >>> stack = ImageStack(np.zeros((5, 64, 64), np.uint8), "ZYX", pixel_um=0.1, z_um=[0, .2, .4, .6, .8])
    >>> stack.n_planes, stack.z_step_um, stack.rgb
    (5, 0.2, False)
    """

    data: np.ndarray | da.Array
    axes: str
    pixel_um: float | None = None
    pixel_y_um: float | None = None
    z_um: npt.NDArray[np.float64] | Sequence[float] | None = None
    leds: LedTable | None = None
    channels: Sequence[str] = ()
    source: str | None = None
    notes: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_axes(self.axes, self.data.shape)
        for name in ("pixel_um", "pixel_y_um"):
            size = getattr(self, name)
            if size is not None and not (np.isfinite(size) and size > 0):
                raise ValueError(
                    f"{name} is {size}: a pixel size is a positive number of micrometres, or None if not known"
                )
        if self.z_um is not None:
            z_um = np.asarray(self.z_um, float)
            if z_um.shape != (self.size("Z"),):
                raise ValueError(
                    f"z_um has shape {z_um.shape} for {self.size('Z')} planes along Z: give one position in "
                    "micrometres for each plane, or None"
                )
            if not np.all(np.isfinite(z_um)):
                raise ValueError(f"z_um of plane {int(np.argmin(np.isfinite(z_um)))} is not a finite number")
            object.__setattr__(self, "z_um", z_um)
        if self.leds is not None:
            if len(self.leds) != self.size("A"):
                raise ValueError(
                    f"the LED table has {len(self.leds)} rows for {self.size('A')} planes along A: give one row a plane"
                )
            object.__setattr__(self, "leds", self.leds.counted())

    # --- what the axes say -------------------------------------------------------------------------

    @property
    def rgb(self) -> bool:
        """Whether the last axis holds the colour samples of one pixel."""
        return self.axes.endswith("S")

    def size(self, axis: str) -> int:
        """Length along an axis letter; 1 where the stack does not have that axis."""
        return int(self.data.shape[self.axes.index(axis)]) if axis in self.axes else 1

    @property
    def yx_shape(self) -> tuple[int, int]:
        """Rows and columns of a plane."""
        return self.size("Y"), self.size("X")

    @property
    def plane_axes(self) -> str:
        """Axes over which planes are counted: everything but Y, X and colour samples."""
        return "".join(letter for letter in self.axes if letter not in "YXS")

    @property
    def n_planes(self) -> int:
        """Number of planes over all axes but Y, X and colour samples."""
        return int(np.prod([self.size(letter) for letter in self.plane_axes], initial=1))

    @property
    def pixel_yx_um(self) -> tuple[float, float] | None:
        """Height and width of a pixel in micrometres."""
        if self.pixel_um is None:
            return None
        return (self.pixel_y_um or self.pixel_um, self.pixel_um)

    @property
    def z_step_um(self) -> float | None:
        """Distance of neighbouring planes in micrometres (median, positive); None where not known."""
        if self.z_um is None or len(self.z_um) < 2:
            return None
        return float(np.round(np.median(np.abs(np.diff(self.z_um))), 9))

    def same_as(self, other: ImageStack) -> bool:
        """Whether it holds the very same array, not one that is equal, and says the same of it."""
        pairs = ((getattr(self, one.name), getattr(other, one.name)) for one in fields(self) if one.name != "data")
        return self.data is other.data and all(ours is theirs or np.array_equal(ours, theirs) for ours, theirs in pairs)

    # --- parts ---------------------------------------------------------------------------------------

    def replace(self, **changes: Any) -> ImageStack:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def select(self, axis: str, index: int | slice) -> ImageStack:
        """Return the planes at ``index`` along one axis letter; the calibration follows.

        An integer removes the axis, a slice keeps it.
        """
        if axis not in self.plane_axes:
            raise ValueError(f"no axis {axis!r} to select from: the stack has the planes {self.plane_axes or '(one)'}")
        where = self.axes.index(axis)
        length = self.size(axis)
        if isinstance(index, int) and not -length <= index < length:
            raise ValueError(f"plane {index} along {axis} does not exist: there are {length} (0 to {length - 1})")
        data = self.data[(slice(None),) * where + (index,)]
        keep = not isinstance(index, int)
        changes: dict[str, Any] = {"data": data, "axes": self.axes if keep else self.axes.replace(axis, "")}
        if axis == "Z" and self.z_um is not None:
            changes["z_um"] = np.asarray(self.z_um)[index] if keep else None
        if axis == "C" and self.channels:
            changes["channels"] = tuple(self.channels)[index] if keep else ()
        if axis == "A" and self.leds is not None:
            changes["leds"] = self.leds[index] if keep else None
        return self.replace(**changes)

    def joined(self, planes: Sequence[int]) -> da.Array:
        """Return planes of the only axis of planes, one after the other along channels: lazily, (Y, X, planes x colours)."""
        import dask.array as da

        if len(self.plane_axes) != 1:
            raise ValueError(f"planes can be joined along one axis, this stack has {self.axes}")
        data = da.asarray(self.data) if self.rgb else da.asarray(self.data)[..., None]
        return da.concatenate([data[plane] for plane in planes], axis=-1)

    def __repr__(self) -> str:
        size = " x ".join(f"{letter} {length}" for letter, length in zip(self.axes, self.data.shape, strict=True))
        pixel = "pixel size not known" if self.pixel_um is None else f"{self.pixel_um:g} um/px"
        step = "" if self.z_step_um is None else f", z step {self.z_step_um:g} um"
        return f"<ImageStack {size}, {self.data.dtype}, {pixel}{step}>"


def check_axes(axes: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless ``axes`` names each axis of ``shape`` once, in an order the project can use."""
    said = f"axes {axes!r} for an array of shape {tuple(shape)}"
    if unknown := sorted(set(axes) - set(AXES)):
        raise ValueError(
            f"{said}: unknown letters {unknown}; known are {', '.join(f'{k} ({v})' for k, v in AXES.items())}"
        )
    if len(axes) != len(shape):
        raise ValueError(f"{said}: give one letter for each of the {len(shape)} axes")
    if len(set(axes)) != len(axes):
        raise ValueError(f"{said}: each letter may appear once")
    if "YX" not in axes or axes.rstrip("S")[-2:] != "YX":
        raise ValueError(f"{said}: the last axes must be Y, X, with S after them only for colour samples")
    if axes.endswith("S") and shape[-1] not in (3, 4):
        raise ValueError(f"{said}: S holds 3 (RGB) or 4 (RGB and alpha) samples, not {shape[-1]}; use C for channels")
    if 0 in shape:
        raise ValueError(f"{said}: an axis has no pixels")
