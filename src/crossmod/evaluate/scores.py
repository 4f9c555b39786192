"""Predicted masks + reference labels → one row per case, target, region and unit."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossmod.anatomy.units import BOTH
from crossmod.cohort.table import Cohort
from crossmod.evaluate import metrics
from crossmod.evaluate.declared import Declared, column_of
from crossmod.evaluate.ellipsoid import ellipsoid_ml
from crossmod.evaluate.metrics import Comparison
from crossmod.evaluate.targets import Pair, Truth, pairs_of
from crossmod.job import Plain, UserError, read_json
from crossmod.scans.files import read_scan
from crossmod.scans.grid import Grid
from crossmod.scans.match import labels_on_image_grid
from crossmod.scans.voxels import edges_mm, voxel_mm3
from crossmod.tables import read_own

HEAD = ("arm", "seed", "site", "case", "patient", "modality", "simulated", "target", "region", "unit", "side")
VOLUMES: dict[str, Callable[[metrics.Comparison], float]] = {
    "volume_reference_ml": metrics.volume_reference_ml,
    "volume_predicted_ml": metrics.volume_predicted_ml,
    "volume_difference_ml": metrics.volume_difference_ml,
    "relative_difference_pct": metrics.relative_difference_pct,
}
ELLIPSOID = "ellipsoid_ml"
# What a study may ask for, in the order of the columns: some stand before the volumes, some after.
BEFORE = ("dsc", "hd95_mm", "surface_dsc")
AFTER: dict[str, Callable[[metrics.Comparison], float]] = {
    "precision": metrics.precision,
    "recall": metrics.recall,
    "accuracy": metrics.accuracy,
    "f1": metrics.f1,
    "iou": metrics.iou,
    # With the two volumes they give the four counts of voxels in ml, so that scores can be pooled over units.
    "shared_ml": metrics.shared_ml,
    "extent_ml": metrics.extent_ml,
}
# A word and not a number: whether something was found in its place.
LOCATED = "located"
METRICS = (*BEFORE, ELLIPSOID, *AFTER, LOCATED)


@dataclass(frozen=True)
class Asked:
    """What the rows of a study hold.

    Attributes:
        declared: the targets.
        metrics: names of those that are wanted, besides the volumes.
        tolerance_mm: of the surface DSC.
        above_dsc: from which DSC on something counts as found in its place.
    """

    declared: Declared
    metrics: tuple[str, ...]
    tolerance_mm: float
    above_dsc: float = 0.0

    @classmethod
    def of(cls, settings: Plain) -> "Asked":
        """From a job's settings: ``stages``, ``units``, ``targets``, ``metrics`` and ``surface_tolerance_mm``, and
        ``located_above_dsc`` where the metric ``located`` is wanted.

        Raises:
            UserError: for an unknown metric, or a target that speaks of what is not declared.
        """
        unknown = [name for name in settings["metrics"] if name not in METRICS]
        if unknown:
            raise UserError(f"metrics: '{unknown[0]}' is unknown; valid: {', '.join(METRICS)}.")
        above_dsc = settings.get("located_above_dsc", 0.0)
        return cls(Declared.of(settings), tuple(settings["metrics"]), settings["surface_tolerance_mm"], above_dsc)

    @property
    def columns(self) -> list[str]:
        """The columns of the table, in order."""
        apart = [unit["apart"] for unit in self.declared.units.values()]
        parts = ["part"] if any(how != "side" for how in apart) else []
        parts += ["matched"] if "component" in apart else []
        facts = [column for fact in self.declared.facts for column in (fact, f"{fact}_ml")]
        before, after = (
            [name for name in names if name in self.metrics] for names in (BEFORE, (ELLIPSOID, *AFTER, LOCATED))
        )
        return [*HEAD, *parts, *facts, *before, *VOLUMES, *after]

    @property
    def measures(self) -> dict[str, Callable[[Comparison], float]]:
        """Column → what computes it from a pair of masks; the ellipsoid formula looks at the reference alone."""
        surface_dsc = partial(metrics.surface_dsc, tolerance_mm=self.tolerance_mm)
        known: dict[str, Callable[[Comparison], float]] = {
            "dsc": metrics.dsc,
            "hd95_mm": metrics.hd95_mm,
            "surface_dsc": surface_dsc,
            **AFTER,
        }
        return VOLUMES | {name: measure for name, measure in known.items() if name in self.metrics}


def read_index(folder: Path, declared: Declared) -> pd.DataFrame:
    """The table of predicted masks of one arm, seed and site.

    Raises:
        UserError: if it is missing, lacks a column that a target needs, or lists a case of a cohort twice.
    """
    path, index = folder / "index.csv", _index(folder)
    missing = [column for column in ("case", "cohort", *declared.columns) if column not in index.columns]
    if missing:
        raise UserError(f"{path}: lacks the columns {', '.join(missing)}; predict this site anew.")
    twice = index[index.duplicated(["cohort", "case"])]
    if len(twice):
        raise UserError(f"{path}: case '{twice.iloc[0]['case']}' is listed twice; predict this site anew.")
    return index


def score_site(folder: Path, cohorts: dict[str, Cohort], settings: Plain) -> Iterator[list[Plain]]:
    """Score every case of a folder of predictions.

    Args:
        folder: of ``index.csv`` and the masks it names.
        cohorts: name → cohort, those the cases come from.
        settings: ``arm`` (name), ``seed``, ``site``, and those of :class:`Asked`.

    Yields:
        The rows of one case, in the order of the index; keys are the columns of :class:`Asked`.

    Raises:
        UserError: for an unknown target, an unknown cohort or case, a case without reference, a missing
            mask, or a mask that does not lie on the grid of the scan.
    """
    asked = Asked.of(settings)
    if (known := folder / "known.json").is_file():
        asked = replace(asked, declared=asked.declared.known(read_json(known)))
    head = {"arm": settings["arm"], "seed": settings["seed"], "site": settings["site"]}
    for record in read_index(folder, asked.declared).to_dict("records"):
        row = _named(record)
        where = f"cohort {row['cohort']}, case {row['case']}"
        case, cohort = _find(row, cohorts, folder)
        head |= {key: case[key] for key in ("case", "patient", "modality")} | {"simulated": cohort.simulated}
        try:
            truth, masks = read_case(folder, row, case, cohort, asked.declared.columns)
            rows = [{**head, **scores} for scores in score_case(truth, masks, asked)]
        except (UserError, OSError, ValueError) as error:
            raise UserError(f"{where}: {error}") from error
        yield rows


def score_case(truth: Truth, masks: dict[str, NDArray], asked: Asked) -> Iterator[Plain]:
    """The rows of one case, one per target, region and unit; see :func:`crossmod.evaluate.targets.pairs_of`."""
    edges = edges_mm(truth.grid.affine)
    for pair in pairs_of(asked.declared, truth, masks):
        found = metrics.compare(pair.reference, pair.predicted, edges, pair.voxels, pair.flat)
        row = _unit(pair, voxel_mm3(edges))
        row |= {name: measure(found) for name, measure in asked.measures.items()}
        if pair.unit.side != BOTH and ELLIPSOID in asked.metrics:
            row[ELLIPSOID] = ellipsoid_ml(pair.reference, edges)
        if LOCATED in asked.metrics:
            row[LOCATED] = metrics.located(found, asked.above_dsc)
        yield row


def read_case(
    folder: Path, row: Plain, case: Plain, cohort: Cohort, columns: list[str]
) -> tuple[Truth, dict[str, NDArray]]:
    """A case's labels and the masks that were predicted for it, all on the grid of its scan.

    Args:
        folder: of the predictions.
        row: of the index of that folder.
        case: row of the cohort's table.
        cohort: of the case.
        columns: of the index, those whose masks are wanted; one without a mask is left out.

    Raises:
        UserError: if no mask was predicted, or the labels do not lie on its grid.
    """
    scans = {column: read_scan(folder / row[column]) for column in columns if row[column]}
    if not scans:
        raise UserError(f"no mask in {', '.join(columns)}; predict this site anew.")
    grid = next(iter(scans.values()))
    labels = labels_on_image_grid(read_scan(cohort.label_root / case["label"]), grid)
    truth = Truth(labels, cohort.labels, Grid(labels.shape, grid.affine))
    return truth, {column: np.asarray(scan.array) for column, scan in scans.items()}


def masks_of(folder: Path, scored: Plain, cohorts: dict[str, Cohort], settings: Plain) -> tuple[NDArray, NDArray]:
    """The reference and the predicted mask of a row of scores, (X, Y, Z) each, on the grid of the scan.

    Args:
        folder: of the predictions of the row's arm, seed and site.
        scored: the row: its case, target, region, side and, where units have one, part.
        cohorts: name → cohort, with that of the case.
        settings: ``stages``, ``units`` and ``targets`` of the study; of the stages, those that this arm has count.

    Raises:
        UserError: if the prediction or the case is gone, or does not have the unit.
    """
    row = index_row(folder, scored["case"])
    declared = Declared.of({**settings, "stages": {k: v for k, v in settings["stages"].items() if k in row}})
    target = next((one for one in declared.targets if one.name == scored["target"]), None)
    if target is None:
        raise UserError(f"{folder / 'index.csv'}: has no stage of target '{scored['target']}'; predict this site anew.")
    case, cohort = _find(row, cohorts, folder)
    truth, masks = read_case(folder, row, case, cohort, [column_of(target.stage, scored["region"])])
    for pair in pairs_of(declared, truth, masks, target.name, scored["region"]):
        if pair.unit.side == scored["side"] and pair.unit.part in (None, _whole_number(scored.get("part"))):
            return pair.whole(truth.labels.shape)
    raise UserError(
        f"{folder}: case '{scored['case']}' has no unit '{scored['side']}' of target '{target.name}'; evaluate it anew."
    )


def index_row(folder: Path, case: str) -> Plain:
    """The row of a case in the table of predicted masks.

    Raises:
        UserError: if there is no such table, or it does not list the case.
    """
    index = _index(folder).set_index("case", drop=False)
    if case not in index.index:
        raise UserError(f"{folder / 'index.csv'}: does not list case '{case}'; predict and evaluate this site anew.")
    return _named(index.loc[case].to_dict())


def _named(row: dict[Hashable, Any]) -> Plain:
    """A row of a table of which every column has a name."""
    return {str(column): value for column, value in row.items()}


def _index(folder: Path) -> pd.DataFrame:
    path = folder / "index.csv"
    if not path.is_file():
        raise UserError(f"{path}: no such table of predictions; run the predict step that writes this folder.")
    return read_own(path)


def _whole_number(part: object) -> int | None:
    """The number of a unit, however a table of scores was read; None where it has none."""
    try:
        return int(float(part))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _find(row: Plain, cohorts: dict[str, Cohort], folder: Path) -> tuple[Plain, Cohort]:
    if row["cohort"] not in cohorts:
        raise UserError(
            f"{folder / 'index.csv'}: case '{row['case']}' is of cohort '{row['cohort']}', which is not "
            f"among the given ones: {', '.join(cohorts)}"
        )
    cohort = cohorts[row["cohort"]]
    found = cohort.cases[cohort.cases["case"] == row["case"]]
    if found.empty:
        raise UserError(f"cohort {cohort.name} has no case '{row['case']}'; predict this site anew.")
    case = found.iloc[0].to_dict()
    if not case["label"]:
        raise UserError(f"cohort {cohort.name}, case {row['case']}: no reference labels, so nothing to score.")
    return case, cohort


def _unit(pair: Pair, mm3: float) -> Plain:
    """What a row says of its unit."""
    row: Plain = {"target": pair.target.name, "region": pair.region, "unit": pair.target.unit, "side": pair.unit.side}
    row |= {"part": pair.unit.part, "matched": pair.matched}
    for fact, voxels in pair.unit.facts.items():
        row |= {fact: voxels > 0, f"{fact}_ml": voxels * mm3 / 1000}
    return row
