"""What a model may be called: a name that is a folder on every system, and one model for a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

#: Longest name: with what stands before and behind it, it must be a file name of at most 255 bytes.
LONGEST = 60
#: Devices of Windows, which cannot be names of files, with or without a suffix.
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³")}


class NameTakenError(ValueError):
    """There is a model of this name; :attr:`free` is one that is not taken."""

    def __init__(self, text: str, free: str) -> None:
        super().__init__(text)
        self.free = free


def check_name(name: str, taken: Iterable[str] = ()) -> str:
    """Return the name for a new model, its accents composed.

    Allowed are letters of any script, digits, and within the name spaces and ``. _ - + ( )``, up to :data:`LONGEST`
    characters; not the names of Windows' devices.

    Parameters
    ----------
    name : str
    taken : iterable of str
        Names that there are; case and composition of accents do not make another name, as they do not on every disk.

    Raises
    ------
    ValueError
        The name cannot be that of a folder on every system, or (:class:`NameTakenError`) it is taken; a free one is proposed.

    Examples
    --------
    >>> check_name("défocus 2 um (fast)")
    'défocus 2 um (fast)'
    >>> check_name("sharp", ["Sharp", "sharp 2"])
    Traceback (most recent call last):
    napari_cellrestore.model.names.NameTakenError: there is a model 'Sharp' already; give another name, such as 'sharp 3'
    """
    name = unicodedata.normalize("NFC", name)
    if not re.fullmatch(r"\w(?:[\w .()+-]*[\w)])?", name) or len(name) > LONGEST:
        raise ValueError(
            f"{name[:LONGEST]!r} cannot be the name of a model: use up to {LONGEST} letters, digits, spaces and "
            ". _ - + ( ), not at the ends"
        )
    if name.split(".")[0].rstrip().casefold() in RESERVED:
        raise ValueError(f"{name!r} cannot be the name of a model: it is a device of Windows; give another name")
    known = {same_as(other): other for other in taken}
    if same_as(name) in known:
        free = _free(name, known)
        raise NameTakenError(
            f"there is a model {known[same_as(name)]!r} already; give another name, such as {free!r}", free
        )
    return name


def same_as(name: str) -> str:
    """Return what is equal for names that could be one folder.

    >>> same_as("Défocus") == same_as("défocus")
    True
    """
    return unicodedata.normalize("NFC", name).casefold()


def _free(name: str, known: Iterable[str]) -> str:
    number = 2
    while same_as(f"{name} {number}") in known:
        number += 1
    return f"{name[: LONGEST - 4].rstrip()} {number}"
