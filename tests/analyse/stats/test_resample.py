"""Bootstrap intervals against R's exact enumeration and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats

from crossmod.analyse.stats import DegenerateDataError, IncompleteDesignError, bootstrap_ci, ratio_ci
from crossmod.job import UserError

VALUES = np.random.default_rng(3).beta(30, 2, size=40)


def test_six_values_give_the_exact_limits_of_r(reference):
    case = "bootstrap_exact_enumeration_n6"
    values, expected = reference.data(case)["dsc"], reference.expected(case)
    percentile = bootstrap_ci(values, method="percentile")
    assert percentile.exact
    assert percentile.estimate == pytest.approx(expected["mean"], rel=1e-12)
    assert [percentile.ci_low, percentile.ci_high] == pytest.approx(expected["exact_percentile_95"], rel=1e-9)
    ninety = bootstrap_ci(values, method="percentile", level=0.9)
    assert [ninety.ci_low, ninety.ci_high] == pytest.approx(expected["exact_percentile_90"], rel=1e-9)
    bca = bootstrap_ci(values)
    assert [bca.ci_low, bca.ci_high] == pytest.approx(expected["exact_bca_95_mid"], rel=1e-9)


def test_clusters_are_enumerated_whole():
    # All 5^5 resamples of patients with one or two kidneys.
    patient, dsc = np.array([0, 0, 1, 2, 2, 3, 4, 4]), np.array([0.96, 0.94, 0.88, 0.97, 0.98, 0.79, 0.93, 0.95])
    draws = np.stack(np.meshgrid(*[range(5)] * 5), axis=-1).reshape(-1, 5)
    sums, sizes = np.bincount(patient, weights=dsc), np.bincount(patient)
    means = np.sort(sums[draws].sum(axis=1) / sizes[draws].sum(axis=1))
    found = bootstrap_ci(dsc, cluster=patient, method="percentile")
    limits = [means[int(np.ceil(p * len(means) - 1e-9)) - 1] for p in (0.025, 0.975)]
    assert [found.ci_low, found.ci_high] == pytest.approx(limits, rel=1e-12)
    assert (found.n, found.n_clusters) == (8, 5)


@pytest.mark.parametrize(
    ("statistic", "function", "method"),
    [("mean", np.mean, "bca"), ("mean", np.mean, "percentile"), ("median", np.median, "percentile")],
)
def test_random_resamples_agree_with_scipy(statistic, function, method):
    found = bootstrap_ci(VALUES, statistic=statistic, method=method)
    name = {"bca": "BCa", "percentile": "percentile"}[method]
    theirs = stats.bootstrap((VALUES,), function, n_resamples=50_000, method=name, rng=np.random.default_rng(1))
    limits = theirs.confidence_interval
    assert [found.ci_low, found.ci_high] == pytest.approx([limits.low, limits.high], abs=1.5e-3)
    assert found.estimate == pytest.approx(function(VALUES))
    assert not found.exact


def test_same_seed_same_limits_and_others_differ():
    assert bootstrap_ci(VALUES, seed=4) == bootstrap_ci(VALUES, seed=4)
    assert bootstrap_ci(VALUES, seed=4).ci_low != bootstrap_ci(VALUES, seed=5).ci_low


def test_two_kidneys_of_a_patient_do_not_shrink_the_interval():
    patients = np.repeat(np.arange(40), 2)
    naive, honest = bootstrap_ci(np.repeat(VALUES, 2)), bootstrap_ci(np.repeat(VALUES, 2), cluster=patients)
    once = bootstrap_ci(VALUES)
    assert honest.ci_high - honest.ci_low == pytest.approx(once.ci_high - once.ci_low, rel=1e-9)
    assert naive.ci_high - naive.ci_low < 0.8 * (honest.ci_high - honest.ci_low)


@pytest.mark.parametrize(
    ("values", "options", "error", "message"),
    [
        ([0.9, np.nan], {}, UserError, "Values 1 .*missing"),
        ([[0.9]], {}, UserError, "list of numbers"),
        ([0.9, 0.8], {"statistic": "mode"}, UserError, "'mode' is unknown"),
        ([0.9, 0.8], {"method": "basic"}, UserError, "'basic' is unknown"),
        ([0.9, 0.8], {"level": 95}, UserError, "between 0 and 1"),
        ([0.9, 0.8], {"cluster": ["a"]}, UserError, "1 clusters are given for 2"),
        ([0.9, 0.8], {"cluster": ["a", None]}, UserError, "missing"),
        ([0.9, 0.8], {"cluster": ["a", "a"]}, IncompleteDesignError, "at least two clusters"),
        ([], {}, IncompleteDesignError, "at least two values"),
        ([1.0, 1.0, 1.0], {}, DegenerateDataError, "all 3 values are 1"),
        ([0.3, 0.1, 0.2, 0.2], {"cluster": list("aabb")}, DegenerateDataError, "each of the 2 has the mean 0.2"),
        ([0.3, 0.1, 0.2, 0.3, 0.1] * 9, {"cluster": [*"aabcc"] * 9}, DegenerateDataError, "each of the 3 has the mean"),
    ],
)
def test_refusals(values, options, error, message):
    with pytest.raises(error, match=message):
        bootstrap_ci(values, **options)


@hypothesis_settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.integers(0, 1000), min_size=3, max_size=8).filter(lambda v: len(set(v)) > 1),
    order=st.randoms(use_true_random=False),
    method=st.sampled_from(["bca", "percentile"]),
)
def test_small_samples_ignore_order_and_follow_scale_and_mirror(values, order, method):
    x = np.array(values, float)
    found = bootstrap_ci(x, method=method)
    shuffled = list(x)
    order.shuffle(shuffled)
    again = bootstrap_ci(np.array(shuffled) * 8, method=method)
    assert [again.ci_low, again.ci_high] == pytest.approx([8 * found.ci_low, 8 * found.ci_high])
    assert found.ci_low <= found.ci_high
    assert x.min() <= found.ci_low and found.ci_high <= x.max() + 1e-9


def test_mirrored_values_have_the_mirrored_bca_interval():
    values = np.array([0.9125, 0.9531, 0.9688, 0.8047, 0.9844, 0.9375])
    found, mirrored = bootstrap_ci(values), bootstrap_ci(-values)
    assert [mirrored.ci_low, mirrored.ci_high] == pytest.approx([-found.ci_high, -found.ci_low], abs=2e-3)


def test_bca_of_the_median_stays_inside_the_values():
    found = bootstrap_ci(VALUES, statistic="median")
    assert found.estimate == pytest.approx(np.median(VALUES))
    assert VALUES.min() < found.ci_low < found.estimate < found.ci_high < VALUES.max()


def test_many_values_are_resampled_in_blocks():
    values = np.random.default_rng(0).normal(size=900)
    found = bootstrap_ci(values)
    limits = stats.ttest_1samp(values, 0).confidence_interval()
    assert [found.ci_low, found.ci_high] == pytest.approx([limits.low, limits.high], abs=5e-3)
    assert found.resamples == 10_000


def test_a_ratio_to_ones_is_the_mean():
    patients = np.repeat(np.arange(20), 2)
    mean, ratio = bootstrap_ci(VALUES, patients, seed=2), ratio_ci(VALUES, np.ones(40), patients, seed=2)
    assert (ratio.estimate, ratio.ci_low, ratio.ci_high) == (mean.estimate, mean.ci_low, mean.ci_high)
    assert ratio.statistic == "ratio" and (ratio.n, ratio.n_clusters) == (40, 20)


def test_both_sums_are_taken_anew_in_every_resample():
    # All 3^3 resamples of three patients, the first of them with two images.
    part, whole, patient = np.array([9.0, 5, 70, 4]), np.array([10.0, 5, 90, 8]), np.array([0, 0, 1, 2])
    draws = np.stack(np.meshgrid(*[range(3)] * 3), axis=-1).reshape(-1, 3)
    ratios = np.sort(np.array([14.0, 70, 4])[draws].sum(axis=1) / np.array([15.0, 90, 8])[draws].sum(axis=1))
    found = ratio_ci(part, whole, patient, method="percentile", level=0.8)
    assert found.exact and found.estimate == pytest.approx(88 / 113)
    limits = [ratios[int(np.ceil(p * len(ratios) - 1e-9)) - 1] for p in (0.1, 0.9)]
    assert [found.ci_low, found.ci_high] == pytest.approx(limits, rel=1e-12)


def test_a_resample_of_patients_without_any_prediction_counts_as_0():
    found = ratio_ci([0.0, 0.0, 6.0], [0.0, 0.0, 8.0], method="percentile")
    assert (found.estimate, found.ci_low, found.ci_high) == (0.75, 0.0, 0.75)


@pytest.mark.parametrize(
    ("part", "whole", "options", "error", "message"),
    [
        ([1.0], [1.0, 2.0], {}, UserError, "as many parts as wholes"),
        ([1.0, 1.0], [-1.0, 2.0], {}, UserError, "no whole below 0"),
        ([0.0, 0.0], [0.0, 0.0], {}, UserError, "add up to 0"),
        ([1.0, np.inf], [1.0, 2.0], {}, UserError, "missing or infinite"),
        ([1.0], [2.0], {}, IncompleteDesignError, "at least two clusters"),
        ([1.0, 2.0], [2.0, 4.0], {}, DegenerateDataError, "each of the 2 clusters is 0.5"),
        ([1.0, 2.0], [2.0, 3.0], {"level": 95}, UserError, "between 0 and 1"),
    ],
)
def test_refusals_of_ratios(part, whole, options, error, message):
    with pytest.raises(error, match=message):
        ratio_ci(part, whole, **options)
