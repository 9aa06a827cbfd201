"""Microscopes whose images are simulated, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_cellrestore.objective import Objective
from napari_cellrestore.simulate.defocus import DetectorNoise, defocus_stack
from napari_cellrestore.stack import ImageStack


@dataclass(frozen=True)
class Microscope:
    """A microscope with its camera, and the distances from focus at which it is used.

    Parameters
    ----------
    objective : Objective
    magnification : float
    camera_pixel_um : float
        Pixel of the camera; :attr:`pixel_um` is that at the object.
    largest_level : int
        Largest grey level of the camera: 4095 of one of 12 bit.
    defocus_um : sequence of float
        Distances from focus.
    source : str
        Where this is from.
    """

    objective: Objective
    magnification: float
    camera_pixel_um: float
    largest_level: int
    defocus_um: tuple[float, ...]
    source: str = ""

    @property
    def pixel_um(self) -> float:
        """Size of a pixel at the object."""
        return self.camera_pixel_um / self.magnification

    def record(
        self,
        image: npt.ArrayLike,
        z_um: Sequence[float] | None = None,
        noise: DetectorNoise | None = None,
        *,
        seed: int = 0,
    ) -> ImageStack:
        """Return the focus stack of an object, whole grey levels from 0 to ``largest_level``, uint16.

        Parameters
        ----------
        image : (Y, X) or (Y, X, 3) array
            The object on pixels of :attr:`pixel_um`, 0 to ``largest_level``.
        z_um : sequence of float, optional
            Position of each plane; if not given, in focus and then each of ``defocus_um``.
        noise : DetectorNoise, optional
            Without it planes are exact but for rounding.
        seed : int
            Of the noise.

        Raises
        ------
        ValueError
            Grey levels that the camera does not have.

        Examples
        --------
        >>> stack = WERTH_2018.record(np.full((32, 32), 1000))
        >>> stack, stack.z_um.tolist()[:3], int(stack.data[-1].max())
        (<ImageStack Z 11 x Y 32 x X 32, uint16, 0.3 um/px, z step 3.5 um>, [0.0, 2.0, 4.0], 1000)
        """
        object_levels = np.asarray(image, np.float32)
        low, high = float(object_levels.min()), float(object_levels.max())
        if not (low >= 0 and high <= self.largest_level):
            raise ValueError(
                f"image has grey levels from {low:g} to {high:g}, this camera 0 to {self.largest_level}: "
                "rescale them first; NaN cannot be recorded"
            )
        planes = (0.0, *self.defocus_um) if z_um is None else z_um
        stack = defocus_stack(object_levels, self.pixel_um, self.objective, planes, noise, seed=seed)
        levels = np.clip(np.rint(stack.data), 0, self.largest_level).astype(np.uint16)
        return stack.replace(data=levels, provenance={**stack.provenance, "microscope": self.source})


#: Werth & Matlock 2018, section 3.2: 20x, NA 0.25, pixels of 6 um on the camera and 0.3 um at the object, 12 bit; in
#: focus the object is filtered by the in-focus kernel. They state no wavelength: green, 0.53 um, is taken.
WERTH_2018 = Microscope(
    objective=Objective(na=0.25, wavelength_um=0.53),
    magnification=20,
    camera_pixel_um=6.0,
    largest_level=4095,
    defocus_um=(2.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0),
    source="Werth & Matlock 2018, section 3.2",
)
