"""Anyone's table of scores, tested by a plan that was written before the numbers were seen.

``crossmod analyse scores.csv --plan plan.yaml`` checks the plan against a closed schema and against the table's columns,
tests every hypothesis in every one of its cells, corrects each family of p-values, and writes one CSV per hypothesis
and a record with the hashes of plan and table.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import Field, ValidationError, model_validator

from crossmod.analyse.cells import ordered_levels
from crossmod.analyse.errors import some
from crossmod.analyse.hypotheses import AnyHypothesis, Closed, Hypothesis
from crossmod.analyse.multiplicity import METHODS, correct_p
from crossmod.job import UserError, digest, whole, write_json

_NOT_TESTED = "not tested"


class AnalysisPlan(Closed):
    """What is tested, declared before the numbers are seen.

    Attributes:
        outcome: column of the scores.
        subject: columns that together name a unit (an image, a kidney).
        cluster: column of the patients, the unit of independence; empty: subjects are independent.
        levels: factor → its levels in order; factors not named keep numbers as numbers, else the order of the table.
        alpha: level of significance after correction.
        correction: of each family of p-values.
    """

    title: str
    outcome: str
    subject: list[str] = Field(min_length=1)
    cluster: str | None = None
    levels: dict[str, list[Any]] = Field(default_factory=dict)
    alpha: float = Field(0.05, gt=0, lt=1)
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
        lines = [f"  {'.'.join(map(str, fault['loc'])) or 'plan'}: {fault['msg']}" for fault in error.errors()]
        raise UserError(f"{path} is not a valid plan:\n" + "\n".join(lines)) from error


def read_table(path: Path, plan: AnalysisPlan) -> pd.DataFrame:
    """The table of scores, its factors in the plan's order.

    Raises:
        UserError: listing every column and level that the plan names and the table lacks.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table of scores.")
    try:
        table = pd.read_csv(path, sep=None, engine="python")
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}).") from error
    wanted = [plan.outcome, *plan.subject, *([plan.cluster] if plan.cluster else []), *plan.levels]
    for hypothesis in plan.hypotheses:
        wanted += [*hypothesis.columns(), *([hypothesis.outcome] if hypothesis.outcome else [])]
    absent = [name for name in dict.fromkeys(wanted) if name not in table.columns]
    if absent:
        raise UserError(f"{path} has no column {some(map(repr, absent), 20)}; it has {some(table.columns, 40)}.")
    for factor, levels in plan.levels.items():
        unknown = [level for level in table[factor].dropna().unique() if level not in levels]
        if unknown:
            raise UserError(f"{path}: {factor!r} has levels the plan does not name: {some(map(repr, unknown), 12)}.")
        table[factor] = pd.Categorical(table[factor], categories=levels, ordered=True)
    return table


def analyse_table(scores: Path, plan_file: Path, folder: Path) -> dict[str, pd.DataFrame]:
    """Test every hypothesis of a plan; the folder of results appears whole or not at all.

    Written: ``<hypothesis>.csv`` (columns of the test, the cell's columns first; ``p_family`` is the p-value that enters
    the family, ``p_corrected`` the corrected one, ``significant`` its comparison with alpha; ``note`` says why a cell
    could not be tested) and ``record.json`` (hashes of plan and table, families, rows).

    Returns:
        Hypothesis → its table.

    Raises:
        UserError: if plan or table are at fault, or the folder holds something else.
    """
    if folder.exists() and not (folder / "record.json").is_file():
        raise UserError(f"{folder} exists and holds no earlier analysis; name another folder with --out.")
    plan = read_plan(plan_file)
    table = read_table(scores, plan)
    found = {hypothesis.name: cells_of(hypothesis, table, plan) for hypothesis in plan.hypotheses}
    families: dict[str, list[str]] = {}
    for hypothesis in plan.hypotheses:
        families.setdefault(hypothesis.family or hypothesis.name, []).append(hypothesis.name)
    for members in families.values():
        _correct([found[name] for name in members], plan)
    record = {
        "title": plan.title,
        "plan_sha256": digest(plan.model_dump(mode="json"), 64),
        "table_sha256": hashlib.sha256(scores.read_bytes()).hexdigest(),
        "rows": len(table),
        "families": families,
        "tests_in_family": {f: int(sum(found[n]["p_family"].notna().sum() for n in m)) for f, m in families.items()},
        "correction": plan.correction,
        "alpha": plan.alpha,
    }
    with whole(folder) as partial:
        partial.mkdir()
        for name, rows in found.items():
            rows.to_csv(partial / f"{name}.csv", index=False, lineterminator="\n")
        write_json(partial / "record.json", record)
    return found


def cells_of(hypothesis: Hypothesis, table: pd.DataFrame, plan: AnalysisPlan) -> pd.DataFrame:
    """A hypothesis in each of its cells; a cell that cannot be tested becomes a row with the reason."""
    rows = []
    for labels, cell in _cells(hypothesis, table):
        try:
            part = hypothesis.run(cell, plan).assign(note="")
        except UserError as error:
            part = pd.DataFrame([{"p_family": float("nan"), "note": f"{_NOT_TESTED}: {error}"}])
        for place, (column, value) in enumerate(labels.items()):
            part.insert(place, column, value, allow_duplicates=True)
        rows.append(part.assign(n_rows_read=len(cell)))
    return pd.concat(rows, ignore_index=True)


def _cells(hypothesis: Hypothesis, table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each combination of the columns ``each``, in the order of their levels."""
    for column, wanted in hypothesis.where.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        missing = [value for value in values if value not in set(table[column])]
        if missing:
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


def _correct(members: list[pd.DataFrame], plan: AnalysisPlan) -> None:
    """Correct the p-values of a family, over all its hypotheses and cells, in place."""
    corrected = correct_p(pd.concat([table["p_family"] for table in members]).to_numpy(float), plan.correction)
    for table in members:
        mine, corrected = corrected[: len(table)], corrected[len(table) :]
        table["p_corrected"] = mine
        table["significant"] = pd.array(mine < plan.alpha, dtype="boolean")
        table.loc[table["p_corrected"].isna(), "significant"] = pd.NA


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
    console.print(f"tables: {folder}", soft_wrap=True, highlight=False)
