"""Linear mixed model of a whole table: every row is used, and kidneys lie within patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product

import numpy as np
import pandas as pd
from scipy import stats

from crossmod.analyse.stats.cells import (
    FEWEST_SUBJECTS,
    check_columns,
    ordered_levels,
    refuse_duplicates,
    subject_names,
)
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError, no_variance, some
from crossmod.analyse.stats.reml import Reml, fit_reml
from crossmod.job import UserError

COLUMNS = ["term", "estimate", "se", "df", "ci_low", "ci_high", "statistic", "p"]
LEVEL = 0.95
DEPENDENT = 1e-10


@dataclass(frozen=True)
class MixedModel:
    """What :func:`mixed_model` finds.

    Attributes:
        fixed: one row per fixed effect, in the outcome's unit: ``term`` (``intercept``, ``arm=mix40``,
            ``arm=mixed:kidney=RCC``, or a covariate's name), ``estimate``, ``se``, ``df`` (Satterthwaite), ``ci_low``,
            ``ci_high`` (95 %, t), ``statistic`` (t of the hypothesis of no effect) and its two-sided ``p``.
        variances: ``patient``, ``unit`` (within patient, where one is given), ``residual``; the outcome's unit squared.
        at_boundary: names of the variances whose estimate is 0.
        log_likelihood: restricted (REML), as R's ``logLik``.
        converged: whether the likelihood is flat where the search stopped. If not, no number is to be trusted.
        n_rows: rows with an outcome, all used; ``n_patients``, ``n_units`` among them (0 without ``unit``).
        left_out: rows without an outcome, as ``patient/unit in level:level`` texts, sorted.
    """

    fixed: pd.DataFrame
    variances: dict[str, float]
    at_boundary: list[str]
    log_likelihood: float
    converged: bool
    n_rows: int
    n_patients: int
    n_units: int
    left_out: list[str]


def mixed_model(
    table: pd.DataFrame,
    outcome: str,
    fixed: str | Sequence[str],
    patient: str | Sequence[str],
    unit: str | None = None,
) -> MixedModel:
    """Fit ``outcome ~ fixed + (1 | patient) + (1 | patient:unit)`` by REML, as R's ``lme4`` with ``lmerTest``.

    Where ``rm_anova`` leaves out a subject that lacks one cell, this uses every row there is; that is valid if rows are
    missing at random, given the other rows of their patient (Laird 1988, Stat Med 7). In return it assumes that any two
    arms differ with the same variance, and that a patient's kidneys gain independently from one arm to another (there
    are no random slopes). Where ``epsilon_gg`` of the ANOVA is far below 1, or kidneys gain alike, believe the ANOVA.

    Degrees of freedom are Satterthwaite's, from the observed information of the variances (Giesbrecht & Burns 1985,
    Biometrics 41; Kuznetsova et al. 2017, J Stat Softw 82(13)). statsmodels' ``MixedLM`` finds the same estimates
    (tested) but has no degrees of freedom, and takes standard errors from a joint Hessian: up to 3 % off for kidneys
    within patients, where R's are (X' V^-1 X)^-1. Hence :func:`crossmod.analyse.stats.reml.fit_reml`.

    Args:
        table: one row per observation, in any order; a row with an empty outcome is left out and listed.
        outcome: numeric column.
        fixed: column or columns, with interactions as ``"a:b"`` beside ``"a"`` and ``"b"``. An empty list fits the
            mean. A column of type float is a covariate with one slope. Any other, whole numbers included, is a factor
            in treatment coding: its first level is the reference, in the order of
            :func:`crossmod.analyse.stats.cells.ordered_levels`. Use ``astype("category")`` for levels held as floats.
        patient: column, or columns that only together name a patient. As in ``rm_anova``, ids that collide across
            cohorts, sites or modalities outside ``fixed`` are different patients.
        unit: column that tells the units (kidneys) of a patient apart; it may also stand in ``fixed``.

    Raises:
        IncompleteDesignError: two rows for one patient, unit and cell where ``unit`` is given; fewer than three
            patients; a term without rows of its own; or too few rows, units or patients to measure each variance.
        DegenerateDataError: no residual variance: fixed effects and patients (units) explain every row.
        UserError: absent columns, empty keys, an outcome that is not numeric or infinite, a factor with one level,
            an interaction without its parts.
    """
    table = table.reset_index(drop=True)
    keys = [patient] if isinstance(patient, str) else list(patient)
    terms = _terms(table, [fixed] if isinstance(fixed, str) else list(fixed))
    names = _patients(table, outcome, keys, terms, unit)
    labels, design = _design(table, terms, names)
    present = table[outcome].notna().to_numpy()
    y = table.loc[present, outcome].to_numpy(float)
    people, who = _codes(names[present])
    _check_count(who, outcome)
    units = None if unit is None else _nested(people, table.loc[present, unit])
    _check_rows(y, _independent(design[present], labels), people, units, who)
    # ASSUME: intercepts and residuals are normal with the same variance in every arm, and gaps are missing at random.
    fit = fit_reml(design[present], y, people, units)
    left_out = _left_out(table[~present], names[~present], _columns(terms), unit)
    return _result(labels, fit, (len(y), len(who), 0 if units is None else int(units.max()) + 1), left_out)


def _result(labels: list[str], fit: Reml, counts: tuple[int, int, int], left_out: list[str]) -> MixedModel:
    """The fit in words; ``counts`` are rows, patients and units (0 where none are told apart)."""
    rows, patients, units = counts
    variances = dict(zip(("patient", "unit", "residual"), fit.variances, strict=True))
    if not units:
        del variances["unit"]
    return MixedModel(
        fixed=_effects(labels, fit),
        variances=variances,
        at_boundary=[name for name, value in variances.items() if value == 0],
        log_likelihood=fit.log_likelihood,
        converged=fit.converged,
        n_rows=rows,
        n_patients=patients,
        n_units=units,
        left_out=left_out,
    )


def _terms(table: pd.DataFrame, fixed: list[str]) -> list[tuple[str, ...]]:
    """Each term as the columns whose product it is; a term given twice counts once."""
    terms: dict[frozenset[str], tuple[str, ...]] = {}
    for text in fixed:
        parts = (text,) if text in table.columns else tuple(str(text).split(":"))
        if len(set(parts)) < len(parts):
            raise UserError(f"Fixed effect {text!r} names a column twice.")
        terms.setdefault(frozenset(parts), parts)
    for parts in terms.values():
        lower = chain.from_iterable(combinations(parts, size) for size in range(1, len(parts)))
        lacking = [":".join(map(str, part)) for part in lower if frozenset(part) not in terms]
        if lacking:
            raise UserError(
                f"The interaction {':'.join(map(str, parts))!r} needs {some(map(repr, lacking))} among the fixed "
                "effects too: without them its coefficients would mean something else."
            )
    return list(terms.values())


def _columns(terms: list[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(terms)))


def _patients(
    table: pd.DataFrame, outcome: str, keys: list[str], terms: list[tuple[str, ...]], unit: str | None
) -> pd.Series:
    """The patient of each row, after all checks of the columns."""
    columns = _columns(terms) + ([unit] if unit is not None and unit not in _columns(terms) else [])
    check_columns(table, outcome, keys, columns)
    factors = [name for name in columns if not pd.api.types.is_float_dtype(table[name])]
    names = subject_names(table, keys, factors or keys)
    if unit is not None:
        refuse_duplicates(table, names, [unit, *(name for name in columns if name != unit)])
    return names


def _check_count(who: list, outcome: str) -> None:
    if len(who) < FEWEST_SUBJECTS:
        found = f"{len(who)} patients have {outcome!r} ({some(who)})" if who else f"no patient has {outcome!r}"
        raise IncompleteDesignError(f"Too few: {found}; at least {FEWEST_SUBJECTS} are needed.")


def _codes(names: pd.Series) -> tuple[np.ndarray, list]:
    codes, found = pd.factorize(names)
    return codes, found.tolist()


def _nested(people: np.ndarray, labels: pd.Series) -> np.ndarray:
    """Units as 0 …: the same label in two patients names two units."""
    codes, found = _codes(labels.astype(object))
    return pd.factorize(people * len(found) + codes)[0]


def _design(table: pd.DataFrame, terms: list[tuple[str, ...]], names: pd.Series) -> tuple[list[str], np.ndarray]:
    """Labels and values of the columns of the design, shape (rows, p): the intercept, then each term."""
    coded = {name: _coded(table[name], name, names) for name in _columns(terms)}
    labels, columns = ["intercept"], [np.ones(len(table))]
    for parts in terms:
        for chosen in product(*(coded[name].items() for name in parts)):
            labels.append(":".join(label for label, _ in chosen))
            columns.append(np.prod([values for _, values in chosen], axis=0))
    return labels, np.column_stack(columns)


def _coded(column: pd.Series, name: str, names: pd.Series) -> dict[str, np.ndarray]:
    """A covariate as it is; a factor as one indicator for each level after the first."""
    if pd.api.types.is_float_dtype(column):
        values = column.to_numpy(float)
        if np.isinf(values).any():
            raise UserError(f"Covariate {name!r} is infinite for {some(names[np.isinf(values)].unique())}.")
        return {str(name): values}
    levels = ordered_levels(column)
    if len(levels) < 2:
        raise UserError(f"Factor {name!r} has the single level {levels[0]!r}: there is nothing to compare.")
    return {f"{name}={level}": (column == level).to_numpy(float) for level in levels[1:]}


def _independent(design: np.ndarray, labels: list[str]) -> np.ndarray:
    """Orthonormal columns that span the design, shape (n, p)."""
    n, p = design.shape
    if n <= p:
        raise IncompleteDesignError(f"{n} rows are too few for {p} fixed effects ({some(labels, 20)}).")
    rotation, triangle = np.linalg.qr(design)
    lost = np.abs(np.diag(triangle)) <= DEPENDENT * np.linalg.norm(design, axis=0)
    if lost.any():
        raise IncompleteDesignError(
            f"Fixed effect {labels[np.flatnonzero(lost)[0]]!r} cannot be told from the others: no row with an outcome "
            "belongs to it alone. Leave the term out, or the levels whose cells are empty."
        )
    return rotation


def _check_rows(y: np.ndarray, rotation: np.ndarray, people: np.ndarray, units: np.ndarray | None, who: list) -> None:
    """Each variance needs degrees of freedom of its own (Henderson 1953, method 3), and the residual one some size."""
    finest, word = (people, "patient") if units is None else (units, "unit")
    own = _within_basis(rotation, finest)
    steps = [(len(who) + _within_basis(rotation, people).shape[1], "between patients")]
    if units is not None:
        steps.append((units.max() + 1 + own.shape[1], "between the units of a patient"))
    steps.append((len(y), f"between the rows of a {word}"))
    used = rotation.shape[1]
    for dimension, what in steps:
        if dimension <= used:
            raise IncompleteDesignError(
                f"The variance {what} cannot be measured: {len(y)} rows of {len(who)} patients ({some(who)}) leave it "
                "no degree of freedom beside the fixed effects. Leave out the unit or a term, or use another test."
            )
        spare, used = dimension - used, dimension
    left = _within(y[:, None], finest)[:, 0]
    left = left - own @ (own.T @ left)
    if no_variance(np.sqrt(left @ left / spare), y):
        raise DegenerateDataError(
            f"No variance left between the rows of a {word} in {len(who)} patients ({some(who)}): the fixed effects "
            "differ by the same amount in every one, or not at all. Report the difference; it has no t and no p."
        )


def _within(columns: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Columns less the means of their group (0 …), shape (n, columns)."""
    sums = np.zeros((codes.max() + 1, columns.shape[1]))
    np.add.at(sums, codes, columns)
    return columns - (sums / np.bincount(codes)[:, None])[codes]


def _within_basis(columns: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span what varies within groups, shape (n, rank)."""
    basis, sizes, _ = np.linalg.svd(_within(columns, codes), full_matrices=False)
    return basis[:, sizes > DEPENDENT]


def _effects(labels: list[str], fit: Reml) -> pd.DataFrame:
    se = np.sqrt(np.diag(fit.covariance))
    half = stats.t.ppf((1 + LEVEL) / 2, fit.df) * se
    statistic = fit.beta / se
    values = [fit.beta, se, fit.df, fit.beta - half, fit.beta + half, statistic]
    p = 2 * stats.t.sf(np.abs(statistic), fit.df)
    return pd.DataFrame(dict(zip(COLUMNS, [labels, *values, p], strict=True)))


def _left_out(rows: pd.DataFrame, names: pd.Series, columns: list[str], unit: str | None) -> list[str]:
    texts = []
    for index, name in names.items():
        who = "/".join([str(name), *([] if unit is None else [str(rows.at[index, unit])])])
        cell = ":".join(str(rows.at[index, column]) for column in columns if column != unit)
        texts.append(f"{who} in {cell}" if cell else who)
    return sorted(texts)
