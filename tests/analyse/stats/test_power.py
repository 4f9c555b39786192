"""power_paired against statsmodels, published values of PowerTOST and TOSTER, and simulation."""

import inspect
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import integrate, stats
from statsmodels.stats.power import TTestPower

from crossmod.analyse.stats.power import power_paired, tost_power
from crossmod.job import UserError


@pytest.mark.parametrize("n", [3, 5, 20, 65, 79, 120])
@pytest.mark.parametrize("effect", [0.01, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 18])
def test_power_agrees_with_the_noncentral_t_of_statsmodels(n, effect, alpha):
    two_sided = power_paired(4.7, n=n, difference=4.7 * effect, alpha=alpha)
    assert two_sided.power == pytest.approx(TTestPower().power(effect, n, alpha), rel=1e-9)
    one_sided = power_paired(4.7, test="noninferiority", n=n, margin=4.7 * effect, alpha=alpha)
    assert one_sided.power == pytest.approx(TTestPower().power(effect, n, alpha, alternative="larger"), rel=1e-9)
    assert one_sided.solved_for == two_sided.solved_for == "power"


@pytest.mark.parametrize(("n", "effect"), [(20, 2.0), (120, 2.0), (5000, 0.5), (1_000_000, 0.5)])
def test_power_is_defined_where_the_noncentral_t_of_scipy_is_not(n, effect):
    assert power_paired(1, n=n, difference=effect).power == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("effect", "alpha", "power", "n"),
    # Cohen's effects, matched pairs; the sample sizes are those statsmodels' TTestPower gives, rounded up.
    [(0.2, 0.05, 0.8, 199), (0.5, 0.05, 0.8, 34), (0.8, 0.05, 0.8, 15), (0.5, 0.05, 0.95, 54)],
)
def test_textbook_sample_sizes(effect, alpha, power, n):
    found = power_paired(1, difference=effect, alpha=alpha, power=power)
    assert (found.n, found.solved_for) == (n, "n")
    assert found.n == np.ceil(TTestPower().solve_power(effect, power=power, alpha=alpha))


@pytest.mark.parametrize(
    ("cv", "ratio", "limit", "variance_factor", "df", "power"),
    # PowerTOST 1.5 (R), README: exact power of average bioequivalence on the log scale, se = sd_w * sqrt(factor).
    # power.TOST(CV = .35, n = c(52, 49), design = "parallel"); sampleN.TOST(CV = .2), (CV = .125, theta0 = .975,
    # theta1 = .9), (CV = .4, theta0 = .9, theta1 = .75, design = "2x2x4"), (CV = .45, theta0 = .9, design = "2x2x3").
    [
        (0.35, 0.95, 0.8, 1 / 52 + 1 / 49, 99, 0.8011186),
        (0.2, 0.95, 0.8, 2 / 20, 18, 0.834680),
        (0.125, 0.975, 0.9, 2 / 32, 30, 0.800218),
        (0.4, 0.9, 0.75, 1 / 30, 86, 0.822929),
        (0.45, 0.9, 0.8, 1.5 / 124, 245, 0.800125),
    ],
)
def test_exact_tost_agrees_with_powertost(cv, ratio, limit, variance_factor, df, power):
    se = np.sqrt(np.log1p(cv**2) * variance_factor)
    assert tost_power(-np.log(limit) / se, np.log(ratio) / se, df, 0.05) == pytest.approx(power, abs=6e-7)


@pytest.mark.parametrize(("delta", "n"), [(0.0, 69.20), (0.1, 81.44), (0.45, 4946.72)])
def test_exact_tost_agrees_with_toster(delta, n):
    # TOSTER (R): power_t_TOST(delta, sd = 1, eqb = .5, alpha = .05, power = .8), two samples of n each.
    se = np.sqrt(2 / n)
    assert tost_power(0.5 / se, delta / se, 2 * n - 2, 0.05) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("n", [30, 40, 65, 120])
@pytest.mark.parametrize("margin", [1.5, 2.5])
@pytest.mark.parametrize("difference", [0.0, 0.5])
def test_exact_tost_agrees_with_the_other_order_of_integration(n, margin, difference):
    # Over the estimate instead of its standard deviation: equivalence where s is below (margin - |estimate|) sqrt(n) /
    # t.
    se, df = 4.7 / np.sqrt(n), n - 1
    critical = stats.t.isf(0.05, df)

    def integrand(estimate: float) -> float:
        largest = (margin - abs(estimate)) / critical / se
        return stats.norm.pdf(estimate, difference, se) * stats.chi2.cdf(df * largest**2, df)

    expected = integrate.quad(integrand, -margin, margin, points=[0, difference], epsrel=1e-10, limit=200)[0]
    found = power_paired(4.7, test="equivalence", n=n, margin=margin, difference=difference)
    assert found.power == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("test", "tails"), [("equivalence", "both"), ("noninferiority", "lower")])
@pytest.mark.parametrize(("n", "difference"), [(8, 0.0), (40, 0.5), (40, -1.5)])
def test_power_agrees_with_simulation(test, tails, n, difference):
    rng = np.random.default_rng(2)
    x = rng.normal(difference, 4.7, (100_000, n))
    half = stats.t.isf(0.05, n - 1) * x.std(axis=1, ddof=1) / np.sqrt(n)
    success = x.mean(axis=1) - half > -2.5
    if tails == "both":
        success &= x.mean(axis=1) + half < 2.5
    found = power_paired(4.7, test=test, n=n, margin=2.5, difference=difference)
    assert found.power == pytest.approx(success.mean(), abs=4 * np.sqrt(0.25 / 100_000))


def test_equivalence_at_the_margin_is_shown_at_most_with_alpha():
    found = power_paired(4.7, test="equivalence", n=200, margin=2.5, difference=2.5)
    assert found.power == pytest.approx(0.05, abs=1e-6)
    assert power_paired(4.7, test="equivalence", n=3, margin=0.01).power < 1e-4


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_width_is_that_of_the_t_interval(alpha):
    found = power_paired(4.7, test="width", ci_width=2, alpha=alpha)
    assert found.solved_for == "n" and np.isnan(found.power)
    widths = [power_paired(4.7, test="width", n=n, alpha=alpha).ci_width for n in (found.n - 1, found.n)]
    assert widths[1] <= 2 < widths[0]
    low, high = stats.t.interval(1 - alpha, found.n - 1, scale=4.7 / np.sqrt(found.n))
    assert found.ci_width == widths[1] == pytest.approx(high - low)
    assert power_paired(4.7, n=found.n, difference=1, alpha=alpha).ci_width == found.ci_width


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test": "wilcoxon"}, "'wilcoxon' is unknown"),
        ({"sd": 0}, "sd must be a positive number"),
        ({"sd": np.nan}, "sd must be a positive number"),
        ({"test": "equivalence", "margin": -1}, "margin must be a positive number"),
        ({"test": "width", "ci_width": 0}, "ci_width must be a positive number"),
        ({"difference": np.inf}, "difference must be a finite number"),
        ({"alpha": 0.5}, "between 0 and 0.5"),
        ({"power": 80}, "wanted power lies between 0 and 1"),
        ({"n": 2}, "at least 3 pairs, not 2"),
        ({"n": 10.5}, "whole number"),
        ({"test": "equivalence"}, "'equivalence' needs a margin"),
        ({"test": "difference", "margin": 1}, "'difference' has no margin"),
        ({"test": "width"}, "either ci_width .* or n"),
        ({"test": "width", "ci_width": 1, "n": 20}, "either ci_width .* or n"),
        ({"ci_width": 1}, "goes with test='width'"),
        ({}, "No number of pairs shows a difference of 0"),
        ({"test": "noninferiority", "margin": 1, "difference": -1}, "a is inferior by the margin 1"),
        ({"test": "equivalence", "margin": 1, "difference": -1}, "-1 is not inside ± 1"),
        ({"difference": 1e-4}, "more than 1,000,000 pairs"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(UserError, match=message):
        power_paired(**({"sd": 1.0} | arguments))


def test_result_is_frozen_and_the_interface_is_the_one_scripts_rely_on():
    parameters = inspect.signature(power_paired).parameters
    assert list(parameters) == ["sd", "test", "n", "difference", "margin", "ci_width", "alpha", "power"]
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in list(parameters)[1:])
    with pytest.raises(FrozenInstanceError):
        power_paired(1, n=10).n = 3


TESTS = st.sampled_from(["difference", "noninferiority", "equivalence"])


@hypothesis_settings(max_examples=25, deadline=None)
@given(test=TESTS, effect=st.floats(0.15, 2), wanted=st.floats(0.1, 0.95), scale=st.floats(1e-3, 1e3))
def test_n_is_the_smallest_and_the_unit_does_not_matter(test, effect, wanted, scale):
    size = {"difference": effect} if test == "difference" else {"margin": effect, "difference": effect / 5}
    found = power_paired(1, test=test, power=wanted, **size)
    scaled = power_paired(scale, test=test, n=found.n, **{name: value * scale for name, value in size.items()})
    assert scaled.power == pytest.approx(found.power, rel=1e-9)
    assert found.power >= wanted
    if found.n > 3:
        assert power_paired(1, test=test, n=found.n - 1, **size).power < wanted


@hypothesis_settings(max_examples=25, deadline=None)
@given(n=st.integers(3, 300), margin=st.floats(0.05, 3), difference=st.floats(0, 3), alpha=st.floats(0.001, 0.2))
def test_equivalence_is_symmetric_and_never_easier_than_noninferiority(n, margin, difference, alpha):
    def found(test: str, d: float) -> float:
        return power_paired(1, test=test, n=n, margin=margin, difference=d, alpha=alpha).power

    both = found("equivalence", difference)
    assert both == pytest.approx(found("equivalence", -difference), rel=1e-8, abs=1e-12)
    assert 0 <= both <= found("noninferiority", -difference) + 1e-9
