"""A long table becomes complete subjects × cells, and whoever is left out is named."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd

from crossmod.analyse.stats.errors import IncompleteDesignError, some
from crossmod.job import UserError

IDENTITY_COLUMNS = ("cohort", "site", "modality")
FEWEST_SUBJECTS = 3


@dataclass(frozen=True)
class Cells:
    """Repeated measures without a gap.

    Attributes:
        values: outcome, float, shape (subjects, levels of factor 1, levels of factor 2, …).
        subjects: names in the order of the first axis.
        levels: factor → its levels in order, one entry per further axis.
        dropped: subject → the cells it lacks, as ``level:level`` texts.
    """

    values: np.ndarray
    subjects: list
    levels: dict[str, list]
    dropped: dict[Hashable, list[str]]


def effects_of(cells: Cells) -> list[tuple[str, ...]]:
    """The factors of each effect: main effects first, then interactions."""
    factors = list(cells.levels)
    return [names for size in range(1, len(factors) + 1) for names in combinations(factors, size)]


def ordered_levels(column: pd.Series) -> list:
    """Levels of a factor in order.

    Categories keep their order; numbers, also written as text, sort as numbers; anything else keeps the order of
    appearance. Nothing sorts alphabetically: 40, 80, 120 and not 120, 40, 80.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        present = set(column.unique())
        return [level for level in column.cat.categories if level in present]
    labels = pd.unique(column.astype(object)).tolist()
    numbers = pd.to_numeric(pd.Series(labels, dtype=object), errors="coerce")
    if numbers.notna().all():
        return [labels[i] for i in np.argsort(numbers.to_numpy(float), kind="stable")]
    return labels


def complete_cells(table: pd.DataFrame, outcome: str, subject: str | Sequence[str], within: Sequence[str]) -> Cells:
    """Arrange a tidy table as complete subjects × cells.

    Args:
        table: one row per subject and cell; an absent row and an empty outcome both mean a missing cell.
        outcome: numeric column.
        subject: column, or columns that only together name a subject.
        within: one to three factor columns.

    Raises:
        IncompleteDesignError: two rows for one subject and cell, or fewer than three complete subjects.
        UserError: absent columns, empty keys, an outcome that is not numeric or infinite, a factor with one level.
    """
    keys = [subject] if isinstance(subject, str) else list(subject)
    factors = list(within)
    check_columns(table, outcome, keys, factors)
    names = subject_names(table, keys, factors)
    refuse_duplicates(table, names, factors)
    levels = {factor: ordered_levels(table[factor]) for factor in factors}
    for factor, found in levels.items():
        if len(found) < 2:
            raise UserError(f"Factor {factor!r} has the single level {found[0]!r}: there is nothing to compare.")

    subjects = pd.unique(names).tolist()
    shape = (len(subjects), *(len(found) for found in levels.values()))
    values = np.full(shape, np.nan)
    position = [_codes(names, subjects), *(_codes(table[f], levels[f]) for f in factors)]
    values[tuple(position)] = table[outcome].to_numpy(float)

    flat = values.reshape(len(subjects), -1)
    texts = [":".join(str(level) for level in cell) for cell in product(*levels.values())]
    whole = ~np.isnan(flat).any(axis=1)
    dropped = {subjects[i]: [texts[j] for j in np.flatnonzero(np.isnan(flat[i]))] for i in np.flatnonzero(~whole)}
    dropped = {name: dropped[name] for name in sorted(dropped, key=str)}
    if whole.sum() < FEWEST_SUBJECTS:
        gaps = some(f"{name} (lacks {some(missing, 3)})" for name, missing in dropped.items())
        raise IncompleteDesignError(
            f"Only {whole.sum()} of {len(subjects)} subjects have {outcome!r} in every cell of "
            f"{' × '.join(factors)} ({some(texts, 12)}); at least {FEWEST_SUBJECTS} are needed."
            + (f" Incomplete: {gaps}." if gaps else "")
        )
    return Cells(values[whole], [s for s, ok in zip(subjects, whole, strict=True) if ok], levels, dropped)


def check_columns(table: pd.DataFrame, outcome: str, keys: list[str], factors: list[str]) -> None:
    """Refuse a table whose columns cannot be tested: absent, doubled, empty keys, no finite numbers (UserError)."""
    wanted = [outcome, *keys, *factors]
    absent = [name for name in wanted if name not in table.columns]
    if absent:
        raise UserError(f"No column {some(map(repr, absent))} in the table; it has {some(table.columns, 20)}.")
    if len(set(wanted)) < len(wanted) or not keys:
        raise UserError(f"Outcome, subject and within must be different columns; given: {some(wanted, 20)}.")
    if table.empty:
        raise IncompleteDesignError("The table has no rows: there are no subjects to test.")
    for name in keys + factors:
        if table[name].isna().any():
            raise UserError(f"Column {name!r} is empty in {int(table[name].isna().sum())} rows; fill or remove them.")
    values = table[outcome]
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        raise UserError(f"Outcome {outcome!r} is not numeric (its type is {values.dtype}).")
    infinite = np.isinf(values.to_numpy(float))
    if infinite.any():
        where = table.loc[infinite, keys].astype(str).agg("/".join, axis=1)
        raise UserError(
            f"Outcome {outcome!r} is infinite for {some(where)}: no mean exists. Write the number that stands for it, "
            "or leave the cell empty, and say so."
        )


def subject_names(table: pd.DataFrame, keys: list[str], factors: list[str]) -> pd.Series:
    """One name per row; ids that collide across cohorts, sites or modalities are told apart.

    # ASSUME: an identity column separates subjects when it varies both within one id and within one cell of the
    # design. A site that merely follows a factor (one site per arm) does not.
    """
    columns = list(keys)
    for name in IDENTITY_COLUMNS:
        if name not in table.columns or name in keys + factors:
            continue
        of_subject = table.groupby(keys, observed=True, sort=False)[name].nunique().gt(1).any()
        cells = table.groupby(factors, observed=True, sort=False) if factors else table
        of_cell = np.any(cells[name].nunique() > 1)
        if of_subject and of_cell:
            columns.insert(0, name)
    if len(columns) == 1:
        return table[columns[0]].astype(object)
    parts = table[columns].astype(object)
    names = parts.map(str).agg("/".join, axis=1)
    # "a/b" with "c" is not "a" with "b/c", nor is 1 the text "1": then quotes tell them apart.
    if len(parts.drop_duplicates()) != names.nunique():
        names = parts.map(repr).agg("/".join, axis=1)
    return names


def refuse_duplicates(table: pd.DataFrame, names: pd.Series, factors: list[str]) -> None:
    """Refuse two rows for one subject and cell (IncompleteDesignError)."""
    keys = pd.concat([names.rename("_subject"), table[factors].astype(object)], axis=1)
    twice = keys[keys.duplicated(keep=False)].drop_duplicates()
    if len(twice):
        rows = twice.itertuples(index=False, name=None)
        listed = (f"{name} in {':'.join(map(str, cell))}" if cell else str(name) for name, *cell in rows)
        raise IncompleteDesignError(
            f"{len(twice)} keys have more than one row: {some(listed)}. One row per subject and arm is needed; "
            "name the subject by more columns (e.g. patient and side), or average beforehand and say so."
        )


def _codes(column: pd.Series, levels: list) -> np.ndarray:
    place = {level: i for i, level in enumerate(levels)}
    return column.astype(object).map(place).to_numpy(int)
