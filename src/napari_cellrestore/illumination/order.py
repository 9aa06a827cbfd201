"""Whether the planes of an LED stack are those that the table says, by their brightness and by their likeness.

Light beyond the aperture of the objective is scattered light alone: such planes are many times darker, and the darker the
larger the angle. And neighbouring LEDs give images that are alike.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from napari_cellrestore.illumination.finding import Finding
from napari_cellrestore.illumination.planes import Floats, MeasuredPlanes
from napari_cellrestore.leds import LedTable

#: Planes whose LED is within this part of NA from it are not judged: how much of their light enters is not known.
EDGE = 0.15
#: A plane is out of order where it is this many times brighter or darker than expected, and beyond 6 spreads of the others.
RATIO = 2.5
SPREADS = 6.0
#: Planes of one exposure that are needed to tell what is usual.
ENOUGH = 5
ENOUGH_TO_TELL_ORDER = 12
#: Correlation of brightness and angle beyond the aperture above which the order of all is wrong.
FALLS = -0.5
#: LEDs that count as neighbours.
NEIGHBOURS = 4
#: A plane is out of order where it is so much more like the planes around another LED, as a correlation, and this many
#: times what happens by chance.
UNLIKE, UNLIKE_BY_CHANCE = 0.15, 3.0
#: By how much the correlation with neighbours is above that with all planes in an ordered stack, where planes have so
#: much in common at all; of a recorded one it is 0.4 above 0.4, shuffled 0.
ALIKE, IN_COMMON = 0.1, 0.2

#: By how much planes inside the aperture are more like their neighbours than like those outside, where these have something
#: in common: of recorded panels and simulated arms 0.6 and more, shuffled below 0.2 in 97 of 100.
TOGETHER, ACROSS = 0.2, 0.1
#: By how much planes are more like their neighbours where all moved on by one place: as a correlation, and in standard errors
#: of its mean. Of simulated arms it was 0.15 and 11, of planes in order 0.000 at most.
MOVED_ON, MOVED_ON_ERRORS = 0.02, 3.0
#: So many planes on the wrong side of the aperture by their brightness, and at most a quarter of it once all moved on by one.
WRONG_SIDE = 4

Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


def at_edge(leds: LedTable, na: float) -> Mask:
    """Return which LEDs are too close to the aperture to tell on which side they are."""
    return np.asarray(np.abs(np.sin(np.radians(leds.polar_deg)) / na - 1) <= EDGE)


def groups(leds: LedTable, of: Mask, *, by_gain: bool = False) -> list[Rows]:
    """Return the rows of single LEDs of one exposure and wavelength; comparable in brightness if of one gain too."""
    rows = np.flatnonzero(of & (leds.kind != "brightfield"))
    gain = leds.gain if by_gain else np.zeros(len(leds))
    keys = [(leds.exposure[row], *np.nan_to_num([leds.wavelength_um[row], gain[row]], nan=-1).tolist()) for row in rows]
    return [rows[[key == one for key in keys]] for one in dict.fromkeys(keys)]


# --- all together --------------------------------------------------------------------------------------------


def shuffled(planes: MeasuredPlanes, na: float, usable: Mask) -> Finding | None:
    """Return a finding where the planes as a whole are not in the order of the table."""
    leds = planes.leds
    judged = usable & ~at_edge(leds, na)
    for rows in groups(leds, judged & np.isin(leds.exposure, ("single", "hdr")), by_gain=True):
        inside = leds.brightfield(na)[rows]
        if min(inside.sum(), (~inside).sum()) < ENOUGH:
            continue
        bright, dim = (float(np.median(planes.mean[rows[side]])) for side in (inside, ~inside))
        ratio = bright / dim
        if ratio < RATIO:
            return _of_all(ratio, f"planes inside NA {na:g} are only {ratio:.2g} times as bright as those outside")
        if moved := _other_side(planes.mean > np.sqrt(bright * dim), leds.brightfield(na), rows):
            return _of_all(float(moved), _moved_said(moved))
        dark = rows[~inside]
        falls = _rank_correlation(leds.polar_deg[dark], planes.mean[dark])
        if len(dark) >= ENOUGH_TO_TELL_ORDER and falls > FALLS:
            return _of_all(
                falls, f"brightness outside NA {na:g} does not fall with the angle (rank correlation {falls:.2f})"
            )
    if (gain := _together(planes, na, judged)) < TOGETHER:
        return _of_all(gain, f"planes inside NA {na:g} are no more like one another than like those outside")
    for rows in groups(leds, judged & ~leds.brightfield(na)):
        rows = within_reach(leds, rows, na)
        if len(rows) >= ENOUGH_TO_TELL_ORDER:
            alike = _correlations(planes, rows)
            others = alike[~np.eye(len(rows), dtype=bool)].mean()
            gain = float(np.median(_own(alike, neighbours(leds, rows))) - others)
            if others > IN_COMMON and gain < ALIKE:
                return _of_all(
                    gain, "dark-field planes are no more like those of neighbouring LEDs than like any other"
                )
            if moved := _moved_on(planes, rows, usable):
                return _of_all(float(moved), _moved_said(moved))
    return None


def _together(planes: MeasuredPlanes, na: float, judged: Mask) -> float:
    """Return by how much planes inside the aperture are more like their neighbours than like those outside.

    Brightness does not tell where planes inside and outside have exposures of their own; NaN where this does not either.
    """
    leds = planes.leds
    judged = judged & (leds.kind != "brightfield")
    inside, outside = (np.flatnonzero(judged & side) for side in (leds.brightfield(na), ~leds.brightfield(na)))
    n = len(inside)
    if min(n, len(outside)) < ENOUGH:
        return np.nan
    alike = _correlations(planes, np.concatenate([inside, outside]))
    across = alike[:n, n:]
    if np.abs(across).mean() <= max(ACROSS, UNLIKE_BY_CHANCE * planes.chance):
        return np.nan
    return float(np.median(_own(alike[:n, :n], neighbours(leds, inside))) - across.mean())


def _other_side(bright: Mask, inside: Mask, rows: Rows) -> int:
    """Return 1 or -1 where planes lie on their side of the aperture once all move on by one place or back, else 0."""
    wrong = {step: int((bright[(rows + step) % len(bright)] != inside[rows]).sum()) for step in (0, 1, -1)}
    best = min((1, -1), key=wrong.__getitem__)
    return best if wrong[0] >= WRONG_SIDE and wrong[best] <= wrong[0] // 4 else 0


def _moved_said(step: int) -> str:
    return f"planes look one too {'late' if step > 0 else 'early'} for their LEDs"


def _moved_on(planes: MeasuredPlanes, rows: Rows, usable: Mask) -> int:
    """Return 1 or -1 where planes are more like their neighbours if all of their exposure move on by one or back, else 0."""
    leds = planes.leds
    (taken,) = (group for group in groups(leds, usable) if rows[0] in group)
    places, near = np.searchsorted(taken, rows), neighbours(leds, rows)
    own = _own(_correlations(planes, rows), near)
    for step in (1, -1):
        gain = _own(_correlations(planes, taken[(places + step) % len(taken)]), near) - own
        if gain.mean() > max(MOVED_ON, MOVED_ON_ERRORS * gain.std() / np.sqrt(len(gain))):
            return step
    return 0


def _of_all(value: float, reason: str) -> Finding:
    return Finding(None, None, "order", value, f"the planes are not in the order of the table: {reason}")


def _rank_correlation(one: Floats, other: Floats) -> float:
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (one, other)]
    return float(np.corrcoef(ranks)[0, 1]) if len(one) > 2 else -1.0


# --- one by one ----------------------------------------------------------------------------------------------


def by_brightness(planes: MeasuredPlanes, na: float, usable: Mask) -> Iterator[Finding]:
    """Yield planes that are far brighter or darker than those of their exposure at their angle."""
    leds, inside = planes.leds, planes.leds.brightfield(na)
    for side in (inside, ~inside):
        for rows in groups(leds, usable & side & ~at_edge(leds, na), by_gain=True):
            bright = rows[planes.mean[rows] > 0]
            if len(bright) < ENOUGH:
                continue
            light = np.log(planes.mean[bright])
            expected = _usual(
                np.log(np.sin(np.radians(np.maximum(leds.polar_deg[bright], 0.1)))), light, side is not inside
            )
            beside = light - expected
            limit = max(np.log(RATIO), SPREADS * 1.4826 * float(np.median(np.abs(beside))))
            for row, by in zip(bright[np.abs(beside) > limit], beside[np.abs(beside) > limit], strict=True):
                yield _odd(planes, int(row), float(np.exp(by)))
    yield from _exchanged_exposures(planes, usable)


def _usual(angle: Floats, light: Floats, falls: bool) -> Floats:
    """Return the light that is usual at each angle: a line through the logarithms (Theil & Sen), or one level."""
    apart = angle[:, None] - angle
    pairs = apart > 0.05
    slope = float(np.median((light[:, None] - light)[pairs] / apart[pairs])) if falls and pairs.any() else 0.0
    return np.asarray(slope * angle + np.median(light - slope * angle))


def _odd(planes: MeasuredPlanes, row: int, ratio: float) -> Finding:
    leds = planes.leds
    mean = planes.mean[row]
    said = f"plane {row} (LED {leds.index[row]}, {leds.polar_deg[row]:.3g} deg)"
    many = f"{ratio:.3g} times as bright as" if ratio > 1 else f"{1 / ratio:.3g} times darker than"
    sentence = f"{said} is {many} usual at its angle (mean {mean:.3g}): it may be out of order or badly lit"
    return Finding(row, int(leds.index[row]), "order", ratio, sentence)


def _exchanged_exposures(planes: MeasuredPlanes, usable: Mask) -> Iterator[Finding]:
    leds = planes.leds
    led = list(zip(leds.index.tolist(), np.nan_to_num(leds.wavelength_um).tolist(), strict=True))
    high = {led[row]: row for row in np.flatnonzero(usable & (leds.exposure == "high"))}
    for row in np.flatnonzero(usable & (leds.exposure == "low")):
        other = high.get(led[row])
        if other is not None and planes.mean[row] >= planes.mean[other] > 0:
            ratio = float(planes.mean[row] / planes.mean[other])
            yield Finding(
                int(row),
                int(leds.index[row]),
                "order",
                ratio,
                f"plane {row} (LED {leds.index[row]}) is the low exposure but not darker than the high one, plane {other}",
            )


def by_likeness(planes: MeasuredPlanes, na: float, usable: Mask) -> Iterator[Finding]:
    """Yield dark-field planes that are more like the planes around another LED than like those around their own.

    For each plane the mean correlation with the four planes around each LED is taken, but for those of its neighbours. The
    worst one is set aside and the others are looked at again without it, until none is worse than :data:`UNLIKE`.
    """
    leds = planes.leds
    for rows in groups(leds, usable & ~leds.brightfield(na) & ~at_edge(leds, na)):
        rows = within_reach(leds, rows, na)
        alike = _correlations(planes, rows)
        kept = np.ones(len(rows), bool)
        while kept.sum() >= ENOUGH_TO_TELL_ORDER:
            part = np.flatnonzero(kept)
            near = neighbours(leds, rows[part])
            score = _scores(alike[np.ix_(part, part)], near)
            own = np.diag(score).copy()
            # A plane beside a shifted one looks more like those on its other side: that is no other place.
            np.put_along_axis(score, near, -np.inf, axis=1)
            loss = score.max(axis=1) - own
            worst = int(loss.argmax())
            if loss[worst] <= max(UNLIKE, UNLIKE_BY_CHANCE * planes.chance):
                break
            row, like = rows[part[worst]], rows[part[score[worst].argmax()]]
            kept[part[worst]] = False
            yield Finding(
                int(row),
                int(leds.index[row]),
                "order",
                float(loss[worst]),
                f"plane {row} (LED {leds.index[row]}) looks like the planes around LED {leds.index[like]}, not like those "
                "around its own: it may be out of order",
            )


def neighbours(leds: LedTable, rows: Rows) -> Rows:
    """Return for each row the places, among these rows, of the nearest others by direction (N, NEIGHBOURS)."""
    return np.argsort(_apart(leds, rows), axis=1, kind="stable")[:, : min(NEIGHBOURS, len(rows) - 1)]


def within_reach(leds: LedTable, rows: Rows, na: float) -> Rows:
    """Return the rows with neighbours near enough, within NA, that the objective takes in much the same light of both."""
    if len(rows) <= NEIGHBOURS:
        return rows[:0]
    return rows[np.sort(_apart(leds, rows), axis=1)[:, NEIGHBOURS - 1] <= na]


def _apart(leds: LedTable, rows: Rows) -> Floats:
    direction = leds.direction[rows]
    apart = np.abs(direction[:, None] - direction)
    np.fill_diagonal(apart, np.inf)
    return np.asarray(apart)


def _correlations(planes: MeasuredPlanes, rows: Rows) -> Floats:
    structure = planes.structure[rows].reshape(len(rows), planes.structure[0].size)
    return np.asarray(structure @ structure.T / structure.shape[1], float)  # their spread is 1, their mean about 0


def _own(alike: Floats, near: Rows) -> Floats:
    return np.asarray(np.take_along_axis(alike, near, axis=1).mean(axis=1))


def _scores(alike: Floats, near: Rows) -> Floats:
    """Return the mean correlation of each plane (rows) with the planes around each LED (columns), not with itself."""
    n = len(alike)
    around = np.zeros((n, n))
    np.put_along_axis(around, near, 1.0, axis=1)
    others = alike.copy()
    np.fill_diagonal(others, 0)
    count = around.sum(axis=1)[None] - around.T
    return np.asarray(others @ around.T / np.maximum(count, 1))
