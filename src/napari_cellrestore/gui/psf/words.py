"""What kernels and beads say, in words for the dock widget and as tables to copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from napari_cellrestore.beads import BeadPsf, reasons
from napari_cellrestore.gui.plot import PALETTE
from napari_cellrestore.gui.psf.work import Recovered
from napari_cellrestore.kernels import otf_rows, summary
from napari_cellrestore.recover import FieldRecovery, shift_warning

#: Colours of curves.
OTF, THEORY, ABSOLUTE, RESIDUAL = PALETTE[0], PALETTE[1], PALETTE[2], "#8c8c8c"


def describe(shown: Recovered, colours: Mapping[str, str]) -> str:
    """Return a kernel as rich text; ``colours`` are those for "warning" and "text"."""
    found, said = shown.found, summary(shown.found)
    absolute = (
        ""
        if found.absolute_fwhm_um is None
        else f" &nbsp; {_patch('absolute', ABSOLUTE)}&nbsp;{_number(found.absolute_fwhm_um)}&nbsp;µm"
    )
    period, trusted = said["smallest_period_um"], said["trusted_to_per_um"]
    rows = [
        ("FWHM", f"<b>{_number(found.fwhm_um)} µm</b>{absolute}"),
        ("trusted", f"to {_number(trusted)} cycles/µm" if period else "nowhere"),
        ("finest period", f"{_number(period)} µm" if period else "none"),
        ("noise", f"{_number(found.noise_std[0])} sharp, {_number(found.noise_std[1])} blurred"),
        ("μ", f"{found.mu:.2g} {'(chosen)' if len(found.mu_candidates) else '(yours)'}"),
    ]
    if shown.moved_px is not None:
        rows.append(("moved first", "{:.1f} down, {:.1f} right (px)".format(*shown.moved_px).replace("-", "−")))
    minds = "".join(_mind(text, colours["warning"]) for text in _warnings(shown))
    return _legend(shown) + _table(rows) + minds


def _legend(shown: Recovered) -> str:
    """Return what the curves are, in their colours."""
    patches = [_patch("OTF&nbsp;±&nbsp;2σ", OTF), _patch("residual", RESIDUAL)]
    if shown.defocus_um is not None:
        name = "theory" if shown.distance_known else "best fit"
        patches.append(_patch(f"{name}, {shown.defocus_um:.2g} µm".replace(" ", "&nbsp;"), THEORY))
    return f"<p>{' &nbsp;'.join(patches)}</p>"


def _warnings(shown: Recovered) -> Iterable[str]:
    """Yield warnings; that of a shift last, above the button that does something about it."""
    shift = shift_warning(shown.found.shift_px)
    for text in shown.found.warnings:
        if text != shift:
            yield escape(text[0].upper() + text[1:])
    if shift:
        dy, dx = shown.found.shift_px
        down, right = "down" if dy > 0 else "up", "right" if dx > 0 else "left"
        yield f"The blurred image lies {abs(dy):.1f} px {down} and {abs(dx):.1f} px {right} of the sharp one."


def describe_series(shown: Sequence[Recovered], failed: Mapping[int, str], colours: Mapping[str, str]) -> str:
    """Return what is to be said of all planes together."""
    reference = shown[0].reference if shown else None
    text = f"<p>{len(shown)} planes against plane {reference}, the sharpest. Move the slider to see each.</p>"
    off = [recovered.plane for recovered in shown if recovered.found.shifted]
    if off:
        text += _mind(f"{_planes(off)} lie off the sharpest: align them first, in the Focus widget", colours["warning"])
    for plane, why in list(failed.items())[:3]:
        text += _mind(f"plane {plane}: {escape(why)}", colours["warning"])
    return text


def _planes(numbers: Sequence[int | None]) -> str:
    named = ", ".join(str(number) for number in numbers[:6])
    return f"planes {named}{' …' if len(numbers) > 6 else ''}"


def describe_beads(found: BeadPsf, colours: Mapping[str, str]) -> str:
    """Return what beads say as rich text."""
    head = _row("", _patch("z", colours["text"]), _patch("y", OTF), _patch("x", THEORY))
    lines = {
        "beads (µm)": [f"{mean:.3f}" for mean in found.mean_um],
        "± spread": [f"{std:.3f}" if np.isfinite(std) else "?" for std in found.std_um],
        "their average": [f"{width:.3f}" for width in found.fwhm_um],
    }
    if found.corrected_um is not None:
        lines["without bead size"] = [f"{width:.3f}" for width in found.corrected_um]
    if found.expected_um is not None:
        lines["theory, widefield"] = [f"{width:.3f}" for width in found.expected_um]
    table = "".join(_row(name, *cells) for name, cells in lines.items())
    left = f"; {len(found.left_out)} left out: {escape(reasons(found.beads))}" if found.left_out else ""
    text = f"<p>Full width at half maximum of <b>{len(found.used)} beads</b>{left}.</p>"
    text += f"<table cellspacing='0' cellpadding='3'>{head}{table}</table>"
    if found.diameter_um is None:
        text += "<p>The beads' own size is in these widths: its diameter is not known.</p>"
    return text + "".join(_mind(escape(warning), colours["warning"]) for warning in found.warnings)


def describe_field(found: FieldRecovery, colours: Mapping[str, str]) -> str:
    """Return what is to be said of the widths over the field, and why some tiles cannot tell."""
    kind = "Absolute" if found.absolute else "Relative"
    text = f"<p>{kind} {found.spread.replace(' um', '&nbsp;µm')}.</p>"
    first, *others = (*field_reasons(found), "")
    more = f" <br>{len(others) - 1} more cannot tell: point here for why." if len(others) > 1 else ""
    return text + (_mind(escape(first) + more, colours["warning"]) if first else "")


def field_reasons(found: FieldRecovery) -> list[str]:
    """Return a line for each tile that cannot tell."""
    return [
        f"Tile {row + 1}, {column + 1} (row, column) cannot tell: {reason}"
        for (row, column), reason in found.reasons.items()
    ]


# --- tables to copy --------------------------------------------------------------------------------------------


def kernel_table(shown: Sequence[Recovered], z_um: np.ndarray | None = None) -> str:
    """Return the curve of one kernel, or a line for each of several, with tabs."""
    if len(shown) == 1 and shown[0].plane is None:
        head, rows = otf_rows(shown[0].found, shown[0].theory)
        return _tabbed(head, rows)
    names = ("fwhm_um", "absolute_fwhm_um", "trusted_to_per_um", "residual", "noise_sharp", "noise_blurred", "mu")
    lines = []
    for recovered in shown:
        numbers = summary(recovered.found)
        z = "" if z_um is None or recovered.plane is None else z_um[recovered.plane]
        lines.append([recovered.plane, z, *(numbers[name] for name in names)])
    return _tabbed(("plane", "z_um", *names), lines)


def bead_table(found: BeadPsf) -> str:
    """Return a line for each bead, with tabs."""
    head = ("z_px", "y_px", "x_px", "peak", "fwhm_z_um", "fwhm_y_um", "fwhm_x_um", "left_out")
    return _tabbed(head, [[*bead.zyx_px, bead.peak, *bead.fwhm_um, bead.reason] for bead in found.beads])


def _tabbed(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, *(["" if cell is None else str(cell) for cell in row] for row in rows)]
    return "\n".join("\t".join(line) for line in lines) + "\n"


# --- parts -----------------------------------------------------------------------------------------------------


def _number(value: float) -> str:
    return f"{value:.3g}"


def _patch(name: str, colour: str) -> str:
    return f"<span style='color:{colour}'>▬</span>&nbsp;{name}"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "<table cellspacing='0' cellpadding='2'>" + "".join(_row(*row) for row in rows) + "</table>"


def _row(*cells: str, style: str = "") -> str:
    return f"<tr style='{style}'>" + "".join(f"<td>{cell}&nbsp;</td>" for cell in cells) + "</tr>"


def _mind(text: str, colour: str) -> str:
    return f"<p style='color:{colour}'>{text}</p>"
