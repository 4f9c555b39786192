"""The rows of the evaluate step, read, checked and put in the order of the design."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crossmod.analyse.stats.errors import IncompleteDesignError, some
from crossmod.job import UserError
from crossmod.tables import read_own

TEXT = ["arm", "site", "case", "patient", "modality", "target", "region", "unit", "side"]
FLAGS = ["simulated", "tumour"]
NUMBERS = [
    *(
        "tumour_ml",
        "dsc",
        "hd95_mm",
        "surface_dsc",
        "volume_reference_ml",
        "volume_predicted_ml",
        "volume_difference_ml",
    ),
    *("relative_difference_pct", "ellipsoid_ml"),
]
COLUMNS = [
    *("arm", "seed", "site", "case", "patient", "modality", "simulated", "target", "region", "unit", "side", "tumour"),
    *NUMBERS,
]
KEY = ["arm", "seed", "site", "case", "side", "target", "region"]
REGIONS = ["image", "predicted_box", "reference_box"]
SIDES = ["both", "right", "left"]
CELL = ["site", "target", "region"]


@dataclass(frozen=True)
class Plan:
    """What is analysed, declared before the numbers are seen.

    Attributes:
        arms: records with name, strategy, amount and subset, in order.
        sites, targets: names in order.
        alpha: significance level after correction.
        correction: of the simple effects of a cell.
        margin_dsc: largest loss of DSC that does not matter, as the hypotheses use it.
        reference_error_ml: error of the method to beat; None takes the ellipsoid formula on the same references.
        reference_error_source: where that number comes from.
        confidence: level of the intervals.
        seed: of the bootstrap.
        seeds: of the trainings that are declared.
        hypotheses: table → hypotheses tested on it, see :class:`crossmod.analyse.declared.Hypotheses`.
    """

    arms: list[dict[str, Any]]
    sites: list[str]
    targets: list[str]
    alpha: float = 0.05
    correction: str = "holm"
    margin_dsc: float | None = None
    reference_error_ml: float | None = None
    reference_error_source: str | None = None
    confidence: float = 0.95
    seed: int = 0
    seeds: list[int] = field(default_factory=list)
    hypotheses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "Plan":
        """The plan in the settings of a job.

        Raises:
            UserError: a key is missing or unknown, or a value out of range.
        """
        try:
            sites = [site["name"] for site in settings["sites"]]
            plan = cls(**{**settings, "sites": sites})
            known = [(arm["name"], arm["strategy"], arm["amount"], arm["subset"]) for arm in plan.arms]
        except (KeyError, TypeError) as error:
            raise UserError(
                f"Settings of the analyse step: {error}. Expected arms (name, strategy, amount, subset), sites (name), "
                "targets, and optionally alpha, correction, confidence, margin_dsc, hypotheses, reference_error_ml, "
                "reference_error_source, seed, seeds."
            ) from error
        if len({name for name, *_ in known}) < len(known):
            raise UserError(f"settings.arms: a name stands twice among {some((k[0] for k in known), 20)}.")
        for key in ("alpha", "confidence"):
            if not 0 < getattr(plan, key) < 1:
                raise UserError(f"settings.{key} is {getattr(plan, key)}; it lies between 0 and 1.")
        error_ml = plan.reference_error_ml
        if error_ml is not None and not (error_ml > 0 and plan.reference_error_source):
            raise UserError(
                f"settings.reference_error_ml is {error_ml}: it must be positive and reference_error_source must say "
                "where it comes from; or leave both empty to use the ellipsoid formula on the same references."
            )
        return plan

    def arm_table(self) -> pd.DataFrame:
        """Columns arm, strategy, amount, subset; one row per arm in order."""
        table = pd.DataFrame([{k: arm[k] for k in ("name", "strategy", "amount", "subset")} for arm in self.arms])
        return table.rename(columns={"name": "arm"})


def read_scores(paths: Sequence[str | Path], plan: Plan) -> pd.DataFrame:
    """All rows of the evaluate step in one table, ordered by the design.

    Ids stay text (``001`` is not 1, ``NA`` is a name). arm, site, target, region and side are ordered categories; two
    columns are added: ``subject`` (``site/case/side``, so that ids that collide across sites are told apart) and
    ``person`` (``site/patient``).

    Raises:
        IncompleteDesignError: one (arm, seed, site, case, side, target, region) has two rows; all are named.
        UserError: a file or column is absent, a number cannot be read, an arm, site, target, region or side is unknown,
            or the reference volume of a unit differs between rows.
    """
    if not paths:
        raise UserError("inputs.scores lists no file; give the CSV of each arm, seed and site of the evaluate step.")
    table = pd.concat([read_file(Path(path)) for path in paths], ignore_index=True)
    if table.empty:
        raise UserError(f"None of the {len(paths)} score files has a row: nothing was evaluated.")
    known = {
        "arm": [arm["name"] for arm in plan.arms],
        **{"site": plan.sites, "target": plan.targets, "region": REGIONS, "side": SIDES},
    }
    for column, names in known.items():
        strange = table.loc[~table[column].isin(names), column].unique()
        if len(strange):
            raise UserError(
                f"Scores of unknown {column} {some(map(repr, strange))}; the study declares {some(names, 20)}."
            )
        table[column] = pd.Categorical(table[column], categories=names, ordered=True)
    _refuse_duplicates(table)
    table["subject"] = table["site"].astype(str) + "/" + table["case"] + "/" + table["side"].astype(str)
    table["person"] = table["site"].astype(str) + "/" + table["patient"]
    _refuse_changed_references(table)
    order = ["arm", "seed", "site", "target", "region", "case", "side"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def read_file(path: Path) -> pd.DataFrame:
    """The rows of one file of the evaluate step: names as text, numbers empty where there is none, flags.

    Raises:
        UserError: naming case and column of what cannot be read.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such score file; run the evaluate step first.")
    table = read_own(path)
    absent = [name for name in COLUMNS if name not in table.columns]
    if absent:
        raise UserError(f"{path}: no column {some(map(repr, absent))}; these are not scores of the evaluate step.")
    table = table[COLUMNS].copy()
    for name in ["seed", *NUMBERS]:
        numbers = pd.to_numeric(table[name].replace("", "nan"), errors="coerce").astype(float)
        wrong = numbers.isna() & ~table[name].str.lower().isin(["", "nan"])
        if name == "seed":
            wrong = ~(numbers == np.floor(numbers))
        if wrong.any():
            row = table[wrong].iloc[0]
            raise UserError(f"{path}: case {row['case']!r} has {name} {row[name]!r}, which is not a number.")
        table[name] = numbers.astype(int) if name == "seed" else numbers
    for name in FLAGS:
        flags = table[name].str.lower().map({"true": True, "false": False})
        if flags.isna().any():
            row = table[flags.isna()].iloc[0]
            raise UserError(f"{path}: case {row['case']!r} has {name} {row[name]!r}; True or False is needed.")
        table[name] = flags.astype(bool)
    empty = (table[TEXT] == "").any(axis=1)
    if empty.any():
        raise UserError(f"{path}: line {int(np.flatnonzero(empty)[0]) + 2} lacks one of {', '.join(TEXT)}.")
    return table


def _refuse_duplicates(table: pd.DataFrame) -> None:
    twice = table.loc[table.duplicated(KEY, keep=False), KEY].drop_duplicates()
    if len(twice):
        named = ("/".join(map(str, row)) for row in twice.itertuples(index=False, name=None))
        raise IncompleteDesignError(
            f"{len(twice)} keys ({'/'.join(KEY)}) have more than one row: {some(named)}. "
            "A score file is listed twice, or a case evaluated twice."
        )


def _refuse_changed_references(table: pd.DataFrame) -> None:
    """A unit has one reference, whatever model is held against it."""
    for name in ("volume_reference_ml", "tumour_ml", "ellipsoid_ml"):
        found = table.groupby(["subject", "target"], observed=True)[name].agg(["min", "max"])
        moved = found[(found["max"] - found["min"]) > 1e-6 * found["max"].abs()]
        if len(moved):
            raise UserError(
                f"{name} differs between the rows of {some('/'.join(map(str, key)) for key in moved.index)}: "
                "the arms were not scored against the same reference. Run the evaluate step again for all arms."
            )
