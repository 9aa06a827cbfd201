"""The objective (and condenser) as far as image formation depends on them."""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, degrees, isfinite


@dataclass(frozen=True)
class Objective:
    """Numerical aperture, wavelength and immersion of one colour.

    Parameters
    ----------
    na : float
        Numerical aperture; in brightfield the effective one that objective and condenser reach together.
    wavelength_um : float
        Wavelength in vacuum in micrometres.
    immersion_index : float
        Refractive index between object and lens: 1.0 air, 1.33 water, 1.515 oil.

    Examples
    --------
    >>> oil = Objective(na=1.25, wavelength_um=0.53, immersion_index=1.515)
    >>> round(oil.cutoff_per_um, 2), round(oil.nyquist_pixel_um, 3)
    (4.72, 0.106)
    """

    na: float
    wavelength_um: float
    immersion_index: float = 1.0

    def __post_init__(self) -> None:
        for name in ("na", "wavelength_um", "immersion_index"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}: it must be a positive number")
        if self.na > self.immersion_index:
            raise ValueError(
                f"na {self.na:g} is larger than the immersion index {self.immersion_index:g}: no lens can do that; "
                "give the index of the immersion (1.0 air, 1.33 water, 1.515 oil)"
            )
        if not 0.1 <= self.wavelength_um <= 20:
            hint = (
                f"; {self.wavelength_um:g} nm would be {self.wavelength_um / 1000:g}"
                if self.wavelength_um > 100
                else ""
            )
            raise ValueError(
                f"wavelength_um is {self.wavelength_um:g}: give the wavelength in micrometres, 0.1 to 20{hint}"
            )

    @property
    def cutoff_per_um(self) -> float:
        """Highest spatial frequency that incoherent imaging passes, ``2 NA / wavelength``, in cycles/um."""
        return 2 * self.na / self.wavelength_um

    @property
    def nyquist_pixel_um(self) -> float:
        """Largest pixel that does not alias the incoherent image, ``wavelength / (4 NA)``, in um."""
        return self.wavelength_um / (4 * self.na)

    @property
    def acceptance_deg(self) -> float:
        """Half angle of the cone of light that enters the objective, in degrees."""
        return degrees(asin(self.na / self.immersion_index))
