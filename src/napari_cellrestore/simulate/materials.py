"""What blood cells are made of: how it refracts, what it absorbs, and which dyes it takes up.

A cell is drawn once, as a thickness of each material. The unstained and the stained image are two readings of the same
thickness, so that one can be learned from the other as far as refraction tells the materials apart, and no further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Material:
    """Optical properties of one constituent.

    Parameters
    ----------
    index_step : float
        Refractive index above that of the mounting medium.
    dye : (float, float, float)
        Absorbance (natural logarithm) per um in red, green and blue after staining.
    haemoglobin : bool
        Whether it absorbs unstained, too.
    """

    index_step: float
    dye: tuple[float, float, float]
    haemoglobin: bool = False


#: Index of red cells: 1.40 in plasma of 1.34 (Park et al. 2008). The other steps are of the order that is measured in
#: living white cells (1.36 to 1.39; Barer & Joseph 1954, Yoon et al. 2015), granules of eosinophils, which hold
#: crystals, the largest. Dyes are mixed by eye after films in May-Gruenwald-Giemsa stain.
MATERIALS: Mapping[str, Material] = {
    "haemoglobin": Material(0.060, (0.030, 0.140, 0.130), haemoglobin=True),
    "acid cytoplasm": Material(0.020, (0.040, 0.085, 0.030)),
    "basic cytoplasm": Material(0.025, (0.210, 0.150, 0.045)),
    "chromatin": Material(0.055, (0.360, 0.720, 0.270)),
    "azure granules": Material(0.040, (0.350, 0.600, 0.180)),
    "eosin granules": Material(0.070, (0.050, 0.360, 0.520)),
    "basic granules": Material(0.060, (0.800, 1.050, 0.450)),
    "plasma": Material(0.010, (0.020, 0.030, 0.030)),
}

#: Molar extinction of oxyhaemoglobin per cm and mol/l of tetramers, 0.45 to 0.65 um every 0.01 (Prahl 1998).
_EXTINCTION = np.array(
    "62816 44480 33209 26629 23684 20933 20036 24202 39957 53236 43016 32613 44496 50104 14401 3200 1506 942 610 442 368".split(),
    float,
)
_EXTINCTION_UM = 0.45 + 0.01 * np.arange(len(_EXTINCTION))
#: Tetramers in a red cell in mol/l: 330 g/l of 64.5 kg/mol.
_HAEMOGLOBIN_MOLAR = 330 / 64500


def haemoglobin_per_um(wavelength_um: float) -> float:
    """Absorbance (natural logarithm) of a micrometre of red cell, 0.45 to 0.65 um.

    Examples
    --------
    >>> [round(haemoglobin_per_um(wavelength), 4) for wavelength in (0.47, 0.53, 0.62)]
    [0.0391, 0.0471, 0.0011]
    """
    if not 0.45 <= wavelength_um <= 0.65:
        raise ValueError(
            f"wavelength_um is {wavelength_um:g}: the absorption of haemoglobin is tabulated from 0.45 to 0.65 um"
        )
    per_cm = np.exp(np.interp(wavelength_um, _EXTINCTION_UM, np.log(_EXTINCTION))) * _HAEMOGLOBIN_MOLAR * np.log(10)
    return float(per_cm * 1e-4)


def unstained(thickness_um: Mapping[str, Array], wavelengths_um: Sequence[float]) -> Array:
    """Complex amplitude that unstained cells let through, (Y, X, S) complex64.

    ``exp(sum over materials of thickness (2 pi i index_step / wavelength - absorbance / 2))``
    """
    path_um = sum(MATERIALS[name].index_step * thickness for name, thickness in thickness_um.items())
    blood_um = sum(thickness for name, thickness in thickness_um.items() if MATERIALS[name].haemoglobin)
    exponents = [
        2j * np.pi / wavelength * path_um - 0.5 * haemoglobin_per_um(wavelength) * blood_um
        for wavelength in wavelengths_um
    ]
    return np.asarray(np.exp(np.stack(exponents, axis=-1)), np.complex64)


def stained(thickness_um: Mapping[str, Array]) -> Array:
    """Intensity that stained cells let through, (Y, X, 3) float32, 1 where nothing is.

    ``exp(-sum over materials of thickness * dye)``
    """
    absorbance = sum(
        np.multiply.outer(thickness, np.array(MATERIALS[name].dye, np.float32))
        for name, thickness in thickness_um.items()
    )
    return np.exp(-np.asarray(absorbance, np.float32))
