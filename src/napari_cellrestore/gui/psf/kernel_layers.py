"""Kernels, transfer functions and beads as layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Points
from scipy import fft

from napari_cellrestore.beads import BeadPsf
from napari_cellrestore.gui.current import plane_place, put_layer, show_scale
from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.gui.plot import PALETTE
from napari_cellrestore.gui.psf.work import FieldMap, Recovered
from napari_cellrestore.kernels import described, kernel_stack, sharp_kernel
from napari_cellrestore.psf import otf
from napari_cellrestore.stack import ImageStack

#: Steps that make a layer here, which is none to recover a kernel from.
KERNEL, TRANSFER, FIELD = STEPS = ("point-spread function", "transfer function", "kernel width over the field")
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
    said = {**described(first.found), "layers": dict(sources), "step": KERNEL}
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
        "step": KERNEL,
        "fwhm_um": found.fwhm_um,
        "diameter_um": found.diameter_um,
        "corrected_um": found.corrected_um,
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
    said = {**described(found), "step": TRANSFER, "layers": dict(sources)}
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


def add_field_map(viewer: ViewerModel, shown: FieldMap, layer: Image, name: str, sources: Mapping[str, Any]) -> Image:
    """Add the width of the kernel of each tile over the image, um; empty where a tile cannot tell."""
    found, place = shown.found, plane_place(layer)
    said = {
        "generated": "full width at half maximum of the kernel of each tile: computed, not recorded",
        "step": FIELD,
        "kernel": "absolute" if found.absolute else "relative: blurred over sharp",
        "unit": "um",
        "spread": found.spread,
        "cannot_tell": {f"{row}, {column}": reason for (row, column), reason in found.reasons.items()},
        "layers": dict(sources),
    }
    # The centre of the first tile, in pixels of the image.
    first_px = np.add(shown.origin_px, (np.array(found.tile_px) - 1) / 2)
    place["translate"] = place["translate"] + place["rotate"] @ (place["scale"] * first_px)
    place["scale"] = place["scale"] * found.tile_px
    limits = _limits(found.fwhm_um)
    options = {
        **place,
        "name": name,
        "colormap": "turbo",
        "contrast_limits": limits,
        "metadata": {"cellrestore": {"provenance": said, "notes": (), "source": None, "z_um": None, "leds": None}},
    }
    made = put_layer(viewer, found.fwhm_um.astype(np.float32), options)
    made.contrast_limits = limits
    show_scale(made)
    return made


def _limits(width_um: np.ndarray) -> tuple[float, float]:
    """Return the range of the widths, 10 % of their median at least: less is not worth a colour."""
    middle = float(np.nanmedian(width_um))
    return min(float(np.nanmin(width_um)), 0.95 * middle), max(float(np.nanmax(width_um)), 1.05 * middle)


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
