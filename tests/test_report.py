from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

import napari_cellrestore.report as report_module
from napari_cellrestore.focus import focus_curve
from napari_cellrestore.metrics import METRICS, difference_map, fpw_map
from napari_cellrestore.report import make_report
from napari_cellrestore.report.content import collect, largest_colour, planes_of
from napari_cellrestore.report.curve import curve_said
from napari_cellrestore.report.page import page_html, score_rows
from napari_cellrestore.report.pictures import NOT_FINITE, Scale, as_shown, block_means, round_length
from napari_cellrestore.report.sheet import printable, shorten, text_width_mm, wrap
from napari_cellrestore.report.words import NO_REFERENCE
from napari_cellrestore.restore import restore_stack
from napari_cellrestore.simulate import DetectorNoise, defocus_stack, draw_smear, smear_objectives
from napari_cellrestore.stack import ImageStack

MARK_RGB = (230, 159, 0)
WARNING = "red is 12 of 255 on average, training images 180 +- 9 <18 deviations> & more"
NAME = "a <b>&\"$x$' 中.tif"


def provenance(model: str = "sharp <1>", **plan: Any) -> dict[str, Any]:
    plan = {
        "warnings": [WARNING],
        "halo_px": 32,
        "memory_bytes": 3 * 2**19,
        "rows": [64] * 9,
        "versions": {"torch": "2.0"},
    } | plan
    return {
        "generated": f"restored by {model}: the pixels are computed, not recorded",
        "model": model,
        "weights_sha256": "ab12" * 16,
        "source": NAME,
        "plan": plan,
    }


def grey(rng: np.random.Generator, shape: tuple[int, ...] = (24, 24), dtype: str = "uint8") -> ImageStack:
    return ImageStack(rng.integers(10, 200, shape).astype(dtype), "YX" if len(shape) == 2 else "YXS", pixel_um=0.5)


def pages_of(pdf: Path) -> int:
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF")
    return len(re.findall(rb"/Type /Page\b", content))


def table_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return {row["metric"]: row for row in csv.DictReader(file)}


class Page(HTMLParser):
    """Text, tags and attributes of a page, as a browser takes them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.alternatives: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        self.alternatives += [value or "" for name, value in attrs if name == "alt"]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module", autouse=True)
def coarse_figures() -> Iterator[None]:
    """Half the time of a report goes into the many pixels of its figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_cellrestore.report.sheet.PNG_DPI", 75)
        yield


@pytest.fixture(scope="module")
def smear() -> dict[str, ImageStack]:
    """Original, restored, reference and stack in colour."""
    sharp = draw_smear((72, 96), 0.1, np.random.default_rng(1))
    stack = defocus_stack(sharp, 0.1, smear_objectives(), [-0.8, -0.4, 0, 0.4, 0.8], DetectorNoise(0.01))
    stack = stack.replace(source=f"folder/{NAME}", provenance={})
    original, reference = stack.select("Z", 4), stack.select("Z", 2)
    halfway = (original.data.astype(float) + reference.data) / 2
    restored = original.replace(data=halfway.astype(np.uint8), provenance=provenance())
    return {"original": original, "restored": restored, "reference": reference, "stack": stack}


@pytest.fixture(scope="module")
def written(smear: dict[str, ImageStack], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_report(tmp_path_factory.mktemp("report") / "smear", **smear).parent


# --- with a reference --------------------------------------------------------------------------------------


def test_the_folder_holds_what_is_promised_and_nothing_else(written: Path) -> None:
    figures = {"pictures.png", "details.png", "difference.png", "fpw.png", "trust.png", "focus_curve.png"}
    texts = {"report.html", "report.pdf", "metrics.csv", "provenance.json"}
    assert {path.name for path in written.iterdir()} == figures | texts
    assert [path.name for path in written.parent.iterdir()] == ["smear"]


def test_page_shows_names_and_warnings_as_they_are_and_runs_nothing(written: Path) -> None:
    page = Page(written / "report.html")
    assert not {"script", "iframe", "link", "b"} & set(page.tags)
    assert all((written / link).is_file() for link in page.links)
    assert len(page.links) == 6
    source = (written / "report.html").read_text(encoding="utf-8")
    assert "http" not in source
    for words in (
        NAME,
        WARNING,
        "sharp <1>",
        "ab12" * 16,
        "torch 2.0",
        "0.1 µm per pixel",
        "0.4 µm from plane to plane",
    ):
        assert words in page.text
    assert NO_REFERENCE not in page.text
    assert "The pixels of the restored image are computed by sharp <1>, not recorded" in page.text
    marked = [words for words in page.alternatives if "generated by sharp <1> – computed, not recorded" in words]
    assert len(marked) == 2  # pictures and details
    assert any("Difference: restored minus reference" in words for words in page.alternatives)
    assert any("The input is at 0.8 µm (plane 4)." in words for words in page.alternatives)


def test_settings_are_those_of_the_plan(written: Path) -> None:
    text = Page(written / "report.html").text
    assert re.search(r"halo \(px\)\s*32", text)
    assert re.search(r"memory \(MiB\)\s*1.5", text)
    assert "64, 64, 64, 64, 64, 64, … (9 values)" in text


def test_restored_pixels_are_marked_in_the_pictures(written: Path) -> None:
    for name in ("pictures", "details"):
        with Image.open(written / f"{name}.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
            assert "computed by sharp <1>, not recorded" in picture.info["Description"]
        marked = (pixels == MARK_RGB).all(axis=-1)
        columns = np.flatnonzero(marked.any(axis=0)) / marked.shape[1]
        assert marked.sum() > 300
        assert 0.3 < columns.min() < columns.max() < 0.7  # the one in the middle


def test_csv_is_the_metrics(written: Path, smear: dict[str, ImageStack]) -> None:
    rows = table_of(written)
    assert list(rows) == list(METRICS)
    images = {name: np.asarray(smear[name].data) for name in ("original", "restored", "reference")}
    for name, metric in METRICS.items():
        for column, image in (("input", "original"), ("restored", "restored")):
            known = (images["reference"], images[image]) if metric.needs_reference else (images[image],)
            assert float(rows[name][column]) == metric(*known)
        assert rows[name]["compared_with"] == ("reference" if metric.needs_reference else "")
    # The halfway image is closer by construction; metrics of one image judge nothing.
    assert {rows[name]["better"] for name in ("mse", "mae", "psnr", "ssim", "fpw", "focus_ratio")} == {"restored"}
    assert rows["sharpness"]["better"] == rows["cv"]["better"] == ""
    assert float(rows["sharpness"]["reference"]) == METRICS["sharpness"](images["reference"])


def test_pdf_is_one_page_with_text(written: Path) -> None:
    assert pages_of(written / "report.pdf") == 1


def test_provenance_is_strict_json_with_everything(written: Path, smear: dict[str, ImageStack]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads((written / "provenance.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert content["images"]["restored"]["provenance"] == smear["restored"].provenance
    assert content["images"]["stack"]["z_um"] == [-0.8, -0.4, 0, 0.4, 0.8]
    assert content["images"]["input"]["source"] == f"folder/{NAME}"
    assert set(content["files"]) == {path.name for path in written.iterdir()}
    assert content["data_range"] == 255


def test_better_value_is_marked_in_the_table(smear: dict[str, ImageStack]) -> None:
    report = collect(smear["original"], smear["restored"], smear["reference"])
    header, *rows = score_rows(report.scores[0])
    assert header == (("metric", "input", "restored", "unit", "best is"), None)
    assert all(column == 2 and row[2].endswith(" ✓") and "✓" not in row[1] for row, column in rows)
    equal = collect(smear["original"], smear["original"], smear["reference"])
    assert {equal.scores[0].better(name) for name in equal.scores[0].rows} == {"equal"}
    assert all("✓" not in "".join(row) for row, _ in score_rows(equal.scores[0]))


def test_maps_are_of_restored_against_the_reference(smear: dict[str, ImageStack]) -> None:
    maps = collect(smear["original"], smear["restored"], smear["reference"]).maps
    reference, restored = smear["reference"].data, smear["restored"].data
    np.testing.assert_array_equal(maps["difference"].values, largest_colour(difference_map(reference, restored)))
    np.testing.assert_array_equal(maps["fpw"].values, fpw_map(reference, restored))


def test_inputs_are_not_modified(smear: dict[str, ImageStack]) -> None:
    before = {name: np.array(stack.data) for name, stack in smear.items()}
    collect(smear["original"], smear["restored"], smear["reference"], smear["stack"])
    for name, stack in smear.items():
        np.testing.assert_array_equal(stack.data, before[name])


# --- without a reference, and other images -----------------------------------------------------------------


def test_without_a_reference_nothing_is_judged(rng: np.random.Generator, tmp_path: Path) -> None:
    original = grey(rng)
    warnings = [f"warning {number}: " + "many words that fill lines " * 12 for number in range(30)]
    made = provenance(model="name-without-end-" * 20, warnings=warnings)
    restored = original.replace(data=da.from_array(original.data[::-1] + np.uint8(1)), provenance=made)
    folder = make_report(tmp_path / "new" / "folder", original, restored, title="中文 $x_1$ " * 30).parent
    page = Page(folder / "report.html")
    assert NO_REFERENCE in page.text
    assert "restored against input" in page.text
    assert "not whether it is right" in page.text
    assert all(words.strip() in page.text for words in warnings)
    assert "best is" not in page.text
    assert "✓" not in page.text
    rows = table_of(folder)
    after = np.asarray(restored.data)
    for name, metric in METRICS.items():
        if metric.needs_reference:
            assert rows[name]["compared_with"] == "input"
            assert (rows[name]["input"], rows[name]["better"]) == ("", "")
            assert float(rows[name]["restored"]) == metric(original.data, after)
        else:
            assert float(rows[name]["input"]) == metric(original.data)
            assert float(rows[name]["restored"]) == metric(after)
    assert pages_of(folder / "report.pdf") in (1, 2)
    assert not (folder / "details.png").exists()  # the image is smaller than a detail


def test_origin_that_is_not_stated_is_said(rng: np.random.Generator) -> None:
    image = grey(rng)
    report = collect(image, image.replace(provenance={"model": "sharp"}))
    assert "origin not stated" in page_html(report, {})
    assert report.pictures[1].mark == "origin not stated"
    simulated = collect(image.replace(provenance={"simulated": "defocus"}), image, reference=image)
    assert [picture.mark for picture in simulated.pictures] == [
        "simulated – computed, not recorded",
        "origin not stated",
        "",
    ]
    other = collect(image, image, image.replace(provenance=provenance("m")))  # a reference that is itself restored
    assert other.pictures[2].mark == "generated by m – computed, not recorded"


def test_pixel_size_is_said_or_said_to_be_unknown(rng: np.random.Generator) -> None:
    image = grey(rng)
    unknown = collect(image.replace(pixel_um=None), image.replace(pixel_um=None))
    assert unknown.scale.size_said == "pixel size not known"
    assert "pixel size not known: scale bars are in pixels" in unknown.warnings
    assert collect(image, image).facts["calibration"] == "0.5 µm per pixel"
    tall = collect(image.replace(pixel_y_um=1.0), image)
    assert tall.scale == Scale(tall.scale.levels, 0.5, 2.0)
    assert "across and 1 µm down" in tall.scale.size_said
    other = collect(image, image, image.replace(pixel_um=0.4))
    assert any("reference has pixels of 0.4 µm, the input of 0.5 µm" in words for words in other.warnings)


def test_pixels_that_are_not_finite_are_counted_and_left_out(rng: np.random.Generator, tmp_path: Path) -> None:
    original = grey(rng, (60, 60), "float32")
    original.data[10:16, 20:26] = np.nan
    restored = original.replace(data=original.data * np.float32(1.1), provenance=provenance(intensity=[0, 255]))
    restored.data[40, 40] = np.inf
    reference = grey(rng, (60, 60), "float32")
    folder = make_report(tmp_path / "nan", original, restored, reference=reference).parent
    text = Page(folder / "report.html").text
    assert "36 of 3600 pixels of the input are NaN or infinite" in text
    assert "37 of 3600 pixels of the restored" in text
    mask = np.ones((60, 60), bool)
    mask[4:22, 14:32] = mask[34:47, 34:47] = False
    assert f"{np.count_nonzero(~mask)} of 3600 pixels are left out" in text
    filled = [np.where(np.isfinite(image.data), image.data, np.float32(7)) for image in (reference, restored)]
    for name, row in table_of(folder).items():
        of = filled if METRICS[name].needs_reference else filled[1:]
        assert float(row["restored"]) == pytest.approx(METRICS[name](*of, data_range=255, mask=mask), rel=1e-5), name
    with Image.open(folder / "pictures.png") as picture:
        assert (np.asarray(picture.convert("RGB")) == NOT_FINITE).all(axis=-1).sum() > 50


def test_data_range_is_known_or_left_out(rng: np.random.Generator) -> None:
    def span(dtype: str, data_range: float | None = None, **plan: Any) -> float | None:
        image = grey(rng, dtype=dtype)
        report = collect(image, image.replace(provenance=provenance(**plan)), data_range=data_range)
        psnr = report.scores[0].rows["psnr"][0]
        assert (psnr is None) == (report.provenance["data_range"] is None)
        assert any("data range" in note for note in report.notes)
        return report.provenance["data_range"]

    assert span("uint8") == 255
    assert span("uint16", intensity=[0, 4095]) == 65535
    assert span("uint16", data_range=4095) == 4095
    assert span("float32", intensity=[-1, 3]) == 4
    assert span("int16", intensity=[0, 100]) == 100
    assert span("float32") is None
    assert span("float32", intensity="unknown") is None


def test_small_images_lose_metrics_not_the_report(rng: np.random.Generator) -> None:
    image = grey(rng, (10, 12))
    report = collect(image, image, image)
    assert report.scores[0].rows["mse"] == (0, 0)
    assert report.scores[0].rows["fpw"] == (None, None)
    assert report.scores[0].better("fpw") == ""
    assert [note for note in report.notes if note.startswith("FR, FPW could not be computed")]
    assert report.detail is None


def test_colour_images_of_one_plane_and_alpha_are_taken(smear: dict[str, ImageStack]) -> None:
    alpha = np.full((1, 72, 96, 1), 9, np.uint8)
    rgba = smear["original"].replace(data=np.concatenate([smear["original"].data[None], alpha], -1), axes="ZYXS")
    report = collect(rgba, smear["restored"], smear["reference"], smear["stack"])
    assert report.planes == (4,)
    assert report.scores == collect(smear["original"], smear["restored"], smear["reference"]).scores
    assert planes_of(smear["restored"].data, smear["stack"]) == ()


def test_curve_is_told_in_words(smear: dict[str, ImageStack]) -> None:
    rising = focus_curve(smear["stack"].select("Z", slice(0, 3)))
    assert "peak is at the end of the stack" in curve_said(rising, [0])
    assert "is none of the planes" in curve_said(rising, [])
    unknown = focus_curve(np.asarray(smear["stack"].data))
    assert "The input is at plane 3. Planes are counted from 0." in curve_said(unknown, [3])
    assert "µm" not in curve_said(unknown, [3])


def test_planes_that_are_equal_are_told_apart_by_z_only(rng: np.random.Generator) -> None:
    image = grey(rng)
    twice = ImageStack(np.stack([image.data, image.data // 2, image.data]), "ZYX", z_um=[-1, 0, 1])
    assert planes_of(image.data, twice) == (0, 2)
    report = collect(image, image, stack=twice)
    assert report.curve is not None
    assert "at -1 µm (plane 0) and 1 µm (plane 2)" in curve_said(report.curve, report.planes)
    assert collect(twice.select("Z", slice(2, 3)), image, stack=twice).planes == (2,)


def test_detail_is_where_the_focus_differs(rng: np.random.Generator) -> None:
    image = ImageStack(ndimage.gaussian_filter(rng.uniform(0, 200, (256, 320)), 3).astype(np.uint8), "YX")
    changed = image.data.copy()
    changed[150:170, 250:270] += rng.integers(0, 50, (20, 20)).astype(np.uint8)
    y, x = collect(image, image.replace(data=changed)).detail or (slice(0), slice(0))
    assert (y.stop - y.start, x.stop - x.start) == (64, 80)
    assert (y.start <= 150, 170 <= y.stop, x.start <= 250, 270 <= x.stop) == (True, True, True, True)
    y, x = collect(image, image).detail or (slice(0), slice(0))
    assert (y.start, x.start) == (96, 120)  # nothing differs: the middle


# --- trust and what the model knows ------------------------------------------------------------------------


def test_the_model_is_asked_and_its_card_beside_the_image(smear: dict[str, ImageStack], tmp_path: Path) -> None:
    restored = restore_stack(smear["original"], "deblur-fast")
    restored = restored.replace(data=np.asarray(restored.data))
    report = collect(smear["original"], restored, smear["reference"])
    assert report.trust is not None
    assert report.trust.asked
    assert report.domain is not None
    assert [trait.what for trait in report.domain.traits][-1] == "defocus"
    assert not any("unsure is not shown" in note for note in report.notes)
    page = make_report(tmp_path / "page", smear["original"], restored, reference=smear["reference"])
    text = Page(page).text
    assert "Is this image what the model knows?" in text
    assert "defocus" in text
    assert any("model unsure (" in words for words in Page(page).alternatives)
    assert pages_of(page.parent / "report.pdf") == 1


def test_a_model_that_is_gone_is_said_and_the_rest_told(smear: dict[str, ImageStack]) -> None:
    report = collect(smear["original"], smear["restored"], smear["reference"])
    gone = "Where the model is unsure is not shown: the model 'sharp <1>' that made it is not in the list of models any more."
    assert gone in report.notes
    assert report.trust is not None
    assert not report.trust.asked
    assert report.domain is None


# --- the folder --------------------------------------------------------------------------------------------


def test_a_folder_in_use_is_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    image = grey(rng)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep")
    with pytest.raises(ValueError, match="is not empty"):
        make_report(mine, image, image)
    with pytest.raises(ValueError, match=r"not of a report \(notes.txt\)"):
        make_report(mine, image, image, overwrite=True)
    with pytest.raises(ValueError, match="is a file"):
        make_report(mine / "notes.txt", image, image, overwrite=True)
    (mine / "report.html").write_text("")
    (mine / "provenance.json").write_text('{"made_by": "somebody else", "files": ["notes.txt"]}')
    with pytest.raises(ValueError, match="only a folder with nothing but an earlier report is replaced"):
        make_report(mine, image, image, overwrite=True)
    assert (mine / "notes.txt").read_text() == "keep"


def test_an_earlier_report_is_replaced_when_asked(rng: np.random.Generator, tmp_path: Path) -> None:
    image = grey(rng)
    folder = tmp_path / "report"
    folder.mkdir()
    assert make_report(folder, image, image, title="first") == folder / "report.html"
    with pytest.raises(ValueError, match="overwrite=True"):
        make_report(folder, image, image)
    (folder / ".DS_Store").touch()
    make_report(folder, image, image, title="second", overwrite=True)
    assert "second" in (folder / "report.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    (folder / "my notes.txt").touch()
    with pytest.raises(ValueError, match=r"my notes\.txt"):
        make_report(folder, image, image, overwrite=True)


@pytest.mark.parametrize("earlier", [False, True])
def test_an_error_in_the_middle_leaves_what_was_there(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    image = grey(rng)
    if earlier:
        make_report(tmp_path / "report", image, image)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fail(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(report_module, "page_html", fail)  # after figures and PDF were written
    with pytest.raises(OSError, match="disk full"):
        make_report(tmp_path / "report", image, image, overwrite=earlier)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert (tmp_path / "report").exists() == earlier
    assert len(list(tmp_path.iterdir())) == earlier


def test_what_cannot_be_compared_is_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    image = grey(rng)
    stack = ImageStack(np.zeros((3, 24, 24), np.uint8), "ZYX")
    with pytest.raises(ValueError, match=r'the input has 3 planes \(axes ZYX\).*\.select\("Z", 0\)'):
        make_report(tmp_path / "r", stack, image)
    with pytest.raises(ValueError, match="the reference has 3 planes"):
        make_report(tmp_path / "r", image, image, reference=stack)
    with pytest.raises(ValueError, match=r"the restored image has shape \(24, 20\) and the input \(24, 24\)"):
        make_report(tmp_path / "r", image, grey(rng, (24, 20)))
    with pytest.raises(ValueError, match=r"the reference image has shape \(24, 24, 3\)"):
        make_report(tmp_path / "r", image, image, reference=grey(rng, (24, 24, 3)))
    with pytest.raises(TypeError, match="the restored is a ndarray: give an ImageStack"):
        make_report(tmp_path / "r", image, image.data)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the stack is a ndarray"):
        make_report(tmp_path / "r", image, image, stack=stack.data)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="complex64"):
        make_report(tmp_path / "r", image, image.replace(data=image.data.astype(np.complex64)))
    with pytest.raises(ValueError, match="data_range is -1"):
        make_report(tmp_path / "r", image, image, data_range=-1)
    assert not list(tmp_path.iterdir())


def test_reports_are_made_in_threads(rng: np.random.Generator, tmp_path: Path) -> None:
    images = [grey(rng) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: make_report(tmp_path / str(n), images[n], images[1 - n]), range(2)))
    for n in range(2):
        row = table_of(tmp_path / str(n))["mse"]
        assert float(row["restored"]) == METRICS["mse"](images[n].data, images[1 - n].data)


def test_neither_pyplot_nor_torch_comes_along() -> None:
    code = "import sys, napari_cellrestore.report; print(*{'matplotlib.pyplot', 'torch', 'qtpy', 'napari'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


# --- how things are shown ----------------------------------------------------------------------------------


def test_grey_levels_are_shown_alike_and_missing_pixels_in_their_colour() -> None:
    shown = as_shown(np.array([[10.0, 20.0, 15.0, 99.0, np.nan]]), (10, 20))
    assert shown[0].tolist() == [[0] * 3, [255] * 3, [128] * 3, [255] * 3, list(NOT_FINITE)]
    colours = as_shown(np.array([[[0, 100, 200]]], np.uint8), (0, 255))
    assert colours[0, 0].tolist() == [0, 100, 200]


def test_one_grey_mapping_for_all_pictures(rng: np.random.Generator) -> None:
    dark = ImageStack(np.arange(400, dtype=np.uint16).reshape(20, 20), "YX")
    bright = dark.replace(data=dark.data + np.uint16(1000))
    low, high = collect(dark, bright).scale.levels
    assert (low, high) == pytest.approx(np.percentile([dark.data, bright.data], (0.1, 99.9)))
    colours = grey(rng, (24, 24, 3))
    assert collect(colours, colours).scale.levels == (0, 255)


def test_large_pictures_are_means_of_blocks() -> None:
    image = np.arange(4 * 3202, dtype=np.uint16).reshape(4, 3202)
    means = block_means(image)
    assert means.shape == (1, 1067)
    assert means[0, 1] == image[:3, 3:6].mean()
    missing = image.astype(float)
    missing[0, 4] = np.nan
    assert np.flatnonzero(np.isnan(block_means(missing)[0])).tolist() == [1]


def test_of_the_colours_the_largest_difference_is_shown() -> None:
    difference = np.array([[[1.0, -5.0, 3.0], [0.0, 2.0, np.nan]]])
    np.testing.assert_array_equal(largest_colour(difference), [[-5.0, np.nan]])


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-6, 1e6))
def test_round_lengths_are_as_long_as_they_may(most: float) -> None:
    length = round_length(most)
    assert most / 2.5001 < length <= most * (1 + 1e-9)
    assert f"{length:.0e}"[0] in "125"


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=80), st.floats(8, 60))
def test_wrapped_text_fits_and_is_whole(words: str, width_mm: float) -> None:
    lines = wrap(words, width_mm, 7)
    assert "".join("".join(lines).split()) == "".join(printable(words).split())
    assert all(text_width_mm(line, 7) <= width_mm for line in lines)


def test_shortened_text_keeps_start_and_end() -> None:
    path = "/data/" + "folder/" * 40 + "plane 17.tif"
    short = shorten(path, 50, 7)
    assert text_width_mm(short, 7) <= 50
    assert short.startswith("/data/")
    assert short.endswith("plane 17.tif")
    assert shorten("short", 50, 7) == "short"
    assert printable("中\n1") == "\ufffd 1"
