"""Small images of many kinds, and how they are damaged and opened."""

from __future__ import annotations

import io
import shutil
import struct
import zlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from damage import BORDERS, CHANGES, Rng, changed_bytes, number


def make_images(folder: Path) -> None:
    """Write small images of many kinds: in them, headers are large beside the pixels."""
    import tifffile
    from PIL import Image

    from napari_cellrestore.files import write_tiff
    from napari_cellrestore.leds import LedTable
    from napari_cellrestore.stack import ImageStack

    rng = np.random.default_rng(0)
    stack = rng.integers(0, 4000, (3, 16, 20)).astype(np.uint16)
    smooth = np.add.outer(np.arange(32), 2 * np.arange(48)).astype(np.uint8)
    colour = np.stack([smooth, smooth[::-1], 255 - smooth], axis=-1)
    leds = LedTable(index=[0, 1, 2], polar_deg=[0, 10, 30], azimuth_deg=[0, 90, 180])
    write_tiff(folder / "ours.ome.tif", ImageStack(stack, "ZYX", pixel_um=0.1, z_um=[-0.2, 0.0, 0.3]))
    write_tiff(folder / "ours-rgb.ome.tif", ImageStack(colour, "YXS", pixel_um=0.1))
    write_tiff(folder / "ours-leds.ome.tif", ImageStack(stack, "AYX", leds=leds))
    lengths: dict[str, Any] = {"axes": "ZCYX", "unit": "um", "spacing": 0.3, "fps": 5.0, "Labels": list("abcdef")}
    hyperstack = np.stack([stack, stack], axis=1)
    tifffile.imwrite(folder / "imagej.tif", hyperstack, imagej=True, resolution=(10, 10), metadata=lengths)
    tifffile.imwrite(folder / "imagej-big-endian.tif", stack, imagej=True, byteorder=">", metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "ome.ome.tif", stack, metadata={"axes": "CYX", "Channel": {"Name": ["a", "b", "c"]}})
    grey = partial(tifffile.imwrite, photometric="minisblack")
    grey(folder / "plain.tif", stack[0], metadata=None)
    grey(folder / "shaped.tif", stack.astype(np.float32), byteorder=">")
    grey(folder / "bigtiff.tif", stack, bigtiff=True, rowsperstrip=4)
    tifffile.imwrite(folder / "planar.tif", np.moveaxis(colour, -1, 0), photometric="rgb", planarconfig="separate")
    tifffile.imwrite(folder / "palette.tif", smooth, photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    with tifffile.TiffWriter(folder / "pyramid.tif") as tif:
        tif.write(colour, tile=(16, 16), subifds=1, photometric="rgb")
        tif.write(colour[::2, ::2], tile=(16, 16), subfiletype=1, photometric="rgb")
    for codec in ("lzw", "deflate", "packbits", "lzma", "zstd", "jpeg", "jpeg2000", "jpegxl", "webp", "png", "lerc"):
        tifffile.imwrite(folder / f"{codec}.tif", colour, compression=codec, tile=(16, 16), photometric="rgb")
    grey(folder / "predicted.tif", stack, compression="lzw", predictor=2, rowsperstrip=8)
    grey(folder / "floats.tif", stack.astype(np.float32), compression="zlib", predictor=3)
    grey(folder / "bits.tif", smooth > 60)
    Image.fromarray(smooth > 60).save(folder / "fax.tif", compression="group4")
    for mode in ("L", "RGB", "RGBA", "LA", "P", "I;16", "1"):
        picture = Image.fromarray(stack[0]) if mode == "I;16" else Image.fromarray(colour).convert(mode)
        picture.save(folder / f"{mode.replace(';', '')}.png")
    for mode in ("L", "RGB", "CMYK"):
        Image.fromarray(colour).convert(mode).save(folder / f"{mode}.jpg", progressive=mode == "RGB")


def change_image(rng: Rng, seeds: Path, folder: Path) -> Path:
    paths = sorted(seeds.iterdir())
    seed = paths[int(rng.integers(len(paths)))]
    content = changed_bytes(rng, seed.read_bytes(), (*CHANGES, _tag) if seed.suffix == ".tif" else CHANGES)
    if seed.suffix == ".png" and rng.random() < 0.7:
        content = _with_sums(content)
    target = folder / seed.name
    if rng.random() < 0.1:  # one plane of a folder
        target = folder / "planes" / f"z1{seed.suffix}"
        target.parent.mkdir()
        for other in ("z0", "z2"):
            shutil.copy(seed, target.with_name(f"{other}{seed.suffix}"))
    target.write_bytes(content)
    return target.parent if target.parent.name == "planes" else target


def _tag(rng: Rng, content: bytes) -> bytes:
    """Change code, type, count or value of an entry of a directory."""
    import tifffile

    order = ">" if content[:2] == b"MM" else "<"
    entries, big = [], content[2:3] in (b"+",) or content[3:4] == b"+"
    with suppress(Exception), tifffile.TiffFile(io.BytesIO(content)) as tif:
        entries = [tag.offset for page in tif.pages for tag in page.tags.values()]
    if not entries:
        return number(rng, content)
    start = int(rng.choice(entries))
    fields = {0: "H", 2: "H", 4: "Q" if big else "I", 12 if big else 8: "Q" if big else "I"}
    at = int(rng.choice(list(fields)))
    width = struct.calcsize(fields[at])
    values = (*range(14), 0xFFFF, 254, 258, 259, 262, 273, 277, 278, 279, 317, 322, 330, 339) if at < 4 else BORDERS
    value = int(rng.choice(np.array(values, object))) % 2 ** (8 * width)
    packed = struct.pack(order + fields[at], value)
    return content[: start + at] + packed + content[start + at + width :]


def _with_sums(content: bytes) -> bytes:
    """Return a PNG file whose check sums are right, so that the damage is looked at."""
    made, at = bytearray(content[:8]), 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if at + 12 + length > len(content):
            break
        chunk = content[at + 4 : at + 8 + length]
        made += content[at : at + 4] + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        at += 12 + length
    return bytes(made + content[at:])


def open_image(path: Path) -> None:
    """Open a file or folder and read its last plane."""
    from napari_cellrestore.files import open_stack

    stack = open_stack(path)
    np.asarray(stack.data[tuple(n - 1 for n in stack.data.shape[: stack.axes.index("Y")])])
    repr(stack)
