"""Restricted maximum likelihood of a linear model with nested random intercepts, without matrices of rows × rows."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import linalg, optimize, sparse

STARTS = (0.01, 0.5, 1.5, 3.0, 6.0)
FLAT = 1e-5
AT_ZERO = 1e-6
HIGHEST = 40.0


@dataclass(frozen=True)
class Reml:
    """A fitted model with p fixed effects.

    Attributes:
        beta: fixed effects, shape (p,).
        covariance: of them, shape (p, p).
        df: Satterthwaite degrees of freedom of each, shape (p,); NaN where the information is not positive definite.
        variances: of patients, of units within patients (0 where there are none), and of the residual.
        log_likelihood: restricted, with the constant of R's ``lme4``.
        converged: whether the likelihood is flat where the search stopped.
    """

    beta: np.ndarray
    covariance: np.ndarray
    df: np.ndarray
    variances: tuple[float, float, float]
    log_likelihood: float
    converged: bool


@dataclass(frozen=True)
class _Strata:
    """All that the likelihood needs of the data: sums of squares within units, and means of units.

    Attributes:
        within: cross-products of the columns [design, outcome] about the means of their unit, shape (p + 1, p + 1).
        means: those means, shape (units, p + 1).
        sizes: rows of each unit, shape (units,).
        owner: 1 where a unit is of a patient, sparse, shape (patients, units).
    """

    within: np.ndarray
    means: np.ndarray
    sizes: np.ndarray
    owner: sparse.csr_array

    @property
    def spare(self) -> int:
        """Rows less fixed effects."""
        return int(self.sizes.sum()) - self.within.shape[0] + 1


@dataclass(frozen=True)
class _Moments:
    """Products with the inverse of H, the covariance over the residual variance; W = [design, outcome].

    Attributes:
        log_det: log |H|.
        cross: W' H^-1 W, shape (p + 1, p + 1).
        sums: Z' H^-1 W for the indicators Z of units, shape (units, p + 1).
        weights, shrink: Z' H^-1 Z is, for the units of a patient, diag(weights) - shrink * outer(weights, weights);
            shapes (units,) and (patients,).
    """

    log_det: float
    cross: np.ndarray
    sums: np.ndarray
    weights: np.ndarray
    shrink: np.ndarray


def fit_reml(design: np.ndarray, outcome: np.ndarray, patient: np.ndarray, unit: np.ndarray | None = None) -> Reml:
    """Maximise the restricted likelihood of ``outcome = design @ beta + patient + unit + residual``.

    Profiled over the fixed effects and the residual variance (Bates et al. 2015, J Stat Softw 67(1), 3.4), the
    likelihood is a function of two variance ratios, each at least 0. With random intercepts alone, H^-1 has a closed
    form that splits every sum of squares into three positive parts: within units, between the units of a patient, and
    between patients (Searle, Casella & McCulloch 1992, Variance Components, ch. 3). Large ratios therefore lose no
    digits.

    Args:
        design: shape (n, p), of full column rank.
        outcome: shape (n,), finite, not explained in full by design and units.
        patient, unit: codes 0 … of each row, every code used, shape (n,); the rows of a unit have one patient.
    """
    n, p = design.shape
    # Orthonormal columns and residuals of unit size: the search sees neither units of measurement nor large means.
    rotation, triangle = linalg.qr(design, mode="economic")
    start = rotation.T @ outcome
    residual = outcome - rotation @ start
    size = float(np.sqrt(residual @ residual / (n - p)))
    strata = _strata(np.column_stack([rotation, residual / size]), patient, patient if unit is None else unit)
    ratios, converged = _search(strata, unit is not None)
    moments = _moments(strata, ratios)
    factor, shift, rss = _solve(moments)
    sigma_sq = rss / strata.spare
    inverse = linalg.cho_solve((factor, True), np.eye(p))
    back = linalg.solve_triangular(triangle, np.eye(p))
    log_det = moments.log_det + 2 * np.log(np.diag(factor)).sum() + 2 * np.log(np.abs(np.diag(triangle))).sum()
    return Reml(
        beta=back @ (start + size * shift),
        covariance=size**2 * sigma_sq * back @ inverse @ back.T,
        df=_satterthwaite(strata, moments, ratios, back),
        variances=(*(size**2 * sigma_sq * ratios).tolist(), size**2 * sigma_sq),
        log_likelihood=float(-(log_det + strata.spare * (1 + np.log(2 * np.pi * sigma_sq * size**2))) / 2),
        converged=converged,
    )


def _strata(columns: np.ndarray, patient: np.ndarray, unit: np.ndarray) -> _Strata:
    sizes = np.bincount(unit)
    member = sparse.csr_array((np.ones(len(unit)), (unit, np.arange(len(unit)))))  # (units, rows)
    means = (member @ columns) / sizes[:, None]
    centred = columns - means[unit]
    owner_of = np.zeros(len(sizes), int)
    owner_of[unit] = patient
    owner = sparse.csr_array((np.ones(len(sizes)), (owner_of, np.arange(len(sizes)))))
    return _Strata(centred.T @ centred, means, sizes, owner)


def _moments(strata: _Strata, ratios: np.ndarray) -> _Moments:
    of_patient, of_unit = ratios
    owner, sizes = strata.owner, strata.sizes
    weights = sizes / (1 + of_unit * sizes)
    total = owner @ weights  # (patients,)
    shrunk = 1 / (1 + of_patient * total)
    centre = (owner @ (weights[:, None] * strata.means)) / total[:, None]  # (patients, p + 1)
    about = strata.means - owner.T @ centre
    return _Moments(
        log_det=float(np.log1p(of_unit * sizes).sum() + np.log1p(of_patient * total).sum()),
        cross=strata.within + (about.T * weights) @ about + (centre.T * (total * shrunk)) @ centre,
        sums=weights[:, None] * (about + owner.T @ (shrunk[:, None] * centre)),
        weights=weights,
        shrink=of_patient * shrunk,
    )


def _solve(moments: _Moments) -> tuple[np.ndarray, np.ndarray, float]:
    """Cholesky factor of X' H^-1 X, the fixed effects, and the generalised residual sum of squares."""
    factor = linalg.cholesky(moments.cross, lower=True)
    beta = linalg.solve_triangular(factor[:-1, :-1], factor[-1, :-1], lower=True, trans="T")
    return factor[:-1, :-1], beta, float(factor[-1, -1] ** 2)


def _deviance(strata: _Strata, ratios: np.ndarray) -> tuple[float, np.ndarray]:
    """-2 profiled restricted log-likelihood, but for constants, and its gradient in the two ratios."""
    moments = _moments(strata, ratios)
    factor, beta, rss = _solve(moments)
    value = moments.log_det + 2 * np.log(np.diag(factor)).sum() + strata.spare * np.log(rss)
    owner, weights, shrink = strata.owner, moments.weights, moments.shrink
    total = owner @ weights
    traces = [total - shrink * total**2, weights - (owner.T @ shrink) * weights**2]  # diagonals of Z' H^-1 Z
    gradient = []
    for trace, sums in zip(traces, (owner @ moments.sums, moments.sums), strict=True):
        projected = linalg.solve_triangular(factor, sums[:, :-1].T, lower=True)
        blup = sums[:, -1] - sums[:, :-1] @ beta
        gradient.append(trace.sum() - np.sum(projected**2) - strata.spare * (blup @ blup) / rss)
    return float(value), np.array(gradient)


def _search(strata: _Strata, nested: bool) -> tuple[np.ndarray, bool]:
    """The best variance ratios, and whether the gradient vanishes there (or points out of the range).

    Searched as log(1 + ratio * mean size): 0 stays a point where the slope is seen, and large ratios come near.
    """
    n, (patients, units) = strata.sizes.sum(), strata.owner.shape
    scale = np.array([patients / n, units / n])

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = _deviance(strata, np.expm1(x) * scale)
        return value, gradient * np.exp(x) * scale

    starts = product(STARTS, STARTS if nested else (0.0,))
    start = min((np.array(x) for x in starts), key=lambda x: objective(x)[0])
    bounds = [(0, HIGHEST), (0, HIGHEST if nested else 0)]
    found = optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 0, "gtol": 1e-10}
    ).x
    for i in np.flatnonzero((found > 0) & (found < AT_ZERO)):
        found[i] = 0
    slope = objective(found)[1]
    free = np.array([True, nested]) & ((found > 0) | (slope < 0))
    return np.expm1(found) * scale, bool(np.all(np.abs(slope[free]) < FLAT))


def _satterthwaite(strata: _Strata, moments: _Moments, ratios: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Degrees of freedom 2 v^2 / var(v) of the variance v of each fixed effect, by the delta method.

    Parameters: the ratios above 0 (one at 0 counts as known, since v is flat in its square root there) and the log of
    the residual variance; their covariance is twice the inverse of the Hessian of -2 log-likelihood. H is linear in
    the ratios, hence its derivatives are traces and quadratic forms of Z' P Z, with
    P = H^-1 - H^-1 X (X' H^-1 X)^-1 X' H^-1.
    """
    factor, beta, rss = _solve(moments)
    sigma_sq = rss / strata.spare
    design = linalg.solve_triangular(factor, moments.sums[:, :-1].T, lower=True).T  # (units, p)
    weighted = strata.owner.toarray() * moments.weights
    middle = np.diag(moments.weights) - (weighted.T * moments.shrink) @ weighted - design @ design.T  # Z' P Z
    blup = moments.sums[:, -1] - moments.sums[:, :-1] @ beta  # Z' P y
    groups = (strata.owner, sparse.eye_array(len(blup), format="csr"))
    maps = [z for z, ratio in zip(groups, ratios, strict=True) if ratio > 0]
    size = len(maps) + 1
    hessian, slopes = np.empty((size, size)), np.empty((size, len(back)))
    root = linalg.solve_triangular(factor, back.T, lower=True)  # covariance = root' root
    for i, z in enumerate(maps):
        for j, other in enumerate(maps):
            block = z @ middle @ other.T
            hessian[i, j] = 2 * (z @ blup) @ block @ (other @ blup) / sigma_sq - np.sum(block**2)
        hessian[i, -1] = hessian[-1, i] = np.sum((z @ blup) ** 2) / sigma_sq
        slopes[i] = np.sum((z @ design @ root) ** 2, axis=0)
    hessian[-1, -1] = strata.spare
    slopes[-1] = np.sum(root**2, axis=0)
    if linalg.eigvalsh(hessian)[0] <= 0:
        return np.full(len(back), np.nan)
    spread = np.sum(slopes * linalg.solve(hessian, slopes, assume_a="pos"), axis=0)
    return slopes[-1] ** 2 / spread
