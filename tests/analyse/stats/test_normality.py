"""Normality of contrast scores and skewness, against R and the formulas of the papers."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crossmod.analyse.stats.anova import anova_of, contrasts_of
from crossmod.analyse.stats.cells import Cells, complete_cells
from crossmod.analyse.stats.normality import COLUMNS, normality, normality_of_effects, skewness
from crossmod.job import UserError

pytestmark = pytest.mark.filterwarnings("error")


def scores(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) @ np.triu(np.ones((d, d)))


def henze_zirkler(x: np.ndarray) -> float:
    """Equation 2.1 of Henze & Zirkler (1990), pair by pair, with the smoothing of their section 2."""
    n, d = x.shape
    inverse = np.linalg.inv(np.cov(x, rowvar=False, bias=True).reshape(d, d))
    beta = ((2 * d + 1) * n / 4) ** (1 / (d + 4)) / np.sqrt(2)
    centred = x - x.mean(axis=0)
    pairs = [np.exp(-(beta**2) / 2 * (a - b) @ inverse @ (a - b)) for a in x for b in x]
    single = [np.exp(-(beta**2) / (2 * (1 + beta**2)) * c @ inverse @ c) for c in centred]
    return np.sum(pairs) / n - 2 * (1 + beta**2) ** (-d / 2) * np.sum(single) + n * (1 + 2 * beta**2) ** (-d / 2)


def mixed_minus_pure(reference) -> tuple[Cells, np.ndarray]:
    data = reference.data("rm2_strategy_proportion_n60")
    data["strategy"] = pd.Categorical(data["strategy"], categories=["mixed", "pure"])
    cells = complete_cells(data, "dsc", "case", ["strategy", "proportion"])
    return cells, cells.values[:, 0].mean(axis=1) - cells.values[:, 1].mean(axis=1)


def test_one_variable_agrees_with_r(reference):
    # R 4.2.2: shapiro.test(d); e1071::skewness(d, type = 2)
    cells, difference = mixed_minus_pure(reference)
    name, statistic, p = normality(difference)
    assert name == "Shapiro-Wilk"
    assert (statistic, p) == pytest.approx((0.93665696628202, 0.00384947981041831), rel=1e-6)
    assert skewness(difference) == pytest.approx(0.951372542213566, rel=1e-9)
    row = normality_of_effects(cells).iloc[0]
    assert (row.effect, row.normality_test) == ("strategy", "Shapiro-Wilk")
    assert row.normality_statistic == pytest.approx(0.93665696628202, rel=1e-6)


@pytest.mark.parametrize(("n", "d"), [(10, 2), (25, 3), (40, 5)])
def test_several_variables_agree_with_the_formula_of_the_paper(n, d):
    name, statistic, p = normality(scores(n, d))
    assert name == "Henze-Zirkler"
    assert statistic == pytest.approx(henze_zirkler(scores(n, d)), rel=1e-9)
    assert 0.01 < p < 1


@pytest.mark.parametrize("d", [1, 2, 4])
def test_linear_maps_and_offsets_change_nothing(d):
    x = scores(20, d)
    mixing = np.eye(d) + 0.3 * np.ones((d, d))
    for changed in (x + 1e4, 1e-6 * x, -x, x @ mixing):
        assert normality(changed)[1:] == pytest.approx(normality(x)[1:], rel=1e-6)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_skewed_scores_are_called_so(d):
    skewed = np.expm1(2 * scores(60, d, seed=4))
    assert normality(skewed)[2] < 1e-6
    assert normality(scores(60, d, seed=4))[2] > 0.05


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((0, 1)),
        scores(2, 1),
        scores(4, 3),
        np.full((9, 1), 0.1),
        np.column_stack([scores(9, 1), np.full(9, 0.1)]),
        scores(12, 2) @ np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.7]]),
        0.9 + 1e-17 * scores(12, 2),
        scores(5001, 1),
    ],
    ids=["empty", "two rows", "d + 1 rows", "constant", "one constant", "collinear", "noise", "too many"],
)
def test_no_test_is_nan_and_neither_warning_nor_error(x):
    name, statistic, p = normality(x)
    assert name == ("Shapiro-Wilk" if x.shape[1] == 1 else "Henze-Zirkler")
    assert np.isnan([statistic, p]).all()


def test_magnitude_tells_noise_from_scores():
    noise = 1e-17 * scores(12, 1)
    assert np.isfinite(normality(noise)[1]) and np.isfinite(skewness(noise))
    assert np.isnan(normality(noise, magnitude=0.95)[1]) and np.isnan(skewness(noise[:, 0], magnitude=0.95))


def test_effects_are_tested_on_their_contrast_scores_in_the_order_of_the_anova():
    rng = np.random.default_rng(2)
    cells = Cells(rng.normal(size=(14, 2, 3, 2)), list(range(14)), {"a": [0, 1], "b": [0, 1, 2], "c": [0, 1]}, {})
    result = normality_of_effects(cells)
    assert list(result.columns) == COLUMNS
    assert list(result["effect"]) == list(anova_of(cells)["effect"])
    flat = cells.values.reshape(14, -1)
    for row in result.itertuples():
        expected = normality(flat @ contrasts_of(row.effect.split(":"), cells.levels))
        assert (row.normality_test, row.normality_statistic, row.normality_p) == expected
    assert (result["normality_test"] == "Henze-Zirkler").tolist() == (anova_of(cells)["df1"] > 1).tolist()


def test_the_choice_of_contrasts_changes_nothing():
    y = 0.9 + 0.02 * np.random.default_rng(5).normal(size=(20, 4))
    row = normality_of_effects(Cells(y, list(range(20)), {"arm": list("abcd")}, {})).iloc[0]
    assert (row.normality_statistic, row.normality_p) == pytest.approx(normality(y[:, 1:] - y[:, :1])[1:], rel=1e-9)


def test_identical_arms_have_no_test_in_their_effect():
    base = np.linspace(0.8, 0.95, 10)
    noise = 1e-17 * scores(30, 1).reshape(10, 3)
    row = normality_of_effects(Cells(base[:, None] + noise, list(range(10)), {"arm": [0, 1, 2]}, {})).iloc[0]
    assert row.normality_test == "Henze-Zirkler" and np.isnan([row.normality_statistic, row.normality_p]).all()


def test_skewness_is_g1():
    x = np.random.default_rng(6).exponential(size=15)
    n, centred = 15, x - x.mean()
    g1 = np.mean(centred**3) / np.mean(centred**2) ** 1.5
    assert skewness(x) == pytest.approx(g1 * np.sqrt(n * (n - 1)) / (n - 2))
    assert skewness(-x) == pytest.approx(-skewness(x))
    assert skewness([-2.0, 0.0, 2.0]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("x", [[], [1.0, 2.0], [0.3, 0.1 + 0.2, 0.3]])
def test_skewness_of_too_few_or_constant_differences_is_nan(x):
    assert np.isnan(skewness(x))


@pytest.mark.parametrize(
    ("function", "x", "message"),
    [
        (normality, np.zeros((3, 3, 3)), "shape"),
        (normality, np.zeros((5, 0)), "shape"),
        (normality, 1.0, "shape"),
        (normality, [[1.0, 2.0], [np.nan, 1.0], [3.0, np.inf]], r"Scores 1, 2 \(counted from 0\)"),
        (skewness, [1.0, np.nan, 2.0], "Scores 1"),
        (skewness, np.zeros((5, 2)), "one list"),
    ],
)
def test_refusals(function, x, message):
    with pytest.raises(UserError, match=message):
        function(x)


def test_a_large_p_goes_with_normal_scores_most_of_the_time():
    rng = np.random.default_rng(9)
    p = [normality(rng.normal(size=(25, 2)))[2] for _ in range(200)]
    rejected = int(np.sum(np.array(p) < 0.05))
    assert stats.binomtest(rejected, 200, 0.05).pvalue > 0.001
