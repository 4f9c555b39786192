"""A plan that was written before the numbers were seen, and its tests.

Every hypothesis is tested in each of its cells, and the p-values of each family are corrected.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from crossmod.analyse.asked import Asked
from crossmod.analyse.hypotheses import AnyHypothesis, Hypothesis, choose
from crossmod.analyse.names import doubled_files, levels_of
from crossmod.analyse.stats.cells import ordered_levels
from crossmod.analyse.stats.errors import some
from crossmod.analyse.stats.multiplicity import METHODS, correct_p
from crossmod.job import UserError, digest
from crossmod.schema import Closed, faults_of, is_endless

_NOT_TESTED = "not tested"
_LONGEST = 200  # bytes of a file's name; file systems allow 255
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
    levels: dict[str, Annotated[list[Any], Field(min_length=1), AfterValidator(levels_of)]] = Field(
        default_factory=dict
    )
    alpha: float = Field(0.05, gt=0, lt=1)
    confidence: float = Field(0.95, gt=0, lt=1)
    correction: str = "holm"
    hypotheses: list[AnyHypothesis] = Field(min_length=1)

    def factors(self) -> list[str]:
        """Columns that divide the rows, of all hypotheses together."""
        measured = {name for hypothesis in self.hypotheses for name in hypothesis.measured(self.outcome)}
        named = [*self.levels, *(name for hypothesis in self.hypotheses for name in hypothesis.columns())]
        return [name for name in dict.fromkeys(named) if name not in measured]

    def asked(self) -> Asked:
        """What every hypothesis is tested with."""
        return Asked(self.outcome, self.subject, self.cluster, self.confidence, tuple(self.factors()))

    @model_validator(mode="after")
    def _consistent(self) -> "AnalysisPlan":
        names = [hypothesis.name for hypothesis in self.hypotheses]
        twice = doubled_files(names)
        if twice:
            raise ValueError(f"hypotheses: {some(twice)} given twice; each needs a name of its own")
        if self.correction not in (*METHODS, "none"):
            raise ValueError(f"correction: '{self.correction}' is none of {', '.join([*METHODS, 'none'])}")
        return self


class _OnceLoader(yaml.SafeLoader):
    """Plain YAML, in which a key that is given twice is a mistake: the first would be lost in silence.

    Aliases that hold aliases, and grow without bound, are refused.
    """

    def construct_document(self, node: yaml.Node) -> Any:
        if is_endless(node):
            raise yaml.constructor.ConstructorError(None, None, "its aliases (*) make it too long", node.start_mark)
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = [key for place, key in enumerate(keys) if key in keys[:place] and key != "<<"]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_plan(path: Path) -> AnalysisPlan:
    """A plan from YAML.

    Raises:
        UserError: if it cannot be read, or listing every fault with its key.
    """
    try:
        if not path.is_file():
            raise UserError(f"{path}: no such plan.")
        values = yaml.load(path.read_text(encoding="utf-8-sig"), _OnceLoader)
    except UserError:
        raise
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())[:300]}).") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: a plan has the keys {', '.join(AnalysisPlan.model_fields)}.")
    try:
        return AnalysisPlan.model_validate(values)
    except ValidationError as error:
        lines = "\n".join(f"  {line}" for line in faults_of(AnalysisPlan, error, "plan"))
        raise UserError(f"{path} is not a valid plan:\n{lines}") from error


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
        strict: whether a value of ``where``, or a level to be compared, that no row has is a mistake. Otherwise it
            selects nothing.

    Raises:
        UserError: for such a value or level, or an empty column of ``each``. What cannot be tested becomes a row with
            its reason.
    """
    tables: dict[str, pd.DataFrame] = {}
    files: dict[str, pd.DataFrame] = {}
    taken: dict[str, list[pd.Index]] = {}
    for hypothesis in plan.hypotheses:
        if strict:
            _refuse_unknown_levels(hypothesis, table)
        parts, used = [], columns_of(hypothesis, plan)
        for labels, cell in _cells(hypothesis, table, strict):
            name = _file(place, hypothesis, labels, cell.index, taken)
            files[name] = cell[list(dict.fromkeys([*files.get(name, cell[:0][used]).columns, *used]))]
            parts.append(_tested(hypothesis, labels, cell, plan).assign(rows=name))
        if parts:
            tables[hypothesis.name] = pd.concat(parts, ignore_index=True)
    _correct(plan, tables)
    for hypothesis in plan.hypotheses:
        if hypothesis.name in tables:
            tables[hypothesis.name] = _in_order(hypothesis.judge(tables[hypothesis.name], plan.alpha))
    return Tested(tables, files)


def columns_of(hypothesis: Hypothesis, plan: AnalysisPlan) -> list[str]:
    """Columns of the table that a hypothesis reads."""
    named = [*plan.subject, plan.cluster, *hypothesis.columns(), hypothesis.outcome or plan.outcome]
    return list(dict.fromkeys(name for name in named if name))


def _file(
    place: str, hypothesis: Hypothesis, labels: dict[str, Any], rows: pd.Index, taken: dict[str, list[pd.Index]]
) -> str:
    """The file of some rows. Hypotheses of the same rows share it.

    Other rows get another file, even where names or capitals fold alike.
    """
    chosen = labels | hypothesis.where
    words = [re.sub(r"[^\w.+=-]+", "_", f"{column}={value}") for column, value in chosen.items()]
    name = ".".join(words) or "all"
    if len(name.encode()) > _LONGEST:
        name = f"{name[: _LONGEST // 4]}-{digest([[c, str(v)] for c, v in chosen.items()], 12)}"
    sharing = taken.setdefault(unicodedata.normalize("NFKC", name).casefold(), [])
    number = next((n for n, others in enumerate(sharing) if others.equals(rows)), len(sharing))
    if number == len(sharing):
        sharing.append(rows)
    # No value has a tilde in its file's name, so the number never makes a name of another value.
    return f"{place}/{name}{f'~{number + 1}' if number else ''}.csv"


def _tested(hypothesis: Hypothesis, labels: dict[str, Any], cell: pd.DataFrame, plan: AnalysisPlan) -> pd.DataFrame:
    """The rows of one cell, its labels first; one row with the reason where it cannot be tested."""
    try:
        rows = hypothesis.run(cell, plan.asked())
        rows = rows.assign(note=rows.get("note", ""))
    except UserError as error:
        rows = pd.DataFrame([{"p_family": float("nan"), "note": f"{_NOT_TESTED}: {error}"}])
    for place, (column, value) in enumerate(labels.items()):
        rows.insert(place, column, value, allow_duplicates=True)
    family = hypothesis.family or hypothesis.name
    by = [str(labels[column]) for column in hypothesis.family_by]
    return rows.assign(family=f"{family}: {', '.join(by)}" if by else family)


def selected(hypothesis: Hypothesis, table: pd.DataFrame, strict: bool) -> pd.DataFrame:
    """The rows that a hypothesis speaks of.

    Raises:
        UserError: if strict, for a value of ``where`` that no row has.
    """
    for column, wanted in hypothesis.where.items():
        values = levels_of(wanted)
        missing = [value for value in values if value not in set(table[column])]
        if missing and strict:
            raise UserError(
                f"{hypothesis.name}: where.{column}: no row has {some(map(repr, missing))}; there are "
                f"{some(map(repr, table[column].dropna().unique().tolist()), 12)}."
            )
        table = table[table[column].isin(values)]
    return table


def _refuse_unknown_levels(hypothesis: Hypothesis, table: pd.DataFrame) -> None:
    """Refuse levels to be compared that are in no cell, or the same: a family would be smaller than the plan says."""
    table = selected(hypothesis, table, True)
    for column, levels in hypothesis.compared().items():
        try:
            choose(table, column, levels)
        except UserError as error:
            raise UserError(f"{hypothesis.name}: {error}") from error


def _cells(hypothesis: Hypothesis, table: pd.DataFrame, strict: bool) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each combination of the columns ``each``, in the order of their levels."""
    table = selected(hypothesis, table, strict)
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
        found: dict[str, Any] = {column: pooled.loc[name, column] for column in _FAMILY[1:]}
        tables[name] = rows.assign(**found)


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """The family's columns, the note and the file last."""
    last = [name for name in (*_FAMILY, "verdict", "note", "rows") if name in rows]
    return rows[[*rows.columns.drop(["p_family", *last]), "p_family", *last]]
