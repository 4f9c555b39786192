"""The restricted likelihood against the textbook's dense matrices."""

from itertools import product

import numpy as np
import pytest
from scipy import optimize, stats

from crossmod.analyse.stats.reml import fit_reml


def kidneys(seed: int, between: float, nested: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Design, outcome, patient and unit of up to two kidneys with up to three rows each, some absent."""
    rng = np.random.default_rng(seed)
    patient, unit, arm = (axis.ravel() for axis in np.indices((7, 2, 3)))
    kept = rng.random(patient.size) > 0.2
    patient, arm = patient[kept], arm[kept]
    unit = np.unique(2 * patient + unit[kept], return_inverse=True)[1]
    outcome = rng.normal(0, between, 7)[patient] + rng.normal(0, nested, 14)[unit] + rng.normal(0, 1, len(arm)) + 50
    design = np.column_stack([np.ones(len(arm)), arm == 1, arm == 2, rng.normal(10, 1, len(arm))])
    return design.astype(float), outcome, patient, unit


def dense(design: np.ndarray, outcome: np.ndarray, covariance: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Restricted log-likelihood, fixed effects and their covariance (Searle, Casella & McCulloch 1992, ch. 6.6)."""
    inverse = np.linalg.inv(covariance)
    precision = design.T @ inverse @ design
    beta = np.linalg.solve(precision, design.T @ inverse @ outcome)
    residual = outcome - design @ beta
    spare = len(outcome) - design.shape[1]
    log_det = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(precision)[1]
    value = -(log_det + residual @ inverse @ residual + spare * np.log(2 * np.pi)) / 2
    return value, beta, np.linalg.inv(precision)


def covariance_of(variances, patient, unit):
    same_patient, same_unit = patient[:, None] == patient, unit[:, None] == unit
    return variances[0] * same_patient + variances[1] * same_unit + variances[2] * np.eye(len(patient))


# Variances large, small and absent, so that the maximum lies inside and on each edge of the range.
CASES = list(product(range(4), [(2.0, 1.0), (0.0, 1.0), (2.0, 0.0), (0.0, 0.0), (50.0, 0.01)]))


@pytest.mark.parametrize(("seed", "sds"), CASES)
def test_it_is_the_maximum_of_the_dense_likelihood(seed, sds):
    design, outcome, patient, unit = kidneys(seed, *sds)
    fit = fit_reml(design, outcome, patient, unit)
    value, beta, covariance = dense(design, outcome, covariance_of(fit.variances, patient, unit))
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=1e-8, atol=1e-10)
    for i, factor in product(range(3), (0.98, 1.02)):
        other = list(fit.variances)
        other[i] = other[i] * factor + 1e-4 * (other[i] == 0)
        assert dense(design, outcome, covariance_of(other, patient, unit))[0] <= value


@pytest.mark.parametrize("seed", range(4))
def test_no_other_start_finds_a_better_maximum(seed):
    design, outcome, patient, unit = kidneys(seed, 1.0, 0.5)
    best = fit_reml(design, outcome, patient, unit).log_likelihood

    def worse(logs):
        return -dense(design, outcome, covariance_of(np.exp(logs), patient, unit))[0]

    for start in product((-3, 2), (-3, 2), (0,)):
        assert -optimize.minimize(worse, start, method="Nelder-Mead").fun <= best + 1e-8


def test_degrees_of_freedom_follow_from_the_curvature_of_the_dense_likelihood():
    design, outcome, patient, unit = kidneys(0, 2.0, 1.0)
    fit = fit_reml(design, outcome, patient, unit)
    at, step = np.array(fit.variances), 1e-3 * np.array(fit.variances)

    def value(shift):
        return dense(design, outcome, covariance_of(at + shift, patient, unit))[0]

    def spread(shift):
        return np.diag(dense(design, outcome, covariance_of(at + shift, patient, unit))[2])

    moves = np.diag(step)
    hessian = np.array([[value(a + b) - value(a - b) - value(b - a) + value(-a - b) for a in moves] for b in moves]) / 4
    slopes = np.array([spread(move) - spread(-move) for move in moves]) / 2  # (variances, p)
    df = 2 * spread(0 * at) ** 2 / np.sum(slopes * np.linalg.solve(-hessian, slopes), axis=0)
    np.testing.assert_allclose(fit.df, df, rtol=1e-3)


def test_without_variance_between_patients_it_is_least_squares():
    rng = np.random.default_rng(5)
    patient = np.repeat(np.arange(6), 3)
    outcome = np.tile([1.0, 2.0, 3.0], 6) + rng.normal(0, 0.01, 18)  # the rows of a patient differ more than patients
    fit = fit_reml(np.ones((18, 1)), outcome, patient)
    result = stats.ttest_1samp(outcome, 0)
    assert fit.variances[:2] == (0, 0)
    assert fit.variances[2] == pytest.approx(outcome.var(ddof=1))
    assert fit.df == pytest.approx([17])
    assert fit.beta[0] / np.sqrt(fit.covariance[0, 0]) == pytest.approx(result.statistic)


@pytest.mark.parametrize("shift", [0, 1e6])
def test_balanced_variances_are_those_of_the_analysis_of_variance(shift):
    rng = np.random.default_rng(3)
    table = rng.normal(size=(9, 1)) * 3 + rng.normal(size=(9, 4))
    outcome = table.ravel() + shift
    fit = fit_reml(np.ones((36, 1)), outcome, np.repeat(np.arange(9), 4))
    within = table.var(axis=1, ddof=1).mean()
    between = table.mean(axis=1).var(ddof=1) - within / 4
    assert fit.variances == pytest.approx((between, 0, within), rel=1e-6)
    assert fit.df == pytest.approx([8], rel=1e-6)
