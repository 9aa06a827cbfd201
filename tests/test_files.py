from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from errors import one_line
from napari_cellrestore.files import open_stack, planes, write_tiff
from napari_cellrestore.files.calibration import unit_um
from napari_cellrestore.files.export import DTYPES
from napari_cellrestore.files.folder import natural_key, plane_numbers
from napari_cellrestore.leds import LedTable
from napari_cellrestore.stack import ImageStack


def pixels(shape, dtype="uint16"):
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


@pytest.fixture
def reads(monkeypatch):
    """Numbers of the planes that are read, in order."""
    numbers = []
    read = planes.Planes.read

    def counting(self, number, where):
        numbers.append(number)
        return read(self, number, where)

    monkeypatch.setattr(planes.Planes, "read", counting)
    return numbers


# --- real files ----------------------------------------------------------------------------------------------

# Axes, shape, dtype, pixel size X and Y, step along Z, as the tags and descriptions of the files state them.
VALID = {
    "12in16bit.tif": ("YX", (100, 100), "uint16", None, None, None),
    "16bit.MM.deflate.tif": ("YX", (64, 64), "uint16", None, None, None),
    "hopper.Lab.tif": ("CYX", (3, 128, 128), "uint8", None, None, None),
    "hopper_bigtiff.tif": ("YXS", (128, 128, 3), "uint8", None, None, None),
    "hopper_webp.tif": ("YXS", (128, 128, 3), "uint8", None, None, None),
    "input2_float64.tiff": ("YX", (265, 329), "float64", None, None, None),
    "input4_float16.tiff": ("ZYX", (10, 15, 18), "float16", 25400 / 2, 25400.0, 2 * 25400.0),
    "int8.tif": ("YX", (64, 64), "int8", None, None, None),
    "miniswhite-1c-12b.tiff": ("YX", (2, 4), "uint16", None, None, None),
    "multiseries.ome.tiff": ("CYX", (4, 5, 5), "uint16", 0.6499999761581421, None, None),
    "predictor-3-gray-f32.tif": ("YX", (200, 200), "float32", None, None, None),
    "sample_ovule.tiff": ("ZYX", (32, 128, 128), "uint8", 1e4 / 66666.664, None, 0.234999999),
    "stuck.tif": ("ZYX", (5, 512, 512), "uint16", None, None, None),
    "tiff_strip_cmyk_jpeg.tif": ("CYX", (4, 100, 100), "uint8", None, None, None),
    "tiff_strip_planar_16bit_RGB.tiff": ("YXS", (40, 100, 3), "uint16", None, None, None),
    "tiff_strip_planar_raw_with_overviews.tif": ("YXS", (374, 278, 3), "uint8", None, None, None),
    "tiff_tiled_planar_lzw.tiff": ("YXS", (374, 278, 3), "uint8", None, None, None),
    "tiff_tiled_ycbcr_jpeg_2x2_sampling.tif": ("YXS", (360, 480, 3), "uint8", None, None, None),
    "xyz_8bit__mitotic_plate_calibrated.tiff": ("ZYX", (6, 263, 263), "uint8", 1 / 11.737581, None, 3.0),
    "zcyx.tiff": ("ZCYX", (25, 2, 50, 50), "uint8", 1 / 2.295473, None, 0.054455002),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", VALID)
def test_valid_files_open_as_they_state(real_data, name):
    axes, shape, dtype, pixel_um, pixel_y_um, z_step_um = VALID[name]
    path = real_data / "tiffs/valid" / name
    stack = open_stack(path)
    assert (stack.axes, stack.data.shape, stack.data.dtype.name) == (axes, shape, dtype)
    assert stack.pixel_um == pytest.approx(pixel_um)
    assert stack.pixel_y_um == pytest.approx(pixel_y_um)
    assert stack.z_step_um == pytest.approx(z_step_um)
    with tifffile.TiffFile(path) as tif:
        stored = tif.series[0].asarray()
        if stored.shape != shape:
            letters = tif.series[0].axes.replace("S", axes[0] if axes[0] == "C" else "S")
            stored = stored.transpose([letters.index(letter) for letter in axes])
    np.testing.assert_array_equal(stack.data, stored)


@pytest.mark.real_data
def test_every_valid_file_is_in_the_table(real_data):
    assert {path.name for path in (real_data / "tiffs/valid").iterdir()} == set(VALID)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "axes", "note", "changed"),
    [
        ("input_yxz.tiff", "ZYX", "4 colour samples are depth", "YXS"),
        ("retina_0c_0z_3t_0q.tiff", "TYX", "3 colour samples are time", "YXS"),
        ("total-pages-zero.tif", "ZYX", "3 pages without stated meaning were taken as depth", "CYX"),
    ],
)
def test_ambiguous_files_say_what_they_were_taken_for(real_data, name, axes, note, changed):
    path = real_data / "tiffs/ambiguous" / name
    stack = open_stack(path)
    assert stack.axes == axes
    assert stack.notes[0].startswith(note)
    assert "change it by naming the axes" in stack.notes[0]
    again = open_stack(path, axes=changed)
    assert again.axes == changed
    order = [1, 2, 0] if changed == "YXS" else [0, 1, 2]
    np.testing.assert_array_equal(again.data, np.asarray(stack.data).transpose(order))
    assert not any("taken as" in note for note in again.notes)


@pytest.mark.real_data
def test_broken_files_fail_in_one_line(real_data, caplog):
    for path in (real_data / "tiffs/broken").iterdir():
        with pytest.raises(ValueError, match="; ") as error:
            open_stack(path)
        one_line(error, path.name)
    assert not caplog.records


@pytest.mark.real_data
@pytest.mark.skipif(sys.platform == "win32", reason="resource is not there")
def test_broken_files_take_little_memory(real_data):
    code = (
        "import sys, resource; from pathlib import Path; from napari_cellrestore.files import open_stack\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in Path(sys.argv[1]).iterdir():\n"
        "    try: open_stack(path)\n"
        "    except ValueError: pass\n"
        "    else: sys.exit(path.name)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    command = [sys.executable, "-c", code, str(real_data / "tiffs/broken")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300 * 1024
    assert done.stderr == ""


@pytest.mark.real_data
def test_real_focus_stacks(real_data):
    brightfield = open_stack(real_data / "focus_stacks/yeast_brightfield/BF.tif")
    assert (brightfield.axes, brightfield.data.shape) == ("ZYX", (34, 116, 55))
    assert brightfield.z_step_um == pytest.approx(0.3)
    assert brightfield.pixel_um == pytest.approx(0.1065, abs=1e-6)
    fluorescence = open_stack(real_data / "focus_stacks/yeast_brightfield/FLUO.tif")
    assert fluorescence.axes == "ZCYX"
    assert fluorescence.z_um is None
    assert fluorescence.notes == ("the file does not state the distance of its planes along Z",)
    mitochondria = open_stack(real_data / "focus_stacks/mitochondria_fluorescence")
    assert (mitochondria.axes, mitochondria.data.shape) == ("ZYX", (34, 800, 512))
    assert "34 files in the order of the number in their names, 32 to 65" in mitochondria.notes
    assert "left out, no planes: ReadMe.txt" in mitochondria.notes
    with pytest.raises(
        ValueError, match=r"BF\.tif: it holds 34 planes, a folder is opened as one plane a file"
    ) as error:
        open_stack(real_data / "focus_stacks/yeast_brightfield")
    one_line(error, "BF.tif")


@pytest.mark.real_data
def test_real_bead_folder_takes_lengths_from_the_vendor_xml(real_data):
    beads = open_stack(real_data / "psf/beads_confocal")
    assert (beads.axes, beads.data.shape) == ("ZYXS", (71, 1024, 1024, 3))
    assert beads.pixel_um == pytest.approx(0.0444, abs=1e-4)
    assert beads.z_step_um == pytest.approx(0.1, abs=1e-3)
    assert any("from Project_Series045.xml" in note for note in beads.notes)
    assert any("LeicaLogo.jpg" in note for note in beads.notes)
    single = open_stack(real_data / "psf/beads_confocal/Project_Series045_z00.tif")
    assert single.pixel_um is None
    assert "72 dpi is a print setting" in single.notes[0]


@pytest.mark.real_data
def test_opening_a_real_led_stack_reads_one_plane(real_data, reads):
    stack = open_stack(real_data / "led_stacks/blood_smear/red.tif")
    assert reads == [0]
    assert (stack.axes, stack.data.shape, stack.data.dtype.name) == ("AYX", (225, 128, 128), "float32")
    assert stack.pixel_um == pytest.approx(1.845)
    assert stack.leds.brightfield(0.1).sum() == 21
    assert stack.notes == ("the LED table red.leds.csv beside the file was used",)


@pytest.mark.real_data
def test_real_pictures(real_data):
    smear = open_stack(real_data / "blood_smears/bccd/BloodImage_00001.jpg")
    assert (smear.axes, smear.data.shape, smear.pixel_um) == ("YXS", (480, 640, 3), None)
    stain = open_stack(real_data / "pairs/stain_unpaired/source.png")
    assert (stain.axes, stain.data.shape) == ("YXS", (438, 584, 4))
    assert "the 4th colour sample is alpha (opacity), not a colour" in stain.notes


# --- lazy ----------------------------------------------------------------------------------------------------


def test_planes_are_read_when_asked_for_and_files_are_closed(tmp_path, reads):
    path = tmp_path / "zellen – grün 1.tif"
    data = pixels((6, 20, 30))
    tifffile.imwrite(path, data, compression="zlib", metadata={"axes": "ZYX"})
    stack = open_stack(path)
    assert reads == [0]
    assert stack.data.chunks[0] == (1,) * 6
    np.testing.assert_array_equal(stack.data[4, 3:9, ::2], data[4, 3:9, ::2])
    assert reads == [0, 4]
    again = pickle.loads(pickle.dumps(stack.data))
    np.testing.assert_array_equal(again, data)
    if sys.platform == "linux":
        assert not any(os.readlink(f"/proc/self/fd/{fd}") == str(path) for fd in list_descriptors())
    path.rename(tmp_path / "moved.tif")


def list_descriptors():
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")]


def test_file_that_is_gone_or_changed_is_named(tmp_path):
    path = tmp_path / "my cells.tif"
    tifffile.imwrite(path, pixels((3, 8, 8)), compression="zlib", photometric="minisblack")
    stack = open_stack(path)
    tifffile.imwrite(path, pixels((9, 9)))
    with pytest.raises(ValueError, match="the file has changed since it was opened; open it again") as error:
        stack.data[2].compute()
    one_line(error, "my cells.tif")
    path.unlink()
    with pytest.raises(ValueError, match="plane 2 cannot be read, the file is gone; put it back") as error:
        stack.data[2].compute()
    one_line(error, "my cells.tif")


def test_damaged_plane_is_named_when_it_is_read(tmp_path):
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, pixels((3, 64, 64)), compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as tif:
        start, length = tif.pages[1].dataoffsets[0], tif.pages[1].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data[2], pixels((3, 64, 64))[2])
    with pytest.raises(ValueError, match=r"^cells\.tif: plane 1 cannot be read, .*; ") as error:
        stack.data[1].compute()
    one_line(error, "cells.tif")


@pytest.mark.parametrize(
    "stored",
    [
        {"tile": (64, 80)},
        {"rowsperstrip": 7},
        {"rowsperstrip": 7, "compression": "zlib"},
        {"tile": (64, 80), "compression": "lzw", "predictor": True},
    ],
)
@pytest.mark.parametrize("colours", ["grey", "contig", "separate"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_large_planes_are_read_in_parts(tmp_path, monkeypatch, stored, colours, byteorder):
    monkeypatch.setattr(planes, "WHOLE_PLANE_BYTES", 1000)
    monkeypatch.setattr(planes, "PART_PX", 128)
    shape = {"grey": (2, 150, 210), "contig": (2, 150, 210, 3), "separate": (2, 3, 150, 210)}[colours]
    options = {} if colours == "grey" else {"planarconfig": colours}
    data = pixels(shape)
    path = tmp_path / "large.tif"
    photometric = "minisblack" if colours == "grey" else "rgb"
    tifffile.imwrite(path, data, photometric=photometric, metadata=None, byteorder=byteorder, **stored, **options)
    stack = open_stack(path)
    assert np.prod(stack.data.chunksize[1:3]) < 150 * 210
    expected = np.moveaxis(data, 1, -1) if colours == "separate" else data
    np.testing.assert_array_equal(stack.data, expected)
    np.testing.assert_array_equal(stack.data[1, 60:140:3, -5], expected[1, 60:140:3, -5])


def test_tiles_that_were_never_written_are_zero(tmp_path, monkeypatch):
    monkeypatch.setattr(planes, "WHOLE_PLANE_BYTES", 1000)
    monkeypatch.setattr(planes, "PART_PX", 16)
    path = tmp_path / "sparse.tif"
    tile = pixels((16, 16))
    tifffile.imwrite(path, iter([tile, None, None, tile]), shape=(32, 32), dtype="uint16", tile=(16, 16), compression=8)
    zero = np.zeros((16, 16))
    np.testing.assert_array_equal(open_stack(path).data, np.block([[tile, zero], [zero, tile]]))


def test_one_directory_for_many_planes(tmp_path):
    path = tmp_path / "large hyperstack.tif"
    data = pixels((6, 20, 30), ">u2")
    options = {"imagej": True, "truncate": True, "resolution": (5, 5)}
    tifffile.imwrite(path, data, **options, metadata={"axes": "ZYX", "unit": "um", "spacing": 0.5})
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data, data)
    assert (stack.pixel_um, stack.z_step_um) == (0.2, 0.5)
    path.write_bytes(path.read_bytes()[:-3000])
    assert "declares 6 planes, but the file holds 1: it may have been cut off" in open_stack(path).notes[0]


def test_tifffile_is_quiet_only_inside(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels((8, 8)))
    logger = logging.getLogger("tifffile")
    before = (logger.level, logger.propagate, list(logger.filters), list(logger.handlers))
    open_stack(path).data.compute()
    assert before == (logger.level, logger.propagate, list(logger.filters), list(logger.handlers))


# --- axes ----------------------------------------------------------------------------------------------------


def test_pages_without_meaning_are_depth_with_a_note(tmp_path):
    path = tmp_path / "pages.tif"
    tifffile.imwrite(path, pixels((5, 8, 9)), metadata=None)
    stack = open_stack(path)
    assert stack.axes == "ZYX"
    assert stack.notes[0].startswith("5 pages without stated meaning were taken as depth (Z)")
    assert "colours" not in stack.notes[0]
    tifffile.imwrite(path, pixels((3, 8, 9)), metadata=None, photometric="minisblack")
    assert "or colours (C)" in open_stack(path).notes[0]
    tifffile.imwrite(path, pixels((2, 5, 8, 9)))
    stack = open_stack(path)
    assert stack.axes == "TZYX"
    assert [note[:7] for note in stack.notes[:2]] == ["2 pages", "5 pages"]


@pytest.mark.parametrize(
    ("given_axes", "axes", "order"),
    [("CYX", "CYX", (0, 1, 2)), ("tyx", "TYX", (0, 1, 2)), ("YXS", "YXS", (1, 2, 0)), ("SYX", "YXS", (1, 2, 0))],
)
def test_axes_of_the_user_in_the_order_of_stack_or_file(tmp_path, given_axes, axes, order):
    path = tmp_path / "planar.tif"
    data = pixels((3, 8, 9))
    tifffile.imwrite(path, data, photometric="rgb", planarconfig="separate", metadata=None)
    assert open_stack(path).axes == "YXS"
    stack = open_stack(path, axes=given_axes)
    assert stack.axes == axes
    np.testing.assert_array_equal(stack.data, data.transpose(order))


@pytest.mark.parametrize("axes", ["YX", "ZCYX", "ZXY", "", "ZZZ", "WYX", "YXS"])
def test_axes_that_do_not_fit(tmp_path, axes):
    path = tmp_path / "pages.tif"
    tifffile.imwrite(path, pixels((5, 8, 9)), metadata=None)
    with pytest.raises(ValueError, match="axes") as error:
        open_stack(path, axes=axes)
    assert one_line(error, "pages.tif").count(repr(axes)) == 1


def test_axes_stored_in_another_order(tmp_path):
    data = pixels((30, 20, 5))
    path = tmp_path / "yxz.tif"
    tifffile.imwrite(path, data, metadata={"axes": "YXZ"})
    stack = open_stack(path)
    assert stack.axes == "ZYX"
    assert stack.data.chunksize == (1, 30, 20)
    np.testing.assert_array_equal(stack.data, np.moveaxis(data, 2, 0))


@pytest.mark.parametrize(
    ("samples", "photometric", "axes", "note"),
    [
        (3, "rgb", "YXS", None),
        (4, "rgb", "YXS", "the 4th colour sample is alpha"),
        (2, "minisblack", "CYX", "2 samples a pixel that are not RGB (MINISBLACK)"),
        (3, "minisblack", "CYX", "3 samples a pixel that are not RGB (MINISBLACK)"),
        (5, "rgb", "CYX", "5 samples a pixel that are not RGB (RGB)"),
        (4, "separated", "CYX", "4 samples a pixel that are not RGB (SEPARATED)"),
    ],
)
def test_samples_of_a_pixel(tmp_path, samples, photometric, axes, note):
    path = tmp_path / "samples.tif"
    data = pixels((8, 9, samples), "uint8")
    tifffile.imwrite(path, data, photometric=photometric, planarconfig="contig", metadata=None)
    stack = open_stack(path)
    assert stack.axes == axes
    np.testing.assert_array_equal(stack.data, data if axes == "YXS" else np.moveaxis(data, 2, 0))
    assert (
        any(n.startswith(note) for n in stack.notes)
        if note
        else stack.notes == ("the file does not state a pixel size",)
    )
    if photometric == "separated":
        assert stack.channels == ("cyan", "magenta", "yellow", "black")


def test_inverted_and_indexed_grey_levels_are_kept_and_noted(tmp_path):
    data = pixels((8, 9), "uint8")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, photometric="miniswhite", metadata=None)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data, data)
    assert "0 is white in this file" in stack.notes[0]
    tifffile.imwrite(path, data, photometric="palette", colormap=np.zeros((3, 256), np.uint16), metadata=None)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data, data)
    assert "colour table" in stack.notes[0]


def test_first_image_of_several_and_full_resolution_of_a_pyramid(tmp_path):
    path = tmp_path / "pyramid.ome.tif"
    data = pixels((3, 128, 96))
    with tifffile.TiffWriter(path) as tif:
        metadata = {"axes": "CYX", "PhysicalSizeX": 0.5, "Channel": {"Name": ["DAPI", "GFP", "BF"]}}
        tif.write(data, subifds=1, tile=(32, 32), photometric="minisblack", metadata=metadata)
        tif.write(data[:, ::2, ::2], subfiletype=1, tile=(32, 32), photometric="minisblack")
        tif.write(pixels((7, 8)), photometric="minisblack", metadata={"axes": "YX"})
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.data, data)
    assert stack.channels == ("DAPI", "GFP", "BF")
    assert stack.notes[0] == "the file holds 2 images: the first (Image0) was taken"


def test_ome_set_of_files(tmp_path):
    data = pixels((2, 8, 9))
    pixel_xml = (
        '<Image ID="Image:0"><Pixels ID="P:0" DimensionOrder="XYZCT" Type="uint16" SizeX="9" SizeY="8" SizeZ="2" SizeC="1" '
        'SizeT="1" PhysicalSizeX="100" PhysicalSizeXUnit="nm" PhysicalSizeZ="200" PhysicalSizeZUnit="nm">'
        '<TiffData FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="z0.ome.tif">urn:uuid:a</UUID></TiffData>'
        '<TiffData FirstZ="1" IFD="0" PlaneCount="1"><UUID FileName="z1.ome.tif">urn:uuid:b</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    for z, uuid in enumerate("ab"):
        xml = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{uuid}">{pixel_xml}'
        tifffile.imwrite(tmp_path / f"z{z}.ome.tif", data[z], description=xml, metadata=None)
    stack = open_stack(tmp_path / "z0.ome.tif")
    assert (stack.axes, stack.pixel_um, stack.z_step_um) == ("ZYX", 0.1, 0.2)
    np.testing.assert_array_equal(stack.data, data)
    np.testing.assert_array_equal(open_stack(tmp_path).data, data)
    (tmp_path / "z1.ome.tif").unlink()
    with pytest.raises(ValueError, match="plane 1 of 2 is in none of its files; put the set into one folder") as error:
        open_stack(tmp_path / "z0.ome.tif")
    one_line(error, "z0.ome.tif")


# --- calibration ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "per_unit", "pixel_um"),
    [
        ("um", 10, 0.1),
        ("µm", 10, 0.1),
        ("\\u00B5m", 10, 0.1),
        ("micron", 10, 0.1),
        ("nm", 0.01, 0.1),
        ("mm", 10_000, 0.1),
        ("cm", 100_000, 0.1),
        ("inch", 254_000, 0.1),
        ("pixel", 10, None),
        ("furlong", 10, None),
        ("", 10, None),
    ],
)
def test_imagej_units(tmp_path, unit, per_unit, pixel_um):
    path = tmp_path / "imagej.tif"
    um = unit_um(unit)
    metadata = {"axes": "ZYX", "unit": unit, "spacing": 0.5 if um is None else 0.5 / um}
    resolution = (per_unit, 2 * per_unit)
    metadata["unit"] = unit.replace("µ", "#")  # which tifffile writes
    tifffile.imwrite(path, pixels((2, 8, 9)), imagej=True, resolution=resolution, metadata=metadata)
    path.write_bytes(path.read_bytes().replace(b"unit=#m", b"unit=\xb5m"))
    stack = open_stack(path)
    if pixel_um is None:
        assert (stack.pixel_um, stack.z_um) == (None, None)
        said = f"given in {unit!r}, not a length" if unit else "does not state a pixel size"
        assert said in stack.notes[0]
    else:
        assert stack.pixel_um == pytest.approx(pixel_um)
        assert stack.pixel_y_um == pytest.approx(pixel_um / 2)
        np.testing.assert_allclose(stack.z_um, [0, 0.5])
        assert stack.notes == ()


@pytest.mark.parametrize(
    ("per_unit", "unit", "pixel_um", "note"),
    [
        (1e4 / 0.25, "CENTIMETER", 0.25, None),
        (25400 / 2.0, "INCH", 2.0, None),
        (300, "INCH", None, "300 dpi is a print setting"),
        (72, "INCH", None, "72 dpi is a print setting"),
        (1, "NONE", None, "does not state a pixel size"),
    ],
)
def test_resolution_of_plain_files(tmp_path, per_unit, unit, pixel_um, note):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, pixels((8, 9)), resolution=(per_unit, per_unit), resolutionunit=unit, metadata=None)
    stack = open_stack(path)
    assert stack.pixel_um == pytest.approx(pixel_um)
    assert stack.pixel_y_um is None
    assert (note in stack.notes[0]) if note else stack.notes == ()


def test_imagej_description_with_centimetres_in_the_tag(tmp_path):
    # As SCIFIO writes: the unit of the description is that of its scales, the resolution is per centimetre.
    path = tmp_path / "scifio.tif"
    description = (
        "SCIFIO=0.43.3\naxes=X,Y,Z\nlengths=9,8,2\nscales=0.15,0.15,0.235\nunits=micrometer,micrometer,micrometer\n"
        "images=2\nslices=2\nunit=micrometer\n"
    )
    options = {"resolution": (1e4 / 0.15, 1e4 / 0.15), "resolutionunit": "CENTIMETER", "metadata": None}
    tifffile.imwrite(path, pixels((2, 8, 9)), description=description, **options)
    stack = open_stack(path)
    assert (stack.axes, stack.z_step_um) == ("ZYX", 0.235)
    assert stack.pixel_um == pytest.approx(0.15)


def test_ome_positions_win_over_the_step(tmp_path):
    path = tmp_path / "uneven.ome.tif"
    z_um = [12.0, 12.5, 13.5]
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 65.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.13,
        "PhysicalSizeZ": 2.0,
        "Plane": {"PositionZ": z_um * 2, "PositionZUnit": ["µm"] * 6},
    }
    tifffile.imwrite(path, pixels((2, 3, 8, 9)), ome=True, photometric="minisblack", metadata=metadata)
    stack = open_stack(path)
    assert stack.pixel_yx_um == pytest.approx((0.13, 0.065))
    assert stack.z_um.tolist() == z_um
    assert "planes are stated 2 um apart, but their positions are not" in stack.notes[0]
    metadata["Plane"]["PositionZUnit"] = ["reference frame"] * 6
    tifffile.imwrite(path, pixels((2, 3, 8, 9)), ome=True, photometric="minisblack", metadata=metadata)
    assert open_stack(path).z_um.tolist() == [0, 2, 4]


# --- broken --------------------------------------------------------------------------------------------------


def damaged(content: bytes, tag: int, value: int) -> bytes:
    """Return a little-endian TIFF with another value of a short or long tag of its first directory."""
    changed = bytearray(content)
    start = int.from_bytes(content[4:8], "little")
    for i in range(int.from_bytes(content[start : start + 2], "little")):
        entry = start + 2 + 12 * i
        if int.from_bytes(content[entry : entry + 2], "little") == tag:
            changed[entry + 2 : entry + 12] = (4).to_bytes(2, "little") + b"\1\0\0\0" + value.to_bytes(4, "little")
    return bytes(changed)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda content: b"", "the file is empty"),
        (lambda content: b"GIF89a", "no TIFF, PNG, JPEG or BMP"),
        (lambda content: content[:4], "damaged"),
        (lambda content: content[: len(content) - 40], "ends at byte"),
        (lambda content: damaged(content, 257, 4_000_000_000), "cannot hold|damaged|ends at byte"),
        (lambda content: damaged(content, 259, 12345), "12345"),
        (lambda content: damaged(content, 273, 3_000_000_000), "ends at byte"),
        (lambda content: damaged(content, 279, 0), "has no pixels"),
        (lambda content: damaged(content, 258, 7777), r"its pixels \(7777 bits\) are no real numbers"),
    ],
)
def test_damaged_files_fail_when_opened(tmp_path, make, reason):
    path = tmp_path / "dåmaged file.tif"
    tifffile.imwrite(path, pixels((64, 64)), compression="zlib", rowsperstrip=64, metadata=None)
    path.write_bytes(make(path.read_bytes()))
    with pytest.raises(ValueError, match=reason) as error:
        open_stack(path)
    one_line(error, "dåmaged file.tif")


def test_ome_that_declares_too_much(tmp_path):
    path = tmp_path / "many.ome.tif"
    tifffile.imwrite(path, pixels((2, 8, 9)), ome=True, photometric="minisblack", metadata={"axes": "TYX"})
    with tifffile.TiffFile(path) as tif:
        xml = tif.ome_metadata.replace('SizeT="2"', 'SizeT="2000000000"')
    tifffile.imwrite(path, pixels((2, 8, 9)), description=xml, photometric="minisblack", metadata=None)
    with pytest.raises(ValueError, match="declares") as error:
        open_stack(path)
    one_line(error, "many.ome.tif")


def test_complex_numbers_are_no_image(tmp_path):
    path = tmp_path / "phase.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.complex64))
    with pytest.raises(ValueError, match=r"phase\.tif: its pixels \(complex64\) are no real numbers; save it anew"):
        open_stack(path)


def test_paths_that_are_not_there(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"^no such\.tif: there is no such file or folder in .*; check the path$"
    ):
        open_stack(tmp_path / "no such.tif")
    with pytest.raises(ValueError, match="no path given: give a file, a folder or several files"):
        open_stack([])
    with pytest.raises(ValueError, match="no TIFF, PNG, JPEG or BMP files in this folder; choose"):
        open_stack(tmp_path)


# --- folders and pictures ------------------------------------------------------------------------------------


def test_folder_in_the_order_of_numbers_with_gaps(tmp_path, reads):
    data = pixels((3, 8, 9))
    for plane, number in zip(data, (9, 10, 13), strict=True):
        tifffile.imwrite(
            tmp_path / f"Z stack_{number}.tif", plane, imagej=True, metadata={"unit": "um", "spacing": 0.5}
        )
    (tmp_path / "notes.txt").write_text("dz 0.5")
    (tmp_path / ".hidden.tif").write_bytes(b"")
    stack = open_stack(tmp_path)
    assert stack.axes == "ZYX"
    assert stack.source == str(tmp_path)
    np.testing.assert_array_equal(stack.data, data)
    assert reads[:1] == [0]
    np.testing.assert_allclose(stack.z_um, [0, 0.5, 2.0])
    assert "3 files in the order of the number in their names, 9 to 13; missing: 11, 12" in stack.notes
    assert "left out, no planes: notes.txt" in stack.notes


def test_several_files_are_a_stack_like_a_folder(tmp_path):
    paths = [tmp_path / f"t{number}.tif" for number in (1, 2, 11)]
    for number, path in enumerate(paths):
        tifffile.imwrite(path, np.full((8, 9), number, np.uint8))
    stack = open_stack(paths[::-1], axes="TYX")
    assert stack.axes == "TYX"
    assert np.asarray(stack.data)[:, 0, 0].tolist() == [0, 1, 2]
    assert open_stack(paths[:1]).axes == "YX"


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (np.zeros((8, 10), np.uint8), "8 x 10 uint8, but a1.tif is 8 x 9 uint8"),
        (np.zeros((8, 9), np.uint16), "8 x 9 uint16, but a1.tif is 8 x 9 uint8"),
    ],
)
def test_folder_of_unlike_files_names_the_first(tmp_path, odd, said):
    for number in range(1, 5):
        tifffile.imwrite(tmp_path / f"a{number}.tif", odd if number > 2 else np.zeros((8, 9), np.uint8), metadata=None)
    with pytest.raises(ValueError, match=said) as error:
        open_stack(tmp_path)
    one_line(error, "a3.tif")


def test_folder_of_pictures_reads_only_the_first(tmp_path, monkeypatch):
    data = pixels((4, 8, 9, 3), "uint8")
    for number, plane in enumerate(data):
        Image.fromarray(plane).save(tmp_path / f"p{number}.png")
    decoded = []
    decode = planes.PicturePlane.decode
    monkeypatch.setattr(planes.PicturePlane, "decode", lambda self: decoded.append(self.path) or decode(self))
    stack = open_stack(tmp_path)
    assert {Path(path).name for path in decoded} == {"p0.png"}
    assert stack.axes == "ZYXS"
    np.testing.assert_array_equal(stack.data, data)
    Image.fromarray(data[0, ..., 0]).save(tmp_path / "p3.png")
    with pytest.raises(ValueError, match=r"8 x 9 L, but p0\.png is 8 x 9 RGB"):
        open_stack(tmp_path)


@pytest.mark.parametrize(
    ("mode", "suffix", "axes", "dtype"),
    [
        ("L", "png", "YX", "uint8"),
        ("I;16", "png", "YX", "uint16"),
        ("RGB", "png", "YXS", "uint8"),
        ("RGBA", "png", "YXS", "uint8"),
        ("LA", "png", "YX", "uint8"),
        ("P", "png", "YXS", "uint8"),
        ("L", "jpg", "YX", "uint8"),
        ("RGB", "jpeg", "YXS", "uint8"),
        ("CMYK", "jpg", "CYX", "uint8"),
        ("L", "bmp", "YX", "uint8"),
        ("1", "bmp", "YX", "uint8"),
        ("RGB", "bmp", "YXS", "uint8"),
    ],
)
def test_pictures(tmp_path, mode, suffix, axes, dtype):
    path = tmp_path / f"smear 1.{suffix}"
    image = Image.fromarray(pixels((16, 24), "uint16" if mode == "I;16" else "uint8"))
    (image if mode == "I;16" else image.convert(mode)).save(path)
    stack = open_stack(path)
    assert (stack.axes, stack.data.dtype.name, stack.yx_shape) == (axes, dtype, (16, 24))
    if mode in ("L", "I;16") and suffix != "jpg":
        np.testing.assert_array_equal(stack.data, np.asarray(image))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_alpha_of_grey_images_is_left_out(tmp_path, suffix):
    data = pixels((16, 24, 2), "uint8")
    paths = [tmp_path / f"grey{number}.{suffix}" for number in range(2)]
    for path in paths:
        if suffix == "png":
            Image.fromarray(data, "LA").save(path)
        else:
            tifffile.imwrite(path, data, photometric="minisblack", extrasamples=["unassalpha"], metadata=None)
    stack = open_stack(paths[0])
    assert stack.axes == "YX"
    np.testing.assert_array_equal(stack.data, data[..., 0])
    assert any("alpha (opacity) is left out" in note for note in stack.notes)
    assert open_stack(tmp_path).axes == "ZYX"
    assert open_stack(paths[0], axes="YX").data.shape == (16, 24)
    both = open_stack(paths[0], axes="CYX")
    np.testing.assert_array_equal(both.data, data.transpose(2, 0, 1))
    assert not any("alpha" in note for note in both.notes)


def test_a_second_sample_that_is_no_alpha_stays(tmp_path):
    data = pixels((16, 24, 2), "uint8")
    tifffile.imwrite(tmp_path / "two.tif", data, photometric="minisblack", extrasamples=["unspecified"], metadata=None)
    stack = open_stack(tmp_path / "two.tif")
    assert stack.axes == "CYX"
    np.testing.assert_array_equal(stack.data, data.transpose(2, 0, 1))


def test_palettes_are_colours(tmp_path):
    image = Image.fromarray(pixels((16, 24, 3), "uint8")).quantize(16)
    for suffix in ("png", "bmp"):
        image.save(tmp_path / f"smear.{suffix}")
        np.testing.assert_array_equal(open_stack(tmp_path / f"smear.{suffix}").data, np.asarray(image.convert("RGB")))


def test_16_bit_colours_of_png_stay(tmp_path):
    import imagecodecs

    data = pixels((8, 9, 3), "uint16") * 200
    path = tmp_path / "deep.png"
    path.write_bytes(imagecodecs.png_encode(data))
    np.testing.assert_array_equal(open_stack(path).data, data)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_cut_off_pictures_fail_when_opened(tmp_path, suffix):
    path = tmp_path / f"smear.{suffix}"
    Image.fromarray(pixels((64, 64, 3), "uint8")).save(path)
    for length in (20, len(path.read_bytes()) // 2):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match="; ") as error:
            open_stack(path)
        one_line(error, path.name)


def test_numbers_in_names():
    names = ["a1_z2.tif", "a1_z10.tif", "a1_z1.tif"]
    paths = sorted(map(Path, names), key=natural_key)
    assert [path.name for path in paths] == ["a1_z1.tif", "a1_z2.tif", "a1_z10.tif"]
    assert plane_numbers(paths) == [1, 2, 10]
    assert plane_numbers([Path("a1_z1.tif"), Path("a2_z2.tif")]) is None
    assert plane_numbers([Path("a.tif"), Path("b.tif")]) is None


# --- LEDs ----------------------------------------------------------------------------------------------------

LEDS = "index,polar_deg,azimuth_deg\n0,0,0\n1,10,0\n2,20,0\n"


def test_led_table_makes_the_leading_axis_leds(tmp_path):
    path = tmp_path / "cells.ome.tif"
    metadata = {"axes": "ZYX", "PhysicalSizeZ": 0.3}
    tifffile.imwrite(path, pixels((3, 8, 9)), ome=True, photometric="minisblack", metadata=metadata)
    table = tmp_path / "table.csv"
    table.write_text(LEDS)
    assert open_stack(path).axes == "ZYX"
    for leds in (table, str(table), LedTable.read_csv(table)):
        stack = open_stack(path, leds=leds)
        assert (stack.axes, stack.z_um, stack.leds.polar_deg.tolist()) == ("AYX", None, [0, 10, 20])
    table.rename(tmp_path / "cells.leds.csv")
    stack = open_stack(path)
    assert stack.axes == "AYX"
    assert stack.notes[0] == "the LED table cells.leds.csv beside the file was used"


def test_led_table_that_does_not_fit(tmp_path):
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, pixels((4, 8, 9)), photometric="minisblack")
    (tmp_path / "cells.leds.csv").write_text(LEDS)
    with pytest.raises(ValueError, match="the LED table has 3 rows, but the stack is AYX of") as error:
        open_stack(path)
    one_line(error, "cells.tif")
    with pytest.raises(ValueError, match="the LED table has 3 rows, but the stack is ZYX of"):
        open_stack(path, axes="ZYX")
    with pytest.raises(FileNotFoundError, match=r"^none\.csv: there is no such file"):
        open_stack(path, leds=tmp_path / "none.csv")


def test_json_table_beside_the_file(tmp_path):
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, pixels((2, 8, 9)), photometric="minisblack")
    table = {"index": [4, 5], "x_mm": [3, 0], "y_mm": [0, -4], "height_mm": 4}
    (tmp_path / "cells.leds.json").write_text(json.dumps(table))
    stack = open_stack(path)
    np.testing.assert_allclose(stack.leds.polar_deg, np.degrees(np.arctan([0.75, 1])))
    assert stack.leds.azimuth_deg.tolist() == [0, -90]
    assert stack.notes[0] == "the LED table cells.leds.json beside the file was used"
    (tmp_path / "cells.leds.csv").write_text(LEDS)
    with pytest.raises(ValueError, match=r"several LED tables, cells\.leds\.csv, cells\.leds\.json; keep one") as error:
        open_stack(path)
    one_line(error, "cells.leds.csv")
    assert open_stack(path, leds=tmp_path / "cells.leds.json").leds.index.tolist() == [4, 5]


@pytest.mark.parametrize("shape", [(3, 8, 9), (3, 8, 9, 3)])
@pytest.mark.parametrize("table", ["leds.csv", "leds.json", "tuesday.leds.csv"])
def test_folder_with_one_file_per_led(tmp_path, reads, shape, table):
    data = pixels(shape, "uint8")
    for plane, number in zip(data, (2, 10, 11), strict=True):
        tifffile.imwrite(tmp_path / f"led{number}.tif", plane, photometric="rgb" if plane.ndim == 3 else "minisblack")
    rows = [{"index": i, "polar_deg": 3 * i, "azimuth_deg": 0, "exposure": ["low", "hdr", "high"][i]} for i in range(3)]
    text = (
        json.dumps(rows)
        if table.endswith("json")
        else "\n".join([",".join(rows[0])] + [",".join(map(str, row.values())) for row in rows])
    )
    (tmp_path / table).write_text(text)
    (tmp_path / "notes.txt").write_text("")
    stack = open_stack(tmp_path)
    assert reads == [0]
    assert stack.axes == ("AYXS" if len(shape) == 4 else "AYX")
    np.testing.assert_array_equal(stack.data, data)
    assert stack.leds.polar_deg.tolist() == [0, 3, 6]
    assert stack.notes[0] == f"the LED table {table} in the folder was used"
    assert "left out, no planes: notes.txt" in stack.notes
    (tmp_path / "led12.tif").write_bytes((tmp_path / "led2.tif").read_bytes())
    with pytest.raises(ValueError, match=r"the LED table has 3 rows, but the stack is AYXS? of \(4, 8") as error:
        open_stack(tmp_path)
    one_line(error, tmp_path.name)


def test_the_table_of_a_folder_names_its_files(tmp_path):
    for number, name in enumerate(("b.tif", "a.tif", "c.tif")):
        tifffile.imwrite(tmp_path / name, np.full((8, 9), number, np.uint8))
    table = tmp_path / "leds.csv"
    head = "index,polar_deg,azimuth_deg,file\n"
    table.write_text(head + "0,0,0,c.tif\n1,5,0,b.tif\n")
    stack = open_stack(tmp_path)
    assert np.asarray(stack.data)[:, 0, 0].tolist() == [2, 0]
    assert "2 files in the order of the LED table" in stack.notes
    assert "left out, no planes: a.tif" in stack.notes
    paths = [tmp_path / name for name in ("a.tif", "b.tif", "c.tif")]
    assert np.asarray(open_stack(paths, leds=table).data)[:, 0, 0].tolist() == [2, 0]
    for rows, name, message in (
        ("0,0,0,c.tif\n1,5,0,d.tif\n", "d.tif", "the LED table names this file, but it is not there; put it back"),
        ("0,0,0,c.tif\n1,5,0,c.tif\n", "c.tif", "the LED table names this file in two rows; give each row"),
        ("0,0,0,c.tif\n1,5,0,\n", "leds.csv", "row 1: file is empty; name a file in each row"),
        ("0,0,0,../c.tif\n", "../c.tif", "the LED table names this file, but it is not there"),
    ):
        table.write_text(head + rows)
        with pytest.raises(ValueError, match=message) as error:
            open_stack(tmp_path)
        one_line(error, name)


def test_a_folder_with_two_tables_is_not_guessed(tmp_path):
    for number in range(3):
        tifffile.imwrite(tmp_path / f"a{number}.tif", np.zeros((8, 9), np.uint8))
    (tmp_path / "leds.csv").write_text(LEDS)
    (tmp_path / "other.leds.csv").write_text(LEDS)
    with pytest.raises(
        ValueError, match=r"there are several LED tables, leds\.csv, other\.leds\.csv; keep one or name it"
    ):
        open_stack(tmp_path)
    assert len(open_stack(tmp_path, leds=tmp_path / "other.leds.csv").leds) == 3
    (tmp_path / "other.leds.csv").rename(tmp_path / "a1.leds.csv")  # the table of one of the files
    assert open_stack(tmp_path).notes[0] == "the LED table leds.csv in the folder was used"


# --- colours -------------------------------------------------------------------------------------------------

PANEL = (
    "index,x_mm,y_mm,polar_deg,azimuth_deg,wavelength_um\n0,0,{0},0.{1},90,0.{2}\n1,4,{0},5,0,0.{2}\n2,4,4,7,45,0.{2}\n"
)


def write_colours(folder, shape=(3, 8, 9), dtype="uint16"):
    data = pixels((*shape, 3), dtype)
    for number, colour in enumerate(("red", "green", "blue")):
        tifffile.imwrite(folder / f"smear_{colour}.tif", data[..., number], photometric="minisblack", metadata=None)
        place = ("0", "0.5", "0.9")[number]
        (folder / f"smear_{colour}.leds.csv").write_text(PANEL.format(place, number, 63 - 8 * number))
    return data


def test_three_colours_of_one_array_are_one_stack(tmp_path, reads):
    data = write_colours(tmp_path)
    paths = [tmp_path / f"smear_{colour}.tif" for colour in ("blue", "red", "green")]
    for given_paths in (tmp_path, paths, [str(path) for path in paths]):
        reads.clear()
        stack = open_stack(given_paths)
        assert reads == [0]
        assert (stack.axes, stack.data.dtype, stack.source) == ("AYXS", "uint16", str(tmp_path))
        assert stack.data.chunks == ((1, 1, 1), (8,), (9,), (3,))
        stack.data[1].compute()
        assert reads == [0, 1, 1, 1]
        np.testing.assert_array_equal(stack.data, data)
    assert stack.leds.index.tolist() == [0, 1, 2]
    assert stack.leds.y_mm.tolist() == [0.5, 0.5, 4]  # of green
    assert np.isnan(stack.leds.wavelength_um).all()
    assert stack.provenance["colours"] == {
        "files": ["smear_red.tif", "smear_green.tif", "smear_blue.tif"],
        "wavelength_um": [0.63, 0.55, 0.47],
    }
    assert (
        stack.notes[0]
        == "red, green and blue are smear_red.tif (0.63 um), smear_green.tif (0.55 um), smear_blue.tif (0.47 um)"
    )
    assert "places of green; those of the other colours are up to 0.10 deg from them" in stack.notes[1]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack.data)), data)
    again = open_stack(write_tiff(tmp_path / "all.ome.tif", stack))
    assert again.leds.columns() == stack.leds.columns()
    assert dict(again.provenance) == dict(stack.provenance)


@pytest.mark.parametrize(
    ("colour", "shape", "dtype", "table", "message"),
    [
        ("green", (3, 8, 10), "uint16", None, "it is 3 x 8 x 10 uint16, but smear_red.tif is 3 x 8 x 9 uint16; give"),
        ("blue", (3, 8, 9), "uint8", None, "it is 3 x 8 x 9 uint8, but smear_red.tif is 3 x 8 x 9 uint16; give"),
        (
            "blue",
            (4, 8, 9),
            "uint16",
            None,
            r"it is AYX of \(4, 8, 9\) and its LED table has 3 rows; a colour is merged",
        ),
        (
            "green",
            (3, 8, 9),
            "uint16",
            LEDS.replace("2,20", "3,20"),
            "row 2 of its LED table has index 3, that of smear_red.tif 2",
        ),
        (
            "blue",
            (3, 8, 9),
            "uint16",
            PANEL.format("3", 3, 47).replace("2,4,4,", "2,4,0,"),
            "LED 1 is where smear_red.tif has LED 2",
        ),
        ("blue", (3, 8, 9), "uint16", "index\n0\n", "its columns are index; give a header line"),
    ],
)
def test_unlike_colours_name_the_file(tmp_path, colour, shape, dtype, table, message):
    write_colours(tmp_path)
    path = tmp_path / f"smear_{colour}.tif"
    tifffile.imwrite(path, pixels(shape, dtype), photometric="minisblack", metadata=None)
    if table is not None:
        path.with_name(f"smear_{colour}.leds.csv").write_text(table)
    with pytest.raises(ValueError, match=message) as error:
        open_stack(tmp_path)
    assert str(error.value).startswith(f"smear_{colour}.")
    assert "\n" not in str(error.value)


def test_a_colour_without_its_table_is_named(tmp_path):
    write_colours(tmp_path)
    (tmp_path / "smear_green.leds.csv").unlink()
    with pytest.raises(
        ValueError, match=r"there is no LED table beside it .*; put smear_green\.leds\.csv there"
    ) as error:
        open_stack(tmp_path)
    one_line(error, "smear_green.tif")


def test_colours_of_another_pixel_size(tmp_path):
    write_colours(tmp_path)
    for colour, pixel in (("red", 0.5), ("green", 0.5), ("blue", 0.6)):
        options = {"resolution": (1e4 / pixel, 1e4 / pixel), "resolutionunit": "CENTIMETER", "metadata": None}
        tifffile.imwrite(tmp_path / f"smear_{colour}.tif", pixels((3, 8, 9)), photometric="minisblack", **options)
    with pytest.raises(ValueError, match=r"its pixel is 0\.6 um, that of smear_red\.tif 0\.5 um") as error:
        open_stack(tmp_path)
    one_line(error, "smear_blue.tif")


def test_three_colours_with_one_table_for_all(tmp_path):
    data = write_colours(tmp_path, shape=(4, 8, 9))
    for path in tmp_path.glob("*.csv"):
        path.unlink()
    leds = LedTable(index=range(4), polar_deg=[0, 5, 5, 7], azimuth_deg=[0, 0, 90, 45], wavelength_um=0.5)
    stack = open_stack(tmp_path, leds=leds)
    assert (stack.axes, stack.leds.polar_deg.tolist()) == ("AYXS", [0, 5, 5, 7])
    np.testing.assert_array_equal(stack.data, data)


def test_files_named_by_colours_that_are_no_led_stacks(tmp_path):
    for number, colour in enumerate(("blue", "green", "red")):
        tifffile.imwrite(tmp_path / f"{colour}.tif", np.full((8, 9), number, np.uint8))
    stack = open_stack(tmp_path)  # one plane a file, as ever
    assert (stack.axes, np.asarray(stack.data)[:, 0, 0].tolist()) == ("ZYX", [0, 1, 2])


@pytest.mark.real_data
def test_real_colours_open_with_one_plane_read(real_data, reads):
    folder = real_data / "led_stacks/blood_smear"
    begin = time.perf_counter()
    stack = open_stack(folder)
    print(f"opened in {time.perf_counter() - begin:.3f} s")
    assert reads == [0]
    assert (stack.axes, stack.data.shape, stack.data.dtype) == ("AYXS", (225, 128, 128, 3), "float32")
    assert stack.pixel_um == pytest.approx(1.845)
    assert stack.leds.brightfield(0.1).sum() == 19
    assert stack.provenance["colours"]["wavelength_um"] == [0.63, 0.532, 0.475]
    for number, colour in enumerate(("red", "green", "blue")):
        np.testing.assert_array_equal(stack.data[224, ..., number], tifffile.imread(folder / f"{colour}.tif", key=224))


# --- LEDs in OME-XML -----------------------------------------------------------------------------------------


def ome_with_leds(path, rows, times, planes=None, size_c=1):
    n = len(rows) if planes is None else planes
    maps = "".join(
        f'<MapAnnotation ID="Annotation:{i}"><Value>'
        + "".join(f'<M K="{name}">{value}</M>' for name, value in row.items())
        + "</Value></MapAnnotation>"
        for i, row in enumerate(rows)
    )
    stated = "".join(
        f'<Plane TheZ="0" TheC="0" TheT="{i}"'
        + (f' ExposureTime="{time}"' if time else "")
        + f'><AnnotationRef ID="Annotation:{i}"/></Plane>'
        for i, time in enumerate(times)
    )
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        f'DimensionOrder="XYCZT" Type="uint16" SizeX="9" SizeY="8" SizeZ="1" SizeC="1" SizeT="{n}">'
        f'<TiffData IFD="0" PlaneCount="{n}"/>{stated}</Pixels></Image>'
        f"<StructuredAnnotations>{maps}</StructuredAnnotations></OME>"
    )
    tifffile.imwrite(path, pixels((n, 8, 9)), description=xml, photometric="minisblack", metadata=None)


def test_leds_of_annotated_planes(tmp_path):
    path = tmp_path / "a.ome.tif"
    rows = [{"index": i, "polar_deg": 10 * i, "azimuth_deg": 45, "Lamp": "x"} for i in (0, 3, 3)]
    ome_with_leds(path, rows, (5, 80, 20))
    stack = open_stack(path)
    assert stack.axes == "AYX"
    assert stack.leds.index.tolist() == [0, 3, 3]
    assert stack.leds.polar_deg.tolist() == [0, 30, 30]
    assert stack.leds.exposure.tolist() == ["single", "high", "low"]
    assert open_stack(path, axes="TYX").leds is None
    named = [{**row, "exposure": exposure} for row, exposure in zip(rows, ("hdr", "low", "high"), strict=True)]
    ome_with_leds(path, named, (5, 80, 20))
    assert open_stack(path).leds.exposure.tolist() == ["hdr", "low", "high"]  # what is said counts


def test_annotations_that_are_no_table_leave_time(tmp_path):
    path = tmp_path / "a.ome.tif"
    rows = [{"index": i, "polar_deg": 10 * i, "azimuth_deg": 45} for i in range(2)]
    ome_with_leds(path, rows, (1, 1), planes=3)  # not all planes
    assert (open_stack(path).axes, open_stack(path).leds) == ("TYX", None)
    ome_with_leds(path, [{"objective": "20x"}] * 2, (1, 1))
    assert open_stack(path).axes == "TYX"
    ome_with_leds(path, [{"index": i, "comment": "x"} for i in range(3)], (1, 1, 1))  # a number, and no LED
    assert (open_stack(path).axes, open_stack(path).leds) == ("TYX", None)
    ome_with_leds(path, rows[:1] * 2, (None, None))
    with pytest.raises(
        ValueError, match=r"LED 0 at exposure single is in row 0 already: .*; correct them, or name the axes"
    ) as error:
        open_stack(path)
    one_line(error, "a.ome.tif")


# --- writing -------------------------------------------------------------------------------------------------


@st.composite
def stacks(draw):
    lead = "".join(draw(st.permutations("TZCAP"))[: draw(st.integers(0, 3))])
    axes = lead + draw(st.sampled_from(["YX", "YXS"]))
    shape = [draw(st.integers(1, 4)) for _ in axes.removesuffix("S")]
    shape += [draw(st.sampled_from([3, 4]))] if axes.endswith("S") else []
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    data = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 100, shape).astype(dtype)
    um = st.floats(1e-3, 50)
    size = dict(zip(axes, shape, strict=True))
    positions = st.lists(st.floats(-50, 50), min_size=size.get("Z", 1), max_size=size.get("Z", 1))
    polar_deg, leds = draw(st.floats(1, 50)), None
    if "A" in size:
        leds = LedTable(index=range(size["A"]), polar_deg=polar_deg, azimuth_deg=30 * np.arange(size["A"]), gain=2)
    return ImageStack(
        da.from_array(data, chunks=(1,) * len(lead) + tuple(shape[len(lead) :])),
        axes,
        pixel_um=draw(st.none() | um),
        pixel_y_um=draw(st.none() | um),
        z_um=draw(st.none() | positions) if "Z" in size else None,
        leds=leds,
        channels=[f"channel <{i}> µ" for i in range(size["C"])] if "C" in size and draw(st.booleans()) else (),
        provenance=draw(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=3)),
    )


@given(stacks())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_written_stack_opens_as_the_same(tmp_path, stack):
    back = open_stack(write_tiff(tmp_path / "stack.ome.tif", stack, overwrite=True))
    assert back.axes == stack.axes
    assert back.data.dtype == stack.data.dtype
    np.testing.assert_array_equal(back.data, stack.data)
    assert back.pixel_um == stack.pixel_um
    if stack.pixel_um is not None:
        assert back.pixel_yx_um == pytest.approx(stack.pixel_yx_um, rel=1e-6)
    assert (back.z_um is None) == (stack.z_um is None)
    np.testing.assert_array_equal(back.z_um, stack.z_um)
    assert tuple(back.channels) == tuple(stack.channels)
    assert back.provenance == stack.provenance
    assert (back.leds and back.leds.columns()) == (stack.leds and stack.leds.columns())


def test_other_programs_see_the_calibration(tmp_path):
    stack = ImageStack(pixels((2, 3, 8, 9)), "CZYX", pixel_um=0.1, pixel_y_um=0.2, z_um=[1.0, 1.5, 2.5])
    path = write_tiff(tmp_path / "a.tif", stack)
    with tifffile.TiffFile(path) as tif:
        assert (tif.series[0].kind, tif.series[0].axes) == ("ome", "CZYX")
        ome = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (ome["PhysicalSizeX"], ome["PhysicalSizeY"], ome["PhysicalSizeZ"]) == (0.1, 0.2, 0.75)
    assert [plane["PositionZ"] for plane in ome["Plane"]] == [1.0, 1.5, 2.5] * 2


def test_planes_are_written_one_by_one_and_a_failure_leaves_nothing(tmp_path):
    asked = []

    def plane(block_id):
        asked.append((block_id[0], sorted(path.name for path in tmp_path.iterdir())))
        if fail and block_id[0] == 3:
            raise RuntimeError("camera on fire")
        return np.full((1, 8, 9), block_id[0], np.float32)

    data = da.map_blocks(plane, chunks=((1,) * 5, 8, 9), dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    fail = True
    with pytest.raises(RuntimeError, match="camera on fire"):
        write_tiff(tmp_path / "a.tif", ImageStack(data, "ZYX"))
    assert list(tmp_path.iterdir()) == []
    asked.clear()
    fail = False
    write_tiff(tmp_path / "a.tif", ImageStack(data, "ZYX"))
    assert [number for number, _ in asked] == [0, 1, 2, 3, 4]
    assert all("a.tif" not in names for _, names in asked)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    assert np.asarray(open_stack(tmp_path / "a.tif").data)[:, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_source_and_existing_files_are_not_replaced(tmp_path):
    path = tmp_path / "in.tif"
    tifffile.imwrite(path, pixels((2, 8, 9)), metadata={"axes": "ZYX"})
    content = path.read_bytes()
    stack = open_stack(path)
    for target in (path, tmp_path / "." / "in.tif"):
        with pytest.raises(ValueError, match=r"in\.tif: the stack comes from this file; give another name"):
            write_tiff(target, stack, overwrite=True)
    assert path.read_bytes() == content
    folder = open_stack([path]).replace(source=str(tmp_path))
    with pytest.raises(ValueError, match="the stack comes from this file"):
        write_tiff(path, folder, overwrite=True)
    other = write_tiff(tmp_path / "out.tif", stack)
    with pytest.raises(ValueError, match=r"out\.tif: the file exists; give another name or overwrite=True"):
        write_tiff(other, stack)
    write_tiff(other, stack.select("Z", 0), overwrite=True)
    assert open_stack(other).axes == "YX"


@pytest.mark.parametrize("dtype", ["bool", "float16", "int64", "uint64"])
def test_types_that_ome_cannot_hold(tmp_path, dtype):
    with pytest.raises(ValueError, match=f"a.tif: pixels are {dtype}, OME-TIFF holds uint8, .*; convert them first"):
        write_tiff(tmp_path / "a.tif", ImageStack(np.zeros((8, 9), dtype), "YX"))


def test_names_and_axes_that_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"a\.tif: OME-TIFF cannot hold the axes PATCYX .*; select a plane along one"):
        write_tiff(tmp_path / "a.tif", ImageStack(pixels((2, 2, 2, 2, 8, 9)), "PATCYX"))
    assert list(tmp_path.iterdir()) == []
    stack = ImageStack(pixels((8, 9)), "YX")
    with pytest.raises(ValueError, match=r"a\.png: stacks are written as TIFF; give a name that ends in \.tif"):
        write_tiff(tmp_path / "a.png", stack)
    with pytest.raises(ValueError, match=r"a\.tif: there is no folder .*nowhere; make it first"):
        write_tiff(tmp_path / "nowhere" / "a.tif", stack)


def test_provenance_of_numpy_and_paths_is_plain(tmp_path):
    provenance = {"tile": np.int64(3), "range": np.array([0.5, 1.0]), "path": Path("a") / "b"}
    stack = ImageStack(pixels((8, 9), ">u2"), "YX", provenance=provenance)
    back = open_stack(write_tiff(tmp_path / "a.tif", stack))
    assert back.provenance == {"tile": 3, "range": [0.5, 1.0], "path": str(Path("a") / "b")}
    np.testing.assert_array_equal(back.data, stack.data)
    json.dumps(dict(back.provenance))
