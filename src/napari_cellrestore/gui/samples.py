"""Samples of File > Open Sample."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np

from napari_cellrestore.files import open_stack
from napari_cellrestore.gui.layers import LayerData, layer_data
from napari_cellrestore.leds import arm_leds
from napari_cellrestore.simulate import (
    WULFF_2022,
    DetectorNoise,
    blood_phantom,
    defocus_stack,
    draw_smear,
    metered,
    simulated_rescan,
    smear_objectives,
)
from napari_cellrestore.stack import ImageStack

SMEAR_PX, SMEAR_PIXEL_UM, SMEAR_SEED = 384, 0.1, 2
SMEAR_Z_UM = tuple(step / 5 for step in range(-7, 8))
BLOOD_PX, BLOOD_PIXEL_UM, BLOOD_SEED = 160, 0.25, 1
#: Grey level of a blank field in brightfield; no pixels burn at the high exposure.
BLOOD_LEVEL = 120.0


def smear_stack() -> ImageStack:
    """Return a drawn blood smear as the microscope of the deblurring models records it, 1.4 um to both sides of focus.

    The truth of every plane is the plane at z = 0 without noise, ``defocus(smear, pixel_um, objectives, 0)``, of the
    smear that the provenance tells how to draw.
    """
    smear = draw_smear((SMEAR_PX, SMEAR_PX), SMEAR_PIXEL_UM, np.random.default_rng(SMEAR_SEED))
    stack = defocus_stack(smear, SMEAR_PIXEL_UM, smear_objectives(), SMEAR_Z_UM, DetectorNoise())
    drawn = {"shape": [SMEAR_PX, SMEAR_PX], "pixel_um": SMEAR_PIXEL_UM, "seed": SMEAR_SEED}
    return stack.replace(provenance={**stack.provenance, "draw_smear": drawn})


def blood_smear() -> list[LayerData]:
    """Return the simulated focus stack of a blood smear as a layer."""
    ((data, options, kind),) = layer_data(smear_stack())
    return [(data, {**options, "name": "blood smear (simulated)"}, kind)]


def mitochondria() -> list[LayerData]:
    """Return the recorded focus stack of mitochondria as a layer."""
    with as_file(files("napari_cellrestore") / "data" / "mitochondria.tif") as path:
        stack = open_stack(path)
        stack = stack.replace(data=np.asarray(stack.data), source=f"{path.name} (sample)")
    ((data, options, kind),) = layer_data(stack)
    shown = {"name": "mitochondria", "colormap": "green", "contrast_limits": (90, 460)}  # leaves hot pixels out
    return [(data, {**options, **shown}, kind)]


def unstained_blood() -> list[LayerData]:
    """Return a simulated LED stack of unstained blood as a layer, above the stained image of the same cells."""
    sample = blood_phantom((128, 128), BLOOD_PIXEL_UM / 2, seed=0, white_per_mm2=1500)
    leds = metered(arm_leds(), sample.transmission(), BLOOD_PIXEL_UM / 2, WULFF_2022, target=0.65, percentile=99.9)
    stack, stained, _ = simulated_rescan(
        (BLOOD_PX, BLOOD_PX),
        BLOOD_PIXEL_UM,
        WULFF_2022,
        leds,
        BLOOD_SEED,
        level=BLOOD_LEVEL,
        high_over_low=2.5,
        noise=DetectorNoise(0.005),
    )
    truth = stack.replace(data=stained, axes="YXS", leds=None)
    layers = []
    for image, name in ((truth, "stained blood (simulated)"), (stack, "unstained blood (simulated)")):
        ((data, options, kind),) = layer_data(image)
        layers.append((data, {**options, "name": name}, kind))
    return layers
