from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from functools import partial
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr
import zarr.storage._local
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import one_line
from napari_cellrestore.cli import main
from napari_cellrestore.files import export, open_stack, write_image, write_tiff
from napari_cellrestore.files.zarr import is_zarr
from napari_cellrestore.files.zarr.axes import AXES
from napari_cellrestore.files.zarr.opening import open_levels
from napari_cellrestore.files.zarr.writing import DTYPES, unfinished, write_zarr
from napari_cellrestore.leds import LedTable
from napari_cellrestore.stack import ImageStack


def pixels(shape, dtype="uint8"):
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def tiles(folder: Path) -> dict[str, bytes]:
    return {name: held for name, held in contents(folder).items() if "json" not in name}


# --- there and back ------------------------------------------------------------------------------------------


@st.composite
def stacks(draw):
    planes = draw(st.sampled_from(["", "Z", "T", "A", "C", "P", "Q", "ZC", "TC", "CZ", "AZ", "TZ", "TCZ", "ZTC"]))
    colour = "" if "C" in planes or len(planes) > 2 else draw(st.sampled_from(["", "S"]))
    axes = f"{planes}YX{colour}"
    sizes = {letter: draw(st.integers(1, 3)) for letter in planes}
    sizes |= {"Y": draw(st.integers(1, 40)), "X": draw(st.integers(1, 40)), "S": draw(st.sampled_from([3, 4]))}
    shape = tuple(sizes[letter] for letter in axes)
    data = pixels(shape, draw(st.sampled_from(DTYPES)))
    if draw(st.booleans()):
        data = da.from_array(data, chunks=tuple(draw(st.integers(1, n)) for n in shape))
    pixel = draw(st.none() | st.floats(1e-3, 50))
    positions = st.lists(st.floats(-50, 50), min_size=sizes.get("Z", 0), max_size=sizes.get("Z", 0), unique=True)
    leds = LedTable(index=range(sizes["A"]), polar_deg=np.arange(sizes["A"]), azimuth_deg=0) if "A" in axes else None
    named = "C" in axes and draw(st.booleans())
    return ImageStack(
        data,
        axes,
        pixel_um=pixel,
        pixel_y_um=None if pixel is None else draw(st.none() | st.just(1.5 * pixel)),
        z_um=draw(st.none() | positions) if "Z" in axes else None,
        leds=leds if draw(st.booleans()) else None,
        channels=tuple(f"dye {number}" for number in range(sizes["C"])) if named else (),
        notes=("as it was found",),
        provenance=draw(st.sampled_from([{}, {"model": "deblur", "plan": {"tiles": [512, 88], "seed": None}}])),
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stacks())
def test_stacks_come_back_as_they_were(tmp_path, stack):
    before = np.array(stack.data)
    path = write_zarr(tmp_path / "a.ome.zarr", stack, overwrite=True)
    back = open_stack(path)
    assert (back.leds and back.leds.columns()) == (stack.leds and stack.leds.columns())
    for name in ("axes", "channels", "provenance"):
        assert getattr(back, name) == getattr(stack, name), name
    assert (back.pixel_um is None) == (stack.pixel_um is None)
    np.testing.assert_allclose(back.pixel_yx_um or (), stack.pixel_yx_um or (), rtol=1e-9)
    np.testing.assert_array_equal(back.z_um, stack.z_um)
    assert "as it was found" in back.notes
    assert back.data.dtype == stack.data.dtype
    np.testing.assert_array_equal(back.data, before)
    np.testing.assert_array_equal(stack.data, before)
    assert (back.pixel_um is None) == any("does not state a pixel size" in note for note in back.notes)


def test_what_is_written_is_as_the_standard_says(tmp_path):
    stack = ImageStack(pixels((2, 3, 1100, 50), "uint16"), "ZCYX", pixel_um=0.1, pixel_y_um=0.2, z_um=[1, 1.5])
    path = write_zarr(tmp_path / "a.ome.zarr", stack)
    yaozarrs.validate_zarr_store(str(path))
    group = zarr.open_group(str(path), mode="r")
    (multiscale,) = group.attrs["ome"]["multiscales"]
    assert [(axis["name"], axis["type"], axis.get("unit")) for axis in multiscale["axes"]] == [
        ("c", "channel", None),
        *((name, "space", "micrometer") for name in "zyx"),
    ]
    first, second = (level["coordinateTransformations"] for level in multiscale["datasets"])
    assert first == [
        {"type": "scale", "scale": [1, 0.5, 0.2, 0.1]},
        {"type": "translation", "translation": [0, 1, 0, 0]},
    ]
    assert second == [
        {"type": "scale", "scale": [1, 0.5, 0.4, 0.2]},
        {"type": "translation", "translation": [0, 1, 0.1, 0.05]},
    ]
    assert group["0"].metadata.dimension_names == ("c", "z", "y", "x")
    windows = [channel["window"] for channel in group.attrs["ome"]["omero"]["channels"]]
    coarsest = group["1"][:]
    assert [(one["start"], one["end"], one["min"], one["max"]) for one in windows] == [
        (coarsest[c].min(), coarsest[c].max(), 0, 65535) for c in range(3)
    ]


def test_every_json_is_one_that_other_programs_read(tmp_path):
    """Python would write NaN, which is no JSON."""
    leds = LedTable(index=[0, 1], polar_deg=[0, 30], azimuth_deg=[0, 72])
    assert np.isnan(leds.x_mm).all()
    stack = ImageStack(pixels((2, 8, 9)), "AYX", leds=leds, provenance={"lost": float("nan"), "size": np.float32(2)})
    path = write_zarr(tmp_path / "a.zarr", stack)

    def refuse(word):
        raise AssertionError(word)

    said = json.loads((path / "zarr.json").read_text(), parse_constant=refuse)
    assert said["attributes"]["napari-cellrestore"]["provenance"] == {"lost": None, "size": 2.0}
    assert open_stack(path).leds.columns() == leds.columns()


def test_a_tile_is_a_block(tmp_path):
    data = da.from_array(pixels((1040, 600, 3)), chunks=((512, 528), (512, 88), 3))
    path = write_zarr(tmp_path / "a.ome.zarr", ImageStack(data, "YXS"))
    array = zarr.open_array(str(path / "0"), mode="r")
    assert array.chunks == (3, 512, 512)
    assert array.nchunks == array.nchunks_initialized == 6  # 16 rows of the last block are tiles of their own


def test_tiles_of_zeros_are_written_too(tmp_path):
    path = write_zarr(tmp_path / "a.ome.zarr", ImageStack(da.zeros((130, 128), np.uint8, chunks=64), "YX"))
    assert len(tiles(path)) == 6


def test_pyramid_is_made_of_means_of_two_by_two(tmp_path):
    data = pixels((3, 1030, 2051, 3))
    data[0, :2, :4, 0] = [[0, 1, 0, 1], [0, 1, 1, 1]]  # means of a half and of three quarters
    stack = ImageStack(da.from_array(data, chunks=(1, 512, 512, 3)), "ZYXS")
    path = write_zarr(tmp_path / "a.ome.zarr", stack)
    first, second = (np.asarray(level) for level in open_levels(path).smaller)
    assert (first.shape, second.shape) == ((3, 515, 1026, 3), (3, 258, 513, 3))
    assert first[0, 0, :2, 0].tolist() == [0, 1]  # halves to even
    np.testing.assert_array_equal(
        first[:, :, :1025], np.rint(data[:, :, :2050].reshape(3, 515, 2, 1025, 2, 3).mean((2, 4)))
    )
    np.testing.assert_array_equal(first[:, :, 1025], np.rint(data[:, :, 2050].reshape(3, 515, 2, 3).mean(2)))
    np.testing.assert_array_equal(second[:, 257, 0], np.rint(first[:, 514, :2].mean(1, dtype=float)))


def test_floating_point_is_averaged_as_it_is(tmp_path):
    data = np.random.default_rng(0).normal(size=(4, 1026)).astype(np.float32)
    data[0, 0] = np.nan
    path = write_zarr(tmp_path / "a.ome.zarr", ImageStack(data, "YX"))
    (small,) = open_levels(path).smaller
    expected = data.reshape(2, 2, 513, 2).mean((1, 3), dtype=float).astype(np.float32)
    assert np.isnan(expected[0, 0])
    np.testing.assert_array_equal(small, expected)
    low, high = open_levels(path).windows[0]
    assert (low, high) == (np.nanmin(expected), np.nanmax(expected))


def test_writing_takes_the_memory_of_a_few_tiles(tmp_path):
    """32 MB in tiles of a quarter of one."""
    blocks = da.random.default_rng(0).integers(0, 9, (2, 4096, 4096), dtype=np.uint8, chunks=(1, 512, 512))
    write_zarr(tmp_path / "warm.zarr", ImageStack(blocks[:1, :512, :512], "ZYX"))
    tracemalloc.start()
    try:
        with dask.config.set(num_workers=2):
            write_zarr(tmp_path / "a.ome.zarr", ImageStack(blocks, "ZYX"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6


# --- reading lazily ------------------------------------------------------------------------------------------


@pytest.fixture
def ours(tmp_path) -> Path:
    data = da.from_array(pixels((2, 2100, 1100), "uint16"), chunks=(1, 512, 512))
    return write_zarr(tmp_path / "cells.ome.zarr", ImageStack(data, "ZYX", pixel_um=0.1, z_um=[0, 0.3]))


def test_opening_reads_one_block_and_can_be_sent(ours, monkeypatch):
    decoded = []
    get = zarr.storage.LocalStore.get

    async def counting(self, key, *args, **kwargs):
        decoded.append(key)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", counting)
    stack = open_stack(ours)
    assert sorted(key for key in decoded if "/c/" in key) == [
        f"0/c/0/{row}/{column}" for row in (0, 1) for column in (0, 1)
    ]
    assert stack.data.chunksize == (1, 1024, 1024)
    sent = pickle.loads(pickle.dumps(stack))
    np.testing.assert_array_equal(sent.data[1], pixels((2, 2100, 1100), "uint16")[1])


def test_damaged_missing_and_changed_tiles_are_named(ours):
    stack = open_stack(ours)
    tile = ours / "0" / "c" / "1" / "4" / "2"
    whole = tile.read_bytes()
    tile.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match=r"the tile at \(1, 2048, 1024\) cannot be read") as error:
        stack.data[1].compute()
    one_line(error, "cells.ome.zarr")
    tile.unlink()
    with pytest.raises(ValueError, match="1 of its 30 tiles are not there; copy the folder again") as error:
        open_stack(ours)
    one_line(error, "cells.ome.zarr")
    write_zarr(ours, stack.replace(data=np.zeros((2, 9, 9), np.uint8), source=None), overwrite=True)
    with pytest.raises(ValueError, match="the image has changed since it was opened; open it again"):
        stack.data[0].compute()
    shutil.rmtree(ours)
    with pytest.raises(ValueError, match="the image is gone; put it back or open another"):
        stack.data[0].compute()


def test_name_of_lazy_pixels_follows_the_file(ours):
    before = open_stack(ours)
    assert open_stack(ours).data.name == before.data.name
    os.utime(ours / "0" / "zarr.json", (1, 1))
    assert open_stack(ours).data.name != before.data.name


def test_led_table_beside_the_folder_is_used(tmp_path):
    path = write_zarr(tmp_path / "array.ome.zarr", ImageStack(pixels((2, 8, 9)), "ZYX"))
    (tmp_path / "array.leds.csv").write_text("index,polar_deg,azimuth_deg\n0,0,0\n1,30,72\n")
    stack = open_stack(path)
    assert stack.axes == "AYX"
    assert stack.leds.polar_deg.tolist() == [0, 30]


def test_several_at_once_are_refused(ours):
    with pytest.raises(ValueError, match="several files are opened as one plane each; open it by itself"):
        open_stack([ours, ours])


# --- files of others -----------------------------------------------------------------------------------------


def axis(name, kind="space", unit="micrometer"):
    return {"name": name, "type": kind, **({"unit": unit} if kind == "space" and unit else {})}


def foreign(
    path: Path,
    data,
    axes,
    *,
    version="0.4",
    scale=None,
    zarr_format=2,
    chunks=None,
    omero=None,
    more=(),
    **attributes,
):
    """Write an OME-Zarr by hand."""
    group = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    array = group.create_array("0", shape=data.shape, dtype=data.dtype, chunks=chunks or data.shape)
    array[...] = data
    placed = [{"type": "scale", "scale": list(scale or [1.0] * data.ndim)}, *more]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": placed}], **attributes}
    ome = {"multiscales": [multiscale], **({"omero": omero} if omero else {})}
    if zarr_format == 2:
        if version:
            multiscale["version"] = version
        group.update_attributes(ome)
    else:
        group.update_attributes({"ome": {"version": version, **ome}})
    return path


@pytest.mark.parametrize(("zarr_format", "version"), [(2, "0.4"), (3, "0.5")])
def test_versions_of_others(tmp_path, zarr_format, version):
    data = pixels((2, 3, 4, 20, 30), "uint16")
    path = foreign(
        tmp_path / "a.zarr",
        data,
        [axis("t", "time"), axis("c", "channel"), axis("z", unit="nanometer"), axis("y"), axis("x")],
        zarr_format=zarr_format,
        version=version,
        scale=[30, 1, 500, 0.2, 0.1],
        more=[{"type": "translation", "translation": [0, 0, -1000, 5, 7]}],
        chunks=(1, 1, 2, 16, 16),
        omero={
            "channels": [
                {"label": name, "color": colour, "window": {"min": 0, "max": 4095, "start": 10, "end": 200}}
                for name, colour in (("DAPI", "0000FF"), ("GFP", "00FF00"), ("Cy5", "FF0000"))
            ]
        },
    )
    stack = open_stack(path)
    assert stack.axes == "TCZYX"
    assert (stack.pixel_um, stack.pixel_y_um) == (0.1, 0.2)
    np.testing.assert_allclose(stack.z_um, [-1, -0.5, 0, 0.5])
    assert stack.channels == ("DAPI", "GFP", "Cy5")
    assert stack.notes == ()
    np.testing.assert_array_equal(stack.data, data)
    assert open_levels(path).windows == [(10, 200)] * 3


def test_lengths_of_all_arrays_come_after_those_of_one(tmp_path):
    path = foreign(
        tmp_path / "a.zarr",
        pixels((2, 9, 9)),
        [axis("z"), axis("y"), axis("x")],
        scale=[2, 3, 3],
        more=[{"type": "translation", "translation": [1, 0, 0]}],
        coordinateTransformations=[
            {"type": "scale", "scale": [0.5, 0.1, 0.1]},
            {"type": "translation", "translation": [10, 0, 0]},
        ],
    )
    stack = open_stack(path)
    assert stack.pixel_um == 0.3
    np.testing.assert_allclose(stack.z_um, [10.5, 11.5])


@pytest.mark.parametrize(
    ("names", "shape", "axes", "said"),
    [
        ("xyz", (9, 8, 2), "ZYX", ()),
        ("zyxc", (2, 8, 9, 2), "ZCYX", ()),
        ("yxt", (8, 9, 2), "TYX", ()),
        (("angle", "y", "x"), (2, 8, 9), "ZYX", ("2 pages without stated meaning were taken as depth",)),
        (("p", "Y", "X"), (2, 8, 9), "PYX", ()),
    ],
)
def test_axes_in_any_order(tmp_path, names, shape, axes, said):
    kinds = {"t": "time", "c": "channel"}
    stated = [axis(name, "space" if name in "xyz" else kinds.get(name)) for name in map(str.lower, names)]
    data = pixels(shape)
    stack = open_stack(foreign(tmp_path / "a.zarr", data, stated, scale=[0.5] * len(shape)))
    assert stack.axes == axes
    assert all(any(text in note for note in stack.notes) for text in said)
    letters = [AXES[letter][0] for letter in axes]
    order = [letters.index(name) if name in letters else 0 for name in map(str.lower, names)]
    np.testing.assert_array_equal(np.transpose(stack.data, order), data)
    assert stack.pixel_um == 0.5


@pytest.mark.parametrize(
    ("unit", "scale", "pixel_um", "note"),
    [
        ("micrometer", 0.25, 0.25, None),
        ("angstrom", 2500, 0.25, None),
        ("parsec", 0.25, None, "the pixel size is given in 'parsec', not a length"),
        (None, 0.25, None, "the pixel size 0.25 is given without a unit: the pixel size is not known"),
        (None, 1, None, "the file does not state a pixel size"),
        ("micrometer", 0, None, "the stated pixel size is 0 micrometer: the pixel size is not known"),
        ("micrometer", -1, None, "the stated pixel size is -1 micrometer: the pixel size is not known"),
    ],
)
def test_units(tmp_path, unit, scale, pixel_um, note):
    stated = [axis("z", unit=unit), axis("y", unit=unit), axis("x", unit=unit)]
    stack = open_stack(foreign(tmp_path / "a.zarr", pixels((2, 9, 9)), stated, scale=[scale] * 3))
    assert stack.pixel_um == pixel_um
    assert (stack.z_um is None) == (unit in ("parsec", None) or scale == 0)
    assert note is None or note in stack.notes


def shown(*channels):
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    return {"channels": [{"label": label, "color": colour, "window": window} for label, colour in channels]}


RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))


@pytest.mark.parametrize(
    ("omero", "axes", "note"),
    [
        (shown(*RGB), "YXS", "taken as the colours of one image (S); change it by naming the axes"),
        (shown(*((f"Channel:0:{i}", c) for i, (_, c) in enumerate(RGB))), "YXS", "taken as the colours"),
        (shown(*(("", f"#{c.lower()}") for _, c in RGB)), "YXS", "taken as the colours"),
        (shown(*((name, "FFFFFF") for name in "RGB")), "YXS", "taken as the colours"),
        (shown(("DAPI", "FF0000"), ("GFP", "00FF00"), ("Cy5", "0000FF")), "CYX", None),
        (shown(*RGB[::-1][:1], *RGB[:2]), "CYX", None),
        (None, "CYX", "3 channels were taken as channels (C); they may be the colours"),
        ({"channels": "broken"}, "CYX", "3 channels were taken as channels (C)"),
    ],
)
def test_three_channels_are_colours_only_where_it_is_said(tmp_path, omero, axes, note):
    data = pixels((3, 8, 9))
    path = foreign(
        tmp_path / "a.zarr", data, [axis("c", "channel"), axis("y"), axis("x")], omero=omero, chunks=(1, 8, 9)
    )
    stack = open_stack(path)
    assert stack.axes == axes
    assert note is None or any(note in one for one in stack.notes)
    assert note is not None or stack.notes == ()
    for wanted, expected in (("SYX", data.transpose(1, 2, 0)), ("CYX", data)):
        changed = open_stack(path, axes=wanted)
        assert changed.rgb == (wanted == "SYX")
        assert not changed.rgb or changed.data.numblocks[-1] == 1
        np.testing.assert_array_equal(changed.data, expected)


def test_our_colours_are_known_without_asking(tmp_path):
    stack = ImageStack(pixels((8, 9, 4)), "YXS", pixel_um=1)
    path = write_zarr(tmp_path / "a.zarr", stack)
    assert open_stack(path).notes == ()
    # another program that copies only what the standard has words for
    group = zarr.open_group(str(path), mode="r+")
    attributes = dict(group.attrs)
    del attributes["napari-cellrestore"]
    group.attrs.put(attributes)
    again = open_stack(path)
    assert again.axes == "YXS"
    assert any("the 4th colour sample is alpha" in note for note in again.notes)
    np.testing.assert_array_equal(again.data, stack.data)


def test_small_and_deep_tiles_are_read_together(tmp_path):
    data = pixels((5, 300, 400))
    stated = [axis("z"), axis("y"), axis("x")]
    stack = open_stack(foreign(tmp_path / "a.zarr", data, stated, chunks=(4, 64, 64)))
    assert stack.data.chunksize == (1, 300, 400)  # one plane, as from other files
    np.testing.assert_array_equal(stack.data, data)


def test_first_image_of_several(tmp_path):
    home = tmp_path / "converted.zarr"
    zarr.open_group(str(home), mode="w", zarr_format=2).update_attributes({"bioformats2raw.layout": 3})
    for number in (0, 1):
        foreign(home / str(number), pixels((8, 9 + number)), [axis("y"), axis("x")])
    assert open_stack(home).data.shape == (8, 9)
    assert "the folder holds 2 images: the first (0) was taken" in open_stack(home).notes
    assert open_stack(home / "1").data.shape == (8, 10)
    zarr.open_group(str(home / "OME"), mode="w", zarr_format=2).update_attributes({"series": ["1", "0"]})
    assert open_stack(home).data.shape == (8, 10)


def test_tiles_that_were_never_written_are_noted(tmp_path):
    path = foreign(tmp_path / "a.zarr", pixels((64, 64)) + 1, [axis("y"), axis("x")], chunks=(32, 32))
    (path / "0" / "1.1").unlink()
    stack = open_stack(path)
    assert "1 of 4 tiles are not in the folder and read as 0" in stack.notes
    assert stack.data[32:, 32:].compute().max() == 0


def test_version_that_is_not_stated_is_noted(tmp_path):
    path = foreign(tmp_path / "a.zarr", pixels((8, 9)), [axis("y"), axis("x")], version=None)
    assert "the file does not state its version of OME-Zarr: it was read as 0.4" in open_stack(path).notes


def spoil(path: Path, **changes):
    """Change attributes of an OME-Zarr 0.4; None removes them."""
    attributes = json.loads((path / ".zattrs").read_text()) | changes
    (path / ".zattrs").write_text(json.dumps({key: value for key, value in attributes.items() if value is not None}))


def datasets(**changes):
    one = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]} | changes
    return [{"version": "0.4", "axes": [axis("y"), axis("x")], "datasets": [one]}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"multiscales": None}, "a zarr without the metadata of an image"),
        (
            {"multiscales": None, "plate": {"wells": []}},
            "it is a plate of images; open one of them, such as a.zarr/A/1/0",
        ),
        ({"multiscales": None, "well": {}}, "it is a well of a plate; open a field of it"),
        ({"multiscales": None, "labels": ["cells"]}, "it is a folder of labels"),
        ({"image-label": {}}, "it is labels, not an image"),
        ({"multiscales": "?"}, "without the metadata of an image"),
        (
            {"multiscales": [{"version": "0.3", "axes": ["y", "x"]}]},
            "it is OME-Zarr 0.3, and 0.4 and 0.5 can be opened",
        ),
        ({"multiscales": [{"version": "0.6.dev1"}]}, "it is OME-Zarr 0.6.dev1, and"),
        ({"multiscales": [{"version": "0.4"}]}, "does not name the axes"),
        (
            {"multiscales": [{"version": "0.4", "axes": [axis("z"), axis("x")]}]},
            "its axes are z, x, and an image needs y",
        ),
        ({"multiscales": [{"version": "0.4", "axes": [axis("y"), axis("x")]}]}, "its metadata names no arrays"),
        ({"multiscales": datasets(path="1")}, "its array '1' is not there; copy the folder again"),
        ({"multiscales": datasets(path=None)}, "its metadata is wrong at path"),
        ({"multiscales": datasets(coordinateTransformations=[])}, "its metadata is wrong at coordinateTransformations"),
        (
            {"multiscales": datasets(coordinateTransformations=[{"type": "scale", "scale": [1, 1, 1]}])},
            "its scale has 3 numbers for 2 axes",
        ),
    ],
)
def test_what_is_no_image_is_said_in_one_line(tmp_path, changes, said):
    path = foreign(tmp_path / "a.zarr", pixels((8, 9)), [axis("y"), axis("x")])
    spoil(path, **changes)
    with pytest.raises(ValueError, match=said.replace(".", r"\.")) as error:
        open_stack(path)
    one_line(error, "a.zarr")


def test_other_folders_of_zarr_are_said_in_one_line(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    zarr.create_array(str(tmp_path / "plain.zarr"), shape=(9, 9), dtype="u1")
    foreign(tmp_path / "complex.zarr", pixels((8, 9), "complex64"), [axis("y"), axis("x")])
    foreign(tmp_path / "flat.zarr", pixels((8, 9)), [axis("z"), axis("y"), axis("x")], scale=[1, 1, 1])
    for name, text in {"broken": "{not", "unknown": '{"zarr_format": 9, "node_type": "group"}', "list": "[]"}.items():
        (tmp_path / f"{name}.zarr").mkdir()
        (tmp_path / f"{name}.zarr" / "zarr.json").write_text(text)
    for name, said in {
        "empty": "neither zarr.json nor .zgroup is in the folder",
        "plain": "it is an array without the metadata of an image",
        "complex": "its pixels .complex64. are no real numbers",
        "flat": "its array '0' has 2 axes, its metadata 3",
        "broken": "Expecting property name",
        "unknown": "Expected one of 2 or 3. Got 9",
        "list": "its structure is damaged",
    }.items():
        with pytest.raises(ValueError, match=said) as error:
            open_stack(tmp_path / f"{name}.zarr")
        one_line(error, f"{name}.zarr")


# --- broken off and gone on with -----------------------------------------------------------------------------

SOURCE = "source.tif"
#: What made the result, beside its source.
MADE = {"model": "a", "plan": {"halo_px": np.int64(32)}}


class Break:
    """Computes blocks, counts them, and breaks off at one of them."""

    def __init__(self, at: int | None = None, error: Exception | None = None) -> None:
        self.at, self.error, self.computed = at, error, []

    def __call__(self, block, block_id=None):
        if self.at is not None and len(self.computed) >= self.at:
            raise self.error or RuntimeError("the power is gone")
        self.computed.append(block_id)
        return np.uint8(255 - block)


@pytest.fixture
def source(tmp_path) -> Path:
    tifffile.imwrite(tmp_path / SOURCE, pixels((200, 300, 3)))
    return tmp_path / SOURCE


def inverted(source: Path, function, chunks=(64, 64, 3)) -> ImageStack:
    stack = open_stack(source)
    data = stack.data.rechunk(chunks).map_blocks(function, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    return stack.replace(data=data, notes=())


def test_what_was_broken_off_goes_on(source, tmp_path, dask_alone):
    path, whole = tmp_path / "a.ome.zarr", write_zarr(tmp_path / "whole.ome.zarr", inverted(source, Break()))
    first, second, told = Break(at=7), Break(), []
    with pytest.raises(RuntimeError, match="the power is gone"):
        write_zarr(path, inverted(source, first), resume=MADE)
    assert not path.exists()
    kept = {name: (unfinished(path) / name).stat().st_mtime_ns for name in tiles(unfinished(path))}
    assert len(kept) == 7
    with pytest.raises(ValueError, match="its writing was broken off; give the command that wrote it again"):
        open_stack(unfinished(path))
    write_zarr(path, inverted(source, second), resume=MADE, on_resume=lambda *numbers: told.append(numbers))
    assert told == [(7, 20)]
    assert len(second.computed) == 13
    assert not set(first.computed) & set(second.computed)
    assert tiles(path) == tiles(whole)
    assert {name: (path / name).stat().st_mtime_ns for name in kept} == kept
    assert not unfinished(path).exists()


@pytest.fixture
def dask_alone():
    """One block after the other."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.mark.parametrize("spoilt", ["cut", "empty", "flipped", "of another size", "gone"])
def test_half_written_tiles_are_made_again(source, tmp_path, spoilt):
    path, whole = tmp_path / "a.ome.zarr", write_zarr(tmp_path / "whole.ome.zarr", inverted(source, Break()))
    shutil.copytree(write_zarr(path, inverted(source, Break()), resume=MADE), unfinished(path))
    shutil.rmtree(path)
    tile = unfinished(path) / "0" / "c" / "0" / "1" / "2"
    held = tile.read_bytes()
    if spoilt == "gone":
        tile.unlink()
    elif spoilt == "of another size":
        other = zarr.create_array(str(tmp_path / "other"), shape=(1, 8, 8), chunks=(1, 8, 8), dtype="u1")
        other[...] = 1
        shutil.copy(tmp_path / "other" / "c" / "0" / "0" / "0", tile)
    else:
        flipped = held[:-9] + bytes([held[-9] ^ 4]) + held[-8:]
        tile.write_bytes({"cut": held[: len(held) // 2], "empty": b"", "flipped": flipped}[spoilt])
    (tile.parent / "0.12ab.partial").write_bytes(held[:99])  # as zarr leaves what it was writing
    again = Break()
    write_zarr(path, inverted(source, again), resume=MADE)
    assert again.computed == [(1, 2, 0)]
    assert tiles(path) == tiles(whole)


KILLED = """
import sys, time
import numpy as np
from napari_cellrestore.files import open_stack
from napari_cellrestore.files.zarr.writing import write_zarr

def slow(block):
    time.sleep(0.05)
    return np.uint8(255 - block)

stack = open_stack(sys.argv[1])
data = stack.data.rechunk((32, 32, 3)).map_blocks(slow, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
write_zarr(sys.argv[2], stack.replace(data=data, notes=()), resume={"model": "a"})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_writing_goes_on(source, tmp_path):
    path = tmp_path / "a.ome.zarr"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(source), str(path)])
    until = time.monotonic() + 60
    while len([one for one in unfinished(path).rglob("*") if one.name.isdigit() and one.is_file()]) < 12:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not path.exists()
    there = len([name for name in tiles(unfinished(path)) if not name.endswith(".partial")])
    assert 12 <= there < 70
    count, told = Break(), []
    stack = inverted(source, count, (32, 32, 3))
    write_zarr(path, stack, resume={"model": "a"}, on_resume=lambda *numbers: told.append(numbers))
    assert told == [(there, 70)]
    assert len(count.computed) == 70 - there
    whole = write_zarr(tmp_path / "whole.ome.zarr", inverted(source, Break(), (32, 32, 3)))
    assert tiles(path) == tiles(whole)


@pytest.fixture
def broken_off(source, tmp_path, dask_alone):
    with pytest.raises(RuntimeError, match="the power is gone"):
        write_zarr(tmp_path / "a.ome.zarr", inverted(source, Break(at=3)), resume=MADE)
    return tmp_path / "a.ome.zarr"


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"model": "b"}, "of another model or plan; give the command that began it"),
        ({"chunks": (32, 64, 3)}, "of other tiles; give the command"),
        ({"touch": True}, "of another image, or it has changed; give the command"),
        ({"model": "b", "chunks": (32, 64, 3)}, "of another model or plan and other tiles; give"),
        ({"source": None}, "of another image, or it has changed; give the command"),
    ],
)
def test_another_plan_does_not_go_on(source, broken_off, other, said):
    if other.pop("touch", False):
        os.utime(source, (1, 1))
    changes = {"source": other.pop("source")} if "source" in other else {}
    made = {**MADE, **({"model": other.pop("model")} if "model" in other else {})}
    stack = inverted(source, Break(), **other).replace(**changes)
    before = contents(unfinished(broken_off))
    with pytest.raises(ValueError, match=f"a.ome.zarr.part is what an interrupted writing left {said}") as error:
        write_zarr(broken_off, stack, resume=made)
    one_line(error, "a.ome.zarr")
    with pytest.raises(
        ValueError, match="interrupted writing left; delete that folder, give another name, or overwrite"
    ):
        write_zarr(broken_off, stack)
    assert contents(unfinished(broken_off)) == before
    write_zarr(broken_off, stack, overwrite=True)
    np.testing.assert_array_equal(open_stack(broken_off).data, 255 - np.asarray(open_stack(source).data))


def test_a_tile_of_the_input_that_another_program_wrote_is_noticed(tmp_path, dask_alone):
    image = write_zarr(tmp_path / "in.ome.zarr", ImageStack(pixels((64, 64, 3)), "YXS"))
    out = tmp_path / "out.ome.zarr"
    with pytest.raises(RuntimeError, match="the power is gone"):
        write_zarr(out, inverted(image, Break(at=1), (32, 32, 3)), resume=MADE)
    zarr.open_group(str(image))["0"][0, 0, 0] = 251
    with pytest.raises(ValueError, match="left of another image, or it has changed"):
        write_zarr(out, inverted(image, Break(), (32, 32, 3)), resume=MADE)


def test_where_the_name_was_typed_from_does_not_matter(source, broken_off, monkeypatch):
    monkeypatch.chdir(source.parent)
    count = Break()
    write_zarr(broken_off, inverted(Path(SOURCE), count), resume=MADE)
    assert len(count.computed) == 17


@pytest.mark.parametrize("when", ["image", "pyramid", "metadata"])
def test_full_disk_is_said_and_what_is_finished_is_kept(source, tmp_path, monkeypatch, when, dask_alone):
    path, put = tmp_path / "a.ome.zarr", zarr.storage._local._put
    tifffile.imwrite(source, pixels((64, 1100)))
    stack = inverted(source, Break(), (64, 64))
    whole = write_zarr(tmp_path / "whole.ome.zarr", stack)
    room = {"image": 8, "pyramid": 24, "metadata": 31}[when]  # 3 of metadata, 18 tiles, 1, 9 tiles

    def put_while_there_is_room(target, value, exclusive=False):
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        room -= 1
        return put(target, value, exclusive)

    monkeypatch.setattr(zarr.storage._local, "_put", put_while_there_is_room)
    with pytest.raises(OSError, match=r"the disk is full; .* make room and give the same command again") as error:
        write_zarr(path, stack, resume=MADE)
    text = one_line(error, "a.ome.zarr")
    assert f"{5 if when == 'image' else 18} of 18 tiles are kept in .a.ome.zarr.part" in text
    monkeypatch.setattr(zarr.storage._local, "_put", put)
    assert not path.exists()
    count, told = Break(), []
    write_zarr(path, inverted(source, count, (64, 64)), resume=MADE, on_resume=lambda *numbers: told.append(numbers))
    assert told == [(5 if when == "image" else 18, 18)]
    assert len(count.computed) == (13 if when == "image" else 0)
    assert tiles(path) == tiles(whole)


def test_two_that_write_the_same_do_not_leave_half_of_it(source, broken_off, monkeypatch):
    """Another run that is done first takes the folder away; tiles written after that make a new one."""

    computed = []

    def taken_away(block):
        computed.append(1)
        if len(computed) == 5:
            shutil.rmtree(unfinished(broken_off))
        return np.uint8(255 - block)

    with pytest.raises((ValueError, OSError)):
        write_zarr(broken_off, inverted(source, taken_away), resume=MADE)
    assert len(computed) >= 5
    assert not broken_off.exists()


# --- where it may be written ---------------------------------------------------------------------------------


def test_outputs_that_are_refused(source, tmp_path):
    stack = open_stack(source)
    ours = write_zarr(tmp_path / "ours.ome.zarr", stack)
    (tmp_path / "file.zarr").write_text("mine")
    (tmp_path / "photos.zarr").mkdir()
    (tmp_path / "photos.zarr" / "cat.jpg").write_text("mine")
    zarr.create_array(str(tmp_path / "numbers.zarr"), shape=(9,), dtype="u1")
    before = contents(tmp_path)
    for name, said in {
        "ours.ome.zarr": "the folder exists; give another name or overwrite=True",
        "file.zarr": "something else of that name, no OME-Zarr image; give another name",
        "photos.zarr": "something else of that name",
        "numbers.zarr": "something else of that name",
        "a.ome.tif": "an OME-Zarr is a folder; give it a name that ends in .ome.zarr",
        "none/a.ome.zarr": "there is no folder",
        "ours.ome.zarr/b.ome.zarr": "it would lie in ours.ome.zarr, which is a zarr; give another place",
    }.items():
        for overwrite in (False, True) if name != "ours.ome.zarr" else (False,):
            with pytest.raises(ValueError, match=said) as error:
                write_zarr(tmp_path / name, stack, overwrite=overwrite)
            one_line(error, Path(name).name)
    with pytest.raises(ValueError, match="the stack comes from this folder; give another name"):
        write_zarr(ours, open_stack(ours), overwrite=True)
    with pytest.raises(ValueError, match="pixels are int64, written are bool, uint8"):
        write_zarr(tmp_path / "a.zarr", ImageStack(pixels((8, 9), "int64"), "YX"))
    with pytest.raises(ValueError, match="OME-Zarr cannot hold the axes TPCZYX: 5 at most"):
        write_zarr(tmp_path / "a.zarr", ImageStack(pixels((1, 1, 1, 1, 8, 9)), "TPCZYX"))
    with pytest.raises(ValueError, match="either channels or colours; select a plane"):
        write_zarr(tmp_path / "a.zarr", ImageStack(pixels((2, 8, 9, 3)), "CYXS"))
    with pytest.raises(ValueError, match=r"give a name that ends in .ome.tif or .ome.zarr"):
        write_image(tmp_path / "a.png", stack)
    assert contents(tmp_path) == before


def test_what_is_needed_for_writing_is_not_taken_from_others(source, tmp_path):
    part = unfinished(tmp_path / "a.zarr")
    part.mkdir()
    (part / "mine.txt").write_text("mine")
    with pytest.raises(
        ValueError, match=r".a.zarr.part is needed for writing, and something else is there; move it away"
    ):
        write_zarr(tmp_path / "a.zarr", open_stack(source), overwrite=True)
    assert (part / "mine.txt").exists()
    (part / "mine.txt").rename(part / "zarr.0123.partial")  # killed before anything was written
    assert is_zarr(write_zarr(tmp_path / "a.zarr", open_stack(source)))


def test_what_is_there_is_replaced_when_the_new_one_is_whole(source, tmp_path):
    path = write_zarr(tmp_path / "a.zarr", open_stack(source))
    before = contents(path)
    with pytest.raises(RuntimeError, match="the power is gone"):
        write_zarr(path, inverted(source, Break(at=3)), overwrite=True)
    assert contents(path) == before
    write_zarr(path, inverted(source, Break()), overwrite=True)
    np.testing.assert_array_equal(open_stack(path).data, 255 - np.asarray(open_stack(source).data))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.zarr", SOURCE]
    (tmp_path / "empty.zarr").mkdir()
    assert is_zarr(write_zarr(tmp_path / "empty.zarr", open_stack(source), overwrite=True))


# --- TIFF of it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", [False, True])
def test_large_planes_become_tiles_of_a_tiff_row_by_row(tmp_path, monkeypatch, colour):
    data = pixels((2, 1300, 1200, 3) if colour else (2, 1300, 1200), "uint16")
    axes = "ZYXS" if colour else "ZYX"
    chunks = (1, (400, 400, 500), (512, 512, 176)) + ((3,) if colour else ())
    path = write_zarr(tmp_path / "a.ome.zarr", ImageStack(da.from_array(data, chunks=chunks), axes, pixel_um=0.1))
    monkeypatch.setattr(export, "WHOLE_PLANE_BYTES", 2**20)
    monkeypatch.setattr(export, "CLASSIC_BYTES", 2**20)
    count = Break()
    stack = open_stack(path)
    blocks = stack.data.rechunk(chunks)
    counted = blocks.map_blocks(count, dtype="uint16", meta=np.empty((0,) * data.ndim, "uint16"))
    out = write_tiff(tmp_path / "a.ome.tif", stack.replace(data=counted))
    assert len(count.computed) == len(set(count.computed)) == blocks.npartitions
    with tifffile.TiffFile(out) as tif:
        assert tif.is_bigtiff
        assert tif.pages[0].tile == (512, 512)
        np.testing.assert_array_equal(tif.asarray(), np.uint8(255 - data))
    assert open_stack(out).axes == axes
    np.testing.assert_array_equal(open_stack(out).data, np.uint8(255 - data))


def test_array_in_memory_becomes_the_same_tiles(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "WHOLE_PLANE_BYTES", 2**16)
    data = pixels((700, 600))
    np.testing.assert_array_equal(open_stack(write_tiff(tmp_path / "a.tif", ImageStack(data, "YX"))).data, data)


def test_tiff_of_a_large_plane_takes_the_memory_of_a_row_of_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "WHOLE_PLANE_BYTES", 2**20)
    blocks = da.random.default_rng(0).integers(0, 9, (8192, 4096), dtype=np.uint8, chunks=(512, 512))
    tracemalloc.start()
    try:
        with dask.config.set(num_workers=2):
            write_tiff(tmp_path / "a.tif", ImageStack(blocks, "YX"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12e6  # of 32 MB


# --- in a shell ----------------------------------------------------------------------------------------------


@pytest.fixture
def say(capsys):
    def run(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_restoring_to_a_zarr_goes_on_and_says_so(tmp_path, say):
    image = write_zarr(tmp_path / "in.ome.zarr", ImageStack(pixels((150, 352, 3)), "YXS", pixel_um=0.1))
    out = tmp_path / "out.ome.zarr"
    restore = partial(say, "restore", image, "--model", "deblur-fast", "--tile", 64)
    assert restore("--out", out)[0] == 0
    shutil.copytree(out, unfinished(out))
    held = tiles(out)
    assert restore("--out", out)[2].count("exists already") == 1
    shutil.rmtree(out)
    gone = sorted(one for one in unfinished(out).rglob("*") if one.is_file() and one.name.isdigit())[:3]
    assert len(gone) == 3
    for tile in gone:
        tile.unlink()
    status, said, _ = restore("--out", out)
    assert status == 0
    assert "went on    1 of 4 tiles were there" in said
    assert tiles(out) == held
    stack = open_stack(out)
    assert (stack.axes, stack.pixel_um, stack.provenance["model"]) == ("YXS", 0.1, "deblur-fast")
    status, said, _ = say("info", out)
    assert status == 0
    assert "restored by deblur-fast" in said
    assert "colour image" in said


def test_format_of_results_in_a_folder(tmp_path, say):
    image = write_tiff(tmp_path / "in.ome.tif", ImageStack(pixels((64, 64, 3)), "YXS"))
    restore = partial(say, "restore", "--model", "deblur-fast", image)
    assert restore("--out", tmp_path / "results", "--format", "zarr")[0] == 0
    assert open_stack(tmp_path / "results" / "in_deblur-fast.ome.zarr").axes == "YXS"
    for options, said in (
        (("--out", tmp_path / "a.zarr", "--format", "tiff"), "is not of --format tiff: leave one of them out"),
        (("--out", tmp_path / "a.tif", "--format", "zarr"), "is not of --format zarr: leave one of them out"),
        ((image, "--out", tmp_path / "a.zarr"), "is one OME-Zarr for 2 images: give a folder and --format zarr"),
    ):
        status, _, err = restore(*options)
        assert (status, err.count("\n")) == (2, 1)
        assert said in err


def test_turned_results_and_where_the_model_is_unsure(tmp_path, say):
    """As in TIFF; what an interrupted writing left of something else is said before eight restorations are computed."""
    image = write_zarr(tmp_path / "in.ome.zarr", ImageStack(pixels((40, 216, 3)), "YXS", pixel_um=0.1))
    restore = partial(say, "restore", image, "--model", "deblur-fast", "--turned", "--engine", "torch", "--tile")
    assert restore(128, "--out", tmp_path / "zarr", "--format", "zarr")[0] == 0
    assert restore(128, "--out", tmp_path / "tiff")[0] == 0
    out, unsure = (tmp_path / "zarr" / f"in_deblur-fast{ends}.ome.zarr" for ends in ("", "_unsure"))
    for made in (out, unsure):
        there = open_stack(tmp_path / "tiff" / f"{made.stem}.tif")
        np.testing.assert_array_equal(open_stack(made).data, there.data)
        assert open_stack(made).provenance["generated"] == there.provenance["generated"]
        assert zarr.open_group(str(made))["0"].chunks[-2:] == (40, 128)
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name, unsure.name, "restored.csv"]
    shutil.rmtree(out)
    unsure.rename(unfinished(unsure))
    status, said, err = restore(64, "--out", out, "--json")
    assert (status, '"tile"' in said) == (2, False)
    assert (
        f"{unfinished(unsure).name} is what an interrupted writing left of another model or plan and other tiles" in err
    )
    assert restore(128, "--out", out)[0] == 0  # the same goes on
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name, unsure.name, "restored.csv"]


def test_other_commands_open_it(tmp_path, say):
    data = np.kron(pixels((8, 8)), np.ones((8, 8), np.uint8))
    stack = ImageStack(np.stack([data, data // 2 + 60]), "ZYX", pixel_um=0.1, z_um=[0, 0.2])
    path = write_zarr(tmp_path / "stack.ome.zarr", stack)
    assert say("focus", path)[0] == 0
    assert say("compare", path, path)[0] == 0
    status, said, _ = say("info", path, "--json")
    assert status == 0
    assert json.loads(said)["z_um"] == [0, 0.2]
    (path / "zarr.json").write_text("{")
    status, _, err = say("info", path)
    assert (status, err.count("\n")) == (2, 1)
