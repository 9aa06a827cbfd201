"""A kernel kept in the user's list of models, where Restore offers it."""

from __future__ import annotations

from typing import Any

from napari_cellrestore.deconvolve import Psf, deconvolution_model
from napari_cellrestore.model import Model, check_name, model_folders, models_folder, save_model


def save_kernel(name: str, psf: Psf, *, pixel_um: float, said: str, method: str = "wiener", **options: Any) -> Model:
    """Save the deconvolution by a kernel as a model of the user's list, and return it.

    Arguments are those of :func:`napari_cellrestore.deconvolve.deconvolution_model`; existing names are refused.
    """
    name = check_name(name, model_folders())
    model = deconvolution_model(psf, method, name=name, pixel_um=pixel_um, said=said, **options)
    return save_model(models_folder() / name, model.network, model.card)
