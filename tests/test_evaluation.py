"""Scoring of many samples, recorded stacks, the ledger, comparisons, and the page of an evaluation."""

from __future__ import annotations

import csv
import json
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_cellrestore.evaluate import (
    PAIR_METRICS,
    Evaluation,
    Ledger,
    Sample,
    Scored,
    ScoreTable,
    compare_methods,
    paired_sample,
    paired_samples,
    read_evaluation,
    recorded_sample,
    recorded_samples,
    score_levels,
    score_samples,
)
from napari_cellrestore.evaluate.comparison import holm
from napari_cellrestore.evaluate.extremes import extreme_pictures, typical_level, worst_causes
from napari_cellrestore.evaluate.pairs import clearest_plane, pair_method
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.leds import LedTable
from napari_cellrestore.nuclei import NucleiCounts
from napari_cellrestore.report import write_evaluation
from napari_cellrestore.report.pairs import write_likely, write_pairs
from napari_cellrestore.stack import ImageStack

LEVELS = (-0.4, -0.2, 0.0, 0.2, 0.4)


def focus_stack(seed=0, levels_um=LEVELS, shape=(48, 56), offset_um=0.0):
    """Planes that lose contrast with distance from 0, with camera noise."""
    rng = np.random.default_rng(seed)
    sharp = ndimage.gaussian_filter(rng.normal(size=shape), 1) * 200 + 120
    planes = [ndimage.gaussian_filter(sharp, 6 * abs(z)) + rng.normal(0, 1, shape) for z in levels_um]
    z_um = np.asarray(levels_um) + offset_um
    return ImageStack(np.clip(planes, 0, 255).astype(np.uint8), "ZYX", pixel_um=0.1, z_um=z_um)


def sample(seed=0, levels_um=LEVELS):
    stack = focus_stack(seed, levels_um)
    return Sample(stack.data[int(np.argmin(np.abs(levels_um)))], stack)


def sharpened(stack):
    planes = stack.data.astype(float)
    blurred = np.stack([ndimage.gaussian_filter(plane, 1) for plane in planes])
    return np.clip(2 * planes - blurred, 0, 255).astype(np.uint8)


# --- many samples ----------------------------------------------------------------------------------------------


def test_scores_are_those_of_one_stack_alone():
    one = sample()
    (scored,) = score_samples({"a": sample}, {"sharpened": sharpened}, ["mse", "fpw"])
    expected = score_levels(one.reference, one.stack.data, {"sharpened": sharpened(one.stack)}, ["mse", "fpw"])
    assert scored.levels_um == LEVELS
    for method, metrics in expected.items():
        for metric, values in metrics.items():
            np.testing.assert_array_equal(scored.scores[method][metric], values)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_one_bad_sample_does_not_end_the_others(workers):
    def broken():
        raise OSError("the disk\nis gone")

    def unfit():
        return Sample(np.zeros((3, 3), np.uint8), sample().stack)

    names = [f"s{number}" for number in range(20)]
    samples = dict.fromkeys(names, sample) | {"s7": broken, "s13": unfit}
    scored = list(score_samples(samples, {"sharpened": sharpened}, ["mse"], workers=workers))
    assert [one.name for one in scored] == names
    assert [one.name for one in scored if one.reason] == ["s7", "s13"]
    assert scored[7].reason == "the disk is gone"
    assert "shape" in scored[13].reason


def test_a_method_that_runs_out_of_memory_leaves_the_sample_out():
    def hungry(stack):
        raise MemoryError

    (scored,) = score_samples({"a": sample}, {"hungry": hungry}, ["mse"])
    assert scored.reason == "MemoryError"


def test_few_samples_are_held_at_once():
    alive, most, lock = 0, 0, threading.Lock()

    def counted():
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return sample()

    def done(stack):
        nonlocal alive
        time.sleep(0.002)
        with lock:
            alive -= 1
        return stack.data

    scored = list(score_samples({str(n): counted for n in range(40)}, {"same": done}, ["mse"], workers=2))
    assert len(scored) == 40
    assert most <= 2


def test_scoring_can_be_stopped():
    before = set(threading.enumerate())
    stop = threading.Event()
    begun = []

    def counted(number):
        begun.append(number)
        return sample()

    samples = {str(n): lambda n=n: counted(n) for n in range(50)}
    generator = score_samples(samples, {"sharpened": sharpened}, ["mse"], workers=2, stop=stop)
    next(generator)
    stop.set()
    assert len(list(generator)) <= 3
    assert len(begun) <= 5
    generator = score_samples(samples, {"sharpened": sharpened}, ["mse"], workers=2)
    next(generator)
    generator.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_the_name_input_is_taken():
    with pytest.raises(ValueError, match="called 'input'"):
        next(score_samples({"a": sample}, {"input": sharpened}))


# --- recorded stacks -------------------------------------------------------------------------------------------


def test_levels_count_from_the_sharpest_plane(tmp_path):
    path = write_tiff(tmp_path / "a.ome.tif", focus_stack(offset_um=12.3004))
    one = recorded_sample(path)
    assert one.stack.z_um.tolist() == list(LEVELS)
    np.testing.assert_array_equal(one.reference, focus_stack().data[2])
    assert one.remarks == ()


def test_a_plane_that_is_not_finite_is_left_out_and_said(tmp_path):
    stack = focus_stack()
    data = stack.data.astype(np.float32)
    data[4, 5, 5] = np.nan
    one = recorded_sample(write_tiff(tmp_path / "a.ome.tif", stack.replace(data=data)))
    assert one.stack.z_um.tolist() == list(LEVELS[:4])
    assert "plane 4 not finite" in one.remarks


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        (focus_stack().replace(data=np.full((5, 48, 56), 7, np.uint8)), "no sharp plane to compare with: flat"),
        (focus_stack().select("Z", slice(2, 3)), "no sharp plane to compare with: one plane"),
        (focus_stack(levels_um=(0.0, 0.004, 0.2, 0.4)), "closer than 0.01 um"),
    ],
)
def test_stacks_without_a_truth_are_refused(tmp_path, stack, said):
    with pytest.raises(ValueError, match=said):
        recorded_sample(write_tiff(tmp_path / "a.ome.tif", stack))


def test_phase_objects_have_no_sharpest_looking_truth(tmp_path, rng):
    texture = rng.normal(size=(48, 56)) * 20
    planes = [128 + contrast * texture for contrast in (0.6, 0.9, 1.0, 0.5, 0.2, 0.5, 1.0, 0.9, 0.6)]
    stack = ImageStack(np.uint8(np.clip(planes, 0, 255)), "ZYX", pixel_um=0.1, z_um=0.3 * np.arange(9))
    with pytest.raises(ValueError, match="contrast minimum at focus"):
        recorded_sample(write_tiff(tmp_path / "a.ome.tif", stack))


def test_distance_of_planes_can_be_given(tmp_path):
    path = write_tiff(tmp_path / "a.tif", focus_stack().replace(z_um=None))
    with pytest.raises(ValueError, match="positions of its planes along z are not known"):
        recorded_sample(path, axes="ZYX")
    assert recorded_sample(path, axes="ZYX", z_step_um=0.5).stack.z_um.tolist() == [-1, -0.5, 0, 0.5, 1]


def test_drift_is_taken_out_where_asked(tmp_path):
    stack = focus_stack(shape=(96, 96))
    drifted = np.stack([np.roll(plane, 2 * (n - 2), axis=1) for n, plane in enumerate(stack.data)])
    path = write_tiff(tmp_path / "a.ome.tif", stack.replace(data=drifted))
    scores = {}
    for align in (False, True):
        (scored,) = score_samples({"a": lambda align=align: recorded_sample(path, align=align)}, {}, ["mse"])
        scores[align] = scored.scores["input"]["mse"]
    assert scores[True][1] < 0.5 * scores[False][1]
    assert scores[True][2] == scores[False][2] == 0


def test_folder_without_stacks(tmp_path):
    with pytest.raises(ValueError, match="there is no such folder"):
        recorded_samples(tmp_path / "none")
    with pytest.raises(ValueError, match="no images in it"):
        recorded_samples(tmp_path)


# --- an evaluation ---------------------------------------------------------------------------------------------


def scored(name, levels_um, gain=0.5, seed=0):
    rng = np.random.default_rng(seed)
    mse = np.asarray(levels_um) ** 2 * 20 + rng.uniform(0, 0.1, len(levels_um)) * (np.asarray(levels_um) != 0)
    return Scored(name, tuple(levels_um), {"input": {"mse": mse}, "net": {"mse": gain * mse + 0.01}})


def test_stacks_of_unlike_levels_are_put_together_by_level():
    rows = [
        scored("a", LEVELS),
        scored("b", LEVELS, seed=1),
        scored("c", LEVELS[:3], seed=2),
        scored("d", (0.0, 0.3), seed=3),
    ]
    evaluation = Evaluation({}, [*rows, Scored("e", reason="empty")])
    assert evaluation.levels_um == (-0.4, -0.2, 0.0, 0.2, 0.3, 0.4)
    expected = np.mean([row.scores["net"]["mse"][0] for row in rows[:3]])
    assert evaluation.table.by_level("net").rows["-0.4 um"] == [pytest.approx(expected)]
    assert evaluation.remarks["c"] == ["no plane at 0.2, 0.4 um"]
    assert set(evaluation.remarks) == {"c", "d"}
    assert evaluation.left_out == {"e": "empty"}
    matrix = evaluation.table.success("net", "mse")
    assert all(np.nansum(row[:-1]) <= 100 + 1e-9 for row in matrix.rows.values())


def test_a_stack_that_lacks_its_worst_planes_is_not_the_best():
    rows = [scored("poor", LEVELS[1:4], gain=0.9), scored("good", LEVELS, gain=0.2), scored("middle", LEVELS, gain=0.5)]
    best, worst = Evaluation({}, rows).extremes("net", "mse")
    assert best == ["good", "middle", "poor"]
    assert worst == best[::-1]


def test_nothing_that_could_be_scored():
    with pytest.raises(ValueError, match="no sample could be scored; a: the file is empty"):
        _ = Evaluation({}, [Scored("a", reason="the file is empty")]).table


def test_ledger_gives_back_what_was_added(tmp_path):
    said = {"images": "some", "methods": {"net": "net (1234)"}}
    ledger = Ledger(tmp_path / "ledger.jsonl", said)
    rows = [scored("a", LEVELS), Scored("b", reason="émpty"), scored("c", LEVELS[:3])]
    rows[0].scores["net"]["mse"][2] = np.inf
    for row in rows:
        ledger.add(row)
    evaluation = read_evaluation(tmp_path)
    assert evaluation.settings == said
    assert [row.name for row in evaluation.samples] == ["a", "b", "c"]
    assert evaluation.left_out == {"b": "émpty"}
    for row, again in zip(rows, evaluation.samples, strict=True):
        for method, metrics in row.scores.items():
            np.testing.assert_array_equal(again.scores[method]["mse"], metrics["mse"])


@given(cut=st.integers(0, 400))
@settings(max_examples=25, deadline=None)
def test_ledger_cut_off_anywhere_goes_on(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    said = {"images": "some"}
    ledger = Ledger(path, said)
    for name in ("a", "b"):
        ledger.add(scored(name, LEVELS))
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    again = Ledger(path, said)
    assert [row.name for row in again.done] == ["a", "b"][: len(again.done)]
    for name in ["a", "b"][len(again.done) :]:
        again.add(scored(name, LEVELS))
    assert path.read_bytes() == whole


def test_ledger_of_something_else_is_refused(tmp_path):
    Ledger(tmp_path / "ledger.jsonl", {"methods": {"net": "net (1234)"}})
    with pytest.raises(ValueError, match=r"is of another evaluation \(methods was"):
        Ledger(tmp_path / "ledger.jsonl", {"methods": {"net": "net (5678)"}})
    with pytest.raises(ValueError, match="holds no evaluation"):
        read_evaluation(tmp_path / "none")


# --- comparisons -----------------------------------------------------------------------------------------------


def table_of(rng, images=20, gain=0.0, methods=("a", "b")):
    """Scores of methods that differ by ``gain`` and noise."""
    base = rng.uniform(1, 3, (images, 5))
    scores = {"input": {"mse": 2 * base}}
    for number, method in enumerate(methods):
        scores[method] = {"mse": base * (1 - gain * number) + rng.normal(0, 0.1, base.shape)}
    return ScoreTable(LEVELS, scores)


def verdicts(table):
    return {(one.method, one.against): one.verdict for one in compare_methods(table)}


def test_a_gain_is_seen_and_noise_is_not(rng):
    assert verdicts(table_of(rng, gain=0.2)) == {
        ("a", "input"): "better",
        ("b", "input"): "better",
        ("b", "a"): "better",
    }
    alike = [verdicts(table_of(rng))["b", "a"] for _ in range(60)]
    assert alike.count("no difference shown") >= 54  # at most 5 % by chance, and Holm's correction on top


def test_few_images_show_nothing(rng):
    assert set(verdicts(table_of(rng, images=5, gain=0.5)).values()) == {"too few images"}
    assert set(verdicts(table_of(rng, images=6, gain=0.9)).values()) == {
        "too few images"
    }  # three comparisons: 3 * 2 / 2^6
    assert set(verdicts(table_of(rng, images=9, gain=0.9)).values()) == {"better"}


def test_differences_and_directions(rng):
    ssim = rng.uniform(0.8, 0.9, (12, 5))
    ratio = rng.uniform(0.5, 0.6, (12, 5))
    scores = {
        "input": {"ssim": ssim, "focus_ratio": ratio},
        "net": {"ssim": ssim + 0.05, "focus_ratio": 2.3 - ratio},  # as far above 1 as ... a little further
    }
    by_metric = {one.metric: one for one in compare_methods(ScoreTable(LEVELS, scores))}
    assert by_metric["ssim"].verdict == "better"
    np.testing.assert_allclose(by_metric["ssim"].difference, 0.05, rtol=1e-6)
    assert by_metric["focus_ratio"].verdict == "worse"
    np.testing.assert_allclose(by_metric["focus_ratio"].difference, 0.3, rtol=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_monotone_and_never_below_the_p_value(p_values):
    corrected = holm(p_values)
    assert all(0 <= p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    assert np.all(np.diff(np.array(corrected)[np.argsort(p_values)]) >= 0)
    assert min(corrected) == min(1.0, min(p_values) * len(p_values))


# --- pictures and page -----------------------------------------------------------------------------------------


@pytest.fixture
def evaluated():
    samples = {f"stack {seed}": lambda seed=seed: sample(seed) for seed in range(4)}
    methods = {"sharpened": sharpened}
    said = {"images": "recorded focus stacks", "methods": {"sharpened": "classical filter"}}
    rows = [*score_samples(samples, methods), Scored("<b>bad</b>.tif", reason="the file is empty")]
    return Evaluation(said, rows), samples, methods


def test_extremes_are_pictures_of_the_samples(evaluated):
    evaluation, samples, methods = evaluated
    level = typical_level(evaluation)
    pictures = extreme_pictures(evaluation, samples, methods, count=1)
    assert [(one.metric, one.rank) for one in pictures] == [
        ("ssim", "best"),
        ("ssim", "worst"),
        ("mse", "best"),
        ("mse", "worst"),
    ]
    for one in pictures:
        original = samples[one.name]().stack
        index = LEVELS.index(level)
        np.testing.assert_array_equal(one.blurred, original.data[index])
        np.testing.assert_array_equal(one.restored, sharpened(original)[index])
    assert extreme_pictures(evaluation, {}, methods) == []


def test_page_says_what_was_measured_and_what_was_left_out(tmp_path, evaluated):
    evaluation, samples, methods = evaluated
    page = write_evaluation(tmp_path, evaluation, extreme_pictures(evaluation, samples, methods, count=1))
    text = page.read_text(encoding="utf-8")
    assert "4 recorded focus stacks" in text
    assert "1 of 5 could not be scored" in text
    assert "&lt;b&gt;bad&lt;/b&gt;.tif" in text
    assert "<b>bad" not in text
    assert "too few images" in text
    assert (tmp_path / "evaluation.pdf").read_bytes().startswith(b"%PDF")
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 5 * 2 * 5
    first = evaluation.kept[0].scores["input"]["mse"][0]
    assert float(rows[0]["value"]) == first
    said = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert said["left_out"] == {"<b>bad</b>.tif": "the file is empty"}
    assert not list(tmp_path.glob(".unfinished*"))
    for link in (part.split('"')[0] for part in text.split('<img src="')[1:]):
        assert (tmp_path / link).is_file()


def test_writing_the_page_again_replaces_it(tmp_path, evaluated):
    evaluation, *_ = evaluated
    write_evaluation(tmp_path, evaluation)
    before = sorted(path.name for path in tmp_path.iterdir())
    write_evaluation(tmp_path, evaluation)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


# --- pairs -----------------------------------------------------------------------------------------------------

PIXEL_UM = 0.25
LEDS = LedTable(index=[-1, 0, 1], polar_deg=[0, 30, 5], azimuth_deg=[0, 0, 90], kind=["brightfield", "point", "point"])


def stained(nuclei, shape=(96, 112)):
    """A film with a red cell, and nuclei at places."""
    y, x = np.indices(shape)
    image = np.full((*shape, 3), (236, 234, 228), float)
    for (row, column), colour in [((20, 90), (214, 160, 158.0)), *((place, (96, 48, 148.0)) for place in nuclei)]:
        inside = ndimage.gaussian_filter((np.hypot(y - row, x - column) < 12).astype(float), 1)[..., None]
        image = image * (1 - inside) + np.array(colour) * inside
    return np.rint(image).astype(np.uint8)


TWO, FIRST = stained([(30, 30), (60, 80)]), stained([(30, 30)])


@pytest.fixture
def folders(tmp_path, rng):
    """Five LED stacks of unstained cells and their stained images; the fifth shows no nuclei."""
    homes = tmp_path / "unstained", tmp_path / "stained"
    for home in homes:
        home.mkdir()
    for name in "abcde":
        target = TWO if name != "e" else stained([])
        grey = np.stack([255 - target[..., 2] // 2 + 10 * plane for plane in range(3)])
        noisy = np.clip(grey + rng.normal(0, 2, grey.shape), 0, 255).astype(np.uint8)
        write_tiff(homes[0] / f"{name}.ome.tif", ImageStack(noisy, "AYX", pixel_um=PIXEL_UM, leds=LEDS))
        write_tiff(homes[1] / f"{name}.tif", ImageStack(target, "YXS"))
    return homes


def eraser(stack):
    """Stains well, but only the first cell; in "c" it invents one."""
    made = FIRST if stack.source and "c.ome" not in str(stack.source) else stained([(30, 30), (60, 80), (75, 25)])
    return np.clip(made + np.int16(np.random.default_rng(0).normal(0, 2, made.shape)), 0, 255).astype(np.uint8)


def test_a_pair_is_one_image_against_one(folders):
    samples, notes = paired_samples(*folders)
    assert (list(samples), notes) == ([f"{name}.ome.tif" for name in "abcde"], [])
    one = samples["a.ome.tif"]()
    assert one.stack.axes == "AYX"
    assert one.stack.pixel_um == PIXEL_UM  # which the target does not say
    assert one.levels_um.tolist() == [0]
    np.testing.assert_array_equal(one.reference, TWO)
    np.testing.assert_array_equal(
        one.beside, np.stack([one.stack.data[0]] * 3, axis=-1)
    )  # brightfield, in grey colours
    (scored,) = score_samples({"a": samples["a.ome.tif"]}, {"eraser": eraser}, PAIR_METRICS, nuclei=True)
    assert scored.levels_um == (0.0,)
    error = np.abs(TWO.astype(float) - eraser(one.stack)).mean()
    assert scored.scores["eraser"]["mae"] == pytest.approx([error])
    assert scored.scores["input"]["mae"] == pytest.approx([np.abs(TWO.astype(float) - one.beside).mean()])
    assert list(scored.nuclei) == ["eraser"]  # the unstained input has none, of course
    counts = scored.nuclei["eraser"]
    assert (counts.target, counts.matched, counts.missing, counts.added) == (2, 1, 1, 0)


def test_pairs_that_are_none_are_refused(folders, tmp_path):
    inputs, targets = folders
    for name in "ab":
        (targets / f"{name}.tif").unlink()
    write_tiff(targets / "a.tif", ImageStack(TWO[:-1], "YXS"))
    with pytest.raises(ValueError, match=r"the input has 96 x 112 px, its target a\.tif 95 x 112: both must be alike"):
        paired_sample(inputs / "a.ome.tif", targets / "a.tif")
    with pytest.raises(ValueError, match="has the axes AYX: give one image"):
        paired_sample(inputs / "a.ome.tif", inputs / "a.ome.tif")
    assert "1 image has no partner" in paired_samples(inputs, targets)[1][0]


def test_a_camera_of_12_bit_and_a_stain_of_8(folders):
    inputs, targets = folders
    stack = open_stack(inputs / "a.ome.tif")
    deep = stack.replace(data=(np.asarray(stack.data).astype(np.uint16) * 16 + 15), source=None)
    write_tiff(inputs / "deep.ome.tif", deep)
    sample = paired_sample(inputs / "deep.ome.tif", targets / "a.tif")
    assert (sample.beside.dtype, sample.reference.dtype) == (np.uint8, np.uint8)
    expected = np.rint((np.asarray(stack.data[0], float) * 16 + 15) * 255 / 4095)
    np.testing.assert_array_equal(sample.beside[..., 0], expected)
    assert "0 to 4095 was taken" in " ".join(sample.remarks)
    (scored,) = score_samples({"a": lambda: sample}, {"eraser": eraser}, PAIR_METRICS)
    assert scored.scores["eraser"]["mae"] < scored.scores["input"]["mae"]
    (wrong,) = score_samples({"a": lambda: sample}, {"deep": lambda stack: TWO.astype(np.uint16)}, PAIR_METRICS)
    assert wrong.reason.startswith("what was made has uint16 pixels, the target uint8: choose a model")


def test_the_clearest_plane_stands_for_a_stack():
    planes = np.arange(3)[:, None, None] * np.ones((1, 4, 4))
    stack = ImageStack(planes, "AYX", leds=LEDS)
    assert clearest_plane(stack).data[0, 0] == 0
    assert clearest_plane(stack.select("A", slice(1, 3))).data[0, 0] == 2  # the most central
    assert clearest_plane(stack.replace(axes="ZYX", leds=None)).axes == "YX"


def test_models_make_one_image_of_a_pair(folders, tmp_path):
    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.model import Model
    from napari_cellrestore.networks import create_network

    options = {"filters": 4, "blocks": 4, "norm": "none", "dropout": 0.0}
    sample = paired_samples(*folders)[0]["a.ome.tif"]()
    for planes, channels in ((1, 1), (3, 3)):
        card = ModelCard(
            name="dye",
            task="stain",
            network="pix2pix-fast",
            options=options,
            in_channels=channels,
            out_channels=3,
            in_planes=planes,
            leds=LEDS.columns() if planes > 1 else None,
            halo_px=16,
        )
        network = create_network("pix2pix-fast", in_channels=channels, out_channels=3, **options).eval()
        assert sample.restored(pair_method(Model(network, card, tmp_path))).shape == (1, 96, 112, 3)


@pytest.fixture
def paired(folders):
    samples, _ = paired_samples(*folders)
    methods = {"eraser": eraser}
    said = {"images": "pairs of stained and unstained", "pairs": True, "methods": {"eraser": "eraser (12)"}}
    rows = list(score_samples(samples, methods, PAIR_METRICS, nuclei=True))
    return Evaluation(said, rows), samples, methods


def test_an_evaluation_of_pairs_counts_nuclei_over_all(paired, tmp_path):
    evaluation, *_ = paired
    counts = evaluation.nuclei["eraser"]
    assert (counts.images, counts.empty) == (5, 1)
    assert (counts.target, counts.missing, counts.added) == (8, 3, 2)
    assert [one.name for one in evaluation.worst_by_nuclei("eraser", 1)] == ["a.ome.tif"]
    table = evaluation.tables()["nuclei"]
    assert table.rows["eraser: missing"][:3] == [3, 8, pytest.approx(37.5)]
    means = evaluation.tables()["means"]
    assert set(evaluation.tables()) == {"means", "nuclei"}  # no focus levels
    values = [one.scores["eraser"]["mae"][0] for one in evaluation.kept]
    assert means.rows["MAE, eraser"][0] == pytest.approx(np.mean(values))
    assert means.rows["MAE, eraser"][1] < np.mean(values) < means.rows["MAE, eraser"][2]
    ledger = Ledger(tmp_path / "ledger.jsonl", dict(evaluation.settings))
    for one in evaluation.samples:
        ledger.add(one)
    again = read_evaluation(tmp_path)
    assert again.nuclei == evaluation.nuclei
    assert again.of_pairs
    json.dumps(evaluation.as_dict(), allow_nan=False)


def test_the_worst_pairs_get_their_causes_and_a_page(paired, tmp_path):
    evaluation, samples, methods = paired
    causes = worst_causes(evaluation, samples, methods)
    assert set(causes["eraser"]) == {f"{name}.ome.tif" for name in "abcde"}
    assert "1 of 2 nuclei missing" in "; ".join(causes["eraser"]["a.ome.tif"])
    assert "1 nucleus added" in "; ".join(causes["eraser"]["c.ome.tif"])
    evaluation = Evaluation(evaluation.settings, evaluation.samples, causes=causes)
    text = write_pairs(tmp_path, evaluation, extreme_pictures(evaluation, samples, methods, 1)).read_text("utf-8")
    assert "nuclei missing 3 of 8 (37.5 %, " in text
    assert "1 of 2 nuclei missing" in text
    assert "focus level" not in text
    assert (tmp_path / "evaluation.pdf").read_bytes().startswith(b"%PDF")
    for link in (part.split('"')[0] for part in text.split('<img src="')[1:]):
        assert (tmp_path / link).is_file()
    with (tmp_path / "nuclei.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["sample"]: row for row in csv.DictReader(file)}
    assert (rows["a.ome.tif"]["missing"], rows["c.ome.tif"]["added"], rows["e.ome.tif"]["empty"]) == ("1", "1", "1")
    said = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    assert said["causes"]["eraser"].keys() == causes["eraser"].keys()
    assert NucleiCounts(**said["nuclei"]["eraser"]) == evaluation.nuclei["eraser"]
    assert "mae" in said["best_and_worst"]["eraser"]


def test_nuclei_of_a_focus_stack_are_counted_once():
    planes = np.stack([ndimage.gaussian_filter(TWO, (s, s, 0)) for s in (6, 3, 0, 3, 6)])
    stack = ImageStack(planes, "ZYXS", pixel_um=PIXEL_UM, z_um=LEVELS)
    one = Sample(TWO, stack)
    (scored,) = score_samples({"a": lambda: one}, {"half": lambda s: np.stack([FIRST] * 5)}, ["mse"], nuclei=True)
    assert (scored.nuclei["input"].target, scored.nuclei["input"].missing) == (2, 0)
    assert scored.nuclei["half"].missing == 1
    for sample_without in (
        Sample(TWO, stack.replace(pixel_um=None)),
        Sample(TWO[..., 1], stack.replace(data=planes[..., 1], axes="ZYX")),
    ):
        (scored,) = score_samples({"a": lambda s=sample_without: s}, {}, ["mse"], nuclei=True)
        assert scored.nuclei == {}
    (scored,) = score_samples({"a": lambda: Sample(255 - TWO, stack)}, {}, ["mse"], nuclei=True)
    assert scored.nuclei["input"].doubtful == 1
    assert scored.remarks[0].startswith("nuclei not counted, target: ")


def test_causes_of_stacks_lie_beside_their_tables(evaluated, tmp_path):
    evaluation, samples, methods = evaluated
    causes = worst_causes(evaluation, samples, methods, 1)
    evaluation = Evaluation(evaluation.settings, evaluation.samples, causes=causes)
    write_evaluation(tmp_path, evaluation)
    write_likely(tmp_path, evaluation)
    with (tmp_path / "tables" / "causes.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["sample", "method", "what may be wrong"]
    assert {row[0] for row in rows[1:]} == set(causes["sharpened"])
    assert not (tmp_path / "nuclei.csv").exists()  # grey


def test_pairs_are_measured_from_the_shell(folders, tmp_path, monkeypatch, capsys):
    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.cli import main
    from napari_cellrestore.model import save_model
    from napari_cellrestore.networks import create_network

    options = {"filters": 4, "blocks": 4, "norm": "none", "dropout": 0.0}
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "models"))
    card = ModelCard(
        name="dye",
        task="stain",
        network="pix2pix-fast",
        options=options,
        in_channels=3,
        in_planes=3,
        leds=LEDS.columns(),
        halo_px=16,
    )
    save_model(tmp_path / "models" / "dye", create_network("pix2pix-fast", in_channels=3, **options), card)
    line = ["evaluate", "dye", "--pairs", *map(str, folders), "--out", str(tmp_path / "out")]
    assert main([*line, "--limit", "3"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("dye on 3 pairs of stained and unstained\ndye: nuclei missing 6 of 6 (100.0 %")
    assert "over images" in text
    assert "a.ome.tif: likely: " in text
    assert main([*line, "--json"]) == 0  # goes on with the two that are left
    *events, result = map(json.loads, capsys.readouterr().out.splitlines())
    assert [event["sample"] for event in events] == ["d.ome.tif", "e.ome.tif"]
    assert result["nuclei"]["dye"]["empty"] == 1
    assert set(result["tables"]) == {"means", "nuclei"}
    assert (tmp_path / "out" / "unstained" / "evaluation.html").is_file()
    for wrong, said in (
        (["--stacks", str(folders[0])], "makes one image of several planes: measure it with --pairs"),
        (["--pairs", *map(str, folders), "--pixel-um", "0"], "--pixel-um 0: give the size of a pixel"),
        ([], "or --pairs INPUT TARGET"),
    ):
        assert main(["evaluate", "dye", *wrong]) == 2
        assert said in capsys.readouterr().err
