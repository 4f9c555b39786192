"""Treatments do what the authors of the inversion did, and nothing to where voxels lie."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from crossmod.job import UserError
from crossmod.prepare.treatments import NAMED, apply, named, treated, treatment_problem
from crossmod.scans.scan import Scan

INVERTED = [{"clip": [0, 3000]}, {"invert": {}}]
BLACK = [*INVERTED, {"black_below": {"percent_of_range": 1}}]
WHOLE = [np.int16, np.uint8, np.uint16, np.int32]
shapes = array_shapes(min_dims=3, max_dims=3, max_side=5)
scans = st.sampled_from(WHOLE).flatmap(lambda kind: arrays(kind, shapes))


def authors(x):
    """Annotation-Acceleration's main.py, in our words: clip, negate, blacken the brightest hundredth of the range."""
    x = np.clip(x.astype(float), 0, 3000)
    negative = x.max() - x + x.min()
    level = negative.min() + 0.99 * (negative.max() - negative.min())
    return np.where(negative >= level, 0, negative)


@given(arrays(np.int16, shapes, elements=st.integers(-1000, 4000)))
def test_black_is_what_the_authors_code_makes_black(x):
    ours, theirs = apply(BLACK, x), authors(x)
    edge = np.isclose(np.clip(x, 0, 3000), np.clip(x, 0, 3000).min() + 0.01 * np.ptp(np.clip(x, 0, 3000)), atol=1e-9)
    np.testing.assert_array_equal(ours[~edge], theirs[~edge])


@given(scans)
def test_an_inversion_undoes_itself_and_keeps_the_extrema(x):
    once = apply([{"invert": {}}], x)
    assert (once.min(), once.max(), once.dtype) == (x.min(), x.max(), x.dtype)
    np.testing.assert_array_equal(apply([{"invert": {}}] * 2, x), x)


@given(arrays(np.float32, shapes, elements=st.floats(-1000, 4000, width=32)))
def test_so_does_one_of_numbers_that_are_not_whole(x):
    np.testing.assert_allclose(apply([{"invert": {}}] * 2, x), x, atol=2e-3)


@given(scans, st.floats(0, 100), st.sampled_from(["percent_of_range", "percentile"]))
def test_black_below_leaves_alone_what_was_brighter(x, share, rule):
    clipped = np.clip(x.astype(float), 0, 3000)
    low, high = clipped.min(), clipped.max()
    level = np.percentile(clipped, share) if rule == "percentile" else low + share / 100 * (high - low)
    plain, black = apply(INVERTED, x), apply([*INVERTED, {"black_below": {rule: share}}], x)
    np.testing.assert_array_equal(black[clipped > level + 1e-6], plain[clipped > level + 1e-6])
    assert not black[clipped < level - 1e-6].any()
    assert black.dtype == x.dtype


def test_the_named_ones_are_those_of_the_authors_the_paper_and_ours():
    x = np.random.default_rng(1).integers(0, 2000, (8, 9, 10)).astype(np.int16)
    np.testing.assert_array_equal(apply(named("inverted"), x), apply(INVERTED, x))
    np.testing.assert_array_equal(apply(named("inverted_black"), x), authors(x))
    by_percentile = apply(named("inverted_black_percentile"), x)
    np.testing.assert_array_equal(by_percentile == 0, (x <= np.percentile(x, 1)) | (apply(INVERTED, x) == 0))
    ours = apply(named("inverted_black_rescaled"), x)
    assert (ours[authors(x) == 0] == -1000).all() and ours.dtype == np.float32
    assert not any(treatment_problem(operations) for operations in NAMED.values())


def test_a_named_treatment_is_a_copy_and_an_unknown_one_is_told():
    named("inverted")[0]["clip"][1] = 1
    assert named("inverted") == INVERTED
    with pytest.raises(UserError, match=r"no treatment 'inverted_blak' .*did you mean 'inverted_black'\?"):
        named("inverted_blak")


@given(scans)
def test_named_treatments_do_not_feel_a_spike_above_the_clip(x):
    x = np.clip(x.astype(np.int64), 0, 2000)
    x.flat[0] = 3000
    spiked = x.copy()
    spiked.flat[0] = 100_000
    for name in ("inverted", "inverted_black", "inverted_black_percentile"):
        np.testing.assert_array_equal(apply(named(name), spiked), apply(named(name), x))


def test_the_authors_rule_is_the_default():
    x = np.arange(3000, dtype=np.int16).reshape(10, 10, 30)
    np.testing.assert_array_equal(apply([*INVERTED, {"black_below": {}}], x), apply(BLACK, x))


def test_a_percentile_of_noisy_air_turns_few_voxels_black():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.integers(0, 15, 9000), rng.integers(300, 2000, 1000)]).reshape(10, 10, 100)
    by_range = apply(BLACK, x) == 0
    by_percentile = apply([*INVERTED, {"black_below": {"percentile": 0.5}}], x) == 0
    assert by_range.mean() >= 0.9 > 0.1 > by_percentile.mean()


def test_a_bright_spike_does_not_stretch_the_range():
    x = np.linspace(0, 3000, 1000).reshape(10, 10, 10)
    spiked = x.copy()
    spiked[9, 9, 9] = 1e5
    np.testing.assert_array_equal(apply(BLACK, spiked), apply(BLACK, x))


@given(arrays(np.int16, (3, 4, 5), elements=st.integers(0, 2000), unique=True))
def test_rescale_maps_the_percentiles_of_what_is_not_black(x):
    y = apply([*BLACK, {"rescale": {"to": [-79, 304], "percentiles": [0, 100]}}], x)
    body = apply(BLACK, x) != 0
    black = np.clip(x, 0, 3000) <= x.min() + 0.01 * np.ptp(x)
    assert y.dtype == np.float32
    assert (y[black] == -1000).all()
    assert y[~black].min() == pytest.approx(-79, abs=1e-3) and y[~black].max() == pytest.approx(304, abs=1e-2)
    assert (np.argsort(y[body]) == np.argsort(apply(BLACK, x)[body])).all()


@given(arrays(np.int32, (3, 4, 5), elements=st.integers(0, 2_000_000)))
def test_fit_brings_large_values_into_the_range_and_leaves_others_alone(x):
    y = apply([{"fit": {"below": 3000}}], x)
    if np.percentile(x, 99.5) <= 3000:
        np.testing.assert_array_equal(y, x)
        assert y.dtype == x.dtype
    else:
        assert np.percentile(y, 99.5) == pytest.approx(1500, rel=1e-4)
        assert (np.argsort(y, axis=None, kind="stable") == np.argsort(x, axis=None, kind="stable")).all()


def test_a_scan_stays_where_it_is_and_as_it_was():
    scan = Scan(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([1.0, 2.0, 3.0, 1.0]), (1, 1), "MR")
    before = scan.array.copy()
    result = treated(scan, INVERTED)
    np.testing.assert_array_equal(scan.array, before)
    np.testing.assert_array_equal(result.array, before[::-1, ::-1, ::-1])
    assert result.affine is scan.affine and (result.codes, result.stated_modality) == ((1, 1), "MR")


def test_nothing_to_do_changes_nothing():
    x = np.arange(8).reshape(2, 2, 2)
    np.testing.assert_array_equal(apply([], x), x)


@pytest.mark.parametrize(
    ("treatment", "problem"),
    [
        ("invert", "a treatment is a list"),
        (["invert"], "'invert' is no operation: write one name"),
        ([{"clip": [0, 1], "invert": {}}], "write one name"),
        ([{"negate": {}}], "'negate' is no operation; valid: clip, fit, invert, black_below, rescale"),
        ([{"clip": [3000, 0]}], r"clip: \[3000, 0\] is no range"),
        ([{"clip": {"low": 0}}], "clip: .* is no range"),
        ([{"clip": [0, float("nan")]}], "clip: .* is no range"),
        ([{"invert": {"about": 0}}], "invert: .* are no arguments of it; valid: none"),
        ([{"black_below": {"percent": 1}}], "valid: percent_of_range, percentile"),
        ([{"black_below": {"percentile": 1, "percent_of_range": 1}}], "either percent_of_range or percentile"),
        ([{"black_below": {"percentile": 101}}], "101 is no percentage"),
        ([{"rescale": {}}], "rescale.to: None is no range"),
        ([{"fit": {}}], "fit.below: None is no number above 0"),
        ([{"fit": {"below": 3000, "percentile": 101}}], "fit.percentile: 101 is no percentage"),
        ([{"fit": {"under": 3000}}], "fit: .* valid: below, percentile, to"),
        ([{"rescale": {"to": [0, 1], "percentiles": [9]}}], r"rescale.percentiles: \[9\] is no range"),
        ([{"rescale": {"to": [0, 1], "black_to": "air"}}], "rescale.black_to: 'air' is no number"),
    ],
)
def test_what_is_no_treatment_is_told(treatment, problem):
    assert re.search(problem, treatment_problem(treatment))
    with pytest.raises(UserError, match="treatment: "):
        apply(treatment, np.zeros((2, 2, 2)))


def test_a_scan_without_contrast_is_not_rescaled():
    with pytest.raises(UserError, match="no contrast to rescale"):
        apply([{"rescale": {"to": [0, 1]}}], np.ones((2, 2, 2)))
