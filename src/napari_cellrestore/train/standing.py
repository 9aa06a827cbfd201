"""How far a run has come, and how well."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from napari_cellrestore.recipe import Recipe

#: Validations without gain after which the schedule ``plateau`` lowers the learning rate.
PLATEAU = 4


@dataclass
class Standing:
    """How far a run has come, and how its validation goes."""

    step: int = 0
    best: float | None = None
    without_gain: int = 0
    rate: float = 1.0

    def judge(self, checked: float | None, recipe: Recipe) -> bool:
        """Take note of a validation and return whether it is the best so far; what is no number never is.

        >>> standing = Standing()
        >>> recipe = Recipe(name="a", network="pix2pix", losses={"l1": 1}, schedule="plateau")
        >>> [standing.judge(error, recipe) for error in (3, 2, 2, 4, 2, 2)], standing.without_gain, standing.rate
        ([True, True, False, False, False, False], 4, 0.1)
        """
        if checked is None:
            return True
        if isfinite(checked) and (self.best is None or not checked >= self.best):
            self.best, self.without_gain = checked, 0
            return True
        self.without_gain += 1
        if recipe.schedule == "plateau" and self.without_gain % PLATEAU == 0:
            self.rate /= 10
        return False
