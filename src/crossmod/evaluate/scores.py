"""Predicted masks + reference labels → one row per case, target, region and unit."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossmod.anatomy.kidneys import (
    MASK_VALUES,
    Kidney,
    reference_kidneys,
)
from crossmod.cohort.table import Cohort
from crossmod.evaluate import metrics
from crossmod.evaluate.ellipsoid import ellipsoid_ml
from crossmod.job import Plain, UserError
from crossmod.scans.files import read_scan
from crossmod.scans.match import labels_on_image_grid
from crossmod.scans.scan import Scan
from crossmod.scans.voxels import edges_mm, voxel_mm3
from crossmod.tables import read_own

KIDNEY = "kidney"
PARENCHYMA = {True: "parenchyma_with_tumour", False: "parenchyma_without_tumour"}
TARGETS = (KIDNEY, *PARENCHYMA.values())

# Where the parenchyma network looked → the column of the prediction's index that names its mask.
REGIONS = {"predicted_box": "parenchyma", "reference_box": "parenchyma_reference_box"}
INDEX_COLUMNS = ("case", "cohort", "kidney", *REGIONS.values())

COLUMNS = (
    *("arm", "seed", "site", "case", "patient", "modality", "simulated"),
    *("target", "region", "unit", "side", "tumour", "tumour_ml"),
    *("dsc", "hd95_mm", "surface_dsc"),
    *("volume_reference_ml", "volume_predicted_ml", "volume_difference_ml", "relative_difference_pct"),
    "ellipsoid_ml",
)


@dataclass(frozen=True)
class Reference:
    """What is true of one case, on the grid of its scan.

    Attributes:
        case: the case's row of its cohort's table.
        simulated: whether the case is a simulated patient.
        kidneys: those present, with their masks (X, Y, Z).
        shape: (X, Y, Z) of the scan.
        edges_mm: (3, 3) of a voxel; see :func:`crossmod.scans.voxels.edges_mm`.
    """

    case: Plain
    simulated: bool
    kidneys: list[Kidney]
    shape: tuple[int, ...]
    edges_mm: NDArray


def read_index(folder: Path) -> pd.DataFrame:
    """The table of predicted masks of one arm, seed and site.

    Raises:
        UserError: if it is missing, lacks a column, or lists a case of a cohort twice.
    """
    path = folder / "index.csv"
    if not path.is_file():
        raise UserError(f"{path}: no such table of predictions; run the predict step that writes this folder.")
    index = read_own(path)
    missing = [column for column in INDEX_COLUMNS if column not in index.columns]
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
        settings: ``arm`` (record), ``seed``, ``site``, ``targets``, ``surface_tolerance_mm``.

    Yields:
        The rows of one case, in the order of the index; keys are ``COLUMNS``.

    Raises:
        UserError: for an unknown target, an unknown cohort or case, a case without reference, a missing
            mask, or a mask that does not lie on the grid of the scan.
    """
    targets = list(settings["targets"])
    unknown = [target for target in targets if target not in TARGETS]
    if unknown:
        raise UserError(f"targets: '{unknown[0]}' is unknown; valid: {', '.join(TARGETS)}")
    head = {"arm": settings["arm"]["name"], "seed": settings["seed"], "site": settings["site"]}
    for row in read_index(folder).to_dict("records"):
        where = f"cohort {row['cohort']}, case {row['case']}"
        case, cohort = _find(row, cohorts, folder)
        try:
            kidney_mask = read_scan(folder / row["kidney"])
            reference = _read_reference(case, cohort, kidney_mask)
            masks = {KIDNEY: kidney_mask.array}
            for region, column in REGIONS.items():
                if row[column]:
                    masks[region] = read_scan(folder / row[column]).array
            rows = score_case(reference, masks, targets, settings["surface_tolerance_mm"])
        except (UserError, OSError, ValueError) as error:
            raise UserError(f"{where}: {error}") from error
        yield [{**head, **scores} for scores in rows]


def score_case(reference: Reference, masks: dict[str, NDArray], targets: list[str], tolerance_mm: float) -> list[Plain]:
    """All rows of one case.

    Args:
        reference: the truth.
        masks: (X, Y, Z) predictions, 1 right and 2 left: ``kidney``, and ``predicted_box`` and
            ``reference_box`` (the parenchyma found in the box of a predicted or of a reference kidney)
            where they were made.
        targets: which of ``TARGETS`` are wanted.
        tolerance_mm: of the surface DSC.

    Returns:
        One row per unit. The kidney target has the image as its unit: both kidneys together, tumours and
        cysts included. The parenchyma targets have a kidney as their unit; a kidney that the reference
        lacks has no row of its own (what a model finds there counts against the kidney target).

    Raises:
        ValueError: if a mask is not on the grid of the scan.
    """
    for name, mask in masks.items():
        if mask.shape != reference.shape:
            raise ValueError(f"mask '{name}' has {mask.shape} voxels, the scan {reference.shape}: predict it anew")
    rows = []
    if KIDNEY in targets:
        whole = np.zeros(reference.shape, dtype=bool)
        for kidney in reference.kidneys:
            whole |= kidney.mask
        unit = {"target": KIDNEY, "region": "image", "unit": "image", "side": "both"}
        unit |= _tumour(reference, reference.kidneys)
        rows.append(_row(reference, unit, whole, masks[KIDNEY] > 0, tolerance_mm))
    for region in REGIONS:
        for kidney in reference.kidneys:
            target = PARENCHYMA[kidney.tumour]
            if region not in masks or kidney.parenchyma is None or target not in targets:
                continue
            unit = {"target": target, "region": region, "unit": "kidney"}
            unit |= {"side": kidney.side, **_tumour(reference, [kidney])}
            predicted = masks[region] == MASK_VALUES[kidney.side]
            rows.append(_row(reference, unit, kidney.parenchyma, predicted, tolerance_mm))
    return rows


def _tumour(reference: Reference, kidneys: list[Kidney]) -> Plain:
    """Whether a unit of these kidneys holds tumour, and its volume in ml."""
    voxels = sum(kidney.tumour_voxels for kidney in kidneys)
    return {"tumour": voxels > 0, "tumour_ml": voxels * voxel_mm3(reference.edges_mm) / 1000}


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


def _read_reference(case: Plain, cohort: Cohort, grid: Scan) -> Reference:
    """Read a case's labels once and take its kidneys apart; ``grid`` is a scan on the case's own grid."""
    labels = labels_on_image_grid(read_scan(cohort.root / case["label"]), grid)
    return Reference(
        case=case,
        simulated=cohort.simulated,
        kidneys=reference_kidneys(labels, cohort.labels, grid.affine),
        shape=labels.shape,
        edges_mm=edges_mm(grid.affine),
    )


def _row(reference: Reference, unit: Plain, truth: metrics.Mask, predicted: metrics.Mask, tolerance_mm: float) -> Plain:
    pair = metrics.compare(truth, predicted, reference.edges_mm)
    row = {
        "case": reference.case["case"],
        "patient": reference.case["patient"],
        "modality": reference.case["modality"],
        "simulated": reference.simulated,
        **unit,
        "dsc": metrics.dsc(pair),
        "hd95_mm": metrics.hd95_mm(pair),
        "surface_dsc": metrics.surface_dsc(pair, tolerance_mm),
        "volume_reference_ml": metrics.volume_reference_ml(pair),
        "volume_predicted_ml": metrics.volume_predicted_ml(pair),
        "volume_difference_ml": metrics.volume_difference_ml(pair),
        "relative_difference_pct": metrics.relative_difference_pct(pair),
        "ellipsoid_ml": float("nan"),
    }
    if unit["unit"] == "kidney":
        row["ellipsoid_ml"] = ellipsoid_ml(truth, reference.edges_mm)
    return row
