"""SPIDER: sagittal T1 and T2 of the lumbar spine of 218 patients, with vertebrae, discs and canal drawn."""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from crossmod.cohort.layout import choice, dataset_folder, in_natural_order, own_entries
from crossmod.cohort.table import reference, write_table
from crossmod.job import UserError
from crossmod.tables import read_user

# Vertebrae and discs are counted from below; a hundred more are vertebrae that the picture shows in part.
# ASSUME: a vertebra is drawn with its arch, and the canal is the dural sac with the cord.
LABELS = {
    **dict.fromkeys(range(1, 26), "whole_vertebra"),
    100: "canal",
    **dict.fromkeys(range(101, 126), "whole_vertebra"),
    **dict.fromkeys(range(201, 226), "disc"),
}
_SEQUENCES = ("t1", "t2", "t2_space")
_SEXES = {"M": "male", "F": "female"}


def write_cohort(name: str, folder: Path, settings: dict[str, Any], threads: int = 1) -> None:
    """Make a cohort of SPIDER; scans stay where they are.

    Images without a mask are left out; ``cohort.json`` lists them under ``left_out``.

    Args:
        name: of the cohort.
        folder: existing folder to write into.
        settings: ``root``, the folder that holds ``images/N_t1.mha``, ``masks/N_t1.mha`` and, where it is known,
            ``overview.csv``; ``sequence``: t1, t2 or t2_space; all three if not given.
        threads: unused, nothing is converted.

    Raises:
        UserError: if the layout is another one, or it has no image with a mask of the sequence.
    """
    dataset = dataset_folder(name, settings, "images/*.mha")
    wanted = choice(name, settings, "sequence", _SEQUENCES)
    people = _people(dataset / "overview.csv")
    rows, left_out = [], {}
    for image in in_natural_order(own_entries(dataset / "images")):
        found = re.fullmatch(r"(\d+)_(t1|t2|t2_SPACE)\.mha", image.name)
        if found is None or found[2].lower() not in wanted:
            continue
        case = image.stem
        if not (dataset / "masks" / image.name).is_file():
            left_out[case] = f"no masks/{image.name}"
            continue
        rows.append(
            {
                "case": case,
                "patient": f"spider-{found[1]}",
                "modality": "MR",
                "sequence": found[2].lower(),
                "site": "spider",
                "image": f"images/{image.name}",
                "label": f"masks/{image.name}",
                "tumour_side": "unknown",
                "sex": people.get(case, "unknown"),
            }
        )
    if not rows:
        where = f"{dataset} has no image of {', '.join(wanted)} with a mask ({len(left_out)} left out)"
        raise UserError(f"Cohort '{name}': {where}. Unpack images.zip and masks.zip beside each other.")
    write_table(
        folder,
        name=name,
        source="spider",
        root=reference(dataset, folder),
        labels=LABELS,
        cases=pd.DataFrame(rows),
        extra={"left_out": left_out},
    )


def _people(path: Path) -> dict[str, str]:
    """Case → sex, of the overview; empty without it."""
    if not path.exists():
        return {}
    table = read_user(path)
    if "new_file_name" not in table:
        found = ", ".join(table.columns)
        raise UserError(f"{path}: no column 'new_file_name'; found: {found}. Download it again.")
    return {row["new_file_name"]: _SEXES.get(row.get("sex", ""), "unknown") for row in table.to_dict("records")}
