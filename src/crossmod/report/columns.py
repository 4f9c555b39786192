"""Columns of the tables of tests: each says its header and its cell, so that a column of nothing is left out."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from crossmod.job import Plain
from crossmod.report.results import Results
from crossmod.report.tables import Cell, Table, number, p_value, span, units_in_words
from crossmod.report.words import CORRECTIONS, capital, short

Row = dict


# What tables call equal has not been shown to be so: a test that finds no difference shows no equality.
READ_AS = {"equal": "not shown to differ"}


@dataclass(frozen=True)
class Column:
    """A column of a table of tests.

    Attributes:
        head: its header.
        cell: row of the test's CSV → what is shown.
        group: header above this column and its neighbours of the same group.
    """

    head: str
    cell: Callable[[Row], Cell]
    group: str = ""


def built(name: str, caption: str, source: str, columns: list[Column], rows: Iterable[Row]) -> Table:
    """A table of rows, from its columns."""
    groups = [(group, len(list(members))) for group, members in groupby(column.group for column in columns)]
    return Table(
        name=name,
        caption=caption,
        source=source,
        columns=[column.head for column in columns],
        rows=[[column.cell(row) for column in columns] for row in rows],
        groups=groups if any(group for group, _ in groups) else None,
    )


def places(results: Results, hypothesis: Plain, hidden: Iterable[str] = ()) -> list[Column]:
    """The columns that say where a test was made: those of its cells that a reader tells apart, in words.

    Args:
        results: of the study.
        hypothesis: whose cells they are.
        hidden: columns of cells that are said elsewhere.
    """
    each = [name for name in hypothesis["each"] if name not in ("region", "setting", *hidden)]
    ordered = [name for name in ("site", "target") if name in each] + [n for n in each if n not in ("site", "target")]
    columns = []
    for name in ordered:
        if name == "site":
            columns.append(Column("Site", lambda row: Cell(results.site_name(row["site"]))))
        elif name == "target":
            columns.append(Column("Target", lambda row: Cell(results.words.target(row["target"]))))
        elif name == "group":
            continue
        elif name == "grouping":
            columns.append(Column("Subgroup", lambda row: Cell(f"{row['grouping']}: {row.get('group', '')}")))
        else:
            columns.append(level_column(results, name, name))
    return columns or [Column("Cell", lambda row: Cell("all"))]


def level_column(results: Results, factor: str, column: str) -> Column:
    """The level of a factor that a row speaks of, by its title; amounts as numbers."""
    head = capital(results.words.factor(factor))

    def cell(row: Row) -> Cell:
        value = row[column]
        if isinstance(value, str):
            return Cell(results.words.level(factor, value))
        return number(value, "g")

    return Column(head, cell)


def test_p(row: Row, hypothesis: Plain | None = None, column: str = "p_corrected") -> Cell:
    """A p-value with the file of the rows it came from; of another table where its hypothesis is named."""
    cell = p_value(row.get(column, math.nan), row.get("rows", ""))
    return cell.of(f"analyse/{hypothesis['name']}.csv") if hypothesis else cell


def verdict(row: Row) -> Cell:
    """What the corrected p-value says, in a reader's words, or why there is none."""
    found = _text(row.get("verdict"))
    return Cell(READ_AS.get(found, found) or _text(row.get("note")) or "–")


def in_regions(table: pd.DataFrame, regions: Iterable[str]) -> pd.DataFrame:
    """Rows of some regions; all of a table that does not tell regions apart."""
    return table[table["region"].isin(list(regions))] if "region" in table and len(table) else table


def by_cell(hypothesis: Plain, table: pd.DataFrame) -> dict[tuple, Row]:
    """The rows of a test by their cell, so that tests of the same cells find each other."""
    return {cell_of(hypothesis, row): row for row in table.to_dict("records")}


def cell_of(hypothesis: Plain, row: Row) -> tuple:
    """Where a row was tested: its labels, and the levels it compares."""
    at = row.get("at")
    return (*(row.get(name) for name in hypothesis["each"]), row.get("a"), row.get("b"), None if pd.isna(at) else at)


def facts(results: Results, table: pd.DataFrame, count: str, targets: Iterable[str] = ()) -> str:
    """Unit, n, who is left out and the correction, as every caption says them.

    ``targets`` are given where the table has no column of them.
    """
    left = table["n_dropped"].max() if "n_dropped" in table else 0
    dropped = "none left out" if not left > 0 else f"up to {left:.0f} incomplete ones left out (listed below)"
    targets = list(targets) or (dict.fromkeys(table["target"]) if "target" in table and len(table) else results.targets)
    words = f"Unit: {units_in_words(results, targets)}; {span(table[count])}, {dropped}"
    tests = sorted({int(tests) for tests in table["tests_in_family"].dropna()} - {0})
    if not tests:
        return f"{words}; nothing corrected."
    correction = CORRECTIONS.get(results.record["correction"], results.record["correction"])
    return f"{words}; correction: {correction} over {' or '.join(map(str, tests))} tests."


def pair_in_words(row: Row) -> str:
    """``mixed − pure``: the levels that a row compares, by their names."""
    if not isinstance(row.get("a"), str) or not row["a"]:
        return "–"
    return f"{short(row['a'])} − {short(row['b'])}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
