"""Likely causes of large errors: faults that are put into drawn pairs are found, and good pairs are left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_cellrestore.evaluate.causes import CAUSES, UNKNOWN, Case, Cause, likely_causes, said
from napari_cellrestore.leds import LedTable, arm_leds
from napari_cellrestore.simulate import WULFF_2022, DetectorNoise, simulated_rescan
from napari_cellrestore.stack import ImageStack

PIXEL_UM = 0.25
FILM, RED, PLASM, VIOLET = (236, 234, 228), (214, 160, 158), (205, 195, 225), (96, 48, 148)
SHAPE = (128, 128)
LEDS = LedTable(
    index=[-1, 0, 1, 2, 3, 4],
    polar_deg=[0, 8, 15, 15, 15, 15],
    azimuth_deg=[0, 0, 0, 90, 180, 270],
    kind=["brightfield", *["point"] * 5],
)


def disc(centre, radius_px):
    y, x = np.indices(SHAPE)
    return np.hypot(y - centre[0], x - centre[1]) < radius_px


def soft(mask, sigma=0.8):
    return ndimage.gaussian_filter(mask.astype(float), sigma)[..., None]


class Pair:
    """A field of cells: unstained as edges in grey, stained in colours, and what an ordinary model makes of it."""

    def __init__(self, seed=0, defocus_px=0.0, scatter_px=3):
        self.rng = np.random.default_rng(seed)
        places = self.rng.permutation([(y, x) for y in (22, 62, 104) for x in (22, 64, 106)])
        self.free, nucleus, *cells = (place + self.rng.integers(-scatter_px, scatter_px + 1, 2) for place in places[:7])
        self.nucleus = disc(nucleus, 11)
        white = disc(nucleus, 17)
        stained = np.full((*SHAPE, 3), FILM, float)
        for mask, colour in [*((disc(cell, 14), RED) for cell in cells), (white, PLASM), (self.nucleus, VIOLET)]:
            stained = stained * (1 - soft(mask)) + np.array(colour, float) * soft(mask)
        edges = sum(np.abs(ndimage.gaussian_laplace(mask.astype(float), 1.2)) for mask in (white, self.nucleus))
        edges = edges + sum(np.abs(ndimage.gaussian_laplace(disc(cell, 14).astype(float), 1.2)) for cell in cells)
        grey = 170 - 150 * edges
        self.target = self.noisy(stained, 0)
        smooth = ndimage.gaussian_filter(stained, (1.2, 1.2, 0)) + self.rng.normal(0, 2, 3)
        self.prediction = self.noisy(smooth, 2)
        planes = [self.noisy(self.moved(grey, along), 1.5) for along in self.light() * defocus_px]
        self.stack = ImageStack(np.stack(planes), "AYX", pixel_um=PIXEL_UM, leds=LEDS)

    @staticmethod
    def light():
        azimuth = np.radians(LEDS.azimuth_deg)
        return np.tan(np.radians(LEDS.polar_deg))[:, None] * np.stack([np.sin(azimuth), np.cos(azimuth)], axis=1)

    @staticmethod
    def moved(image, px):
        return ndimage.shift(image, (*px, 0)[: image.ndim], order=1, mode="nearest")

    def noisy(self, image, sigma):
        return np.clip(np.rint(image + self.rng.normal(0, sigma, image.shape)), 0, 255).astype(np.uint8)

    def painted(self, image, mask, colour):
        return self.noisy(image * (1 - soft(mask)) + np.array(colour, float) * soft(mask), 0)

    def case(self, **changes):
        given = np.stack([self.stack.data[0]] * 3, axis=-1)
        parts = {"stack": self.stack, "given": given, "prediction": self.prediction, "target": self.target}
        return Case(**(parts | changes))


def names(case):
    return [cause.name for cause in likely_causes(case)]


SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
def test_good_pairs_have_no_cause(seed):
    case = Pair(seed, defocus_px=8).case()
    before = [image.copy() for image in (case.given, case.prediction, case.target)]
    assert likely_causes(case) == []
    assert said([]) == [UNKNOWN]
    for image, same in zip((case.given, case.prediction, case.target), before, strict=True):
        np.testing.assert_array_equal(image, same)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_target_beside_its_input_is_measured(seed):
    pair = Pair(seed)
    (cause,) = likely_causes(pair.case(target=np.roll(pair.target, (3, -4), (0, 1))))
    assert cause.name == "mismatch"
    assert cause.number == pytest.approx(5, abs=0.3)
    assert said([cause])[0].startswith("likely: the target lies ")
    assert "down" in cause.said
    assert "left" in cause.said


@pytest.mark.parametrize("seed", SEEDS)
def test_a_target_of_other_cells_is_told(seed):
    found = likely_causes(Pair(seed, scatter_px=16).case(target=Pair(seed + 50, scatter_px=16).target))
    assert found[0].name == "mismatch"
    assert "do not show the same" in found[0].said or found[0].number > 20


@pytest.mark.parametrize("colour", [(60, 110, 200), (120, 85, 40), (20, 20, 20)])
def test_an_artefact_in_the_target_alone_is_placed(colour):
    for seed in SEEDS:
        pair = Pair(seed)
        dirty = pair.painted(pair.target, disc(pair.free, 6), colour)
        (cause,) = (one for one in likely_causes(pair.case(target=dirty)) if one.name == "artefact in the target")
        assert cause.number > 3
        y, x = pair.free
        assert any(f"row {y + dy}, column {x + dx}" in cause.said for dy in (-1, 0, 1) for dx in (-1, 0, 1))
        # what the input shows too is none: the network should have seen it
        seen = np.stack([pair.noisy(pair.stack.data[0] * (1 - 0.5 * soft(disc(pair.free, 6))[..., 0]), 1)] * 3, axis=-1)
        assert "artefact in the target" not in names(pair.case(target=dirty, given=seen))


@pytest.mark.parametrize("seed", SEEDS)
def test_nuclei_that_a_network_left_out_or_invented_are_counted(seed):
    pair = Pair(seed)
    (erased,) = likely_causes(
        pair.case(prediction=pair.painted(pair.prediction, ndimage.binary_dilation(pair.nucleus, iterations=3), PLASM))
    )
    assert (erased.name, erased.number, erased.said) == ("nuclei", 1, "1 of 1 nucleus missing")
    added = likely_causes(pair.case(prediction=pair.painted(pair.prediction, disc(pair.free, 11), VIOLET)))
    assert [cause.said for cause in added] == ["1 nucleus added"]


@pytest.mark.parametrize("seed", SEEDS)
def test_planes_that_moved_are_told_from_defocus(seed):
    pair = Pair(seed, defocus_px=10)
    data = pair.stack.data.copy()
    data[3] = pair.moved(data[3], (-4, 3))
    (cause,) = likely_causes(pair.case(stack=pair.stack.replace(data=data)))
    assert cause.name == "planes shifted"
    assert cause.said.startswith("plane 3 (LED 2) of the input lies")
    data = pair.stack.data.copy()
    data[1:] = [pair.moved(plane, (3, 0)) for plane in data[1:]]  # all beside the brightfield, as of Wulff 2022
    (cause,) = likely_causes(pair.case(stack=pair.stack.replace(data=data)))
    assert cause.said.startswith("all planes of single LEDs of the input lie 3.0 px beside its brightfield")


def test_crops_of_one_cell_as_they_were_recorded_have_no_shifted_plane():
    leds = arm_leds()
    some = leds[np.flatnonzero(leds.kind != "darkfield")]
    stack, target, truth = simulated_rescan(
        (256, 256),
        PIXEL_UM,
        WULFF_2022,
        some,
        501,
        white_per_mm2=1500,
        noise=DetectorNoise(0.01),
        brightfield_leds=leds,
    )
    corners = (np.rint(np.array([cell.centre_um for cell in truth.white_cells]) / PIXEL_UM) - 32).astype(int)
    corners = corners[((corners >= 0) & (corners <= 192)).all(axis=1)]
    assert len(corners) == 3
    for y, x in corners:
        part = slice(y, y + 64), slice(x, x + 64)
        crop = stack.replace(data=np.asarray(stack.data)[:, *part])
        case = Case(crop, crop.data[0], target[part], target[part])
        assert "planes shifted" not in names(case)
        data = crop.data.copy()
        data[1:] = np.roll(data[1:], 4, axis=1)
        assert names(replace(case, stack=crop.replace(data=data)))[0] == "planes shifted"


def test_what_a_sample_does_not_have_is_no_cause():
    pair = Pair()
    grey = {name: getattr(pair.case(), name)[..., 1] for name in ("given", "prediction", "target")}
    stack = ImageStack(pair.stack.data[0], "YX")
    assert likely_causes(Case(stack, **grey)) == []
    flat = np.full(SHAPE, 7, np.uint8)
    assert set(names(Case(stack, flat, flat, flat))) <= {"mismatch"}
    moved = Case(stack, grey["given"], grey["prediction"], np.roll(grey["target"], 4, 0))
    assert names(moved) == ["mismatch"]


def test_causes_are_a_table_to_which_others_can_be_added(monkeypatch):
    from napari_cellrestore.evaluate import causes

    monkeypatch.setattr(
        causes, "CAUSES", {**CAUSES, "too dark": lambda case: (float(case.target.mean()), "it is dark")}
    )
    assert likely_causes(Pair().case())[-1].name == "too dark"
    both = [Cause("a", 1, "one"), Cause("b", 2, "two")]
    assert said(both) == ["likely: one", "two"]
