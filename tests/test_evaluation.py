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
    Evaluation,
    Ledger,
    Sample,
    Scored,
    ScoreTable,
    compare_methods,
    read_evaluation,
    recorded_sample,
    recorded_samples,
    score_levels,
    score_samples,
)
from napari_cellrestore.evaluate.comparison import holm
from napari_cellrestore.evaluate.extremes import extreme_pictures, typical_level
from napari_cellrestore.files import write_tiff
from napari_cellrestore.report import write_evaluation
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
    assert threading.active_count() < 20


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
