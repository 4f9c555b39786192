"""The table of lesions that were found, by their size, and of those that a model invented."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from crossmod.evaluate.lesions import OVERLAP
from crossmod.report.columns import in_regions
from crossmod.report.results import Results
from crossmod.report.rows import rows_of
from crossmod.report.tables import Cell, Table, span
from crossmod.report.words import END_TO_END, capital, where

EVERY = "All"


def detected(results: Results, regions: Iterable[str] = END_TO_END) -> list[Table]:
    """For each target in components which share of its lesions every arm finds, and how many it invents."""
    regions = tuple(regions)
    table = in_regions(results.table("detected"), regions)
    table = table.assign(size=[_size(row.from_ml, row.below_ml) for row in rows_of(table)])
    tables = {target: table[table["target"] == target] for target in results.targets}
    return [_table(results, target, rows, regions) for target, rows in tables.items() if len(rows)]


def _table(results: Results, target: str, table: pd.DataFrame, regions: tuple[str, ...]) -> Table:
    sizes, rows = list(dict.fromkeys(table["size"])), []
    for (arm, site), cell in table.groupby(["arm", "site"], observed=True, sort=False):
        found = {row.size: row for row in rows_of(cell)}
        shares = [_share(found.get(size)) for size in sizes]
        rows.append([Cell(str(arm)), Cell(results.site_name(str(site))), *shares, _invented(found[EVERY])])
    every = table[table["size"] == EVERY]
    left, people = int(every["n_left_out"].max()), span(every["n_examined"]).removeprefix("n ")
    return Table(
        name=f"{results.words.target(target)}: found, by size, {where(regions)}",
        caption=f"Share of the lesions of the reference that a predicted one is matched with (intersection "
        f"{_overlap(results, target):g} of the union or more), of several trainings the mean, with its BCa interval "
        "(whole patients resampled). Invented: predicted lesions that match none, a mean over trainings, of "
        f"{people} patients, those without a lesion among them. Unit: the lesion; {span(every['n'])}, "
        f"{f'up to {left} left out, which some training did not score' if left else 'none left out'}; no test, "
        f"nothing corrected. {results.provenance}",
        source="analyse/detected.csv",
        columns=[capital(results.words.arm), "Site", *sizes, "Invented per patient"],
        rows=rows,
    )


def _overlap(results: Results, target: str) -> float:
    unit = (results.study.get("units") or {}).get(results.unit_of.get(target, ""), {})
    return float((unit.get("match") or {}).get("overlap", OVERLAP))


def _size(low: float, high: float) -> str:
    """A class of reference volumes in words; what is missing is an open end."""
    if pd.isna(low):
        return EVERY if pd.isna(high) else f"Below {high:g} ml"
    return f"{low:g} ml or more" if pd.isna(high) else f"{low:g} to {high:g} ml"


def _share(row: Any) -> Cell:
    if row is None or pd.isna(row.rate):
        return Cell("–")
    text = f"{row.rate:.0%} ({row.found:.3g} of {row.n})"
    detail = "" if pd.isna(row.ci_low) else f"{row.ci_low:.0%} to {row.ci_high:.0%}"
    return Cell(text, float(row.rate), detail)


def _invented(row: Any) -> Cell:
    detail = "" if pd.isna(row.alone_low) else f"{row.alone_low:.2f} to {row.alone_high:.2f}"
    return Cell(f"{row.alone_per_patient:.2f}", float(row.alone_per_patient), detail)
