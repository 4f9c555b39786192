"""noninferiority against R (t.test, clubSandwich), its verdicts and what it must refuse."""

from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats

from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.stats.noninferiority import noninferiority
from crossmod.job import UserError

# Made with R 4.2.2 (t.test, clubSandwich 0.5.8): shared/reference/statistics/*/make.R; tolerances of its README.
STATISTIC, P_VALUE = 1e-7, 1e-6
CASE, CLUSTERED = "noninferiority_and_annotation_savings", "cluster_two_kidneys_65_patients"


@pytest.mark.parametrize("index", range(5))
def test_agrees_with_r(reference, index):
    data = reference.data(CASE)
    wide = data.pivot(index="case", columns=["strategy", "proportion"], values="dsc")
    wide.columns = [f"{strategy}{proportion}" for strategy, proportion in wide.columns]
    r = reference.expected(CASE)["noninferiority"][index]
    found = noninferiority(wide[r["A"]] - wide[r["B"]], r["margin"])
    low, high = r["ci95_two_sided"]
    expected = {
        **{"estimate": r["mean_diff"], "se": r["se"], "df": r["df"], "ci_low": low, "ci_high": high},
        **{"lower": r["one_sided_95_lower"], "statistic": r["t"]},
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=STATISTIC), name
    assert found.p == pytest.approx(r["p"], rel=P_VALUE)
    assert found.p_tost == pytest.approx(r["tost_p"], rel=P_VALUE)
    assert (found.n, found.n_clusters, found.margin) == (60, 60, r["margin"])
    assert (found.verdict != "not shown") == r["noninferior_at_025"]
    assert (found.verdict == "superior") == (low > 0)


def test_with_clusters_the_patient_is_the_unit(reference):
    expected = reference.expected(CLUSTERED)
    wide = reference.data(CLUSTERED).pivot(index=["patient", "kidney"], columns="arm", values="dsc").reset_index()
    r, margin = expected["cluster_robust_intercept_of_difference"]["CR2"], 0.01
    found = noninferiority(wide["mixed"] - wide["pure"], margin, cluster=wide["patient"])
    mean = expected["mean_difference_kidneys"]
    assert found.estimate == pytest.approx(mean, rel=STATISTIC)
    assert found.se == pytest.approx(r["se"], rel=STATISTIC)
    assert found.df == pytest.approx(r["df_satterthwaite"], rel=STATISTIC)
    assert found.statistic == pytest.approx((mean + margin) / r["se"], rel=STATISTIC)
    half = stats.t.ppf(0.975, r["df_satterthwaite"]) * r["se"]
    assert (found.ci_low, found.ci_high) == pytest.approx((mean - half, mean + half), rel=STATISTIC)
    # The two-sided p of R is that of mean 0: twice the one-sided p as the margin vanishes.
    assert 2 * noninferiority(wide["mixed"] - wide["pure"], 1e-15, wide["patient"]).p == pytest.approx(
        r["p_satterthwaite"], rel=P_VALUE
    )
    assert (found.n, found.n_clusters, found.verdict) == (121, 65, "superior")


def test_without_clusters_it_is_the_ordinary_t_test():
    values = np.random.default_rng(0).normal(size=11)
    found, result = noninferiority(values, 0.3), stats.ttest_1samp(values, -0.3, alternative="greater")
    assert (found.statistic, found.p, found.df) == pytest.approx((result.statistic, result.pvalue, 10))
    assert found.lower == pytest.approx(result.confidence_interval(0.95).low)
    names = [f"P{i}" for i in range(11)]
    assert asdict(noninferiority(values, 0.3, cluster=names)) == asdict(found)


@pytest.mark.parametrize(
    ("centre", "verdict"), [(2.0, "superior"), (0.5, "non-inferior"), (-0.5, "non-inferior"), (-1.5, "not shown")]
)
def test_verdicts(centre, verdict):
    values = centre + np.array([-1.0, -0.5, 0, 0.5, 1.0])
    found = noninferiority(values, 1.6)
    assert found.verdict == verdict
    assert (found.p < 0.025) == (found.ci_low > -1.6)


def test_no_difference_by_p_alone_is_not_non_inferiority():
    values = np.array([-8.0, 9, -7, 6, -1])
    assert stats.ttest_1samp(values, 0).pvalue > 0.9
    assert noninferiority(values, 1).verdict == "not shown"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1, 2], [3, 4]], 1), UserError, r"shape is \(2, 2\)"),
        ((3.0, 1), UserError, r"shape is \(\)"),
        (([1, np.nan, 3, np.inf], 1), UserError, "Differences 1, 3 .*missing or infinite"),
        (([1, 2, 4], 0), UserError, "margin must be a positive number.*not 0"),
        (([1, 2, 4], -1), UserError, "positive number.*not -1"),
        (([1, 2, 4], np.inf), UserError, "not inf"),
        (([1, 2, 4], np.nan), UserError, "not nan"),
        (([1, 2, 4], 1, ["a", "b"]), UserError, "2 clusters are given for 3 values"),
        (([1, 2, 4], 1, ["a", None, "b"]), UserError, "cluster of values 1 .*missing"),
        (([], 1), IncompleteDesignError, "at least 3 differences; there are 0"),
        (([1, 2], 1), IncompleteDesignError, "at least 3 differences; there are 2"),
        (([1, 2, 4, 5], 1, list("aabb")), IncompleteDesignError, "at least 3 clusters; there are 2"),
        (([0, 0, 0], 1), DegenerateDataError, "3 differences: all differences are the same, 0\\."),
        (([0.3 - 0.2, 0.4 - 0.3, 0.1], 1), DegenerateDataError, "the same, 0.1\\."),
        (([0.1 + 0.2 - 0.3, 0, 0, 1e-17], 0.01), DegenerateDataError, "all differences are the same"),
        (([1, 3, 3, 1, 2, 2], 1, list("aabbcc")), DegenerateDataError, "every cluster has the same mean, 2\\."),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        noninferiority(*arguments)


@pytest.mark.parametrize("case", ["degenerate_identical_arms", "degenerate_constant_difference_float"])
def test_reference_cases_without_variance_are_refused(reference, case):
    wide = reference.data(case).pivot(index="case", columns="arm", values="dsc")
    with pytest.raises(DegenerateDataError, match="No variance"):
        noninferiority(wide["mixed"] - wide["pure"], 0.01)


def test_result_is_frozen():
    with pytest.raises(FrozenInstanceError):
        noninferiority([1, 2, 4], 1).p = 0


@hypothesis_settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
def test_invariant_to_order_labels_and_unit(seed, scale):
    rng = np.random.default_rng(seed)
    values, patient = rng.normal(0.2, 1, 12), np.repeat(np.arange(6), 2)
    order = rng.permutation(12)
    before = asdict(noninferiority(values, 0.5, patient))
    after = asdict(noninferiority(values[order] * scale, 0.5 * scale, [f"p{code}" for code in patient[order]]))
    assert after.pop("verdict") == before.pop("verdict")
    unitless = {"df", "statistic", "p", "p_tost", "n", "n_clusters"}
    for name, value in before.items():
        assert after[name] == pytest.approx(value * (1 if name in unitless else scale), rel=1e-7), name


@hypothesis_settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), margin=st.floats(0.01, 3), more=st.floats(0.01, 3))
def test_a_wider_margin_is_easier_and_the_verdict_follows_the_interval(seed, margin, more):
    values = np.random.default_rng(seed).normal(0, 1, 8)
    strict, lax = noninferiority(values, margin), noninferiority(values, margin + more)
    assert lax.p < strict.p or strict.p == 0
    assert (lax.ci_low, lax.ci_high, lax.lower) == (strict.ci_low, strict.ci_high, strict.lower)
    expected = "superior" if strict.ci_low > 0 else "non-inferior" if strict.ci_low > -margin else "not shown"
    assert strict.verdict == expected
