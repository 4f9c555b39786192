"""Everything that can be said about one case by looking at its files: facts and faults."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossmod.anatomy.body import find_body
from crossmod.anatomy.edges import empty_planes
from crossmod.anatomy.plausible import label_findings
from crossmod.anatomy.sides import tumour_side, unsure_sides
from crossmod.anatomy.units import box_of
from crossmod.cohort.table import Cohort
from crossmod.job import UserError
from crossmod.scans.box import Box
from crossmod.scans.files import read_scan
from crossmod.scans.intensities import Intensities, air_level, findings, intensities
from crossmod.scans.match import labels_on_image_grid, match_grids, whole_labels
from crossmod.scans.scan import Scan, ScanError

FACTS = (
    "case",
    "image_sha256",
    *(f"shape_{axis}" for axis in "xyz"),
    *(f"spacing_{axis}_mm" for axis in "xyz"),
    "min",
    "max",
    "mean",
    "label_values",
)
FAULTS = ("cohort", "case", "severity", "file", "problem", "value", "cure")
Note = Callable[[str, str, str, str, str], None]  # severity, file, problem, value, cure


@dataclass(frozen=True)
class Fault:
    """Something wrong with a case.

    Attributes:
        cohort, case: whose.
        severity: ``error`` stops a study, ``warning`` does not.
        file: the file concerned, as the table writes it.
        problem, value, cure: what is wrong, the offending value, the way out.
    """

    cohort: str
    case: str
    severity: str
    file: str
    problem: str
    value: str
    cure: str


def faults_table(faults: list[Fault]) -> pd.DataFrame:
    """One row per fault, columns ``FAULTS``."""
    return pd.DataFrame([asdict(fault) for fault in faults], columns=list(FAULTS))


def inspect_case(cohort: Cohort, row: dict[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Read the files of one case and judge them.

    Args:
        cohort: the case's cohort.
        row: its row of the table.

    Returns:
        The row of ``facts.csv`` (empty entries where a file could not be read), and all faults.
    """
    facts: dict[str, Any] = dict.fromkeys(FACTS, "") | {"case": row["case"]}
    faults: list[Fault] = []

    def note(severity: str, file: str, problem: str, value: str, cure: str) -> None:
        faults.append(Fault(cohort.name, row["case"], severity, file, problem, value, cure))

    image, voxels = _read(cohort.root, row["image"], note), None
    if image is not None:
        facts |= _image_facts(image)
        found = intensities(image.array)
        problems = findings(found, row["modality"], image.stated_modality)
        for severity, *problem in problems:
            note(severity, row["image"], *problem)
        # Of voxels that are none of the modality nothing can be learnt about the body.
        voxels = None if any(one.severity == "error" for one in problems) else found
    if not row["label"]:
        return facts, faults
    label = _read(cohort.label_root, row["label"], note)
    if label is not None:
        facts["label_values"] = _inspect_label(label, image, voxels, cohort.labels, row, note)
    return facts, faults


def _read(root: Path, file: str, note: Note) -> Scan | None:
    try:
        return read_scan(root / file)
    except ScanError as error:
        note("error", file, error.problem, error.value, error.cure)
    return None


def _image_facts(image: Scan) -> dict[str, Any]:
    return {
        "image_sha256": image_digest(image),
        **{f"shape_{axis}": n for axis, n in zip("xyz", image.array.shape, strict=True)},
        **{f"spacing_{axis}_mm": float(mm) for axis, mm in zip("xyz", image.spacing_mm, strict=True)},
        "min": float(image.array.min()),
        "max": float(image.array.max()),
        "mean": float(image.array.mean(dtype=np.float64)),
    }


def image_digest(image: Scan) -> str:
    """SHA-256 of decoded voxels and geometry: the same for one scan stored as another file type or number type.

    Voxels are taken as float32 in R-A-S order and positions to a hundredth of a millimetre, so neither compression nor
    the order in which a file stores its axes hides a copy.
    """
    orientation = nib.io_orientation(image.affine)
    array = nib.apply_orientation(image.array, orientation)
    affine = image.affine @ nib.orientations.inv_ornt_aff(orientation, image.array.shape)
    digest = hashlib.sha256(repr((array.shape, (np.round(affine, 2) + 0.0).tolist())).encode())
    for plane in np.moveaxis(array, 2, 0):
        # Adding zero turns -0.0 into 0.0.
        digest.update((np.ascontiguousarray(plane, dtype="<f4") + np.float32(0)).data)
    return digest.hexdigest()


def _inspect_label(
    label: Scan,
    image: Scan | None,
    voxels: Intensities | None,
    labels: dict[int, str],
    row: dict[str, Any],
    note: Note,
) -> str:
    """Judge a label map; its values, space separated."""
    file = row["label"]
    try:
        array = whole_labels(label.array)
    except UserError as error:
        cure = "Give the label map, not an image or a probability map."
        note("error", file, "not a label map", str(error).rstrip("."), cure)
        return ""
    values = _values(array)
    present = [value for value in values if value]
    listed = " ".join(map(str, values))
    unknown = [value for value in present if value not in labels]
    if not present:
        note("error", file, "the label map is empty", "every voxel is 0", "Give the right file, or leave label empty.")
    if unknown:
        declared = ", ".join(f"{value} {name}" for value, name in sorted(labels.items()))
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        value = f"{', '.join(map(str, unknown[:8]))}{more}; declared: {declared}"
        cure = "Name them under labels (what the study does not need may be called 'other'), or correct the label map."
        note("error", file, "label values without a name", value, cure)
    if image is not None:
        match = match_grids(label, image)
        if match.grade == "rounding":
            note("warning", file, "label and image headers differ by rounding", match.value, "Nothing to do.")
        elif match.grade == "fixable":
            cure = "Nothing to do: the label will be resampled onto the image. Look at one case to be sure."
            note("warning", file, "the label is on another grid over the same space", match.value, cure)
        elif match.grade == "fatal":
            cure = "Give the label that was drawn on this image, or restore the label's header from it."
            note("error", file, "the label lies in another space than its image", match.value, cure)
            return listed
        array = labels_on_image_grid(label, image)
    if array.any() and not unknown:
        body, box = None, box_of(array > 0)
        if image is not None and voxels is not None and box is not None:
            body = find_body(image, air_level(voxels, row["modality"]), box)
            _inspect_planes(image, box, row, note)
        affine = (image or label).affine
        for severity, *problem in label_findings(array, labels, affine, body) + unsure_sides(
            array, labels, affine, body
        ):
            note(severity, file, *problem)
        _inspect_side(array, image or label, labels, row, note)
    return listed


def _inspect_planes(image: Scan, box: Box, row: dict[str, Any], note: Note) -> None:
    lost = empty_planes(image, box)
    if lost:
        cure = "Convert the scan again from its DICOM files; if they are as empty, leave the case out."
        value = f"{lost} planes through what is labelled hold one value only"
        note("warning", row["image"], "slices may be lost", value, cure)


def _values(array: NDArray) -> list[int]:
    """The values of a label map, plane by plane: sorting a whole scan would take seconds and its size again."""
    found: set[int] = set()
    for plane in np.moveaxis(array, 2, 0):
        found.update(np.unique(plane).tolist())
    return sorted(found)


def _inspect_side(array: NDArray, frame: Scan, labels: dict[int, str], row: dict[str, Any], note: Note) -> None:
    stated = row["tumour_side"]
    if stated == "unknown":
        return
    found = tumour_side(array, labels, frame.affine)
    if found not in ("unknown", stated):
        cure = "Correct tumour_side, or check that right and left are not swapped in the label map or the header."
        value = f"the table says {stated}, the label map says {found}"
        note("error", row["label"], "tumour_side contradicts the labels", value, cure)
