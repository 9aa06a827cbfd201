"""What a check of an LED stack found."""

from __future__ import annotations

from dataclasses import dataclass

#: What can be wrong with a plane, or with the stack.
WHATS = {
    "black": "all its pixels are the same, or far too dark: the LED did not shine",
    "saturated": "a part of its pixels is burnt",
    "order": "it does not look like what the table says: planes may have been exchanged",
    "shifted": "it does not lie on the others",
    "missing": "the array should have an LED or an exposure that the table does not have",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Parameters
    ----------
    plane, led : int or None
        Number of the plane along A and index of its LED; None where it is about the whole stack.
    what : str
        Of :data:`WHATS`.
    value : float
        How much: grey level of the plane, fraction of burnt pixels, ratio to what was expected or loss of likeness,
        pixels of shift; NaN where there is no number.
    sentence : str
        The same in one line for the user.
    """

    plane: int | None
    led: int | None
    what: str
    value: float
    sentence: str

    def __str__(self) -> str:
        return self.sentence
