"""TotalSegmentator's training data, CT or MR: one mask per class; the kidneys' masks become one label map."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crossmod.cohort.layout import bring, choice, dataset_folder, lacks
from crossmod.cohort.table import write_table
from crossmod.job import UserError
from crossmod.parallel import each
from crossmod.scans.files import read_scan, write_mask
from crossmod.tables import read_user, refuse

# Kidneys with their own cysts cut out; later classes overwrite earlier ones where masks overlap.
LABELS = {1: "right_kidney", 2: "left_kidney", 3: "right_cyst", 4: "left_cyst"}
_CLASSES = {1: "kidney_right", 2: "kidney_left", 3: "kidney_cyst_right", 4: "kidney_cyst_left"}
_IMAGES = {"CT": "ct.nii.gz", "MR": "mri.nii.gz"}


def write_cohort(name: str, folder: Path, settings: dict[str, Any], threads: int = 1) -> None:
    """Make a cohort of TotalSegmentator's data: label maps in ``labels/``, images linked or copied into ``images/``.

    Cases without any kidney (heads, legs), without an image or without outlines of kidneys are left out;
    ``cohort.json`` lists them under ``left_out``.

    Args:
        name: of the cohort.
        folder: existing folder to write into.
        settings: ``root``, the folder that holds ``sNNNN/{ct,mri}.nii.gz``, ``sNNNN/segmentations`` and ``meta.csv``;
            ``modality``: CT or MR, by default whichever is there.
        threads: cases merged at a time.

    Raises:
        UserError: if the layout is another one, or listing every case that cannot be merged.
    """
    dataset = dataset_folder(name, settings, "s*/segmentations")
    wanted = choice(name, settings, "modality", ("CT", "MR"))
    found, left_out = _usable(dataset, wanted)
    for part in ("images", "labels"):
        (folder / part).mkdir()
    results = list(each(f"cohort {name}", partial(_merge, folder), [path for _, path in found], threads))
    refuse([problem for problem, _ in results if problem], f"Cohort '{name}' (TotalSegmentator)")
    people = _people(dataset / "meta.csv")
    rows = []
    for (modality, path), (_, has_kidney) in zip(found, results, strict=True):
        case = path.parent.name
        if not has_kidney:
            left_out[case] = "no kidney in the field of view"
            continue
        bring(path, folder / "images" / f"{case}.nii.gz")
        rows.append(
            {
                "case": case,
                "patient": f"totalsegmentator-{modality.lower()}-{case}",
                "modality": modality,
                "image": f"images/{case}.nii.gz",
                "label": f"labels/{case}.nii.gz",
                "site": "totalsegmentator",
                **people.get(case, {}),
            }
        )
    if not rows:
        raise UserError(f"Cohort '{name}': no case with a kidney in {dataset}, of {len(found)} with outlines.")
    write_table(
        folder,
        name=name,
        source="totalsegmentator",
        root=".",
        labels=LABELS,
        cases=pd.DataFrame(rows),
        extra={"left_out": left_out},
    )


def _usable(dataset: Path, modalities: tuple[str, ...]) -> tuple[list[tuple[str, Path]], dict[str, str]]:
    """(modality, image) of every case that has an image and outlines of kidneys, in order; and what the others lack."""
    kidneys = [f"segmentations/{_CLASSES[value]}.nii.gz" for value in (1, 2)]
    found, left_out = [], {}
    for folder in sorted(path for path in dataset.glob("s*") if path.is_dir()):
        images = [(modality, folder / _IMAGES[modality]) for modality in modalities]
        images = [(modality, image) for modality, image in images if image.is_file()]
        if not any((folder / image).is_file() for image in _IMAGES.values()):
            left_out[folder.name] = f"no {' or '.join(_IMAGES.values())}"
        elif images and all(lacks(folder, kidney) for kidney in kidneys):
            left_out[folder.name] = lacks(folder, *kidneys)
        else:
            found += images
    return sorted(found), left_out


def _merge(folder: Path, image: Path) -> tuple[str | None, bool]:
    """Write one label map; what is wrong if that cannot be done, and whether there is a kidney in it."""
    case, masks = image.parent.name, image.parent / "segmentations"
    labels: NDArray[np.uint8] | None = None
    try:
        for value, class_name in _CLASSES.items():
            path = masks / f"{class_name}.nii.gz"
            if value > 2 and not path.exists():
                continue  # cysts are named in the second release only
            mask = read_scan(path)
            if labels is None:
                labels, space = np.zeros(mask.array.shape, dtype=np.uint8), mask.space
            if mask.array.shape != space.shape or not np.allclose(mask.affine, space.affine, atol=1e-3):
                return f"case '{case}': {path.name} is not on the grid of {_CLASSES[1]}.nii.gz", False
            labels[mask.array > 0] = value
    except UserError as error:
        return f"case '{case}': {error}", False
    if labels is None or not labels.any():
        return None, False
    write_mask(folder / "labels" / f"{case}.nii.gz", labels, space.affine, space.codes)
    return None, True


def _people(path: Path) -> dict[str, dict[str, Any]]:
    """Case → sex, age and the data set's own split, from ``meta.csv`` (semicolons); empty without it."""
    if not path.exists():
        return {}
    table = read_user(path)
    if "image_id" not in table:
        raise UserError(f"{path}: no column 'image_id'; found: {', '.join(table.columns)}. Download it again.")
    sexes = {"m": "male", "f": "female"}
    return {
        row["image_id"]: {
            "sex": sexes.get(row.get("gender", "").lower(), "unknown"),
            "age": row.get("age", ""),
            "dataset_split": row.get("split", ""),
        }
        for row in table.to_dict("records")
    }
