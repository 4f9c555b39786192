"""agreement against R (stats, psych, epiR), published values and the cluster bootstrap."""

import inspect
from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from crossmod.analyse.stats import DegenerateDataError, IncompleteDesignError, agreement
from crossmod.job import UserError

STATISTIC, P_VALUE = 1e-7, 1e-6
# case -> (reference, predicted, margin); made with R 4.2.2, psych 2.2.9, epiR 2.0.57.
CASES = {
    "volumes_n120": ("reference_ml", "predicted_ml", 2.5),
    "classic_bland_altman_1986_pefr": ("mini_wright", "wright", 20),
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_r(reference, case):
    x, y, margin = CASES[case]
    data, r = reference.data(case), reference.expected(case)
    found = agreement(data[x], data[y], margin=margin)
    limits, icc, tests = r["bland_altman"], r["icc"]["icc"], r["margin_tests"]
    expected = {
        **{"n": r["n"], "mean_difference": r["mean_diff"], "sd_difference": r["sd_diff"]},
        **{"ci_low": r["ci95_mean_diff"][0], "ci_high": r["ci95_mean_diff"][1]},
        "mean_absolute_difference": r["mean_abs_diff"],
        **{"loa_low": limits["loa"][0], "loa_high": limits["loa"][1]},
        "loa_low_ci_low": limits["ci95_lower_exact"][0],
        "loa_low_ci_high": limits["ci95_lower_exact"][1],
        "loa_high_ci_low": limits["ci95_upper_exact"][0],
        "loa_high_ci_high": limits["ci95_upper_exact"][1],
        **{"pearson_r": r["pearson"]["r"], "r_ci_low": r["pearson"]["ci95"][0], "r_ci_high": r["pearson"]["ci95"][1]},
        **{"icc_a1": icc["ICC(2,1)"]["ICC"], "icc_c1": icc["ICC(3,1)"]["ICC"]},
        "lin_ccc": r["lin_ccc"]["ccc_denominator_n"],
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=STATISTIC), name
    assert found.p_tost == pytest.approx(tests["tost"]["p"], rel=P_VALUE)
    below = tests["one_sided_mean_abs_diff_below_margin"]["p"]
    assert found.p_below_margin == pytest.approx(below, rel=P_VALUE)


def test_mean_inside_the_margin_is_not_single_differences_inside(reference):
    data = reference.data("volumes_n120")
    assert agreement(data.reference_ml, data.predicted_ml, margin=2.5).verdict == "equivalent"
    assert agreement(data.reference_ml, data.predicted_ml, margin=5).verdict == "below margin"
    assert agreement(data.reference_ml, data.predicted_ml, margin=0.1).verdict == "not shown"
    assert agreement(data.reference_ml, data.predicted_ml).verdict == "no margin"


def test_published_limits_of_bland_and_altman(reference):
    data = reference.data("classic_bland_altman_1986_pefr")
    published = reference.expected("classic_bland_altman_1986_pefr")["published"]
    found = agreement(data["mini_wright"], data["wright"])
    assert round(found.mean_difference, 1) == published["mean_diff"]
    assert round(found.sd_difference, 1) == published["sd_diff"]
    assert [round(found.ci_low), round(found.ci_high)] == [round(v) for v in published["ci95_bias"]]


def kidneys(patients: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), 2)
    reference = rng.normal(150, 30, 2 * patients)
    shared = np.repeat(rng.normal(0, 3, patients), 2)
    return reference, reference + shared + rng.normal(0, 1, 2 * patients), patient


def test_clusters_widen_what_two_like_kidneys_would_narrow():
    x, y, patient = kidneys(200)
    naive, honest = agreement(x, y, margin=2), agreement(x, y, cluster=patient, margin=2)
    for low, high in (
        ("ci_low", "ci_high"),
        ("loa_high_ci_low", "loa_high_ci_high"),
        ("loa_low_ci_low", "loa_low_ci_high"),
    ):
        width = [getattr(found, high) - getattr(found, low) for found in (naive, honest)]
        assert width[1] > 1.1 * width[0], low
    assert honest.mean_difference == pytest.approx(naive.mean_difference)
    assert honest.pearson_r == naive.pearson_r


def test_cluster_intervals_of_limits_and_r_match_the_cluster_bootstrap():
    x, y, patient = kidneys(150, seed=2)
    found = agreement(x, y, cluster=patient)
    rng = np.random.default_rng(0)
    upper, correlations = [], []
    for _ in range(1500):
        chosen = rng.integers(150, size=150)
        rows = np.concatenate([2 * chosen, 2 * chosen + 1])
        d = y[rows] - x[rows]
        upper.append(d.mean() + 1.959964 * d.std(ddof=1))
        correlations.append(np.corrcoef(x[rows], y[rows])[0, 1])
    spread = found.loa_high_ci_high - found.loa_high_ci_low
    assert spread == pytest.approx(2 * 1.976 * np.std(upper), rel=0.1)
    fisher = np.arctanh(found.r_ci_high) - np.arctanh(found.r_ci_low)
    assert fisher == pytest.approx(2 * 1.976 * np.std(np.arctanh(correlations)), rel=0.1)


def test_clusters_of_one_change_nothing():
    x, y, _ = kidneys(10)
    one, none = agreement(x, y, cluster=[f"P{i}" for i in range(20)], margin=3), agreement(x, y, margin=3)
    assert asdict(one) == asdict(none)


def test_a_constant_side_has_no_correlation():
    found = agreement(np.ones(20), np.linspace(0.8, 1.1, 20))
    assert np.isnan([found.pearson_r, found.r_ci_low, found.r_ci_high]).all()
    assert found.mean_difference == pytest.approx(-0.05)


def test_pairs_of_one_sum_have_an_icc_of_minus_one():
    # R: psych::ICC(cbind(x, 10 - x)): ICC2 = -0.875, ICC3 = -1. The subjects' means do not vary at all.
    x = np.array([1, 4, 2, 7.0])
    found = agreement(x, 10 - x)
    assert (found.icc_a1, found.icc_c1) == pytest.approx((-0.875, -1))
    assert found.pearson_r == pytest.approx(-1) and np.isnan([found.r_ci_low, found.r_ci_high]).all()


def test_absolute_differences_that_are_all_the_same_have_no_test_of_the_margin():
    found = agreement([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 4], margin=3)
    alike = agreement([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], margin=3)
    assert found.p_below_margin < 0.05 and np.isnan(alike.p_below_margin)
    assert alike.p_tost < 0.05 and alike.verdict == "equivalent"


def test_rounding_of_large_volumes_is_no_variance_of_small_differences():
    x = np.array([151.3, 149.7, 163.1, 158.9, 140.2, 144.6])
    with pytest.raises(DegenerateDataError, match="No variance between clusters"):
        agreement(x, x + np.tile([1e-4, -0.5e-4], 3), cluster=np.repeat([0, 1, 2], 2))
    assert np.isnan(agreement(x, x + np.tile([1e-4, -1e-4], 3), margin=1e-3).p_below_margin)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1, 2, 3], [1, 2]), UserError, "equally long"),
        (([1, 2, np.nan], [1, 2, 3]), UserError, "Pairs 2 .*missing"),
        (([1, 2, 3], [2, 2, 4], None, -1), UserError, "positive"),
        (([1, 2], [2, 4]), IncompleteDesignError, "at least 3 pairs; there are 2"),
        (([1, 2, 3, 4], [2, 4, 5, 9], ["a", "a", "b", "b"]), IncompleteDesignError, "at least 3 clusters"),
        (([1, 2, 3], [1, 2, 3]), DegenerateDataError, "all 3 differences are 0"),
        (([0.1, 0.2, 0.3], [0.2, 0.3, 0.4]), DegenerateDataError, "all 3 differences are 0.1"),
        (([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], list("aabbcc")), DegenerateDataError, "between clusters"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        agreement(*arguments)


def test_result_is_frozen_and_the_interface_is_the_one_scripts_rely_on():
    assert list(inspect.signature(agreement).parameters) == ["reference", "predicted", "cluster", "margin"]
    found = agreement([1, 2, 3, 4], [1, 3, 2, 5])
    with pytest.raises(FrozenInstanceError):
        found.n = 3


@hypothesis_settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-2, 1e2))
def test_invariant_to_order_labels_and_unit(seed, scale):
    x, y, patient = kidneys(8, seed)
    order = np.random.default_rng(seed).permutation(len(x))
    before = asdict(agreement(x, y, cluster=patient, margin=4))
    names = [f"p{code}" for code in patient[order]]
    after = asdict(agreement(x[order] * scale, y[order] * scale, cluster=names, margin=4 * scale))
    unitless = {"n", "pearson_r", "r_ci_low", "r_ci_high", "icc_a1", "icc_c1", "lin_ccc", "p_tost", "p_below_margin"}
    assert after.pop("verdict") == before.pop("verdict")
    for name, value in before.items():
        factor = 1 if name in unitless else scale
        assert after[name] == pytest.approx(value * factor, rel=1e-6), name
