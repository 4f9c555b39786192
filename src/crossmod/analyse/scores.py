"""The rows of the evaluate step, read, checked and put in the order of the design."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossmod.analyse.declared import words_of
from crossmod.analyse.design import Design
from crossmod.analyse.stats.errors import IncompleteDesignError, some
from crossmod.job import UserError
from crossmod.tables import read_own

TEXT = ["arm", "site", "case", "patient", "modality", "target", "region", "unit", "side"]
VOLUMES = ["volume_reference_ml", "volume_predicted_ml", "volume_difference_ml", "relative_difference_pct"]
REGIONS = ["image", "predicted_box", "reference_box"]
SIDES = ["both", "right", "left"]
# Columns that :func:`read_scores` adds to those of the files.
ADDED = ["subject", "person"]


def read_scores(paths: Sequence[str | Path], design: Design) -> pd.DataFrame:
    """All rows of the evaluate step in one table, ordered by the design.

    Ids stay text (``001`` is not 1, ``NA`` is a name). arm, site, target, region and side are ordered categories, and
    so is ``part`` (the number of a component, plane or tile, empty where a row has none) where the files have it. Two
    columns are added: ``subject`` (``site/case/side`` or ``site/case/side/part``, so that ids that collide across sites
    are told apart) and ``person`` (``site/patient``).

    Raises:
        IncompleteDesignError: one (arm, seed, site, case, side, target, region, part) has two rows; all are named.
        UserError: a file or column is absent, columns differ between files, a number cannot be read, an arm, site,
            target, region or side is unknown, or the reference volume of a unit differs between rows.
    """
    if not paths:
        raise UserError("inputs.scores lists no file; give the CSV of each arm, seed and site of the evaluate step.")
    table = pd.concat(_alike(paths, design), ignore_index=True)
    if table.empty:
        raise UserError(f"None of the {len(paths)} score files has a row: nothing was evaluated.")
    known = {
        "arm": [arm["name"] for arm in design.arms],
        "site": design.sites,
        "target": design.targets,
        "region": REGIONS,
        "side": SIDES,
    }
    for column, names in known.items():
        strange = table.loc[~table[column].isin(names), column].unique()
        if len(strange):
            raise UserError(
                f"Scores of unknown {column} {some(map(repr, strange))}; the study declares {some(names, 20)}."
            )
        table[column] = pd.Categorical(table[column], categories=names, ordered=True)
    part = ["part"] if "part" in table else []
    if design.parts and not part:
        raise UserError(f"{paths[0]}: no column 'part', by which the units of a side are told apart; evaluate again.")
    if part:
        table["part"] = _numbered(table["part"])
    _refuse_duplicates(table, ["arm", "seed", "site", "case", "side", "target", "region", *part])
    table["subject"] = table["site"].astype(str) + "/" + table["case"] + "/" + table["side"].astype(str)
    if part:
        numbers = table["part"].astype(str)
        table["subject"] += numbers.where(numbers == "", "/" + numbers)
    table["person"] = table["site"].astype(str) + "/" + table["patient"]
    _refuse_changed_references(table, design)
    order = ["arm", "seed", "site", "target", "region", "case", "side", *part]
    return table.sort_values(order, kind="stable", ignore_index=True)


def read_file(path: Path, metrics: Sequence[str] = (), facts: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of one file of the evaluate step: names as text, numbers empty where there is none, flags.

    Args:
        path: of the file.
        metrics: columns of scores that it must have.
        facts: structures of which it must tell whether a unit holds them (``{fact}``) and how much (``{fact}_ml``).
            What is unknown of a unit is empty. Further columns stay text.

    Raises:
        UserError: naming case and column of what cannot be read.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such score file; run the evaluate step first.")
    table = read_own(path)
    words = words_of(metrics)
    numbers = ["seed", *(f"{fact}_ml" for fact in facts), *(name for name in metrics if name not in words), *VOLUMES]
    absent = [name for name in [*TEXT, "simulated", *facts, *numbers, *words] if name not in table.columns]
    if absent:
        raise UserError(f"{path}: no column {some(map(repr, absent))}; these are not scores of the evaluate step.")
    for name in numbers:
        table[name] = _number(path, table, name)
    for name in ["simulated", *facts]:
        table[name] = _flag(path, table, name, empty=name in facts)
    empty = (table[TEXT] == "").any(axis=1)
    if empty.any():
        raise UserError(f"{path}: line {int(np.flatnonzero(empty)[0]) + 2} lacks one of {', '.join(TEXT)}.")
    return table


def cells_of(rows: pd.DataFrame, columns: list[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Each combination of the columns' entries that some row has, in their order, and its rows."""
    for key, cell in rows.groupby(columns, observed=True):
        yield tuple(key), cell


def found_alone(scores: pd.DataFrame, design: Design) -> pd.Series:
    """Which rows are of components that only a model has found: no unit of the reference, and each arm's own."""
    return scores["unit"].isin(design.components) & ~(scores["volume_reference_ml"] > 0)


def _number(path: Path, table: pd.DataFrame, name: str) -> pd.Series:
    numbers = pd.to_numeric(table[name].replace("", "nan"), errors="coerce").astype(float)
    wrong = numbers.isna() & ~table[name].str.lower().isin(["", "nan"])
    if name == "seed":
        wrong = ~(numbers == np.floor(numbers))
    if wrong.any():
        row = table[wrong].iloc[0]
        raise UserError(f"{path}: case {row['case']!r} has {name} {row[name]!r}, which is not a number.")
    return numbers.astype(int) if name == "seed" else numbers


def _flag(path: Path, table: pd.DataFrame, name: str, empty: bool) -> pd.Series:
    flags = table[name].str.lower().map({"true": True, "false": False})
    wrong = flags.isna() & ~((table[name] == "") & empty)
    if wrong.any():
        row = table[wrong].iloc[0]
        raise UserError(f"{path}: case {row['case']!r} has {name} {row[name]!r}; True or False is needed.")
    return flags.astype("boolean" if flags.isna().any() else bool)


def _alike(paths: Sequence[str | Path], design: Design) -> list[pd.DataFrame]:
    """The tables of all files, which have the same columns."""
    tables = [read_file(Path(path), design.metrics, design.facts) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        other = set(table.columns) ^ set(tables[0].columns)
        if other:
            raise UserError(
                f"{path} and {paths[0]} differ in the columns {some(sorted(other))}; evaluate all arms again."
            )
        for fact in design.facts:
            having = [name for name, unit in design.units.items() if fact in (unit.get("facts") or [])]
            unknown = table[table[fact].isna() & table["unit"].isin(having)]
            if len(unknown):
                raise UserError(
                    f"{path}: case {unknown.iloc[0]['case']!r} does not say whether its {unknown.iloc[0]['unit']} has "
                    f"a {fact}; evaluate this site again."
                )
    return tables


def _numbered(parts: pd.Series) -> pd.Series:
    """Numbers of parts as ordered categories, empty first: 2 comes before 10."""
    found = parts.unique()
    strange = [part for part in found if part and not part.isdecimal()]
    if strange:
        raise UserError(f"Scores of the part {some(map(repr, strange))}; a part is a number: evaluate all arms again.")
    names = sorted(found, key=lambda part: int(part or -1))
    return pd.Series(pd.Categorical(parts, categories=names, ordered=True), parts.index)


def _refuse_duplicates(table: pd.DataFrame, key: list[str]) -> None:
    twice = table.loc[table.duplicated(key, keep=False), key].drop_duplicates()
    if len(twice):
        named = ("/".join(map(str, row)) for row in twice.itertuples(index=False, name=None))
        raise IncompleteDesignError(
            f"{len(twice)} keys ({'/'.join(key)}) have more than one row: {some(named)}. "
            "A score file is listed twice, or a case evaluated twice."
        )


def _refuse_changed_references(table: pd.DataFrame, design: Design) -> None:
    """A unit has one reference, whatever model is held against it."""
    table = table[~found_alone(table, design)]
    measured = ["volume_reference_ml", *(f"{fact}_ml" for fact in design.facts)]
    for name in [*measured, *(name for name in ("ellipsoid_ml",) if name in design.metrics)]:
        found = table.groupby(["subject", "target"], observed=True)[name].agg(["min", "max"])
        moved = found[(found["max"] - found["min"]) > 1e-6 * found["max"].abs()]
        if len(moved):
            raise UserError(
                f"{name} differs between the rows of {some('/'.join(map(str, key)) for key in moved.index)}: "
                "the arms were not scored against the same reference. Run the evaluate step again for all arms."
            )
