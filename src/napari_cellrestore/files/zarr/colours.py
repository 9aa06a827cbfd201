"""Channels of an OME-Zarr: their names, colours and windows, and whether three of them are one colour image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError
from yaozarrs import v05

from napari_cellrestore.stack import ImageStack

Window = tuple[float, float]

#: Colours of the samples of a colour image, with their names.
RGB = {"red": "FF0000", "green": "00FF00", "blue": "0000FF"}
ALPHA = {"alpha": "FFFFFF"}
#: Colours of one channel, of two and of more, as layers have them.
CHANNELS = {1: ("FFFFFF",), 2: ("FF00FF", "00FF00")}
MORE_CHANNELS = ("00FFFF", "FFFF00", "FF00FF", "FF0000", "00FF00", "0000FF")
#: Names of channels that say nothing.
PLAIN = re.compile(r"(channel|ch|c)?[\s:_#\d]*", re.IGNORECASE)


def meaning(omero: Mapping[str, Any], n: int) -> tuple[str, Sequence[str], str | None]:
    """Return what an axis of ``n`` channels is (``S`` for colours, else ``C``), the names of its channels, and a note.

    Channels are the colours of one image where they are shown in red, green and blue and have no other names: that is what
    programs write, having no words for it.
    """
    listed = [one for one in omero.get("channels") or () if isinstance(one, dict)]
    names = [str(one.get("label") or "").strip() for one in listed]
    shown = [str(one.get("color") or "").lstrip("#").upper() for one in listed]
    if n not in (3, 4) or len(listed) != n:
        return "C", names if len(names) == n and all(names) else (), _doubt(n)
    named = [name.lower() for name in names[:3]]
    if named in (list(RGB), ["r", "g", "b"]) or (shown[:3] == list(RGB.values()) and all(map(PLAIN.fullmatch, named))):
        return (
            "S",
            (),
            f"{n} channels shown in red, green and blue were taken as the colours of one image (S); change it by naming the axes",
        )
    return "C", names if all(names) else (), None if all(names) else _doubt(n)


def _doubt(n: int) -> str | None:
    if n not in (3, 4):
        return None
    return f"{n} channels were taken as channels (C); they may be the colours of one image (S): change it by naming the axes"


def windows(omero: Mapping[str, Any]) -> list[Window | None]:
    """Return the grey levels that each channel is shown from and to, None where that is not said."""
    found: list[Window | None] = []
    for one in omero.get("channels") or ():
        try:
            window = v05.OmeroChannel.model_validate(one).window
        except ValidationError:
            found.append(None)
        else:
            found.append((window.start, window.end) if window.start < window.end else None)
    return found


def omero_of(stack: ImageStack, shown: Sequence[Window]) -> v05.Omero:
    """Return how a stack is to be shown: name, colour and window of each channel."""
    integer = stack.data.dtype.kind in "iu"
    named = _named(stack)
    channels = []
    for number, ((name, colour), (low, high)) in enumerate(zip(named, shown, strict=True)):
        least, most = _limits(stack) if integer else (low, high)
        window = v05.OmeroWindow(start=low, end=high, min=least, max=most)
        active = not (stack.rgb and number == 3)
        channels.append(v05.OmeroChannel(window=window, label=name, color=colour, active=active))
    model = "color" if len(channels) > 1 else "greyscale"
    return v05.Omero(
        channels=channels, rdefs=v05.OmeroRenderingDefs(model=model, defaultT=0, defaultZ=stack.size("Z") // 2)
    )


def _limits(stack: ImageStack) -> Window:
    info = np.iinfo(stack.data.dtype)
    return float(info.min), float(info.max)


def _named(stack: ImageStack) -> list[tuple[str, str]]:
    """Return name and colour of each channel."""
    if stack.rgb:
        return list((RGB | ALPHA).items())[: stack.size("S")]
    n = stack.size("C")
    colours = CHANNELS.get(n, MORE_CHANNELS)
    names = tuple(stack.channels) or tuple(f"channel {number}" for number in range(n))
    return [(name, colours[number % len(colours)]) for number, name in enumerate(names)]
