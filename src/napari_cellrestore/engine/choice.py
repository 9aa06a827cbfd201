"""Which engine runs a model, on what device, in what precision; and why."""

from __future__ import annotations

from typing import NamedTuple

from napari_cellrestore.card import ModelCard
from napari_cellrestore.engine.machine import ENGINES, PRECISIONS, available_engines, check_device, has_bfloat16
from napari_cellrestore.engine.measurement import Measurement, Timing, bfloat16_error, known, seconds_per_mpx
from napari_cellrestore.model import Model

#: Work that takes longer is worth measuring the engines first.
LONG_S = 60.0


class Choice(NamedTuple):
    """How a model is run, why, and what is to be minded."""

    engine: str
    device: str
    precision: str
    why: str = ""
    warnings: tuple[str, ...] = ()


def choose(engine: str, device: str, precision: str) -> tuple[str, str, str]:
    """Resolve "auto" without a look at the model, and refuse what is not there; returns (engine, device, precision)."""
    for what, name, names in (("engine", engine, ENGINES), ("precision", precision, PRECISIONS)):
        if name not in ("auto", *names):
            raise ValueError(f"no {what} {name!r}; known are auto, {', '.join(names)}")
    device = check_device(device)
    if engine != "auto" and (said := available_engines()[engine]).startswith("not installed"):
        raise ValueError(f"the engine {engine} is {said}")
    if engine not in ("auto", "torch") and device != "cpu":
        raise ValueError(f"the engine {engine} runs on the cpu, not on {device!r}")
    if precision == "bfloat16" and device == "mps":
        raise ValueError("bfloat16 is for the cpu and cuda, not for 'mps': leave precision out")
    return "torch" if engine == "auto" else engine, device, "float32" if precision == "auto" else precision


def choose_for(
    model: Model, engine: str = "auto", device: str = "auto", precision: str = "auto", *, megapixels: float = 0.0
) -> Choice:
    """Return how a model is run best, of what was measured on this machine; ready at once, nothing is measured here.

    Parameters
    ----------
    model : Model
    engine, device, precision : str
        "auto" or a name. What is named is kept to; a precision that the card's tolerance forbids is refused.
    megapixels : float
        Work at hand, for which it must pay to make an engine ready.

    Returns
    -------
    Choice
    """
    first, device, lowest = choose(engine, device, precision)
    measured = known(model.card, device)
    fit = [
        one
        for one in (measured.timings if measured else ())
        if engine in ("auto", one.engine) and precision in ("auto", one.precision) and one.error <= model.card.tolerance
    ]
    if measured is not None and fit:
        best = min(fit, key=lambda one: one.seconds(megapixels))
        why = _why(best, fit, measured, model.card) if engine == "auto" else _ready_in(best)
        return Choice(best.engine, device, best.precision, why)
    why = "compiled first, which takes up to a minute" if first == "compiled" else ""
    if engine == "auto":
        why = f"not measured on this machine yet: cellrestore info --measure {model.card.name}"
    warnings = _check_bfloat16(model, first, device) if lowest == "bfloat16" else ()
    return Choice(first, device, lowest, why, warnings)


def _check_bfloat16(model: Model, engine: str, device: str) -> tuple[str, ...]:
    """Refuse bfloat16 where it changes more than the card allows; return what is to be minded."""
    card, error = model.card, bfloat16_error(model, engine, device)
    if error > card.tolerance:
        raise ValueError(
            f"model {card.name!r} changes by {error:.2g} grey levels of 255 in bfloat16 and its card allows "
            f"{card.tolerance:g}: leave precision out"
        )
    if has_bfloat16(engine, device):
        return ()
    return (f"this {device} has no hardware for bfloat16, which is slower here than float32: leave precision out",)


def is_long(model: Model, engine: str, device: str, megapixels: float) -> bool:
    """Whether the engines are to be measured before so much work: it is long, and they were not measured yet."""
    if engine != "auto" or known(model.card, device):
        return False
    return seconds_per_mpx(model, check_device(device)) * megapixels > LONG_S


# --- in words --------------------------------------------------------------------------------------------------


def reason(measured: Measurement, card: ModelCard) -> str:
    """Return which engine is fastest, in words: the times of a tile, and what was left out."""
    allowed = [one for one in measured.timings if one.error <= card.tolerance]
    chosen, *others = sorted(allowed, key=lambda one: one.s_per_mpx)
    text = f"{chosen}: {_ms(chosen, measured)} ms"
    if others:
        text += " against " + ", ".join(f"{_short(one)} {_ms(one, measured)}" for one in others)
    text = ", ".join(filter(None, [f"{text} for {measured.side_px} x {measured.side_px} px", _ready_in(chosen)]))
    wrong = [f"{one} is off by {one.error:.2g} grey levels" for one in measured.timings if one not in allowed]
    if not any(one.precision == "bfloat16" for one in measured.timings):
        wrong.append("bfloat16 not in this processor")
    return "; ".join([text, *wrong])


def _why(best: Timing, fit: list[Timing], measured: Measurement, card: ModelCard) -> str:
    """Return why one was chosen of those that fit: it is the fastest, or ready so much sooner."""
    fastest = min(fit, key=lambda one: one.s_per_mpx)
    if best == fastest:
        return reason(measured, card)
    from_mpx = (fastest.ready_s - best.ready_s) / (best.s_per_mpx - fastest.s_per_mpx)
    return f"ready at once; {fastest} is faster from {from_mpx:.2g} megapixels on"


def _ready_in(one: Timing) -> str:
    return f"made ready in {one.ready_s:.0f} s" if one.ready_s > 1 else ""


def _short(one: Timing) -> str:
    return one.engine if one.precision == "float32" else str(one)


def _ms(one: Timing, measured: Measurement) -> str:
    return f"{one.s_per_mpx * measured.side_px**2 / 1e3:.3g}"
