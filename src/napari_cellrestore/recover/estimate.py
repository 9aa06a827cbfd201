"""An estimate of the transfer function, before it is scaled to 1 at frequency 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_cellrestore.isotropy import Rings
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import in_focus_otf
from napari_cellrestore.recover.noise import signal_part
from napari_cellrestore.recover.rings import TINY, RingSums, ends, ring_means, smoothed
from napari_cellrestore.recover.spectra import Window

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Estimate:
    """A curve with its covariance before it is scaled to ``otf[0] = 1``, and how mu was chosen."""

    curve: Array
    covariance: Array
    noise: tuple[float, float]
    light_kept: bool
    mu: float
    candidates: Array
    scores: dict[str, Array]


def described(
    rings: RingSums,
    found: Estimate,
    geometry: Rings,
    window: Window,
    cutoff: int,
    frequency: Array,
    objective: Objective | None,
) -> dict[str, Any]:
    """Return the fields of a PsfRecovery that follow from the estimate."""
    gain, radii = float(found.curve[0]), geometry.radii
    curve = found.curve / gain
    column = found.covariance[:, :1]
    covariance = found.covariance - curve * column - (curve * column).T + np.outer(curve, curve) * column[0]
    noise = found.noise
    signal = signal_part(rings, noise[0]) * ring_means(rings)
    ratio = smoothed(ring_means(rings), 3) / max(noise[0], TINY) - 1
    trusted = np.logical_and.accumulate((ratio[:radii] >= 1) & (np.arange(radii) < cutoff))
    residual = rings.residual(found.curve)
    height = ends(found.curve, len(rings.count))[0]
    excess = residual / rings.count - noise[1] - height**2 * noise[0]
    anisotropy = np.sqrt(np.maximum(excess, 0) / np.maximum(signal, TINY))[:radii] / abs(gain)
    return {
        "otf": curve,
        "covariance": covariance / gain**2,
        "mu": found.mu,
        "mu_candidates": found.candidates,
        "mu_scores": found.scores,
        "residual": np.sqrt(residual / np.maximum(rings.gg, TINY))[:radii],
        "trusted": trusted,
        "signal_to_noise": ratio[:radii],
        "noise_std": tuple(float(np.sqrt(power / window.power)) for power in noise),
        "anisotropy": np.where(trusted, anisotropy, np.nan),
        "absolute_otf": None if objective is None else curve * in_focus_otf(frequency, objective),
    }
