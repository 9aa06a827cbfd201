"""Recovery of a point-spread function from a sharp and a blurred image of the same field.

With the spectra F of the sharp and G of the blurred image, ``G = H F`` where H is the transfer function of the blur.
What is recovered is the RELATIVE kernel, blurred over in focus, of sum 1; where the optics are known it is multiplied by
the in-focus transfer function to give the ABSOLUTE kernel of the defocused microscope. (Werth & Matlock 2018, section
4.3, compare the one with the other: a centre value near 1 where 0.06 was expected.)
"""

from napari_cellrestore.recover.checks import METHODS
from napari_cellrestore.recover.field import FieldRecovery, recover_field
from napari_cellrestore.recover.pair import recover_psf
from napari_cellrestore.recover.recovery import PsfRecovery
from napari_cellrestore.recover.shift import align_pair, shift_warning
from napari_cellrestore.recover.spectra import WINDOWS

__all__ = [
    "METHODS",
    "WINDOWS",
    "FieldRecovery",
    "PsfRecovery",
    "align_pair",
    "recover_field",
    "recover_psf",
    "shift_warning",
]
