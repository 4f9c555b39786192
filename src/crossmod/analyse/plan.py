"""Anyone's table of scores, tested by a plan that was written before the numbers were seen.

``crossmod analyse scores.csv --plan plan.yaml`` checks the plan against a closed schema and against the table's columns,
tests every hypothesis in every one of its cells, corrects each family of p-values, and writes one CSV per hypothesis
and a record with the hashes of plan and table.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import Field, ValidationError, model_validator

from crossmod.analyse.cells import ordered_levels
from crossmod.analyse.errors import some
from crossmod.analyse.hypotheses import AnyHypothesis, Hypothesis
from crossmod.analyse.multiplicity import METHODS, correct_p
from crossmod.job import UserError, digest, whole, write_json
from crossmod.schema import Closed, faults_of

_NOT_TESTED = "not tested"
_MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "None")
_FAMILY = ("family", "tests_in_family", "p_corrected", "significant")


class AnalysisPlan(Closed):
    """What is tested, declared before the numbers are seen.

    Attributes:
        outcome: column of the scores.
        subject: columns that together name a unit (an image, a kidney).
        cluster: column of the patients, the unit of independence; empty: subjects are independent.
        levels: factor → its levels in order; factors not named keep numbers as numbers, else the order of the table.
        alpha: level of significance after correction.
        confidence: level of the intervals of paired comparisons; other tests have 95 %.
        correction: of each family of p-values.
    """

    title: str
    outcome: str
    subject: list[str] = Field(min_length=1)
    cluster: str | None = None
    levels: dict[str, list[Any]] = Field(default_factory=dict)
    alpha: float = Field(0.05, gt=0, lt=1)
    confidence: float = Field(0.95, gt=0, lt=1)
    correction: str = "holm"
    hypotheses: list[AnyHypothesis] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "AnalysisPlan":
        names = [hypothesis.name for hypothesis in self.hypotheses]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"hypotheses: {some(twice)} given twice; each needs a name of its own")
        if self.correction not in (*METHODS, "none"):
            raise ValueError(f"correction: '{self.correction}' is none of {', '.join([*METHODS, 'none'])}")
        return self


def read_plan(path: Path) -> AnalysisPlan:
    """A plan from YAML.

    Raises:
        UserError: if it cannot be read, or listing every fault with its key.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such plan.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: a plan has the keys {', '.join(AnalysisPlan.model_fields)}.")
    try:
        return AnalysisPlan.model_validate(values)
    except ValidationError as error:
        lines = "\n".join(f"  {line}" for line in faults_of(AnalysisPlan, error, "plan"))
        raise UserError(f"{path} is not a valid plan:\n{lines}") from error


def read_table(path: Path, plan: AnalysisPlan) -> pd.DataFrame:
    """The table of scores, its factors in the plan's order.

    Raises:
        UserError: listing every column and level that the plan names and the table lacks.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table of scores.")
    try:
        texts = pd.read_csv(path, sep=None, engine="python", dtype=str, keep_default_na=False)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}).") from error
    # Ids stay text: 001 is not 1, and a patient may be called NA.
    ids = {*plan.subject, plan.cluster}
    table = pd.DataFrame({c: texts[c].mask(texts[c] == "") if c in ids else _numbers(texts[c]) for c in texts})
    wanted = [plan.outcome, *plan.levels]
    for hypothesis in plan.hypotheses:
        wanted += _columns(hypothesis, plan)
    absent = [name for name in dict.fromkeys(wanted) if name not in table.columns]
    if absent:
        raise UserError(f"{path} has no column {some(map(repr, absent), 20)}; it has {some(table.columns, 40)}.")
    for factor, levels in plan.levels.items():
        unknown = [level for level in table[factor].dropna().unique() if level not in levels]
        if unknown:
            raise UserError(f"{path}: {factor!r} has levels the plan does not name: {some(map(repr, unknown), 12)}.")
        table[factor] = pd.Categorical(table[factor], categories=levels, ordered=True)
    return table


def _numbers(texts: pd.Series) -> pd.Series:
    """A column of numbers where every entry is one or is missing; else its texts."""
    missing = texts.isin(_MISSING)
    numbers = pd.to_numeric(texts.mask(missing), errors="coerce")
    if (numbers.isna() & ~missing).any():
        return texts.mask(texts == "")
    return (
        numbers.astype(int)
        if (numbers % 1 == 0).all() and not texts.str.contains(".", regex=False).any()
        else numbers.astype(float)
    )


@dataclass(frozen=True)
class Tested:
    """What the hypotheses of a plan came to.

    Attributes:
        tables: hypothesis → its rows: the columns of its cell, those of its test, ``p_family`` (the p-value that enters
            the family), ``p_corrected``, ``significant``, ``family`` and ``tests_in_family``, a ``verdict`` where the
            test has words for it, ``note`` (why there is no number) and ``rows`` (the file of the rows tested).
        rows: name of such a file, relative to the results → the rows.
    """

    tables: dict[str, pd.DataFrame]
    rows: dict[str, pd.DataFrame]

    def write(self, folder: Path) -> None:
        """Write every table and every file of rows as CSV."""
        named = {f"{name}.csv": table for name, table in self.tables.items()} | self.rows
        for name, table in named.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            table.to_csv(folder / name, index=False, lineterminator="\n")


def analyse_table(scores: Path, plan_file: Path, folder: Path) -> dict[str, pd.DataFrame]:
    """Test every hypothesis of a plan; the folder of results appears whole or not at all.

    Written: ``<hypothesis>.csv`` and ``rows/…csv`` (see :class:`Tested`), ``record.json`` (hashes of plan and table,
    families, rows).

    Returns:
        Hypothesis → its table.

    Raises:
        UserError: if plan or table are at fault, or the folder holds something else.
    """
    if folder.exists() and not (folder / "record.json").is_file():
        raise UserError(f"{folder} exists and holds no earlier analysis; name another folder with --out.")
    plan = read_plan(plan_file)
    table = read_table(scores, plan)
    tested = run_plan(plan, table, "rows")
    record = {
        **{"title": plan.title, "plan_sha256": digest_of([plan])},
        "table_sha256": hashlib.sha256(scores.read_bytes()).hexdigest(),
        **{"rows": len(table), "families": families_of(tested.tables)},
        **{"correction": plan.correction, "alpha": plan.alpha},
    }
    with whole(folder) as partial:
        partial.mkdir()
        tested.write(partial)
        write_json(partial / "record.json", record)
    return tested.tables


def digest_of(plans: list[AnalysisPlan]) -> str:
    """SHA-256 of plans: another hypothesis, margin, family or level is another hash."""
    return digest([plan.model_dump(mode="json") for plan in plans], 64)


def families_of(tables: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """Family → its hypotheses and how many tests were made in it."""
    families: dict[str, Any] = {}
    for name, rows in tables.items():
        for family, members in rows.groupby("family", sort=False):
            found = families.setdefault(str(family), {"hypotheses": [], "tests": 0})
            found["hypotheses"].append(name)
            found["tests"] += int(members["p_family"].notna().sum())
    return families


def run_plan(plan: AnalysisPlan, table: pd.DataFrame, place: str, strict: bool = True) -> Tested:
    """Test every hypothesis in each of its cells and correct each family.

    Args:
        plan: the hypotheses.
        table: tidy scores whose factors have their order, see :func:`read_table`.
        place: folder of the files of rows, relative to the results.
        strict: whether a value of ``where`` that no row has is a mistake, or selects nothing.

    Raises:
        UserError: for such a value, or an empty column of ``each``. What cannot be tested becomes a row with its reason.
    """
    tables, files = {}, {}
    for hypothesis in plan.hypotheses:
        parts, used = [], _columns(hypothesis, plan)
        for labels, cell in _cells(hypothesis, table, strict):
            name = _file(place, hypothesis, labels)
            files[name] = cell[list(dict.fromkeys([*files.get(name, cell[:0][used]).columns, *used]))]
            parts.append(_tested(hypothesis, labels, cell, plan).assign(rows=name))
        if parts:
            tables[hypothesis.name] = pd.concat(parts, ignore_index=True)
    _correct(plan, tables)
    for hypothesis in plan.hypotheses:
        if hypothesis.name in tables:
            tables[hypothesis.name] = _in_order(hypothesis.judge(tables[hypothesis.name], plan.alpha))
    return Tested(tables, files)


def _columns(hypothesis: Hypothesis, plan: AnalysisPlan) -> list[str]:
    """Columns of the table that a hypothesis reads."""
    named = [*plan.subject, plan.cluster, *hypothesis.columns(), hypothesis.outcome or plan.outcome]
    return list(dict.fromkeys(name for name in named if name))


def _file(place: str, hypothesis: Hypothesis, labels: dict[str, Any]) -> str:
    """Hypotheses of the same cell share their rows' file."""
    chosen = labels | hypothesis.where
    words = [re.sub(r"[^\w.+=-]+", "_", f"{column}={value}") for column, value in chosen.items()]
    return f"{place}/{'.'.join(words) or 'all'}.csv"


def _tested(hypothesis: Hypothesis, labels: dict[str, Any], cell: pd.DataFrame, plan: AnalysisPlan) -> pd.DataFrame:
    """The rows of one cell, its labels first; one row with the reason where it cannot be tested."""
    try:
        rows = hypothesis.run(cell, plan)
        rows = rows.assign(note=rows.get("note", ""))
    except UserError as error:
        rows = pd.DataFrame([{"p_family": float("nan"), "note": f"{_NOT_TESTED}: {error}"}])
    for place, (column, value) in enumerate(labels.items()):
        rows.insert(place, column, value, allow_duplicates=True)
    family = hypothesis.family or hypothesis.name
    by = [str(labels[column]) for column in hypothesis.family_by]
    return rows.assign(family=f"{family}: {', '.join(by)}" if by else family)


def _cells(hypothesis: Hypothesis, table: pd.DataFrame, strict: bool) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each combination of the columns ``each``, in the order of their levels."""
    for column, wanted in hypothesis.where.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        missing = [value for value in values if value not in set(table[column])]
        if missing and strict:
            raise UserError(f"{hypothesis.name}: where.{column}: no row has {some(map(repr, missing))}.")
        table = table[table[column].isin(values)]
    if not hypothesis.each:
        yield {}, table
        return
    for column in hypothesis.each:
        if table[column].isna().any():
            count = int(table[column].isna().sum())
            raise UserError(
                f"{hypothesis.name}: each: column {column!r} is empty in {count} rows; fill or remove them."
            )
    order = {column: {level: i for i, level in enumerate(ordered_levels(table[column]))} for column in hypothesis.each}
    groups = dict(list(table.groupby(hypothesis.each, observed=True, sort=False)))
    for key in sorted(groups, key=lambda key: [order[c][k] for c, k in zip(hypothesis.each, key, strict=True)]):
        yield dict(zip(hypothesis.each, key, strict=True)), groups[key]


def _correct(plan: AnalysisPlan, tables: dict[str, pd.DataFrame]) -> None:
    """Correct the p-values of every family, over all its hypotheses and cells, in place."""
    if not tables:
        return
    pooled = pd.concat({name: rows[["family", "p_family"]] for name, rows in tables.items()})
    pooled["p_family"] = pooled["p_family"].astype(float)
    by_family = pooled.groupby("family", sort=False)["p_family"]
    pooled["p_corrected"] = by_family.transform(lambda p: correct_p(p.to_numpy(), plan.correction))
    pooled["tests_in_family"] = by_family.transform("count").astype(int)
    pooled["significant"] = (pooled["p_corrected"] < plan.alpha).astype("boolean").mask(pooled["p_corrected"].isna())
    for name, rows in tables.items():
        tables[name] = rows.assign(**{column: pooled.loc[name, column] for column in _FAMILY[1:]})


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """The family's columns, the note and the file last."""
    last = [name for name in (*_FAMILY, "verdict", "note", "rows") if name in rows]
    return rows[[*rows.columns.drop(["p_family", *last]), "p_family", *last]]


def show(found: dict[str, pd.DataFrame], folder: Path) -> None:
    """Print how many tests of each hypothesis came out which way, and what could not be tested."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    summary = Table(title="Hypotheses")
    for column in ("hypothesis", "tests", "significant", "not tested", "smallest corrected p"):
        summary.add_column(column, justify="left" if column == "hypothesis" else "right")
    for name, rows in found.items():
        tested, smallest = rows["p_family"].notna(), rows["p_corrected"].min()
        counts = (int(tested.sum()), int(rows["significant"].sum()), int((rows["note"] != "").sum()))
        summary.add_row(name, *map(str, counts), f"{smallest:.2g}" if tested.any() else "–")
    console.print(summary)
    for name, rows in found.items():
        for note in rows.loc[rows["note"] != "", "note"].unique():
            console.print(f"[yellow]{name}:[/yellow] {note}", soft_wrap=True, highlight=False)
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    console.print(f"plan: SHA-256 {record['plan_sha256']}", soft_wrap=True, highlight=False)
    console.print(f"tables: {folder}", soft_wrap=True, highlight=False)
