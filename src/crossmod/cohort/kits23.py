"""KiTS23: contrast CT of 489 patients with a renal tumour, kidney, tumour and cyst outlined by hand."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from crossmod.anatomy.sides import tumour_side
from crossmod.anatomy.structures import KITS
from crossmod.cohort.layout import dataset_folder, lacks
from crossmod.cohort.table import reference, write_table
from crossmod.job import UserError
from crossmod.parallel import each
from crossmod.scans.files import read_scan
from crossmod.scans.match import whole_labels


def write_cohort(name: str, folder: Path, settings: dict[str, Any], threads: int = 1) -> None:
    """Make a cohort of KiTS23; scans stay where they are.

    Cases that lack an image or its outline are left out; ``cohort.json`` lists them under ``left_out``.

    Args:
        name: of the cohort.
        folder: existing folder to write into.
        settings: ``root``, the folder that holds ``dataset/case_XXXXX/{imaging,segmentation}.nii.gz`` and
            ``dataset/kits23.json``, or that ``dataset`` folder itself.
        threads: label maps read at a time, to find the side of each tumour.

    Raises:
        UserError: if the layout is another one, or no image was downloaded.
    """
    dataset = dataset_folder(name, settings, "case_*/segmentation.nii.gz", "dataset")
    cases = sorted(path.name for path in dataset.glob("case_*") if path.is_dir())
    lacking = {case: lacks(dataset / case, "imaging.nii.gz", "segmentation.nii.gz") for case in cases}
    there = [case for case in cases if not lacking[case]]
    if not there:
        cure = "Download the images with the data set's own kits23_download_data."
        raise UserError(
            f"Cohort '{name}': none of the {len(cases)} cases in {dataset} has imaging.nii.gz beside its segmentation. "
            f"{cure}"
        )
    clinical = _clinical(dataset / "kits23.json")
    sides = list(each(f"cohort {name}: tumour sides", partial(_side, dataset), there, threads))
    rows = [
        {
            "case": case,
            "patient": f"kits23-{case.removeprefix('case_')}",
            "modality": "CT",
            "sequence": "contrast",
            "site": "kits23",
            "image": f"{case}/imaging.nii.gz",
            "label": f"{case}/segmentation.nii.gz",
            "tumour_side": side,
            **clinical.get(case, {}),
        }
        for case, side in zip(there, sides, strict=True)
    ]
    write_table(
        folder,
        name=name,
        source="kits23",
        root=reference(dataset, folder),
        labels=KITS,
        cases=pd.DataFrame(rows),
        extra={"left_out": {case: reason for case, reason in lacking.items() if reason}},
    )


def _side(dataset: Path, case: str) -> str:
    try:
        scan = read_scan(dataset / case / "segmentation.nii.gz")
        return tumour_side(whole_labels(scan.array), KITS, scan.affine)
    except UserError:
        return "unknown"  # the check of the cohort says what is wrong with the file


def _clinical(path: Path) -> dict[str, dict[str, Any]]:
    """Case → sex, age and histology; empty without the file."""
    if not path.exists():
        return {}
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        return {
            record["case_id"]: {
                "sex": record.get("gender") if record.get("gender") in ("male", "female") else "unknown",
                # ASSUME: ages above 89 are masked as ">=90" and taken as 90.
                "age": str(record.get("age_at_nephrectomy") or "").removeprefix(">="),
                "histology": record.get("tumor_histologic_subtype") or "unknown",
            }
            for record in records
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the clinical table of KiTS23 ({error!r}). Download it again.") from error
