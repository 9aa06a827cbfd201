"""Rename, delete, export and import models. A crash at any moment leaves each model whole, or not in the list."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model import bioimage_io, bundle, foreign
from napari_cellrestore.model.archive import Archive, check_free
from napari_cellrestore.model.folder import (
    BUNDLED,
    CARD,
    HIDDEN,
    WEIGHTS,
    Model,
    check_fits,
    load_folder,
    load_model,
    model_folders,
    models_folder,
    move_model,
    read_card,
    tensors_in,
    unfinished_beside,
    write_model,
)
from napari_cellrestore.model.names import NameTakenError, check_name

#: Ends of the names of folders that are deleted; what is left of one is removed with the next.
DELETED = ".deleted"
PACKAGE_SUFFIX = ".bioimage-io.zip"


def rename_model(name: str, new_name: str) -> Path:
    """Give a model of the user's another name, and return its folder.

    Raises
    ------
    ValueError
        There is no such model, it is bundled, or the new name cannot be one or is taken.
    """
    folder = _own(name)
    new_name = check_name(new_name, (other for other in model_folders() if other != name))
    if new_name == name:
        raise ValueError(f"the model is called {name!r} already; give another name")
    new = folder.with_name(new_name)
    move_model(folder, new)
    _rewrite_card(new)
    return new


def _rewrite_card(folder: Path) -> None:
    """Write the name of the folder into its card, for those who copy the folder; damaged cards stay as they are."""
    with suppress(ValueError, OSError), unfinished_beside(folder) as aside:
        card = read_card(folder)
        (aside / CARD).write_text(card.to_json() + "\n", encoding="utf-8")
        (aside / CARD).replace(folder / CARD)


def delete_model(name: str) -> None:
    """Delete a model of the user's; one that is damaged, too.

    It leaves the list at once and whole, before its files go.

    Raises
    ------
    ValueError
        There is no such model, or it is bundled.
    """
    folder = _own(name)
    move_model(folder, folder.with_name(f"{HIDDEN}{uuid4().hex}{DELETED}"))
    for rest in folder.parent.glob(f"{HIDDEN}*{DELETED}"):
        if rest.is_symlink():
            rest.unlink(missing_ok=True)  # the link, not what it points to
        else:
            shutil.rmtree(rest, ignore_errors=True)


def _own(name: str) -> Path:
    """Return the folder of a model of the user's."""
    folder = model_folders().get(name)
    if folder is None:
        own = [other for other, where in model_folders().items() if where.parent != BUNDLED]
        raise ValueError(f"no model {name!r} of yours; there are {', '.join(own) or 'none'}")
    if folder.parent == BUNDLED:
        raise ValueError(f"{name!r} is bundled with the program: it is neither renamed nor deleted; export a copy")
    return folder


# --- exchange ----------------------------------------------------------------------------------------------


def export_model(name: str | Path, path: str | Path, *, bioimageio: bool = False, authors: Sequence[str] = ()) -> Path:
    """Write a model to one file, and return its path.

    Parameters
    ----------
    name : str or path
        Of the list, or a model folder.
    path : path
        A new file that ends in ``.zip``, or a folder, in which the file gets the name of the model.
    bioimageio : bool
        Write a package of bioimage.io instead, see :func:`napari_cellrestore.model.bioimage_io.write_package`; needs the
        extra ``bioimageio``.
    authors : sequence of str
        Of such a package.

    Raises
    ------
    ValueError
        The model cannot be loaded, or the file is there already.
    """
    model = load_model(name)
    path = Path(path)
    if path.is_dir():
        path /= f"{check_name(model.card.name)}{PACKAGE_SUFFIX if bioimageio else bundle.SUFFIX}"
    if path.suffix.lower() != ".zip":
        raise ValueError(f"{path}: give a folder, or a name that ends in {bundle.SUFFIX}")
    check_free(path)
    return bioimage_io.write_package(path, model, authors=authors) if bioimageio else bundle.write_bundle(path, model)


def import_model(path: str | Path, name: str | None = None) -> Model:
    """Add a model to the list, whole or not at all, and return it.

    Parameters
    ----------
    path : path
        A file written by :func:`export_model`, a package of bioimage.io with a network of this program, a model folder, or
        weights of a network known to :mod:`napari_cellrestore.model.foreign`.
    name : str, optional
        Under which it is listed; default: its own.

    Raises
    ------
    ValueError
        The file is damaged, holds something else or a program, or there is a model of this name; the message says which.
    """
    path = Path(path)
    card, weights = _read(path)
    try:
        name = check_name(card.name if name is None else name, model_folders())
        check_fits(card, tensors_in(weights))
        return write_model(models_folder() / name, weights, card.model_copy(update={"name": name}))
    except NameTakenError as error:
        raise NameTakenError(f"{path}: {error}", error.free) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: Path) -> tuple[ModelCard, bytes]:
    """Return the card and the weights, checked against its hash, of whatever holds a model."""
    if path.is_dir():
        card = load_folder(path).card
        return card, (path / WEIGHTS).read_bytes()
    if path.suffix.lower() in foreign.SUFFIXES:
        return foreign.read_foreign(path)
    with Archive(path) as archive:
        if bundle.is_bundle(archive):
            return bundle.read_bundle(archive)
        if bioimage_io.is_package(archive):
            return bioimage_io.read_package(archive)
    raise ValueError(f"{path}: is a zip file, but holds no model; choose a file that ends in {bundle.SUFFIX}")
