"""A cohort whose labels come from another cohort's reference and from what teachers predicted.

Teachers predict only patients that they never saw.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crossmod.anatomy.structures import values_of
from crossmod.cohort.table import Cohort, read_cohort, reference, write_table
from crossmod.job import UserError
from crossmod.parallel import each
from crossmod.scans.files import read_scan, write_mask
from crossmod.scans.match import labels_on_image_grid
from crossmod.scans.scan import Scan
from crossmod.tables import read_own

REFERENCE = "reference"


def write_cohort(name: str, folder: Path, settings: dict[str, Any], threads: int = 1) -> None:
    """Compose a label map for every labelled case of another cohort; its scans stay where they are.

    Structures are painted in the order of ``structures``: where two meet, the later one counts. Holes of a structure
    that a teacher predicted are filled, where nothing else is painted. A case whose structure has another volume than
    ``volume_ml`` allows is left out; ``cohort.json`` lists it under ``left_out``, and under ``made_of`` where each
    structure comes from.

    Args:
        name: of the cohort.
        folder: existing folder to write into.
        settings: ``cohort`` (folder of the cohort that has the scans), ``structures`` (pairs of a structure and where
            it comes from: ``reference``, or ``teacher``, ``stage`` and the ``values`` of its mask that are the
            structure), ``predictions`` (teacher → folder of its predictions for that cohort), ``volume_ml`` (structure
            → least and most).
        threads: cases at a time.

    Raises:
        UserError: if a teacher has no prediction of a case or one of another grid, the reference lacks a
            structure, or no case is left.
    """
    origin = read_cohort(Path(settings["cohort"]))
    indices = {
        teacher: read_own(Path(place) / "index.csv").set_index("case")
        for teacher, place in settings["predictions"].items()
    }
    cases = origin.cases[origin.cases["label"] != ""].copy()
    _require(name, origin, settings, indices, cases["case"].tolist())
    (folder / "labels").mkdir()
    work = partial(_compose, origin, settings, indices, folder)
    rows = cases.to_dict("records")
    left_out = {
        row["case"]: reason
        for row, reason in zip(rows, each(f"cohort {name}: labels", work, rows, threads), strict=True)
        if reason
    }
    kept = cases[~cases["case"].isin(left_out)].copy()
    if kept.empty:
        raise UserError(
            f"Cohort '{name}': no case is left; the first was left out because of {next(iter(left_out.values()))}."
        )
    kept["label"] = [f"labels/{case}.nii.gz" for case in kept["case"]]
    write_table(
        folder,
        name=name,
        source="derived",
        root=reference(origin.root, folder),
        label_root=".",
        labels={value: structure for value, (structure, _) in enumerate(settings["structures"], start=1)},
        cases=kept,
        simulated=origin.simulated,
        extra={"of": origin.name, "made_of": _sources(settings["structures"]), "left_out": left_out},
    )


def _require(name: str, origin: Cohort, settings: dict[str, Any], indices: dict[str, Any], cases: list[str]) -> None:
    faults = []
    for structure, source in settings["structures"]:
        if source == REFERENCE and not values_of(origin.labels, [structure]):
            faults.append(f"the labels of cohort '{origin.name}' name no {structure}")
        if source != REFERENCE:
            missing = [case for case in cases if case not in indices[source["teacher"]].index]
            if missing:
                faults.append(
                    f"teacher '{source['teacher']}' has no prediction of {len(missing)} cases, the first '{missing[0]}'"
                )
    if faults:
        raise UserError(f"Cohort '{name}' cannot be derived: {'; '.join(faults)}.")


def _compose(
    origin: Cohort, settings: dict[str, Any], indices: dict[str, Any], folder: Path, row: dict[str, Any]
) -> str:
    """Write the label map of one case; the reason if it is left out."""
    image = read_scan(origin.root / row["image"])
    reference_map = labels_on_image_grid(read_scan(origin.label_root / row["label"]), image)
    composed = np.zeros(image.array.shape, np.uint8)
    for value, (structure, source) in enumerate(settings["structures"], start=1):
        if source == REFERENCE:
            mask = np.isin(reference_map, values_of(origin.labels, [structure]))
        else:
            predicted = Path(settings["predictions"][source["teacher"]])
            file = predicted / indices[source["teacher"]].loc[row["case"], source["stage"]]
            mask = np.isin(labels_on_image_grid(read_scan(file), image), source["values"])
        composed[mask] = value
        if source != REFERENCE:
            holes = ndimage.binary_fill_holes(mask) & (composed == 0)
            composed[holes] = value
    reason = _outside(composed, image, settings)
    if not reason:
        write_mask(folder / "labels" / f"{row['case']}.nii.gz", composed, image.affine, image.codes)
    return reason


def _outside(composed: NDArray, image: Scan, settings: dict[str, Any]) -> str:
    """Why a case is left out: a structure that is too small or too large."""
    for value, (structure, _) in enumerate(settings["structures"], start=1):
        if structure in (settings.get("volume_ml") or {}):
            low, high = settings["volume_ml"][structure]
            volume_ml = np.count_nonzero(composed == value) * image.voxel_ml
            if not low <= volume_ml <= high:
                return f"its {structure} of {volume_ml:.0f} ml, outside {low:g} to {high:g} ml"
    return ""


def _sources(structures: list[Any]) -> dict[str, str]:
    return {
        structure: REFERENCE if source == REFERENCE else f"teacher {source['teacher']}, stage {source['stage']}"
        for structure, source in structures
    }
