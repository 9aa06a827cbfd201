"""A kernel kept in the user's list of models, where Restore offers it."""

from __future__ import annotations

import re
from typing import Any

from napari_cellrestore.deconvolve import Psf, deconvolution_model
from napari_cellrestore.model import Model, model_folders, models_folder, save_model


def check_model_name(name: str) -> str:
    """Return a name for a new model.

    Raises
    ------
    ValueError
        Where it cannot be the name of a folder, or there is such a model.

    Examples
    --------
    >>> check_model_name("defocus 2 um"), check_model_name("../away")
    Traceback (most recent call last):
    ValueError: '../away' cannot be the name of a model: use letters, digits, spaces and . _ - ( ), not at the ends
    """
    if not re.fullmatch(r"\w(?:[\w .()+-]*[\w)])?", name):
        raise ValueError(
            f"{name!r} cannot be the name of a model: use letters, digits, spaces and . _ - ( ), not at the ends"
        )
    if name in model_folders() or (models_folder() / name).exists():
        raise ValueError(f"there is a model {name!r} already; give another name")
    return name


def save_kernel(name: str, psf: Psf, *, pixel_um: float, said: str, method: str = "wiener", **options: Any) -> Model:
    """Save the deconvolution by a kernel as a model of the user's list, and return it.

    Arguments are those of :func:`napari_cellrestore.deconvolve.deconvolution_model`; existing names are refused.
    """
    check_model_name(name)
    model = deconvolution_model(psf, method, name=name, pixel_um=pixel_um, said=said, **options)
    return save_model(models_folder() / name, model.network, model.card)
