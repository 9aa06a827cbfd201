"""Schedules of the learning rate."""

from __future__ import annotations

import math

from napari_cellrestore.train.standing import Standing


def rate_at(fraction: float, schedule: str, standing: Standing) -> float:
    """Return the learning rate at a fraction of the run, in units of the recipe's.

    ``one-cycle``: rises over the first tenth, then falls as a half cosine to a thousandth. ``plateau``: a tenth of what
    it was, whenever the validation has not gained for a while, see :meth:`Standing.judge`.

    Examples
    --------
    >>> [round(rate_at(f, "one-cycle", Standing()), 3) for f in (0, 0.1, 0.55, 1)]
    [0.04, 1.0, 0.5, 0.001]
    """
    if schedule == "plateau":
        return standing.rate
    if schedule == "constant":
        return 1.0
    if fraction < 0.1:
        return 0.04 + 0.96 * fraction / 0.1
    return 0.001 + 0.999 * (0.5 + 0.5 * math.cos(math.pi * (fraction - 0.1) / 0.9))
