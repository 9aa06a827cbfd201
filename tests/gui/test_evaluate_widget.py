"""The Evaluate widget in a real viewer, with real processes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from napari_cellrestore.card import ModelCard
from napari_cellrestore.cli import main
from napari_cellrestore.evaluate import Evaluation, Ledger, Scored, read_evaluation
from napari_cellrestore.evaluate.comparison import label
from napari_cellrestore.files import write_tiff
from napari_cellrestore.gui.evaluate.folder import fitting_folder
from napari_cellrestore.gui.evaluate.view_cells import shown
from napari_cellrestore.gui.evaluate.views import (
    AGAINST,
    CAUSES,
    CURVES,
    EMPTY,
    EXTREME,
    LEVELS,
    MATRIX,
    MEANS,
    MINDED,
    NUCLEI,
    PAIR_VIEWS,
    RATES,
    VIEWS,
)
from napari_cellrestore.gui.evaluate.widget import PAIRS, EvaluateWidget
from napari_cellrestore.model import save_model
from napari_cellrestore.networks import create_network
from napari_cellrestore.nuclei import NucleiCounts
from napari_cellrestore.report.evaluation import comparison_rows
from napari_cellrestore.stack import ImageStack

pytestmark = pytest.mark.gui

LONG_MS = 120_000
LEVELS_UM = (-0.4, -0.2, 0.0, 0.2, 0.4)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of models: two that deblur, and one that does something else."""
    folder = tmp_path_factory.mktemp("models")
    options = {"filters": 4, "blocks": 4, "norm": "none", "dropout": 0.0, "global_skip": True}
    for name, task in (("tiny", "deblur"), ("small", "deblur"), ("dye", "stain")):
        card = ModelCard(
            name=name, task=task, summary=f"{name} does little", network="pix2pix-fast", options=options, halo_px=32
        )
        save_model(folder / name, create_network("pix2pix-fast", **options), card)
    return folder


@pytest.fixture(autouse=True)
def _models(home, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(home))


def blurred_stack(seed, size=48, **options):
    """A focus stack that is sharpest in its middle."""
    rng = np.random.default_rng(seed)
    sharp = ndimage.gaussian_filter(rng.normal(size=(size, size)), 1) * 200 + 120
    planes = [ndimage.gaussian_filter(sharp, 6 * abs(z)) + rng.normal(0, 1, sharp.shape) for z in LEVELS_UM]
    options = {"z_um": LEVELS_UM, "pixel_um": 0.1, **options}
    return ImageStack(np.clip(planes, 0, 255).astype(np.uint8), "ZYX", **options)


@pytest.fixture
def stacks(tmp_path):
    """A folder with two stacks and a file that is none."""
    folder = tmp_path / "a folder of smears"
    folder.mkdir()
    for name in ("a", "b"):
        write_tiff(folder / f"{name}.ome.tif", blurred_stack(ord(name)))
    (folder / "0 broken.tif").write_bytes(b"II*\0nonsense")
    return folder


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def widget(viewer):
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget)
    return widget


@pytest.fixture
def written(tmp_path):
    """An evaluation of ten stacks, of which one was left out and one is doubtful, as its ledger holds it."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "smears evaluation" / "smears"
    folder.mkdir(parents=True)
    lines = [{"images": "recorded focus stacks in smears", "methods": {"net": "net (1)"}, "data_range": None}]
    for number in range(9):
        mse = np.square(LEVELS_UM) * 100
        scores = {
            "input": {"mse": mse, "ssim": 1 - mse / 100, "fpw": mse + rng.normal(0, 1, 5) ** 2},
            "net": {"mse": mse / 2 + number / 9, "ssim": 1 - mse / 200, "fpw": 30 + rng.normal(0, 9, 5) ** 2},
        }
        rows = {m: {name: list(map(float, v)) for name, v in one.items()} for m, one in scores.items()}
        remarks = ["peak at the end"] if number == 3 else []
        lines.append({"sample": f"s{number}.tif", "levels_um": LEVELS_UM, "scores": rows, "remarks": remarks})
    lines.append({"sample": "lost.tif", "reason": "lost.tif: the file is empty"})
    (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def paired(tmp_path):
    """An evaluation of eight pairs in which nuclei went missing, as its ledger and its result hold it."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "unstained evaluation" / "unstained"
    folder.mkdir(parents=True)
    settings = {"images": "pairs of stained and unstained", "pairs": True, "methods": {"dye": "dye (1)"}}
    samples = []
    for number in range(8):
        mae = np.array([5.0 + number])
        scores = {"input": {"mae": mae * 3, "ssim": 1 - mae / 20}, "dye": {"mae": mae, "ssim": 1 - mae / 40}}
        counts = NucleiCounts(images=1, target=2, prediction=2, matched=2, dice=1.8)
        if number > 5:
            counts = NucleiCounts(images=1, target=2, prediction=2, matched=1, missing=1, added=1, dice=0.9)
        samples.append(Scored(f"p{number}.tif", (0.0,), scores, nuclei={"dye": counts}))
    ledger = Ledger(folder / "ledger.jsonl", settings)
    for sample in samples:
        ledger.add(sample)
    causes = {"dye": {"p7.tif": ["likely: the target lies 4.2 px beside the input", "1 of 2 nuclei missing"]}}
    whole = Evaluation(settings, samples, causes=causes)
    (folder / "evaluation.json").write_text(json.dumps(whole.as_dict()))
    write_tiff(tmp_path / "seen.tif", ImageStack(rng.integers(0, 255, (32, 32, 3), np.uint8), "YXS"))
    return folder


def texts(table):
    return [
        [item.text() if (item := table.item(row, column)) else "" for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def show(widget, view, method=None, metric=None):
    widget.view.show_view(view)
    for choice, data in ((widget.view.method_choice, method), (widget.view.metric_choice, metric)):
        if data:
            choice.setCurrentIndex(choice.findData(data))
    return widget.view.table


def said(widget):
    return widget.box.message.text().replace("\u200b", "")


def wait_for_results(widget, qtbot):
    qtbot.waitUntil(lambda: not widget.box.running and not widget._reading.running, timeout=LONG_MS)


# --- the whole way -----------------------------------------------------------------------------------------


def test_stacks_are_scored_in_a_process_and_shown(viewer, widget, stacks, qtbot, monkeypatch):
    widget.stacks.show_folder(stacks)
    widget.models.check(["tiny", "small"])
    remarks = []
    widget.box.came.connect(lambda _: remarks.append(said(widget)))
    widget.evaluate_button.click()
    assert widget.box.running
    assert not widget.evaluate_button.isEnabled()
    wait_for_results(widget, qtbot)
    assert widget.evaluate_button.isEnabled()
    assert remarks[-2] == "1 left out. Writing tables and page…"
    assert any(
        line.startswith("1 left out so far. The last is 0 broken.tif: the file has no image") for line in remarks
    )
    assert said(widget) == f"Done; 1 left out: see {MINDED}."

    folder = stacks.with_name("a folder of smears evaluation") / "a-folder-of-smears"
    evaluation = read_evaluation(folder)
    assert widget.view.said.text().startswith("Over 2 focus stacks in a folder of smears; 1 left out. ")
    assert "sharpest plane" in widget.view.said.text()
    for method in ("input", "tiny", "small"):
        table = evaluation.table.by_level(method)
        expected = [[shown(value) for value in row] for row in table.rows.values()]
        assert texts(show(widget, LEVELS, method)) == expected
    matrix = evaluation.table.success("small", "fpw")
    rows = texts(show(widget, MATRIX, "small", "fpw"))
    assert [row[0] for row in rows] == [f"{row[-1]:.0f}" for row in matrix.rows.values()]
    assert rows[1][1:] == [f"{value:.0f}".replace("0", "·", not value) for value in list(matrix.rows.values())[1][:-1]]
    copied = [line.split("\t") for line in widget.view.table.text().splitlines()]
    assert copied[0] == [matrix.title, *matrix.columns]
    assert [float(value) for value in copied[-1][1:]] == matrix.rows["Total (%)"]
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    widget.view.page_button.click()
    assert opened == [str(folder / "evaluation.html")]
    assert widget.view.path.text().replace("\u200b", "") == opened[0]

    table = show(widget, EXTREME, "tiny", "mse")
    best, worst = evaluation.extremes("tiny", "mse", 1)
    assert [row[:2] for row in texts(table)] == [["▲ best", *best], ["▼ worst", *worst]]
    table.cellDoubleClicked.emit(0, 1)  # of no row that is chosen
    assert not viewer.layers
    table.selectRow(1)
    widget.view.stack_button.click()
    assert viewer.layers[0].data.shape == (5, 48, 48)
    assert viewer.layers[0].metadata["cellrestore"]["source"].endswith(worst[0])

    table = show(widget, MINDED)
    table.selectRow(0)
    widget.view.stack_button.click()  # the reader says what is wrong with it
    assert len(viewer.layers) == 1


def test_stop_and_go_on(widget, stacks, qtbot):
    for number in range(40):
        shutil.copy(stacks / "a.ome.tif", stacks / f"c{number:02}.ome.tif")
    widget.stacks.show_folder(stacks)
    widget.models.check(["tiny"])
    events = []
    widget.box.came.connect(events.append)
    widget.box.came.connect(lambda _: widget.box.stop_button.click() if len(events) == 2 else None)
    widget.evaluate()
    wait_for_results(widget, qtbot)
    assert said(widget) == "Stopped. What was scored is kept: Evaluate goes on from there."
    assert not widget.view.isVisible()
    assert widget.evaluate_button.isEnabled()
    folder = stacks.with_name(f"{stacks.name} evaluation") / "a-folder-of-smears"
    before = [sample.name for sample in read_evaluation(folder).samples]
    assert 2 <= len(before) < 43

    widget.open_earlier(folder)
    wait_for_results(widget, qtbot)
    assert said(widget).startswith("This evaluation did not come to its end")
    assert not widget.view.page_button.isEnabled()
    assert f"Over {len(before) - 1} focus" in widget.view.said.text()

    waiting = [path for path in sorted(stacks.iterdir()) if path.name not in before]
    for path in waiting[2:]:
        path.unlink()
    events.append("more")
    widget.evaluate()
    assert not widget.view.isVisible()
    wait_for_results(widget, qtbot)
    scored = [event["sample"] for event in events if "sample" in event]
    left_out = [sample.name for sample in read_evaluation(folder).samples if sample.reason]
    assert scored[2:] == [*left_out, *(path.name for path in waiting[:2])]  # what was left out is tried again
    assert widget.view.evaluation.kept[0].name == "a.ome.tif"
    assert len(widget.view.evaluation.samples) == len(before) + 2
    assert widget.view.page_button.isEnabled()


def test_a_command_that_fails_says_why_and_shows_nothing(widget, written, qtbot, tmp_path):
    widget.open_earlier(written)
    wait_for_results(widget, qtbot)
    assert widget.view.isVisible()
    folder = tmp_path / "no images"
    folder.mkdir()
    (folder / "notes.txt").write_text("none")
    widget.stacks.show_folder(folder)
    widget.models.check(["small"])
    widget.evaluate()
    assert not widget.view.isVisible()  # nothing of what was there before
    wait_for_results(widget, qtbot)
    assert f"{folder}: no images in it" in said(widget)
    assert not widget.view.isVisible()
    assert widget.evaluate_button.isEnabled()
    assert not folder.with_name("no images evaluation").exists()


def test_closing_the_dock_ends_the_process(viewer, widget, stacks, qtbot):
    widget.stacks.show_folder(stacks)
    widget.models.check(["tiny"])
    widget.evaluate()
    job = widget._job
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: job.cancelled and (job._process is None or job.status is not None), timeout=10_000)


# --- what is chosen ----------------------------------------------------------------------------------------


def test_what_is_missing_is_said(widget, stacks):
    assert not widget.is_empty
    assert not widget.evaluate_button.isEnabled()
    assert "sharpest plane of a stack is taken for the truth" in widget.hint.text()
    widget.evaluate()  # as an impatient program might
    assert not widget.box.running
    widget.stacks.line.setText(str(stacks / "none"))
    assert widget.hint.text() == "There is no folder none."
    widget.stacks.show_folder(stacks)
    assert [card.name for card in widget.models.checked] == widget.models.offered[:1]
    widget.models.check([])
    assert widget.hint.text() == "Check at least one model."
    assert widget.results.line.placeholderText() == "a folder of smears evaluation, beside the stacks"
    widget.models.check(["tiny"])
    assert widget.evaluate_button.isEnabled()
    for inside in (stacks, stacks / "results", stacks.parent):  # the last would put them under the name of the stacks
        widget.results.show_folder(inside)
        assert "among the stacks" in widget.hint.text()
        assert not widget.evaluate_button.isEnabled()
    widget.results.show_folder(stacks.parent / "elsewhere")
    assert not widget.hint.isVisible()


def test_only_models_of_the_task_can_be_checked(widget, home, tmp_path, monkeypatch):
    models = widget.models
    names = [models.item(row).text() for row in range(models.count())]
    assert names == [
        "small  (deblur)",
        "tiny  (deblur)",
        "deblur-fast  (deblur)",
        "deblur  (deblur)",
        "dye  (stain)",
        "distance  (distance)",
        "enhance-smear  (enhance)",
        "virtual-stain-sim  (stain)",
    ]
    assert not models.item(4).flags() & Qt.ItemFlag.ItemIsUserCheckable
    assert models.item(1).toolTip() == "tiny does little"
    models.check(["tiny", "dye"])
    assert [card.name for card in models.checked] == ["tiny"]
    shutil.copytree(home / "tiny", tmp_path / "tiny")
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path))
    widget.hide()
    widget.show()  # models are listed anew
    assert models.offered == ["tiny", "deblur-fast", "deblur"]
    assert [card.name for card in models.checked] == ["tiny"]


def test_the_command_line_does_what_is_chosen(widget, stacks, tmp_path):
    widget.models.check(["tiny", "small"])
    begin = ["evaluate", "small", "tiny", "--stacks", str(stacks), "--out", str(tmp_path)]
    assert widget.arguments(stacks, tmp_path) == [*begin, "--sharp", "-0.2", "0.4", "--json"]
    widget.options.sharp_low.setValue(-0.3)
    widget.options.align_box.setChecked(True)
    widget.options.z_step.setValue(0.25)
    widget.options.axes.setText(" ZYX ")
    widget.options.data_range.setText("4095")
    more = ["--sharp", "-0.3", "0.4", "--align", "--z-step", "0.25", "--axes", "ZYX", "--data-range", "4095.0"]
    assert widget.arguments(stacks, tmp_path) == [*begin, *more, "--json"]
    widget.options.data_range.setText("1e")  # half of a number
    assert "--data-range" not in widget.arguments(stacks, tmp_path)


def test_other_settings_get_another_folder(written, widget):
    stacks = written.parents[1] / "smears"
    settings = {"methods": {"net": "net (1)"}, "data_range": None, "align": True}
    assert fitting_folder(stacks, settings) == written.parent  # goes on there: it does not say whether it aligned
    assert fitting_folder(stacks, settings | {"data_range": 4095.0}).name == "smears evaluation 2"
    (written.parents[1] / "smears evaluation 2" / "smears").mkdir(parents=True)
    shutil.copy(written / "ledger.jsonl", written.parents[1] / "smears evaluation 2" / "smears")
    assert fitting_folder(stacks, settings | {"methods": {"other": "other (2)"}}).name == "smears evaluation 3"


# --- results -----------------------------------------------------------------------------------------------


def test_every_view_shows_what_the_evaluation_says(widget, written, qtbot):
    widget.open_earlier(written.parent)  # the folder around it will do
    wait_for_results(widget, qtbot)
    evaluation = read_evaluation(written)
    verdicts = {(label(one.metric), one.verdict) for one in evaluation.comparisons}
    assert len({verdict for _, verdict in verdicts}) >= 2
    rows = texts(show(widget, AGAINST))
    assert rows[0][0] == "net against input"
    signs = {("better", "▲"), ("worse", "▼"), ("no difference shown", "○")}
    shown_rows = {(row[0], " ".join(row[2].split())) for row in rows[1:]}
    assert shown_rows == {(metric, f"{dict(signs)[verdict]} {verdict}") for metric, verdict in verdicts}
    colours = {row[2]: widget.view.table.item(n, 2).foreground().color().name() for n, row in enumerate(rows) if n}
    assert len(set(colours.values())) == len(colours)
    widget.view.copy_button.click()
    assert QApplication.clipboard().text() == "\n".join("\t".join(row) for row in comparison_rows(evaluation))

    rates = evaluation.tables()["success rates"]
    rows = texts(show(widget, RATES))
    assert [row[0] for row in rows] == [f"{rate:.0f}" if rate == rate else "–" for rate in rates.rows["net MSE"]]
    assert texts(show(widget, MINDED)) == [
        ["lost.tif", "left out: the file is empty"],
        ["s3.tif", "doubtful: peak at the end"],
    ]
    assert widget.view.view_choice.currentText() == "Samples to mind (2)"
    widget.view.copy_button.click()
    assert QApplication.clipboard().text().splitlines()[1] == "lost.tif\tleft out\tthe file is empty"
    rows = texts(show(widget, EXTREME, "net", "mse"))
    assert [row[1] for row in rows] == [f"s{number}.tif" for number in (0, 1, 2, 3, 4, 8, 7, 6, 5, 4)]
    assert rows[0][2] == shown(float(np.square(LEVELS_UM).mean() * 50))


def test_curves_come_with_their_bands(widget, written, qtbot):
    widget.open_earlier(written)
    wait_for_results(widget, qtbot)
    show(widget, CURVES, metric="fpw")
    assert widget.view.plot.isVisible()
    assert not widget.view.table.isVisible()
    assert widget.view.plot.lines["net"].shape == (5,)  # means at once
    qtbot.waitUntil(lambda: widget.view.plot.lines["net"].ndim == 2, timeout=LONG_MS)
    table = read_evaluation(written).table
    np.testing.assert_array_equal(widget.view.plot.lines["net"], table.level_intervals("net", "fpw"))
    np.testing.assert_array_equal(widget.view.plot.lines["input"], table.level_intervals("input", "fpw"))
    assert "net" in widget.view.legend.text()
    show(widget, CURVES, metric="mse")
    show(widget, AGAINST)  # before the bands have come
    qtbot.wait(300)
    assert not widget.view.plot.isVisible()


def test_an_earlier_one_is_shown_as_its_page_shows_it(widget, written, qtbot):
    evaluation = read_evaluation(written, (0.0, 0.2))
    five = Evaluation(evaluation.settings, [*evaluation.samples[:5]][::-1], (0.0, 0.2))
    (written / "evaluation.json").write_text(json.dumps(five.as_dict()))
    widget.open_earlier(written)
    wait_for_results(widget, qtbot)
    assert said(widget) == ""
    assert [sample.name for sample in widget.view.evaluation.kept] == [f"s{number}.tif" for number in (4, 3, 2, 1, 0)]
    assert widget.view.evaluation.comparisons == five.comparisons
    header = show(widget, MATRIX).horizontalHeaderItem
    assert [header(column).text() for column in range(6)] == ["SR (%)", "−0.4", "−0.2", "[0]", "[0.2]", "0.4"]


def test_what_is_no_evaluation_is_said(widget, written, qtbot, tmp_path):
    widget.open_earlier(written)
    wait_for_results(widget, qtbot)
    empty = tmp_path / "empty"
    empty.mkdir()
    widget.open_earlier(empty)
    wait_for_results(widget, qtbot)
    assert "holds no evaluation" in said(widget)
    assert not widget.view.isVisible()
    shutil.copytree(written, written.with_name("other"))
    widget.open_earlier(written.parent)
    wait_for_results(widget, qtbot)
    assert said(widget) == "smears evaluation holds several evaluations: choose other or smears"
    (written / "ledger.jsonl").write_text("{}\nnonsense\n")
    widget.open_earlier(written)
    wait_for_results(widget, qtbot)
    assert "is not the ledger of an evaluation" in said(widget)


def test_buttons_in_odd_orders(viewer, widget, written, stacks, qtbot):
    widget.box.stop()
    for view in VIEWS:
        show(widget, view)
    widget.view._open_page()
    widget.open_stack("a.ome.tif")
    assert "was not found" in said(widget)
    widget.open_earlier(written)
    widget.open_earlier(written)  # before the first is read
    widget.stacks.show_folder(stacks)
    widget.models.check(["tiny"])
    widget.evaluate()  # before it is read, too: it must not come any more
    widget.evaluate()
    widget.open_earlier(written)  # nor while another is made
    QTimer.singleShot(500, widget.box.stop_button.click)
    wait_for_results(widget, qtbot)
    qtbot.wait(300)
    assert not widget.view.isVisible()
    widget.open_earlier(written)
    wait_for_results(widget, qtbot)
    assert widget.view.isVisible()
    show(widget, EXTREME).selectRow(0)
    widget.view.stack_button.click()
    assert said(widget) == "s0.tif was not found: choose the folder of its stacks above"
    viewer.theme = "light"
    light = show(widget, AGAINST).item(1, 2).foreground().color().name()
    viewer.theme = "dark"
    assert show(widget, AGAINST).item(1, 2).foreground().color().name() != light


def test_a_stack_beside_an_earlier_evaluation_is_found(viewer, widget, written, qtbot):
    folder = written.parents[1] / "smears"
    folder.mkdir()
    write_tiff(folder / "s0.tif", blurred_stack(1))
    widget.open_earlier(written)
    wait_for_results(widget, qtbot)
    show(widget, EXTREME, metric="mse").selectRow(0)
    widget.view.stack_button.click()
    assert len(viewer.layers) == 1


def test_it_fits_into_a_narrow_dock(widget, written, qtbot):
    evaluation = read_evaluation(written)
    longer = {"input": "input", "net": "a-model-with-a-name-that-is-longer-than-the-dock-is-wide"}
    samples = [
        Scored(f"{one.name} and more, and more, and more", one.levels_um, {longer[m]: s for m, s in one.scores.items()})
        for one in evaluation.kept
    ]
    widget.stacks.line.setText("/a/long/path" * 20)
    widget.view.show_evaluation(Evaluation(evaluation.settings, samples), written)
    content = widget.view.parentWidget()
    for view in VIEWS:
        show(widget, view)
        assert content.minimumSizeHint().width() <= 330, view


def test_page_and_widget_say_the_same(widget, stacks, tmp_path, qtbot):
    """What the command line made is opened, and the other way round."""
    (stacks / "0 broken.tif").unlink()
    assert main(["evaluate", "tiny", "--stacks", str(stacks), "--out", str(tmp_path / "out"), "--json"]) == 0
    widget.open_earlier(tmp_path / "out")
    wait_for_results(widget, qtbot)
    page = (tmp_path / "out" / "a-folder-of-smears" / "tables" / "by-level-tiny.csv").read_text()
    show(widget, LEVELS, "tiny")
    copied = [line.split("\t") for line in widget.view.table.text().splitlines()]
    assert copied == [line.split(",") for line in page.splitlines()]


# --- pairs -------------------------------------------------------------------------------------------------


def test_views_of_pairs_show_nuclei_and_causes(viewer, widget, paired, qtbot, tmp_path):
    widget.open_earlier(paired)
    wait_for_results(widget, qtbot)
    view = widget.view
    assert [view.view_choice.itemData(n) for n in range(view.view_choice.count())] == list(PAIR_VIEWS)
    assert "nuclei missing 2 of 16 (12.5 %, 3.5 to 36.0 %), added 2 of 16" in view.said.text()
    evaluation = view.evaluation
    rows = texts(show(widget, MEANS))
    assert [row[0] for row in rows] == ["MAE", "input", "dye", "SSIM", "input", "dye"]
    assert rows[2][1] == shown(np.mean([sample.scores["dye"]["mae"][0] for sample in evaluation.kept]))
    table = show(widget, NUCLEI, "dye")
    rows = texts(table)
    assert rows[0] == ["Missing", "2 of 16", "12 % (3 to 36)"]
    assert rows[5][0] == "Missing (−) or added (+) in 2 of 8 pairs"
    assert rows[6:] == [["p6.tif", "−1 of 2", "+1"], ["p7.tif", "−1 of 2", "+1"]]
    table.selectRow(0)
    assert not view.stack_button.isEnabled()  # no pair
    table.selectRow(6)
    assert view.stack_button.isEnabled()
    assert texts(show(widget, CAUSES, "dye")) == [
        ["p7.tif", "likely: the target lies 4.2 px beside the input\n1 of 2 nuclei missing"]
    ]
    view.copy_button.click()
    assert QApplication.clipboard().text().splitlines()[1].startswith("p7.tif\tlikely: the target lies")
    show(widget, MINDED)
    assert (view.note.text(), view.table.isVisible(), view.copy_button.isVisible()) == (EMPTY[MINDED], False, False)
    homes = [tmp_path / name for name in ("unstained", "stained")]
    for home in homes:
        home.mkdir()
        shutil.copy(tmp_path / "seen.tif", home / "p7.tif")
    show(widget, CAUSES).selectRow(0)
    widget.targets.show_folder(homes[1])
    view.stack_button.click()  # input and target
    assert len(viewer.layers) == 2
    content = view.parentWidget()
    for one in PAIR_VIEWS:
        show(widget, one)
        assert content.minimumSizeHint().width() <= 330, one


def test_stacks_without_nuclei_or_causes_say_so(widget, written, qtbot):
    widget.open_earlier(written)
    wait_for_results(widget, qtbot)
    for view in (NUCLEI, CAUSES):
        show(widget, view)
        assert widget.view.note.text() == EMPTY[view]
        assert not widget.view.table.isVisible()
        assert not widget.view.stack_button.isVisible()


def test_pairs_are_chosen_and_scored_in_a_process(widget, tmp_path, qtbot):
    homes = [tmp_path / name for name in ("unstained", "stained")]
    rng = np.random.default_rng(0)
    for home in homes:
        home.mkdir()
        for name in ("a", "b"):
            pixels = ndimage.gaussian_filter(rng.uniform(0, 255, (48, 48, 3)), (2, 2, 0))
            write_tiff(home / f"{name}.tif", ImageStack(pixels.astype(np.uint8), "YXS"))
    assert not widget.targets.isVisible()
    widget.kind_choice.setCurrentText(PAIRS)
    assert widget.targets.isVisible()
    assert "two folders with images of the same names" in widget.hint.text()
    assert set(widget.models.offered) == {
        *("tiny", "small", "dye"),
        *("deblur-fast", "deblur", "enhance-smear", "virtual-stain-sim"),
    }
    widget.stacks.show_folder(homes[0])
    widget.targets.show_folder(homes[0])
    widget.models.check(["dye"])
    assert "are one folder" in widget.hint.text()
    widget.targets.show_folder(homes[1])
    assert widget.evaluate_button.isEnabled()
    widget.options.pixel.setValue(0.25)
    expected = ["evaluate", "dye", "--pairs", *map(str, homes), "--out", str(tmp_path), "--pixel-um", "0.25", "--json"]
    assert widget.arguments(homes[0], tmp_path) == expected
    widget.options.leds.line.setText(str(tmp_path / "leds.csv"))
    line = widget.arguments(homes[0], tmp_path)
    assert line[line.index("--leds") + 1] == str(tmp_path / "leds.csv")
    widget.options.leds.line.clear()
    widget.evaluate_button.click()
    wait_for_results(widget, qtbot)
    assert said(widget) == "Done"
    assert widget.view.said.text().startswith("Over 2 pairs of stained and unstained. ")
    folder = tmp_path / "unstained evaluation"
    assert widget.view.folder == folder / "unstained"
    assert fitting_folder(homes[0], widget.settings()) == folder
    widget.targets.show_folder(tmp_path)  # other targets are another evaluation
    assert fitting_folder(homes[0], widget.settings()) != folder
    widget.kind_choice.setCurrentIndex(0)
    assert fitting_folder(homes[0], widget.settings()) != folder
    assert not widget.targets.isVisible()
    assert [card.name for card in widget.models.checked] == widget.models.offered[:1]  # the first of those for stacks
