"""size_dependence against R (cor.test, t.test, wilcox.test)."""

import inspect
from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats

from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.stats.size import size_dependence
from crossmod.job import UserError

CASE = "localisation_and_tumour_volume_n100"
STATISTIC, P_VALUE = 1e-7, 1e-6


def test_agrees_with_r(reference):
    data, expected = reference.data(CASE), reference.expected(CASE)
    found = size_dependence(data["tumour_ml"], data["dsc"])
    log, rank = expected["correlation"]["pearson_log_volume"], expected["correlation"]["spearman"]
    split = expected["median_split"]
    welch, mann_whitney = split["welch"], split["mann_whitney"]
    statistics = {
        **{"n": log["df"] + 2, "spearman_rho": rank["rho"], "pearson_log_r": log["r"]},
        **{"r_ci_low": log["ci95"][0], "r_ci_high": log["ci95"][1], "median_volume": split["median_ml"]},
        **{"n_small": split["n_below"], "n_large": split["n_above"]},
        **{"mean_small": split["mean_below"], "mean_large": split["mean_above"]},
        "difference": split["mean_above"] - split["mean_below"],
        **{"ci_low": welch["ci95"][0], "ci_high": welch["ci95"][1], "welch_t": welch["t"], "welch_df": welch["df"]},
        "mann_whitney_u": mann_whitney["U_above"],
    }
    p_values = {"spearman_p": rank["p_t_approx"], "r_p": log["p"], "welch_p": welch["p"]}
    p_values["mann_whitney_p"] = mann_whitney["p_cc"]
    for values, tolerance in ((statistics, STATISTIC), (p_values, P_VALUE)):
        for name, value in values.items():
            assert getattr(found, name) == pytest.approx(value, rel=tolerance), name
    assert found.mann_whitney_method == "normal approximation, ties, continuity"


def lesions(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    volume = np.exp(rng.normal(3, 1, n))
    return volume, 0.4 + 0.1 * np.log(volume) + rng.normal(0, 0.1, n)


def test_few_scores_without_ties_are_ranked_exactly():
    volume, score = lesions(12)
    found = size_dependence(volume, score)
    small, large = score[volume < np.median(volume)], score[volume >= np.median(volume)]
    assert found.mann_whitney_method == "exact"
    assert found.mann_whitney_u == sum(a > b for a in large for b in small)
    assert found.mann_whitney_p == pytest.approx(stats.mannwhitneyu(large, small, method="exact").pvalue)
    assert "normal" in size_dependence(*lesions(100)).mann_whitney_method  # 50 in each half, as R


def test_the_median_itself_is_large_and_missed_lesions_may_all_be_small():
    found = size_dependence([1, 2, 3, 4, 5], [0, 0, 0.8, 0.7, 0.9])
    assert (found.n_small, found.n_large, found.mean_small) == (2, 3, 0)
    assert found.welch_df == pytest.approx(2)


def test_a_perfect_correlation_has_no_interval():
    volume = np.exp(np.arange(6.0))
    found = size_dependence(volume, np.arange(6.0))
    assert found.pearson_log_r == pytest.approx(1) and found.spearman_rho == 1
    assert np.isnan([found.r_ci_low, found.r_ci_high, found.r_p]).all()


@pytest.mark.parametrize(
    ("score", "rho", "p"),
    # R: cor.test(1:6, score, method = "spearman")
    [
        ([1, 2, 3, 4, 5, 6], 1, 0.002777777777777778),
        ([6, 5, 4, 3, 2, 1], -1, 0.002777777777777778),
        ([2, 1, 4, 3, 6, 5], 0.82857142857142863, 0.058333333333333334),
        ([3, 1, 2, 6, 5, 4], 0.6, 0.24166666666666667),
    ],
)
def test_the_ranks_of_few_lesions_are_permuted_exactly(score, rho, p):
    found = size_dependence(np.arange(1, 7), score)
    assert (found.spearman_rho, found.spearman_p) == pytest.approx((rho, p), rel=1e-12)


def test_a_perfect_order_has_the_p_of_its_permutations_and_not_of_an_infinite_t():
    order = np.arange(1.0, 21)
    assert size_dependence(order, order**2).spearman_p == pytest.approx(2 / 2432902008176640000)
    tied = np.repeat([1, 2, 3, 4], 2)  # 2!^4 of the 8! orders look the same
    assert size_dependence(tied, tied).spearman_p == pytest.approx(2 * 16 / 40320)


@pytest.mark.parametrize(
    ("volume", "score", "error", "message"),
    [
        ([1, 2, 3], [1, 2], UserError, "equally long"),
        ([1, 2, 3, np.nan], [1, 2, 3, 4], UserError, "Lesions 3 .*missing"),
        ([1, 2, 0, 4], [1, 2, 3, 4], UserError, "Volumes 2: 0 .*not positive"),
        ([1, 2, 3], [1, 2, 3], IncompleteDesignError, "4 in all; there are 3"),
        ([5, 5, 5, 5], [1, 2, 3, 4], DegenerateDataError, "All 4 volumes are 5"),
        ([1, 2, 3, 4], [0.1] * 4, DegenerateDataError, "All 4 scores are 0.1"),
        ([1, 2, 2, 2, 2], [1, 2, 3, 4, 5], DegenerateDataError, "1 of 5 volumes lie below the median 2, because 4"),
        ([1, 2, 3, 4], [0, 0, 1, 1], DegenerateDataError, "all 2 small lesions score 0 and all 2 large ones 1"),
    ],
)
def test_refusals(volume, score, error, message):
    with pytest.raises(error, match=message):
        size_dependence(volume, score)


def test_result_is_frozen_and_the_interface_is_the_one_scripts_rely_on():
    assert list(inspect.signature(size_dependence).parameters) == ["volume", "score"]
    with pytest.raises(FrozenInstanceError):
        size_dependence(*lesions(10)).n = 3


@hypothesis_settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-2, 1e2))
def test_invariant_to_order_and_units(seed, scale):
    volume, score = lesions(21, seed)
    order = np.random.default_rng(seed).permutation(21)
    before, after = (
        asdict(size_dependence(volume, score)),
        asdict(size_dependence(volume[order] / 1000, score[order] * scale)),
    )
    assert after.pop("mann_whitney_method") == before.pop("mann_whitney_method")
    factors = dict.fromkeys(("mean_small", "mean_large", "difference", "ci_low", "ci_high"), scale)
    for name, value in before.items():
        factor = 1e-3 if name == "median_volume" else factors.get(name, 1)
        assert after[name] == pytest.approx(value * factor, rel=1e-7, abs=1e-12), name


@hypothesis_settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_mirrored_scores_turn_every_sign(seed):
    volume, score = lesions(20, seed)
    before, after = size_dependence(volume, score), size_dependence(volume, -score)
    for name in ("spearman_rho", "pearson_log_r", "difference", "welch_t"):
        assert getattr(after, name) == pytest.approx(-getattr(before, name), abs=1e-12), name
    for name in ("spearman_p", "r_p", "welch_p", "mann_whitney_p"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-7), name
