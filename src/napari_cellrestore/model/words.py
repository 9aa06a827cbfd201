"""A card in words, for the shell, the window and packages."""

from __future__ import annotations

from typing import Any

from napari_cellrestore.card import ModelCard

#: What the numbers of a card's held-out tables are.
HELD_OUT = {
    "mse_of_input": "error (MSE), as a part of the input's",
    "fpw_of_input": "difference of focus (FPW), as a part of the input's",
    "success_mse": "as good as a sharp plane by MSE (%)",
    "success_fpw": "as good as a sharp plane by FPW (%)",
    "reach_mse": "as good as the plane 0.4 um out of focus by MSE (%)",
    "reach_fpw": "as good as the plane 0.4 um out of focus by FPW (%)",
    "worst_mse": "harm by MSE where it does worst (above 0 is harm)",
    "worst_fpw": "harm by FPW where it does worst (above 0 is harm)",
    "mse": "error (MSE), 95 % interval",
    "psnr": "signal-to-noise ratio (PSNR, dB), 95 % interval",
    "ssim": "structural similarity (SSIM), 95 % interval",
    "mse_there_and_back": "error (MSE) after there and back, 95 % interval",
    "error_um": "mean error of the distance from focus (um)",
    "error_by_level_um": "the same at each distance from focus (um)",
}


def facts(card: ModelCard) -> dict[str, str]:
    """Return what a card states, by name; "" where it does not.

    Examples
    --------
    >>> facts(ModelCard(name="sharp", task="deblur", network="pix2pix-fast", pixel_um=0.1))["pixel size"]
    '0.1 um'
    """
    options = ", ".join(f"{name} {value}" for name, value in card.options.items())
    return {
        "network": f"{card.network}{f' ({options})' if options else ''}",
        "channels": f"{card.in_channels} in, {card.out_channels} out",
        "grey levels": "{:g} to {:g}".format(*card.input_range),
        "pixel size": f"{card.pixel_um:g} um" if card.pixel_um else "",
        "defocus": "{:g} to {:g} um".format(*card.defocus_um) if card.defocus_um else "",
        "planes": _planes(card),
        "colours": _colours(card),
        "tiles": f"halo {card.halo_px} px, aligned to {card.stride} px" if card.tile_safe else "none: it runs whole",
        "trained on": card.data,
        "training": f"{card.steps} steps{'' if card.seed is None else f', seed {card.seed}'}",
        "made": card.created,
        "with": ", ".join(f"{name} {number}" for name, number in card.versions.items()),
        "licence": card.licence,
    }


def _planes(card: ModelCard) -> str:
    """Return what is known of planes that are taken together."""
    if card.in_planes == 1:
        return ""
    if not card.leds:
        return f"{card.in_planes} together make one image"
    polar_deg, exposure, kind = (card.leds[name] for name in ("polar_deg", "exposure", "kind"))
    lit = ["brightfield" if what == "brightfield" else how for what, how in zip(kind, exposure, strict=True)]
    counted = ", ".join(f"{lit.count(one)} {one}" for one in dict.fromkeys(lit))
    return (
        f"{card.in_planes} LEDs together make one image: {counted}; angles {min(polar_deg):g} to {max(polar_deg):g} deg"
    )


def _colours(card: ModelCard) -> str:
    if card.in_planes > 1:
        return f"of {len(card.colour_mean)} channels, in card.json" if card.colour_mean else ""
    each = zip(card.colour_mean, card.colour_std, strict=False)
    return ", ".join(f"{mean:.0f} +- {std:.0f}" for mean, std in each)


def held_out(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return on which images a model was measured, and the numbers by what they are; cards may leave things out.

    Examples
    --------
    >>> held_out({"images": "smears", "number": 3, "success_mse": 88})
    ('3 held-out images of smears', {'as good as a sharp plane by MSE (%)': 88})
    >>> held_out({"ssim": [0.9, 0.8, 0.95], "ssim_input": [0.7, 0.6, 0.75]})[1].values()
    dict_values(['0.9 (0.8 to 0.95); of the input 0.7 (0.6 to 0.75)'])
    """
    where = f"{row.get('number', 'some')} held-out images of {row.get('images', 'an unnamed set')}"
    return where, {text: _number(row, name) for name, text in HELD_OUT.items() if name in row}


def _number(row: dict[str, Any], name: str) -> Any:
    """Return a number of a row, several in words; as it stands where a card from elsewhere holds something else."""
    try:
        if name == "error_by_level_um":
            errors = zip(row[name], row["levels_um"], strict=True)
            return ", ".join(f"{error:.3g} at {level:g}" for error, level in errors)
        if isinstance(row[name], list):
            beside = f"; of the input {_interval(row[f'{name}_input'])}" if f"{name}_input" in row else ""
            return _interval(row[name]) + beside
    except (KeyError, TypeError, ValueError):
        pass
    return row[name]


def _interval(numbers: list[float]) -> str:
    mean, low, high = numbers
    return f"{mean:.5g} ({low:.5g} to {high:.5g})"
