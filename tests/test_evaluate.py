from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from napari_cellrestore.evaluate import (
    Evaluation,
    Scored,
    ScoreTable,
    Table,
    interval_rates,
    mean_interval,
    paired_test,
    score_levels,
    success_matrix,
)
from napari_cellrestore.evaluate.certainty import badness

LEVELS = np.round(np.arange(-7, 7) * 0.2, 1)  # -1.4 to 1.2 um, as in Olofsson & Wagnström 2019


def stack_scores(seed, n=20):
    """Distinct scores that fall towards focus, where they are 0, as MSE and FPW of the planes of a stack do."""
    rng = np.random.default_rng(seed)
    scores = (LEVELS**2 * 20 + 0.05 * LEVELS) * rng.uniform(0.5, 2, (n, 1)) + rng.uniform(0, 0.1, (n, LEVELS.size))
    scores[:, 7] = 0
    return scores


# --- success


def test_success_matrix_by_hand():
    levels = [-0.4, -0.2, 0.0, 0.2, 0.4, 0.6]
    planes = np.array([[9, 4, 0, 3, 5, 8], [20, 10, 0, 9, 11, 30]])
    restored = np.array([[3.5, 4, 0, 5, 8.5, 8.1], [10, 31, 0.1, np.nan, 25, 20]])
    matrix, success = success_matrix(restored, planes, levels)
    expected = np.zeros((6, 6))
    expected[0, 1] = 100  # 3.5 is as good as 4; 10 as 10
    expected[1, 1] = 50  # 4 as 4; 31 worse than every plane
    expected[2, [2, 3]] = 50
    expected[3, 4] = 100  # of one image: the other has no score
    expected[4, [0, 5]] = 50
    expected[5, [0]] = 100
    np.testing.assert_array_equal(matrix, expected)
    np.testing.assert_array_equal(success, [100, 50, 100, 100, 0, 0])
    assert success_matrix(restored, planes, levels, sharp=(0.2, 0.6))[1].tolist() == [0, 0, 50, 100, 50, 0]


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_rows_of_the_matrix_are_percentages(seed):
    rng = np.random.default_rng(seed)
    matrix, success = success_matrix(rng.exponential(20, (15, 14)), stack_scores(seed, 15), LEVELS)
    assert ((matrix >= 0) & (matrix <= 100)).all()
    assert (matrix.sum(axis=1) <= 100 + 1e-9).all()
    assert (success <= matrix.sum(axis=1) + 1e-9).all()
    np.testing.assert_allclose(matrix * 15 / 100, np.rint(matrix * 15 / 100), atol=1e-9)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_input_that_was_not_restored_is_assigned_to_its_own_plane(seed):
    scores = stack_scores(seed)
    matrix, success = success_matrix(scores, scores, LEVELS)
    np.testing.assert_array_equal(matrix, 100 * np.eye(14))
    np.testing.assert_array_equal(success, 100 * ((LEVELS > -0.3) & (LEVELS < 0.5)))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_perfect_restoration_and_worthless_one(seed):
    scores = stack_scores(seed)
    matrix, success = success_matrix(np.zeros_like(scores), scores, LEVELS)
    np.testing.assert_array_equal(matrix, 100 * np.tile(LEVELS == 0, (14, 1)))
    assert (success == 100).all()
    matrix, success = success_matrix(np.full_like(scores, scores.max() + 1), scores, LEVELS)
    assert not matrix.any()
    assert not success.any()


@given(seed=st.integers(0, 10**6), k=st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_success_depends_on_order_only(seed, k):
    rng = np.random.default_rng(seed)
    restored, planes = rng.exponential(20, (20, 14)), stack_scores(seed)
    before = success_matrix(restored, planes, LEVELS)
    rising = [np.sqrt(k * scores) for scores in (restored, planes)]
    for one, other in zip(before, success_matrix(*rising, LEVELS), strict=True):
        np.testing.assert_array_equal(one, other)
    order = rng.permutation(14)
    matrix, success = success_matrix(restored[:, order], planes[:, order], LEVELS[order])
    np.testing.assert_array_equal(matrix, before[0][np.ix_(order, order)])
    np.testing.assert_allclose(success, before[1][order])


@pytest.mark.parametrize("error_um", [0, 1e-9, -1e-9])
def test_levels_with_rounding_errors_count_as_sharp(error_um):
    levels = np.arange(-7, 7) * 0.2 + error_um
    scores = stack_scores(0)
    np.testing.assert_array_equal(success_matrix(scores, scores, levels)[1] > 0, abs(LEVELS - 0.1) < 0.31)


def test_levels_without_scores_have_no_percentage():
    scores = stack_scores(0)
    restored = np.where(abs(LEVELS) > 1.1, np.nan, scores)
    matrix, success = success_matrix(restored, scores, LEVELS)
    missing = [0, 1, 13]
    assert np.isnan(matrix[missing]).all()
    assert np.isnan(success[missing]).all()
    assert np.isfinite(np.delete(matrix, missing, axis=0)).all()


# Olofsson & Wagnström 2019, tables A.1, A.2, A.5 (success rates) and 7.1 (their means over intervals).
PUBLISHED = {
    "pix2pix-dist MSE": (
        [9.7, 22.7, 41.7, 61.2, 84.8, 98.5, 100, 100, 100, 100, 99.6, 95.2, 76.3, 48.4],
        [79.1, 87.0, 93.3, 97.6, 99.7, 100],
    ),
    "pix2pix-dist FPW": (
        [10.6, 21.4, 32.0, 45.8, 65.7, 88.3, 98.8, 100, 99.8, 99.9, 98.0, 89.3, 72.3, 48.4],
        [73.8, 80.9, 87.3, 92.9, 97.4, 99.5],
    ),
    "pix2pix-dist-fast MSE": (
        [0.7, 2.3, 10.5, 27.2, 56.0, 87.8, 99.9, 100, 100, 100, 87.8, 51.4, 25.4, 8.0],
        [58.2, 67.8, 78.9, 90.2, 97.5, 100],
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_interval_rates_are_those_of_table_7_1(name):
    success, expected = PUBLISHED[name]
    np.testing.assert_allclose(interval_rates(success, LEVELS), expected, atol=0.1)


def test_interval_without_levels_or_with_missing_ones_is_nan():
    rates = interval_rates([np.nan, 80, 100], [-0.2, 0, 0.2], [(-0.2, 0.2), (0, 0.2), (0.5, 0.7)])
    np.testing.assert_array_equal(rates, [np.nan, 90, np.nan])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 4)), np.zeros((3, 5)), range(5)), r"scores have shape \(3, 4\): give \(N, 5\)"),
        (
            (np.zeros((3, 5)), np.zeros((2, 5)), range(5)),
            r"scores_restored has shape \(3, 5\) and scores_input \(2, 5\)",
        ),
        ((np.zeros((0, 5)), np.zeros((0, 5)), range(5)), r"scores have shape \(0, 5\)"),
        ((np.zeros((3, 2)), np.zeros((3, 2)), [0.2, 0.2]), "each once"),
        ((np.zeros((3, 2)), np.zeros((3, 2)), [0.2, np.nan]), "give the focus levels in micrometres"),
    ],
)
def test_wrong_scores_and_levels_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        success_matrix(*arguments)


# --- tables


@pytest.fixture
def table(rng):
    """Three stacks of five levels; "half" undoes part of the blur, "copy" returns the sharp plane."""
    levels, stacks = [-0.6, -0.3, 0.0, 0.3, 0.6], []
    for _ in range(3):
        sharp = ndimage.gaussian_filter(rng.uniform(0, 255, (40, 40)), 1)
        planes = [ndimage.gaussian_filter(sharp, abs(4 * z)) for z in levels]
        half = [ndimage.gaussian_filter(sharp, abs(1.2 * z)) for z in levels]
        stacks.append(score_levels(sharp, planes, {"half": half, "copy": [sharp] * 5}, data_range=255))
    return ScoreTable.of_stacks(levels, stacks)


def test_table_by_level_is_the_mean_over_images_and_levels(table):
    by_level = table.by_level("half")
    assert by_level.columns == ("MSE", "SSIM", "PSNR", "FR", "FPW")
    assert list(by_level.rows) == ["-0.6 um", "-0.3 um", "0 um", "0.3 um", "0.6 um", "Mean"]
    assert by_level.rows["-0.6 um"][0] == pytest.approx(table.scores["half"]["mse"][:, 0].mean())
    assert by_level.rows["0 um"] == pytest.approx([0, 1, 50, 1, 0])
    rows = np.array(list(by_level.rows.values()))
    np.testing.assert_allclose(rows[-1], rows[:-1].mean(axis=0))
    assert table.by_level("half", psnr_cap=None).rows["Mean"][2] == np.inf


def test_success_table_has_the_layout_of_table_a1(table):
    success = table.success("half", "mse")
    assert success.columns == ("-0.6 um", "-0.3 um", "0 um", "0.3 um", "0.6 um", "SR (%)")
    assert list(success.rows)[-1] == "Total (%)"
    body = np.array(list(success.rows.values()))
    np.testing.assert_allclose(body[-1], body[:-1].mean(axis=0))
    np.testing.assert_allclose(body[:-1, -1], body[:-1, [2, 3]].sum(axis=1))
    assert table.success("copy", "fpw").rows["Total (%)"] == [0, 0, 100, 0, 0, 100]


def test_success_is_the_same_by_metrics_that_are_better_when_higher(table):
    assert table.success("half", "mse").rows == table.success("half", "psnr").rows
    assert table.success("copy", "focus_ratio").rows["Total (%)"][-1] == 100


def test_interval_table_has_a_row_for_each_method_and_metric(table):
    intervals = table.intervals(intervals_um=[(-0.6, 0.6), (-0.3, 0.3)])
    assert intervals.columns == ("-0.6 : 0.6", "-0.3 : 0.3")
    assert list(intervals.rows) == ["half MSE", "half FPW", "copy MSE", "copy FPW"]
    assert intervals.rows["copy MSE"] == [100, 100]
    rates = [row[-1] for row in list(table.success("half", "fpw").rows.values())[:-1]]
    assert intervals.rows["half FPW"] == pytest.approx([np.mean(rates), np.mean(rates[1:-1])])


def test_tables_are_written_aligned_and_read_back():
    table = Table("net", ("MSE", "PSNR"), {"-0.2 um": [1 / 3, np.inf], "Mean": [np.nan, 41.8234]})
    assert table.text() == "net         MSE   PSNR\n-0.2 um  0.3333    inf\nMean          –  41.82"
    rows = list(csv.reader(io.StringIO(table.csv())))
    assert rows[0] == ["net", "MSE", "PSNR"]
    assert float(rows[1][1]) == 1 / 3
    assert rows[2][1] == ""
    assert json.loads(json.dumps(table.as_dict(), allow_nan=False)) == {
        "title": "net",
        "columns": ["MSE", "PSNR"],
        "rows": {"-0.2 um": [1 / 3, "inf"], "Mean": [None, 41.8234]},
    }


def test_wrong_methods_and_metrics_are_named(table):
    sharp = np.eye(20)
    with pytest.raises(ValueError, match="no scores of 'neet': there are input, half, copy"):
        table.by_level("neet")
    with pytest.raises(ValueError, match="unknown metric 'mes': use mse"):
        badness(np.array([1.0, 2.0]), "mes")
    with pytest.raises(ValueError, match="'net' has 1 images for 2 planes"):
        score_levels(sharp, [sharp, sharp], {"net": [sharp]})
    with pytest.raises(ValueError, match="a method is called 'input'"):
        score_levels(sharp, [sharp], {"input": [sharp]})
    with pytest.raises(ValueError, match="no scored stacks"):
        ScoreTable.of_stacks([0], [])


# --- certainty


def test_bootstrap_interval_is_that_of_the_normal_distribution(rng):
    sample = rng.normal(10, 2, 200)
    mean, low, high = mean_interval(sample)
    assert mean == pytest.approx(sample.mean())
    error = 1.96 * sample.std() / np.sqrt(200)
    assert (low, high) == pytest.approx((mean - error, mean + error), abs=0.1 * error)
    assert mean_interval(sample) == (mean, low, high)
    assert mean_interval(sample, confidence=0.5)[1] > low
    with pytest.raises(ValueError, match="one finite score"):
        mean_interval([1, np.nan])


def test_paired_test_is_wilcoxon(rng):
    a = rng.normal(size=30)
    b = a + rng.normal(0.5, 0.5, 30)
    assert paired_test(a, b) == pytest.approx(stats.wilcoxon(a, b).pvalue)
    assert paired_test(a, b) < 0.01
    assert paired_test(a, a) == 1
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        paired_test(np.zeros((2, 2)), np.ones((2, 2)))


@pytest.mark.parametrize(
    ("metric", "best", "worst"), [("mse", "ab", "dc"), ("ssim", "dc", "ab"), ("focus_ratio", "cb", "da")]
)
def test_best_and_worst_know_the_direction_of_a_metric(metric, best, worst):
    scores = zip("abcd", (0.2, 0.5, 0.9, 2.0), strict=True)
    samples = [Scored(name, (0.0,), {"net": {metric: np.array([value])}}) for name, value in scores]
    assert Evaluation({}, samples).extremes("net", metric, 2) == (list(best), list(worst))
