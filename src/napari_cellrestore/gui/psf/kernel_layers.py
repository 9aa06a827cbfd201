"""Kernels, transfer functions and beads as layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Points
from scipy import fft

from napari_cellrestore.beads import BeadPsf
from napari_cellrestore.gui.current import plane_place, put_layer
from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.gui.plot import PALETTE
from napari_cellrestore.gui.psf.work import Recovered
from napari_cellrestore.kernels import described, kernel_stack, sharp_kernel
from napari_cellrestore.psf import otf
from napari_cellrestore.stack import ImageStack

#: What the absolute kernel is called in provenances.
ABSOLUTE = "absolute: of the defocused microscope, sum 1 over the frame"


def add_kernels(
    viewer: ViewerModel,
    shown: Sequence[Recovered],
    name: str,
    z_um: np.ndarray | None,
    sources: Mapping[str, Any],
    *,
    absolute: bool = False,
) -> Image:
    """Add the kernel of one plane, or of several along z with that of the sharpest one between them."""
    first = shown[0]
    said = {**described(first.found), "layers": dict(sources), "step": "point-spread function"}
    if absolute:
        said["kernel"] = ABSOLUTE
    if len(shown) == 1:
        stack = kernel_stack([first.found], absolute=absolute, provenance=said)
    else:
        found = {recovered.plane: recovered.found for recovered in shown}
        assert first.reference is not None
        found[first.reference] = sharp_kernel(first.found)
        planes = sorted(plane for plane in found if plane is not None)
        fields = {} if z_um is None else {"z_um": z_um[planes]}
        stack = kernel_stack([found[plane] for plane in planes], "Z", absolute=absolute, provenance=said, **fields)
    return _put(viewer, stack, name)


def add_bead_psf(viewer: ViewerModel, found: BeadPsf, name: str, sources: Mapping[str, Any]) -> Image:
    """Add the average bead, z counted from its middle."""
    half = len(found.psf) // 2
    said = {
        "generated": f"average of {len(found.used)} beads: computed, not recorded",
        "step": "point-spread function",
        "fwhm_um": found.fwhm_um,
        "layers": dict(sources),
    }
    stack = ImageStack(
        found.psf.astype(np.float32),
        "ZYX",
        pixel_um=found.pixel_um,
        z_um=[found.z_step_um * step for step in range(-half, half + 1)],
        provenance=said,
    )
    return _put(viewer, stack, name)


def _put(viewer: ViewerModel, stack: ImageStack, name: str) -> Image:
    """Add a kernel with its centre at 0."""
    ((data, options, _),) = layer_data(stack)
    centre = [-(length // 2) * size for length, size in zip(data.shape[-2:], options["scale"][-2:], strict=True)]
    options["translate"] = (*options["translate"][:-2], *centre)
    return put_layer(viewer, data, {**options, "name": name, "colormap": "magma"})


def add_otf(viewer: ViewerModel, shown: Recovered, name: str, sources: Mapping[str, Any]) -> Image:
    """Add the transfer function over the frequencies (nu_y, nu_x), cycles/um, 0 in the middle."""
    found = shown.found
    data = fft.fftshift(otf(found.psf).real).astype(np.float32)
    step = [1 / (length * found.pixel_um) for length in data.shape]
    said = {**described(found), "step": "transfer function", "layers": dict(sources)}
    options = {
        "name": name,
        "scale": step,
        "translate": [-(length // 2) * size for length, size in zip(data.shape, step, strict=True)],
        "units": ("1/um", "1/um"),
        "rotate": np.eye(2),
        "affine": np.eye(3),
        "axis_labels": ("frequency y", "frequency x"),
        "contrast_limits": (min(float(data.min()), 0.0), 1.0),
        "colormap": "magma",
        "metadata": {"cellrestore": {"provenance": said, "notes": (), "source": None, "z_um": None, "leds": None}},
    }
    return put_layer(viewer, data, options)


def add_beads(viewer: ViewerModel, found: BeadPsf, layer: Image, size_um: float, name: str) -> Points:
    """Add a ring around each bead, in all planes: used ones in one colour, those left out in another, with the reason."""
    points = np.array([bead.zyx_px[1:] for bead in found.beads])
    colours = [PALETTE[3] if bead.reason else PALETTE[2] for bead in found.beads]
    if name in viewer.layers:
        viewer.layers.remove(viewer.layers[name])
    active = viewer.layers.selection.active
    made = viewer.add_points(
        points,
        name=name,
        size=size_um / float(layer.scale[-1]),
        border_color=colours,
        face_color="transparent",
        border_width=0.12,
        **plane_place(layer),
        features={
            "left_out": [bead.reason or "used" for bead in found.beads],
            "plane": [bead.zyx_px[0] for bead in found.beads],
            **{f"fwhm_{axis}_um": [bead.fwhm_um[k] for bead in found.beads] for k, axis in enumerate("zyx")},
        },
    )
    viewer.layers.selection.active = active
    return made
