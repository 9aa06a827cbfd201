"""Colours of napari's theme."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.utils.theme import get_theme


def theme_colour(viewer: ViewerModel, role: str) -> str:
    """Return a colour of the viewer's theme ("text", "background", "current" ...) as "#rrggbb"."""
    red, green, blue = getattr(get_theme(viewer.theme), role).as_rgb_tuple()[:3]
    return f"#{red:02x}{green:02x}{blue:02x}"


def warning_colour(viewer: ViewerModel) -> str:
    """Return an amber that can be read on the background of the viewer's theme; napari's own is too light on light."""
    return "#f59e0b" if get_theme(viewer.theme).type == "dark" else "#a04b00"


def check_box_style(viewer: ViewerModel) -> str:
    """Return a style sheet for the check boxes of lists, like those of napari."""
    box = f"QListView::indicator {{width: 14px; height: 14px; background: {theme_colour(viewer, 'background')};}}"
    tick = f'image: url("theme_{get_theme(viewer.theme).id}:/check.svg")'
    return f"{box} QListView::indicator:checked {{background: {theme_colour(viewer, 'current')}; {tick};}}"
