"""Is this an image of the kind that a model was trained on? Its colours, noise, pixels and defocus beside the card.

A network is right about images like those it learned from. About others it says something all the same, and nothing in
the result shows it. So each property that the model card states is compared, in units of what the training images had.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_cellrestore.card import ModelCard
from napari_cellrestore.sample import as_stack, deciding_pixels, grey_range, middle_of, spread_parts, thinned
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.trust import estimate_noise

Array = np.ndarray
#: Distance from focus in micrometres, alone or with its uncertainty; or why it is not known.
Predicted = float | tuple[float, float] | str | None

AS_TRAINED, OUTSIDE, UNKNOWN = "as trained", "outside", "unknown"
#: A colour is outside from this many standard deviations of the training images.
FAR = 3.0
#: Noise is outside from this many times that of the training images.
NOISIER = 2.5
#: Pixels are as trained between these ratios of size.
PIXEL_RATIOS = (0.8, 1.25)
COLOURS = ("red", "green", "blue")
#: Least standard deviation that a colour is measured in, as a part of full scale: cards are written to a hundredth of a level.
LEAST_SPREAD = 1 / 255
#: So many of the planes that are taken together are looked at.
PLANES_SEEN = 8


@dataclass(frozen=True)
class Trait:
    """One property of an image beside what a model card says of it.

    Attributes
    ----------
    what : str
        Its name.
    image, card : str
        What the image has, and what the model was trained on, with units; "" where it is not known.
    verdict : str
        "as trained", "outside" or "unknown".
    distance : float or None
        How far it lies, in units of the card: standard deviations, or how many times what it was in training.
    distance_said : str
        The same in words.
    said : str
        What to mind, "" where there is nothing; why it is unknown.
    minds : bool
        Whether ``said`` is a warning.
    """

    what: str
    image: str
    card: str
    verdict: str
    distance: float | None = None
    distance_said: str = ""
    said: str = ""
    minds: bool = False


@dataclass(frozen=True)
class Domain:
    """How far an image lies from what a model knows: one :class:`Trait` a row."""

    model: str
    traits: tuple[Trait, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to mind, a sentence each."""
        return tuple(trait.said for trait in self.traits if trait.minds)

    @property
    def verdict(self) -> str:
        """Return "outside" if any trait is, "as trained" if all that are known are, else "unknown"."""
        verdicts = {trait.verdict for trait in self.traits}
        return next((one for one in (OUTSIDE, AS_TRAINED) if one in verdicts), UNKNOWN)

    @property
    def as_trained(self) -> tuple[str, ...]:
        """Names of the properties that are as in training."""
        return tuple(trait.what for trait in self.traits if trait.verdict == AS_TRAINED)

    def table(self, *, doubts_only: bool = False) -> list[tuple[str, str, str, str]]:
        """Return rows of words, the header first: property, this image, the model's training images, verdict."""
        rows = [("", "this image", "trained on", "verdict")]
        for one in self.traits:
            if doubts_only and one.verdict == AS_TRAINED:
                continue
            why = f": {one.said}" if one.verdict == UNKNOWN and one.said else ""
            far = f" ({one.distance_said})" if one.distance_said and one.verdict == OUTSIDE else ""
            rows.append((one.what, one.image or "–", one.card or "–", one.verdict + (why or far)))
        return rows


def judge_domain(
    image_or_stack: Any,
    card: ModelCard,
    *,
    predicted_defocus_um: Predicted = None,
    intensity: tuple[float, float] | None = None,
    planes: Sequence[int] = (),
) -> Domain:
    """Return how far an image lies from what a model was trained on.

    Parameters
    ----------
    image_or_stack : array or ImageStack
        As in :func:`napari_cellrestore.restore.plan_restoration`; of lazy stacks the middle plane is looked at, of LED stacks the
        clearest.
    card : ModelCard
    predicted_defocus_um : float, (float, float) or str, optional
        Distance from focus, and its uncertainty, see :func:`predict_defocus_um`; or why it is not known.
    intensity : (float, float), optional
        Grey levels of black and full scale, as in a plan.
    planes : sequence of int
        Planes that the model takes together, as in a plan; some of them are looked at.

    Examples
    --------
    >>> card = ModelCard(name="a", task="deblur", network="wiener", colour_mean=(180, 170, 175), colour_std=(15, 15, 15))
    >>> domain = judge_domain(np.full((64, 64, 3), 100, np.uint8), card)
    >>> domain.verdict, domain.traits[0].what, round(domain.traits[0].distance, 1)
    ('outside', 'red', -5.3)
    """
    stack = as_stack(image_or_stack)
    pixels = deciding_pixels(stack)
    low, high, guessed = grey_range(stack, pixels, intensity)
    few = thinned(pixels, stack)
    return judge_pixels(stack, card, few, (low, high), guessed, predicted_defocus_um, planes=planes)


def with_defocus(domain: Domain, card: ModelCard, defocus_um: Predicted) -> Domain:
    """Return a verdict of :func:`judge_domain` with the distance from focus, which takes longer to predict than the rest."""
    return replace(domain, traits=(*domain.traits[:-1], _defocus(card, defocus_um)))


def judge_pixels(
    stack: ImageStack,
    card: ModelCard,
    few: Array,
    levels: tuple[float, float],
    guessed: Sequence[str] = (),
    defocus_um: Predicted = None,
    *,
    planes: Sequence[int] = (),
) -> Domain:
    """Judge an image by a few of its pixels and its grey range, both known already; see :func:`judge_domain`."""
    return Domain(
        card.name,
        (
            *(_planes(stack, card, planes, levels) if card.in_planes > 1 else _colours(stack, card, few, levels)),
            _noise(stack, card, levels),
            _pixel_size(stack, card),
            _channels(stack, card),
            _grey_levels(stack, card, levels, guessed),
            _size(stack, card),
            _defocus(card, defocus_um),
        ),
    )


# --- the traits ------------------------------------------------------------------------------------------------


def _scale(card: ModelCard, levels: tuple[float, float]) -> float:
    """Return grey levels of the model for one of the image."""
    return (card.input_range[1] - card.input_range[0]) / (levels[1] - levels[0])


def _colours(stack: ImageStack, card: ModelCard, few: Array, levels: tuple[float, float]) -> list[Trait]:
    """Return the mean of each colour in deviations ``z = (mean - card mean) / card deviation``."""
    if not (card.colour_mean and card.colour_std):
        return [Trait("colour", "", "", UNKNOWN, said="the card does not say")]
    if not stack.rgb:
        return [Trait("colour", "grey", "colour", UNKNOWN, said="a grey image has no colours to compare")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an all-NaN image is said elsewhere
        mean = np.nanmean(few[..., :3].reshape(-1, 3).astype(float), axis=0)
    means = (mean - levels[0]) * _scale(card, levels) + card.input_range[0]
    top = card.input_range[1]
    traits = []
    for name, value, known, spread in zip(COLOURS, means, card.colour_mean, card.colour_std, strict=False):
        if not np.isfinite(value):
            traits.append(Trait(name, "", f"{known:.0f} ± {spread:.0f}", UNKNOWN, said="no pixel is a number"))
            continue
        if not spread:
            traits.append(
                Trait(name, f"{value:.0f} of {top:g}", f"{known:.0f}", UNKNOWN, said="trained on one image only")
            )
            continue
        z = float((value - known) / max(spread, LEAST_SPREAD * top))
        far = abs(z) > FAR
        said = (
            f"{name} is {value:.0f} of {top:g} on average, training images {known:.0f} +- {spread:.0f} ({abs(z):.1f} "
            "deviations away)"
        )
        traits.append(
            Trait(
                name,
                f"{value:.0f} of {top:g}",
                f"{known:.0f} ± {spread:.0f}",
                OUTSIDE if far else AS_TRAINED,
                z,
                f"{abs(z):.1f} deviations away",
                said if far else "",
                far,
            )
        )
    return _only_the_farthest_minds(traits)


def _planes(stack: ImageStack, card: ModelCard, planes: Sequence[int], levels: tuple[float, float]) -> list[Trait]:
    """Return how bright a few of the planes are that are taken together: planes in another order are not alike."""
    name = "brightness of planes"
    if not planes or len(card.colour_mean) != card.in_channels or len(card.colour_std) != card.in_channels:
        return [Trait(name, "", "", UNKNOWN, said="not compared")]
    top, colours = card.input_range[1], card.in_channels // card.in_planes
    found = []
    for place in np.unique(np.linspace(0, len(planes) - 1, PLANES_SEEN).astype(int)).tolist():
        pixels = spread_parts(stack.data[planes[place]])
        value = (float(np.nanmean(pixels[..., :3] if stack.rgb else pixels)) - levels[0]) * _scale(
            card, levels
        ) + card.input_range[0]
        own = slice(place * colours, (place + 1) * colours)
        known, spread = float(np.mean(card.colour_mean[own])), float(np.mean(card.colour_std[own]))
        # by a tenth more or less, and a level of dark planes, each image differs by what is on it
        found.append(
            ((value - known) / max(spread, known / 10, 2 * LEAST_SPREAD * top), planes[place], value, known, spread)
        )
    z, plane, value, known, spread = max(found, key=lambda one: abs(one[0]))
    image, trained = f"plane {plane}: {value:.0f} of {top:g}", f"{known:.0f} ± {spread:.0f}"
    if not abs(z) > FAR:
        return [Trait(name, image, trained, AS_TRAINED, z)]
    said = (
        f"plane {plane} is {value:.0f} of {top:g} on average, in training it was {known:.0f} +- {spread:.0f}: check the "
        "exposure, and that the planes are in the order of the table"
    )
    return [Trait(name, image, trained, OUTSIDE, z, f"{abs(z):.1f} deviations away", said, True)]


def _only_the_farthest_minds(traits: list[Trait]) -> list[Trait]:
    """Return the traits with one warning for all colours: that of the one farthest away."""
    farthest = max(traits, key=lambda trait: abs(trait.distance or 0))
    return [replace(trait, minds=trait.minds and trait is farthest) for trait in traits]


def _noise(stack: ImageStack, card: ModelCard, levels: tuple[float, float]) -> Trait:
    """Return the noise as many times that of the training images, ``sqrt(gain x level + 1 / 12)``."""
    gain = card.recipe.get("pairs", {}).get("noise_gain")
    if not gain:
        return Trait("noise", "", "", UNKNOWN, said="the card does not say")
    middle = middle_of(stack)
    if min(stack.yx_shape) < 32 or not np.isfinite(middle).all():
        return Trait("noise", "", "", UNKNOWN, said="too few pixels that are numbers")
    scale, top = _scale(card, levels), card.input_range[1]
    level = (float(np.mean(middle[..., :3] if stack.rgb else middle)) - levels[0]) * scale
    noise, known = estimate_noise(middle) * scale, float(np.sqrt(max(gain * level, 0) + 1 / 12))
    noisier = noise > NOISIER * known
    said = f"the noise is about {noise:.2g} grey levels of {top:g}, in training it was {known:.2g}: it may be taken for detail"
    return Trait(
        "noise",
        f"{noise:.2g} grey levels",
        f"{known:.2g} grey levels",
        OUTSIDE if noisier else AS_TRAINED,
        noise / known,
        f"{noise / known:.1f} times as much",
        said if noisier else "",
        noisier,
    )


def _pixel_size(stack: ImageStack, card: ModelCard) -> Trait:
    name, known, size = "pixel size", card.pixel_um, stack.pixel_um
    if known is None:
        return Trait(name, "" if size is None else f"{size:g} µm", "", UNKNOWN, said="the card does not say")
    trained = f"{known:g} µm"
    if size is None:
        said = f"the pixel size is not known; the model was trained at {known:g} um per pixel"
        return Trait(name, "", trained, UNKNOWN, said=said, minds=True)
    ratio = size / known
    if PIXEL_RATIOS[0] <= ratio <= PIXEL_RATIOS[1]:
        return Trait(name, f"{size:g} µm", trained, AS_TRAINED, ratio)
    said = f"pixels are {size:g} um, the model was trained at {known:g} um: resample the image by {ratio:.3g}"
    return Trait(name, f"{size:g} µm", trained, OUTSIDE, ratio, f"{ratio:.3g} times as large", said, True)


def _channels(stack: ImageStack, card: ModelCard) -> Trait:
    if stack.rgb:
        return Trait("channels", "colour", "colour", AS_TRAINED)
    if card.in_channels == card.in_planes:
        return Trait("channels", "grey", "grey", AS_TRAINED)
    said = "the model knows colour images: the grey image is shown to it in all three colours, the mean is taken"
    return Trait("channels", "grey", "colour", OUTSIDE, said=said, minds=True)


def _grey_levels(stack: ImageStack, card: ModelCard, levels: tuple[float, float], guessed: Sequence[str]) -> Trait:
    """Return black and full scale; what had to be guessed is said by the plan."""
    image = f"{stack.data.dtype}, {levels[0]:g} to {levels[1]:g}"
    known = f"{card.input_range[0]:g} to {card.input_range[1]:g}"
    if guessed:
        return Trait("grey levels", image, known, UNKNOWN, said="the full scale is taken from the image")
    return Trait("grey levels", image, known, AS_TRAINED)


def _size(stack: ImageStack, card: ModelCard) -> Trait:
    rows, columns = stack.yx_shape
    least = 2 * card.stride
    image, known = f"{rows} × {columns} px", f"{least} px and more"
    if min(rows, columns) >= least:
        return Trait("size", image, known, AS_TRAINED)
    said = (
        f"the image is {rows} x {columns} px, the network sees {least} px and more: mirrored borders fill "
        "the rest, so take the result for a guess"
    )
    return Trait("size", image, known, OUTSIDE, said=said, minds=True)


def _defocus(card: ModelCard, defocus_um: Predicted) -> Trait:
    """Return the distance from focus; how far it lies beyond the card's, in units of its own uncertainty."""
    name = "defocus"
    most = None if card.defocus_um is None else max(map(abs, card.defocus_um))
    known = "" if most is None else f"up to {most:g} µm"
    if defocus_um is None or isinstance(defocus_um, str):
        return Trait(name, "", known, UNKNOWN, said=defocus_um or "it was not predicted")
    um, spread = defocus_um if isinstance(defocus_um, tuple) else (defocus_um, 0.0)
    image = f"about {abs(um):.2g} µm" + (f" ± {spread:.1g}" if spread else "")
    if most is None:
        return Trait(name, image, "", UNKNOWN, said="the card does not say")
    beyond = abs(um) - most
    distance = beyond / spread if spread else None
    if beyond <= 0:
        return Trait(name, image, known, AS_TRAINED, distance)
    said = (
        f"the image seems to be about {abs(um):.2g} um out of focus, the model was trained up to {most:g} um: what it shows "
        "beyond that is a guess"
    )
    return Trait(name, image, known, OUTSIDE, distance, f"{beyond:.2g} µm beyond", said, True)
