"""Pairs by simulated defocus of sharp images."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from math import ceil, radians, tan
from pathlib import Path

import numpy as np
from skimage.transform import resize

from napari_cellrestore.pairs.crop import VALIDATION_PX, Crop
from napari_cellrestore.pairs.images import middle, usual_levels
from napari_cellrestore.pairs.picture import DETECTOR_RANGE, EIGHT_BIT, Picture, Room, open_picture
from napari_cellrestore.pairs.split import Split
from napari_cellrestore.recipe import DefocusSettings
from napari_cellrestore.simulate import DetectorNoise, defocus_planes, quantise, smear_objectives

Array = np.ndarray

#: Pixel sizes that differ by no more than this part are one.
SAME_PIXEL = 0.02
#: Images of which there is a pair to validate on.
_VALIDATED = 3
#: Images that grey levels are looked at in, evenly over all.
_LOOKED_AT = 8
#: Levels of the pairs for the test, evenly over the range.
_TEST_LEVELS = 5


class DefocusPairs:
    """Pairs by simulated defocus of sharp images.

    A crop of an image (in half of the cases rescaled, then flipped, turned, its colours changed) is taken as the
    object; the target is that object through the objective in focus, the input the same out of focus with noise,
    rounded to the type of the image. In half of the crops each colour has its own focus (axial colour).

    Parameters
    ----------
    train, validation, test : sequence of Path
        Sharp images of 8 or 16 bit, all of one type, with a channel for each wavelength; no image may be in two of
        them. With one wavelength the green channel of colour images is taken: most of the information on stained
        cells is in it.
    settings : DefocusSettings
        Optics, range of defocus, noise (in grey levels of the images).
    in_planes : int
        Planes of a crop that enter together, at different levels, each with its own noise; they lie on one another.
    room : Room, optional
        Memory for decoded images.
    intensity_range : (float, float), optional
        Grey levels that the camera records, of images of 16 bit; those of the type where left out. The network knows them as
        -1 and 1, and nothing recorded lies outside.

    Raises
    ------
    ValueError
        Images that are not alike or do not fit the wavelengths, the pixel size or the grey levels, fewer levels than planes.

    Examples
    --------
    >>> from napari_cellrestore.simulate import smear_objectives
    >>> [lens.wavelength_um for lens in smear_objectives(DefocusSettings())]
    [0.62, 0.53, 0.47]
    """

    #: Light from outside a crop: crops are simulated with at least this many pixels around them, which are cut off.
    MARGIN = 32

    def __init__(
        self,
        train: Sequence[Path],
        validation: Sequence[Path] = (),
        settings: DefocusSettings | None = None,
        *,
        test: Sequence[Path] = (),
        in_planes: int = 1,
        room: Room | None = None,
        intensity_range: tuple[float, float] | None = None,
    ) -> None:
        Split(tuple(train), tuple(validation), tuple(test))
        if not train:
            raise ValueError("no images to train on: give at least one")
        self.settings = settings or DefocusSettings()
        self.levels_um = _levels(self.settings)
        if not 1 <= in_planes <= len(self.levels_um):
            raise ValueError(
                f"in_planes is {in_planes} of {len(self.levels_um)} levels: give 1 to {len(self.levels_um)}"
            )
        self._in_planes = in_planes
        self._objectives = smear_objectives(self.settings)
        self._noise = DetectorNoise(self.settings.noise_gain)
        self._room = Room() if room is None else room
        self.out_channels = len(self.settings.wavelengths_um)
        self.in_channels = in_planes * self.out_channels
        self.pixel_um: float | None = self.settings.pixel_um
        self.margin_px = max(self.MARGIN, _reach_px(self.settings))
        self.pictures = {path: open_sharp(path, self.settings, self._room) for path in (*train, *validation, *test)}
        self.intensity_range = self.target_range = self._range(intensity_range)
        self.notes = [] if intensity_range is None else self._cut_off()
        self.dtypes = (next(iter(self.pictures.values())).dtype.name,) * 2
        self._rescaled: dict[tuple[Path, float], Array] = {}
        self._train, self._validation, self._test = list(train), list(validation), list(test)

    def __len__(self) -> int:
        """Return the number of images to train on."""
        return len(self._train)

    def crop(self, rng: np.random.Generator, size: int) -> Crop:
        """Return a pair of ``size`` x ``size`` pixels, float32, in the grey levels of the images."""
        # The order in which numbers are drawn is part of a recipe: the same seed must give the same crops.
        colours = self.out_channels
        side = size + 2 * self.margin_px
        path = self._train[int(rng.integers(len(self._train)))]
        scale = rng.choice(self.settings.scales) if rng.random() < 0.5 else 1.0
        part = self._part(path, float(scale), side, rng)
        if self.settings.other_colours:
            low, high = self.intensity_range
            part = low + change_colours(part - low, rng, high - low)
        drawn = self._draw_levels(rng)
        reach = round(self.settings.axial_colour_um / self.settings.step_um)
        offsets_um: Array = np.zeros(colours)
        if colours > 1 and rng.random() < 0.5:
            offsets_um = self.settings.step_um * rng.integers(-reach, reach + 1, colours)
        given, target = self._pair(part, [z_um + offsets_um for z_um in drawn], rng, margin_px=self.margin_px)
        return Crop(given, target, _level(drawn))

    def validation(self) -> list[Crop]:
        """Return pairs of the middle of up to three validation images, halfway to the end of the range of defocus."""
        return [self._whole(path, self._usual(), index) for index, path in enumerate(self._validation[:_VALIDATED])]

    def test(self, paths: Collection[Path] | None = None) -> Iterator[tuple[str, Crop]]:
        """Yield name and pair of the images for the test, or of some of them, at each of a few levels, whole."""
        few = self.settings.only_um or tuple(np.linspace(*self.settings.levels_um, _TEST_LEVELS))
        wanted = [(index, path) for index, path in enumerate(self._test) if paths is None or path in paths]
        for index, path in wanted:
            for z_um in few if self._in_planes == 1 else [None]:
                levels = self._usual() if z_um is None else [float(z_um)]
                said = "" if z_um is None else f" {z_um:+g} um"
                yield path.name + said, self._whole(path, levels, index, limit_px=None)

    def _draw_levels(self, rng: np.random.Generator) -> list[float]:
        if self._in_planes == 1:
            return [float(self.levels_um[rng.integers(len(self.levels_um))])]
        return [float(z_um) for z_um in rng.choice(self.levels_um, self._in_planes, replace=False)]

    def _usual(self) -> list[float]:
        """Return the levels that are shown where one choice must do."""
        if self.settings.only_um:
            ordered = sorted(self.settings.only_um, key=abs)
            return [ordered[(len(ordered) // 2 + j) % len(ordered)] for j in range(self._in_planes)]
        return [self.settings.levels_um[1] / 2 / (j + 1) for j in range(self._in_planes)]

    def _whole(self, path: Path, levels: Sequence[float], seed: int, limit_px: int | None = VALIDATION_PX) -> Crop:
        rows, columns, _ = self.pictures[path].shape
        area = middle((slice(0, rows), slice(0, columns)), limit_px or max(rows, columns))
        image = self.pictures[path].part(*area).astype(np.float32)
        planes = [np.full(self.out_channels, z_um) for z_um in levels]
        given, target = self._pair(image, planes, np.random.default_rng(seed), edges="reflect")
        return Crop(given, target, _level(levels))

    # --- images ----------------------------------------------------------------------------------------------

    def _range(self, given: tuple[float, float] | None) -> tuple[float, float]:
        ranges = {recorded_range(path, picture) for path, picture in self.pictures.items()}
        if len(ranges) > 1:
            kinds = {picture.dtype.name: path for path, picture in self.pictures.items()}
            said = ", ".join(f"{path.name} is {kind}" for kind, path in sorted(kinds.items()))
            raise ValueError(f"{said}: sharp images must be all of 8 bit or all of 16 bit; convert the others")
        (known,) = ranges
        if given is None or given == known:
            return known
        said = f"intensity_range is {given[0]:g} to {given[1]:g}"
        if known == DETECTOR_RANGE["uint8"]:
            raise ValueError(f"{said}: {EIGHT_BIT}")
        if not known[0] <= given[0] < given[1] <= known[1]:
            raise ValueError(f"{said}: give two grey levels from 0 to {known[1]:g}, the lower first, such as [0, 4095]")
        return given

    def _cut_off(self) -> list[str]:
        """Return a note where images have grey levels that their camera is said not to record."""
        pictures, (low, high) = list(self.pictures.values()), self.intensity_range
        darkest, brightest = usual_levels(pictures[:: -(-len(pictures) // _LOOKED_AT)])
        if low <= darkest and brightest <= high:
            return []
        return [
            f"grey levels of sharp images are {darkest:.5g} to {brightest:.5g}, intensity_range is {low:g} to {high:g}: what lies "
            "outside is cut off; give the range of the camera"
        ]

    def _image(self, path: Path, scale: float, side: int) -> Array:
        """Return an image rescaled (kept where there is room), extended by its mirror image where it is too small."""
        image = self._rescaled[path, scale] if (path, scale) in self._rescaled else self.pictures[path].whole()
        if scale != 1 and (path, scale) not in self._rescaled:
            shape = [round(n * scale) for n in image.shape[:2]]
            image = quantise(resize(image.astype(np.float32), shape), image.dtype)
            if self._room.take(image.nbytes):
                self._rescaled[path, scale] = image
        missing = [max(0, side - n) for n in image.shape[:2]]
        return np.pad(image, [(0, n) for n in missing] + [(0, 0)], mode="symmetric") if any(missing) else image

    def _part(self, path: Path, scale: float, side: int, rng: np.random.Generator) -> Array:
        """Cut out a square, turned and flipped at random."""
        image = self._image(path, scale, side)
        top, left = (int(rng.integers(n - side + 1)) for n in image.shape[:2])
        part = np.rot90(image[top : top + side, left : left + side].astype(np.float32), int(rng.integers(4)))
        return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)

    def _pair(
        self,
        image: Array,
        planes_um: Sequence[Array],
        rng: np.random.Generator,
        *,
        margin_px: int = 0,
        edges: str = "wrap",
    ) -> tuple[Array, Array]:
        """Return the planes as recorded, one after the other along C, and the image in focus, without a margin."""
        # The kernel does not depend on the sign of z; rounding keeps the number of different kernels small.
        levels = [np.zeros(self.out_channels), *(np.round(np.abs(z_um), 6) for z_um in planes_um)]
        planes = defocus_planes(image, self.settings.pixel_um, self._objectives, levels, edges=edges)
        inner = tuple(slice(margin_px, n - margin_px) for n in image.shape[:2])
        target, *blurred = (plane[inner] for plane in planes)
        dtype = next(iter(self.pictures.values())).dtype
        recorded = quantise(
            np.clip(self._noise.add(np.concatenate(blurred, axis=-1), rng), *self.intensity_range), dtype
        )
        return recorded.astype(np.float32), target


def open_sharp(path: Path, settings: DefocusSettings, room: Room | None = None) -> Picture:
    """Open a sharp image, (Y, X, wavelengths): of colour images and one wavelength the green channel.

    ValueError where it has another number of colours than the settings have wavelengths, or states another pixel size.
    """
    picture, wavelengths = open_picture(path, room), len(settings.wavelengths_um)
    if picture.pixel_um and abs(picture.pixel_um / settings.pixel_um - 1) > SAME_PIXEL:
        raise ValueError(
            f"{path} states pixels of {picture.pixel_um:g} um, the recipe pixel_um {settings.pixel_um:g} under pairs: write "
            f"pixel_um: {picture.pixel_um:g} there, or resample the images to {settings.pixel_um:g} um"
        )
    colours = picture.shape[-1]
    if wavelengths == 1 and colours == 3:
        return picture.channel(1)
    if colours != wavelengths:
        raise ValueError(
            f"{path} has {colours} colours, the recipe {wavelengths} wavelengths_um: give a wavelength for each colour, or "
            "one for grey images"
        )
    return picture


def recorded_range(path: Path, picture: Picture, given: tuple[float, float] | None = None) -> tuple[float, float]:
    """Return the grey levels that the camera of a sharp image can record; ValueError where its type does not say.

    Those that are given are of images of 16 bit: of 8 bit it is known.
    """
    kind = picture.dtype.name
    if kind not in DETECTOR_RANGE:
        raise ValueError(f"{path} is {kind}: sharp images of 8 or 16 bit are needed, which say what a camera records")
    return given if given and kind != "uint8" else DETECTOR_RANGE[kind]


def _levels(settings: DefocusSettings) -> Array:
    if settings.only_um:
        return np.asarray(settings.only_um, float)
    low, high = settings.levels_um
    return low + settings.step_um * np.arange(round((high - low) / settings.step_um) + 1)


def _level(levels_um: Sequence[float]) -> float | None:
    return round(levels_um[0], 6) if len(levels_um) == 1 else None


def _reach_px(settings: DefocusSettings) -> int:
    """Return how far light of a point reaches that matters: its cone at the largest defocus and four Airy radii."""
    furthest_um = float(np.abs(_levels(settings)).max()) + settings.axial_colour_um
    reach_um = 0.0
    for lens in smear_objectives(settings):
        cone_um = furthest_um * tan(radians(min(lens.acceptance_deg, 87)))
        reach_um = max(reach_um, cone_um + 4 * 0.61 * lens.wavelength_um / lens.na)
    return ceil(reach_um / settings.pixel_um)


def change_colours(image: Array, rng: np.random.Generator, full: float = 255.0) -> Array:
    """Change contrast, brightness and white balance at random, within 0 to ``full`` (Olofsson & Wagnström 2019, 2.3).

    Of grey images, (Y, X, 1), contrast and brightness.
    """
    colours = image.shape[-1]
    contrast = np.exp(rng.uniform(-0.35, 0.35))
    balance = np.exp(rng.uniform(-0.12, 0.12, colours)).astype(np.float32) if colours > 1 else np.ones(1, np.float32)
    background = np.percentile(image[::8, ::8], 90, axis=(0, 1)).astype(np.float32)
    # A colour image has a bright background; one that is grey may be dark between its structures.
    darkest = (40 if colours > 1 else 0) * (full / 255)
    target = np.clip(background * balance * np.exp(rng.uniform(-0.25, 0.1)), darkest, 250 * (full / 255))
    return np.asarray(np.clip(target + (image - background) * balance * contrast, 0, full), dtype=np.float32)
