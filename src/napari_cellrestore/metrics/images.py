"""What metrics take: two images, the span of their grey levels, and where they are looked at."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Array = np.ndarray
Image = npt.ArrayLike
DataRange = float | Literal["reference"] | None


def peak_level(reference: Image, data_range: DataRange = None) -> float:
    """Return the span of possible grey levels: given, or of the reference's unsigned integer type.

    Examples
    --------
    >>> peak_level(np.zeros(1, np.uint8)), peak_level(np.zeros(1), 4095), peak_level([3.0, 7.0], "reference")
    (255.0, 4095.0, 7.0)
    """
    values = np.asarray(reference)
    if data_range is None:
        if values.dtype.kind != "u":
            raise ValueError(
                f"the reference has dtype {values.dtype}, which does not tell the span of grey levels: give data_range "
                '(255 for 8 bit, 4095 for 12 bit, 1 for 0 to 1), or "reference" for the maximum of the reference'
            )
        return float(np.iinfo(values.dtype).max)
    peak = float(np.max(values)) if data_range == "reference" else float(data_range)
    if not (np.isfinite(peak) and peak > 0):
        raise ValueError(f"data_range is {peak:g}: it must be a positive number, the span of possible grey levels")
    return peak


def numbers(image: Image) -> Array:
    """Return an image as an array, without alpha."""
    values = np.asarray(image)
    if values.dtype.kind not in "buif":
        raise TypeError(f"image has dtype {values.dtype}: give real numbers (integer, float or bool)")
    if values.size == 0:
        raise ValueError(f"image has shape {values.shape}: there are no pixels")
    return values[..., :3] if values.ndim == 3 and values.shape[-1] == 4 else values


def pair(reference: Image, image: Image) -> tuple[Array, Array]:
    """Return both images as numbers; ValueError where their shapes differ."""
    if np.shape(reference) != np.shape(image):
        raise ValueError(
            f"the reference has shape {np.shape(reference)} and the image {np.shape(image)}: metrics compare images of "
            "one shape; crop or resample one of them"
        )
    return numbers(reference), numbers(image)


def difference(reference: Image, image: Image) -> Array:
    """Return ``image - reference`` in a type that holds it."""
    reference, image = pair(reference, image)
    return np.asarray(np.subtract(image, reference, dtype=np.result_type(reference, image, np.float32)))


def check_layout(values: Array, smallest_px: int, what: str) -> None:
    """Refuse what is no image (Y, X) or (Y, X, 3), or too small."""
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[-1] == 3)) or min(values.shape[:2]) < smallest_px:
        raise ValueError(
            f"image has shape {values.shape}: {what} needs (Y, X) or (Y, X, 3) with Y and X of {smallest_px} px or more"
        )


def inside_of(mask: Array | None, image: Image, inside: tuple[slice, slice]) -> Array | None:
    """Return the mask where a kernel fits."""
    return None if mask is None else checked(mask, np.shape(image))[inside]


def checked(mask: Array, shape: tuple[int, ...]) -> Array:
    """Return a mask; an error where it is none of the image."""
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != shape[:2]:
        came = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else f"a {type(mask).__name__}"
        raise ValueError(f"mask is {came}: give a bool array of the rows and columns of the image, {shape[:2]}")
    return mask


def masked(values: Array, mask: Array | None) -> Array:
    """Return the values where the mask is True, all without one."""
    return values if mask is None else values[checked(mask, values.shape)]


def mean_of(values: Array, mask: Array | None = None) -> float:
    """Return the mean over pixels (where the mask is True) and colours; refuse what is not finite."""
    values = masked(values, mask)
    if values.size == 0:
        raise ValueError("the mask leaves no pixel to measure: it must be True somewhere away from the border")
    mean = float(np.mean(values, dtype=np.float64))
    if not np.isfinite(mean):
        bad = values.size - np.count_nonzero(np.isfinite(values))
        raise ValueError(
            f"{bad} of {values.size} values are not finite (NaN or infinite pixels): mend them or leave them out by a "
            "mask"
        )
    return mean
