"""Save an image layer as TIFF or OME-Zarr with its calibration."""

from __future__ import annotations

from typing import Any

from napari_cellrestore import files
from napari_cellrestore.gui.layers import stack_from_layer_data


def write_image(path: str, data: Any, options: dict[str, Any]) -> list[str]:
    """Write an image layer as OME-TIFF or OME-Zarr and return the path. What exists is replaced: napari has asked."""
    try:
        return [str(files.write_image(path, stack_from_layer_data(data, options), overwrite=True))]
    except ValueError as error:
        # napari takes a ValueError of a writer for "cannot write this" and says nothing to the user
        raise RuntimeError(str(error)) from None
