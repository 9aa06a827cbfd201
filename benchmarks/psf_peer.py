"""Compare the point-spread function with the scalar one of psfmodels, which is not a dependency (GPL-3).

Install it aside and name that folder: pip install --no-deps --target peers psfmodels; PYTHONPATH=peers python
benchmarks/psf_peer.py
"""

from __future__ import annotations

import numpy as np

from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import incoherent_psf

#: Dry low and high power, and oil as of a blood-smear microscope; pixel sizes in um.
LENSES = ((Objective(0.25, 0.53), 0.3), (Objective(0.7, 0.53), 0.1), (Objective(1.05, 0.53, 1.515), 0.1))
#: Defocus in depths of field, wavelength * index / NA^2.
DEPTHS = (0.0, 0.5, 1.0, 2.0)
SIDE = 65


def main() -> None:
    """Print the difference for each lens and defocus."""
    try:
        import psfmodels
    except ImportError:
        print(__doc__)
        return
    print("difference (root mean square, of the peak) and ratio of the peaks, ours over psfmodels'")
    for lens, pixel_um in LENSES:
        index = lens.immersion_index
        matched = {"NA": lens.na, **dict.fromkeys(("ns", "ni", "ni0", "ng", "ng0"), index)}
        for depth in DEPTHS:
            defocus_um = depth * lens.wavelength_um * index / lens.na**2
            (theirs,) = psfmodels.scalar_psf(
                [defocus_um], nx=SIDE, dxy=pixel_um, params=matched, wvl=lens.wavelength_um, pz=0
            )
            whole = incoherent_psf((513, 513), pixel_um, lens, defocus_um)
            inner = slice(256 - SIDE // 2, 256 + SIDE // 2 + 1)
            ours, theirs = whole[inner, inner] / whole[inner, inner].sum(), theirs / theirs.sum()
            difference = np.sqrt(np.mean((ours - theirs) ** 2)) / theirs.max()
            print(f"  NA {lens.na:g}, {defocus_um:5.2f} um: {difference:.4f}, {ours.max() / theirs.max():.3f}")


if __name__ == "__main__":
    main()
