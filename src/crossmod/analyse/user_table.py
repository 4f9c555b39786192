"""Anyone's table of scores, as a plan needs it: numbers where it measures, names elsewhere, and no row in doubt."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossmod import tables
from crossmod.analyse.hypotheses import Mixed, NonInferiorityOf
from crossmod.analyse.plan import AnalysisPlan, columns_of, selected
from crossmod.analyse.stats.errors import some
from crossmod.job import UserError

# ASSUME: a subject with such a name is no subject but a row that sums up the others.
_SUMMARY = re.compile(
    r"(grand ?)?(overall|mean|average|avg|median|std|stdev|sd|total|sum|mittelwert|durchschnitt|gesamt|summe|moyenne"
    r"|média|media|promedio)s?(\s*[(:±].*)?",
    re.IGNORECASE,
)
# ASSUME: columns with such a word in their name hold overlaps, from 0 to 1 or in per cent, unless they name a change.
_OVERLAP = re.compile(r"(?<![a-z])(dsc|dice|iou|jaccard|nsd)(?![a-z])", re.IGNORECASE)
# ASSUME: of what has such a word in its name less is better.
_DISTANCE = re.compile(r"(?<![a-z])(hd\d*|hausdorff|assd?|asd|masd|msd|rms|mae|distance|error)(?![a-z])", re.IGNORECASE)
_CHANGE = re.compile(r"diff|delta|gain|change|loss|log|Δ", re.IGNORECASE)
# ASSUME: no margin is below a tenth of a per cent of overlap; a smaller number is a fraction.
_LEAST_PER_CENT = 0.1
# ASSUME: nothing that is measured on a scan is larger; sums of squares of such numbers would overflow.
_MOST = 1e15


def read_table(path: Path, plan: AnalysisPlan) -> pd.DataFrame:
    """The table of scores, its factors in the plan's order.

    Raises:
        UserError: naming case, column and cell of whatever the plan needs and the table lacks.
    """
    texts = tables.read_user(path)
    used = list(dict.fromkeys([plan.outcome, *plan.levels, *(c for h in plan.hypotheses for c in columns_of(h, plan))]))
    absent = [name for name in used if name not in texts.columns]
    if absent:
        raise UserError(f"{path} has no column {some(map(repr, absent), 20)}; it has {some(texts.columns, 40)}.")
    tables.refuse_unsafe(path, texts, used)
    _refuse_repeated(path, texts)
    ids = _ids(plan)
    tables.refuse_shortened(path, texts, ids)
    _refuse_alike(path, texts, ids)
    measured = {name for hypothesis in plan.hypotheses for name in hypothesis.measured(plan.outcome)}
    both = [name for name in ids if name in measured]
    if both:
        raise UserError(f"Column {both[0]!r} cannot be both a name (subject, cluster) and a number that is tested.")
    counted = [name for name in used if name in measured or (name not in ids and _all_numbers(texts[name]))]
    mark = tables.decimal_mark(path, texts, counted, lambda line: _row(texts, line, plan))
    table = texts.copy()
    for name in used:
        if name in measured:
            table[name] = _measured(path, texts, name, mark, plan)
        elif name in ids:
            table[name] = texts[name].mask(texts[name] == "")
        else:
            table[name] = _labels(path, texts[name], mark, _named(plan, name))
    _refuse_text_covariates(path, texts, table, mark, plan)
    for factor, levels in plan.levels.items():
        table[factor] = _ordered(path, table[factor], levels)
    _refuse_empty(path, texts, table, plan)
    _refuse_mixed_scales(path, texts, table, plan)
    _refuse_odd_claims(table, plan)
    if plan.cluster and not any(plan.cluster in hypothesis.columns() for hypothesis in plan.hypotheses):
        # Tests need to know who is the same, not who it is: a hospital number gets into no message and no result.
        table[plan.cluster] = [f"{plan.cluster}-{code + 1:04d}" for code in pd.factorize(table[plan.cluster])[0]]
    return table.reset_index(drop=True)


def _ids(plan: AnalysisPlan) -> list[str]:
    """Columns that hold names of subjects and patients."""
    return list(dict.fromkeys([*plan.subject, *([plan.cluster] if plan.cluster else [])]))


def _all_numbers(texts: pd.Series) -> bool:
    """Whether every entry is a number, with one decimal mark or the other."""
    return any(not tables.numbers(texts, mark)[1].any() for mark in ".,")


def _measured(path: Path, texts: pd.DataFrame, name: str, mark: str, plan: AnalysisPlan) -> pd.Series:
    """A column of numbers; empty where there is none."""
    values, wrong = tables.numbers(texts[name], mark)
    wrong |= np.isfinite(values) & (values.abs() > _MOST)
    if wrong.any():
        cells = (f"{_row(texts, line, plan)} has {name} {texts.at[line, name]!r}" for line in texts.index[wrong])
        raise UserError(
            f"{path}: {int(wrong.sum())} cells of {name!r} are no number that can be measured: {some(cells)}. "
            "Write a number such as 0.912, or leave the cell empty where there is no value."
        )
    return values


def _labels(path: Path, texts: pd.Series, mark: str, named: list[Any]) -> pd.Series:
    """A column that divides the rows: numbers where every entry is one, so that 40 comes before 120; else names.

    Entries such as 001 are names, and so are all where the plan writes them as text.
    """
    entries = texts[~texts.isin(tables.MISSING)]
    as_text = texts.mask(texts == "")
    values, wrong = tables.numbers(texts, mark)
    if wrong.any() or entries.empty or entries.str.match(r"[+-]?0\d").any():
        return as_text
    if named and all(isinstance(value, str) for value in named):
        return as_text
    alike = entries.groupby(values[entries.index]).unique()
    unlike = [writings for writings in alike if len(writings) > 1]
    if unlike:
        raise UserError(
            f"{path}: column {texts.name!r} has {some(map(repr, unlike[0]))}, which are one number. Write them alike, "
            "or, where they are names, quote them in the plan (levels)."
        )
    whole = texts.str.fullmatch(r"[+-]?\d{1,15}").all()
    return values.astype(int) if whole else values


def _named(plan: AnalysisPlan, column: str) -> list[Any]:
    """The values of a column that the plan names."""
    wheres = [hypothesis.where[column] for hypothesis in plan.hypotheses if column in hypothesis.where]
    values = [value for where in wheres for value in (where if isinstance(where, list) else [where])]
    return [*plan.levels.get(column, []), *values]


def _ordered(path: Path, column: pd.Series, levels: list[Any]) -> pd.Series:
    unknown = [level for level in column.dropna().unique().tolist() if level not in levels]
    if unknown:
        raise UserError(
            f"{path}: {column.name!r} has levels the plan does not name: {some(map(repr, unknown), 12)}. "
            f"The plan names {some(map(repr, levels), 12)}."
        )
    return pd.Series(pd.Categorical(column, categories=levels, ordered=True), column.index)


def _row(texts: pd.DataFrame, line: int, plan: AnalysisPlan) -> str:
    """Which row, in words; the patient is not named."""
    columns = [name for name in dict.fromkeys([*plan.subject, *plan.factors()]) if name != plan.cluster]
    words = [f"{name} {texts.at[line, name]!r}" for name in columns if texts.at[line, name]]
    return f"line {line} ({', '.join(words)})" if words else f"line {line}"


def _refuse_repeated(path: Path, texts: pd.DataFrame) -> None:
    """Refuse rows that are the same in every column: they would count twice."""
    twice = texts.index[texts.duplicated()]
    if len(twice):
        first = texts.index[(texts == texts.loc[twice[0]]).all(axis=1)][0]
        raise UserError(
            f"{path}: {len(twice)} rows repeat an earlier one, the first on line {twice[0]} (as line {first}). "
            "Remove them."
        )


def _refuse_alike(path: Path, texts: pd.DataFrame, ids: Iterable[str]) -> None:
    """Refuse ids that differ by capitals alone: one patient would count as two."""
    for column in ids:
        first = texts[column].drop_duplicates()
        alike = first.map(tables.folded).duplicated(keep=False) & (first != "")
        if alike.any():
            lines = some(first.index[alike])
            raise UserError(
                f"{path}: column {column!r} has names that differ only by capitals, blanks or how their letters are "
                f"encoded, first on lines {lines}. Write each in one way."
            )


def _refuse_empty(path: Path, texts: pd.DataFrame, table: pd.DataFrame, plan: AnalysisPlan) -> None:
    """Refuse a row that is tested and has no subject, patient or level, or sums up other rows."""
    for hypothesis in plan.hypotheses:
        rows = selected(hypothesis, table, True)
        for column in dict.fromkeys([*_ids(plan), *hypothesis.columns()]):
            empty = rows.index[rows[column].isna()]
            if len(empty) and column not in hypothesis.measured(plan.outcome):
                raise UserError(
                    f"{path}: column {column!r} is empty in {len(empty)} rows: "
                    f"{some(_row(texts, line, plan) for line in empty)}. Fill it in, or remove rows that are means of "
                    "others."
                )
    for column in _ids(plan):
        entries = texts.loc[sorted({line for h in plan.hypotheses for line in selected(h, table, True).index}), column]
        sums = [(line, text) for line, text in entries.items() if _SUMMARY.fullmatch(text)]
        if sums:
            raise UserError(
                f"{path}: {some(f'line {line} has {column} {text!r}' for line, text in sums)}: this looks like a row "
                "that sums up the others. Remove it; if it is a name, write another."
            )


def _refuse_text_covariates(
    path: Path, texts: pd.DataFrame, table: pd.DataFrame, mark: str, plan: AnalysisPlan
) -> None:
    """Refuse a covariate that one cell would turn into a factor with a level for every number."""
    fixed = [part for h in plan.hypotheses if isinstance(h, Mixed) for term in h.fixed for part in term.split(":")]
    for column in dict.fromkeys(fixed):
        values, wrong = tables.numbers(texts[column], mark)
        if wrong.any() and (values.dropna() % 1 != 0).any() and column not in plan.levels:
            line = texts.index[wrong][0]
            raise UserError(
                f"{path}: {_row(texts, line, plan)} has {column} {texts.at[line, column]!r}, and other rows have "
                "numbers with decimals. Write a number, or list all values under levels in the plan."
            )


def _refuse_mixed_scales(path: Path, texts: pd.DataFrame, table: pd.DataFrame, plan: AnalysisPlan) -> None:
    """Refuse overlaps that are fractions in some rows and per cent in others."""
    for hypothesis in plan.hypotheses:
        for column in filter(_is_overlap, hypothesis.measured(plan.outcome)):
            _refuse_outside(path, texts, column, selected(hypothesis, table, True)[column].dropna(), plan)


def _refuse_odd_claims(table: pd.DataFrame, plan: AnalysisPlan) -> None:
    """Refuse claims of non-inferiority with a margin of another scale than the outcome's, or the wrong way round."""
    for claim in plan.hypotheses:
        if not isinstance(claim, NonInferiorityOf):
            continue
        (outcome,) = claim.measured(plan.outcome)
        distance, said = _DISTANCE.search(outcome) and not _CHANGE.search(outcome), claim.less_is_better
        if (distance and "less_is_better" not in claim.model_fields_set) or (said and _is_overlap(outcome)):
            raise UserError(
                f"{claim.name}: of {outcome!r} {'less' if distance else 'more'} is better, it seems, and the plan says "
                f"otherwise. Write less_is_better: {str(bool(distance)).lower()}, or give the column another name."
            )
        largest, margin = selected(claim, table, True)[outcome].max(), claim.margin
        if _is_overlap(outcome) and margin >= 1 >= largest - 1e-6:
            raise UserError(
                f"{claim.name}: margin is {margin:g}, and {outcome!r} is between 0 and 1: every result would lie "
                f"within such a margin. Write it on the same scale, e.g. {margin / 100:g}."
            )
        if _is_overlap(outcome) and margin < _LEAST_PER_CENT and largest > 1 + 1e-6:
            raise UserError(
                f"{claim.name}: margin is {margin:g}, and {outcome!r} is in per cent. Write it on the same scale, e.g. "
                f"{margin * 100:g}."
            )


def _is_overlap(column: str) -> bool:
    return bool(_OVERLAP.search(column)) and not _CHANGE.search(column)


def _refuse_outside(path: Path, texts: pd.DataFrame, column: str, values: pd.Series, plan: AnalysisPlan) -> None:
    def named(lines: Iterable[int]) -> str:
        return some((f"{_row(texts, line, plan)} has {texts.at[line, column]!r}" for line in lines), 3)

    outside = values.index[(values < 0) | (values > 100)]
    if len(outside):
        raise UserError(
            f"{path}: {column!r} lies between 0 and 1, or 0 and 100 per cent, but {named(outside)}. Correct it."
        )
    large = values.index[values > 1 + 1e-6]  # more than rounding
    small = values.index[(values > 0) & (values <= 1)]
    if len(large) and len(small):
        few, many = sorted((large, small), key=len)
        raise UserError(
            f"{path}: {column!r} has fractions and per cent side by side: {named(few)}, while {named(many[:1])}. "
            "Write all as fractions from 0 to 1."
        )
