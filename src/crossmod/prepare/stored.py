"""Prepared cases as they lie on disk, for whoever reads them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from crossmod.job import UserError
from crossmod.scans.grid import Grid
from crossmod.tables import read_own, row_of


@dataclass(frozen=True)
class Prepared:
    """A case on one stage's grid, memory-mapped.

    Attributes:
        cohort, case, modality: where it comes from.
        image: (X, Y, Z) float16, R-A-S, mean 0 and SD 1 inside the body.
        label: (X, Y, Z) uint8, the value of the stage's class; 0 where none is.
        foreground: (N, 3) voxel indices of foreground, some of them for each class.
        boxes: unit → (low, high) voxel indices, high exclusive; none where the stage looks at whole images.
        grid: of the arrays.
        background: value of the image outside its field of view.
    """

    cohort: str
    case: str
    modality: str
    image: np.ndarray
    label: np.ndarray
    foreground: np.ndarray
    boxes: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]]
    grid: Grid
    background: float


def read_prepared(folder: Path, stage: str, cases: Sequence[str], teaching: bool = False) -> list[Prepared]:
    """Open prepared cases of one stage, memory-mapped, in the order asked for.

    Args:
        folder: of a prepared cohort.
        stage: name of the stage.
        cases: their names.
        teaching: refuse cases whose labels do not name what the stage needs.

    Raises:
        UserError: if a case was not prepared for that stage, or cannot teach it.
    """
    index = read_own(folder / "index.csv")
    rows = index[index["stage"] == stage].set_index("case")
    missing = [case for case in cases if case not in rows.index]
    if missing:
        raise UserError(
            f"{folder / 'index.csv'}: {len(missing)} cases are not prepared for stage '{stage}', the first "
            f"'{missing[0]}'. Run the prepare step again, or leave them out."
        )
    mute = [case for case in cases if teaching and rows.loc[case, "teaches"] != "True"]
    if mute:
        raise UserError(
            f"Cohort '{folder.name}': {len(mute)} cases cannot teach stage '{stage}', the first '{mute[0]}'. Their "
            "labels name no structure of at least one of its classes; validate on them instead, or declare the labels."
        )
    return [_open(folder, row_of(rows, case), case) for case in cases]


def _open(folder: Path, row: pd.Series, case: str) -> Prepared:
    def array(kind: str, mode: Literal["r"] | None = "r") -> np.ndarray:
        return np.load(folder / f"{row['stem']}.{kind}.npy", mmap_mode=mode, allow_pickle=False)

    image = array("image")
    boxes = {unit: (tuple(low), tuple(high)) for unit, (low, high) in json.loads(row["boxes"]).items()}
    return Prepared(
        cohort=folder.name,
        case=case,
        modality=row["modality"],
        image=image,
        label=array("label"),
        foreground=array("foreground", None),
        boxes=boxes,
        grid=Grid(image.shape, np.array(json.loads(row["affine"]))),
        background=float(row["background"]),
    )
