"""There and back: two models of opposite ways as one (the full cycles of Jönsson & Sjöstrand 2018, figures 33 and 34)."""

from __future__ import annotations

import hashlib
from math import lcm

from torch import Tensor, nn

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model.folder import Model, list_models, load_model

#: What the name of the way back ends with.
BACK = "-back"


def way_back(card: ModelCard) -> ModelCard | None:
    """Return the card of the model that undoes what this one does, as one training made both; None where there is none."""
    name = card.name.removesuffix(BACK) if card.name.endswith(BACK) else card.name + BACK
    return next((other for other in list_models() if other.name == name and other.task == card.task), None)


def there_and_back(there: Model, back: Model | None = None) -> Model:
    """Return a model that does what one model does, and then what another does.

    After a cycle an image should be what it was; where it is not, the first model lost something or made it up. That it
    is says less: two networks can learn to hide what they need to find the way back.

    Parameters
    ----------
    there, back : Model
        Of images of one kind each; ``back`` is the model of the way back in the list where left out.

    Raises
    ------
    ValueError
        No way back, or models that do not fit together.
    """
    if back is None:
        card = way_back(there.card)
        if card is None:
            raise ValueError(
                f"model {there.card.name!r} has no way back: there is no {there.card.name + BACK!r} in the list; recipes of "
                "cycles make both"
            )
        back = load_model(card.name)
    first, second = there.card, back.card
    _check_fit(first, second)
    stride = lcm(first.stride, second.stride)
    hashes = f"{first.weights_sha256} {second.weights_sha256}"
    card = first.model_copy(
        update={
            "name": f"{first.name} there and back",
            "summary": f"What {first.name} does, and then what {second.name} does: the image should come out as it was",
            "out_channels": second.out_channels,
            "stride": stride,
            # the way back starts from what the way there made of this much more
            "halo_px": -(-first.halo_px // stride) * stride + second.halo_px,
            "tile_safe": first.tile_safe and second.tile_safe,
            "output_range": second.output_range,
            "output_dtype": second.output_dtype,
            "weights_sha256": hashlib.sha256(hashes.encode()).hexdigest(),
            "held_out": [],
            "limits": [*first.limits, "That an image comes back does not say that the way there was right."],
        }
    )
    return Model(Cycle(there.network, back.network), card, None)


class Cycle(nn.Module):
    """One network after another."""

    gives = "image"

    def __init__(self, there: nn.Module, back: nn.Module) -> None:
        super().__init__()
        self.there, self.back = there, back
        self.in_channels, self.out_channels = there.in_channels, back.out_channels

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, C, Y, X) to the same shape."""
        again: Tensor = self.back(self.there(image))
        return again


def _check_fit(there: ModelCard, back: ModelCard) -> None:
    made = there.out_channels, there.output_range or there.input_range
    taken = back.in_channels, back.input_range
    if made != taken or there.in_planes > 1 or back.in_planes > 1:
        raise ValueError(
            f"{there.name!r} makes images of {made[0]} channels and grey levels {made[1][0]:g} to {made[1][1]:g}, {back.name!r} "
            f"takes {taken[0]} and {taken[1][0]:g} to {taken[1][1]:g}, of one plane each: they do not fit together"
        )
