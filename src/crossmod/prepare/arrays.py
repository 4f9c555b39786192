"""One case → the arrays every training shares: oriented, resampled and normalised once per stage."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from crossmod.anatomy.kidneys import reference_kidneys
from crossmod.cohort.table import Cohort
from crossmod.job import Plain, UserError
from crossmod.prepare.normalise import Window, body_box, fit_window
from crossmod.scans.files import read_scan
from crossmod.scans.grid import Grid, part_of, resample, standard_grid
from crossmod.scans.match import labels_on_image_grid
from crossmod.scans.scan import Scan
from crossmod.tables import read_own

# Foreground voxels remembered per case for oversampling; nnU-Net keeps 10 000 of them.
FOREGROUND_VOXELS = 4000
BODY_MARGIN_MM = 10.0


@dataclass(frozen=True)
class Prepared:
    """A case on one stage's grid, memory-mapped.

    Attributes:
        cohort, case, modality: where it comes from.
        image: (X, Y, Z) float16, R-A-S, mean 0 and SD 1 inside the body.
        label: (X, Y, Z) uint8, 1 where foreground.
        foreground: (N, 3) voxel indices of foreground, at most FOREGROUND_VOXELS.
        boxes: per kidney, (low, high) voxel indices, high exclusive.
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


@dataclass(frozen=True)
class Normalised:
    """A scan, how its intensities are normalised, and the part of it that holds the body.

    Attributes:
        scan: as read; its intensities are normalised where they are used, so that no copy of a large scan is kept.
        body: the part of the scan's grid that holds the body.
        window: how intensities are normalised.
        background: what lies outside the field of view, normalised (air).
    """

    scan: Scan
    body: Grid
    window: Window
    background: float

    def grid(self, spacing_mm: Sequence[float]) -> Grid:
        """The R-A-S ordered grid of the body at a given spacing."""
        return standard_grid(self.body.shape, self.body.affine, tuple(spacing_mm))

    def on_grid(self, grid: Grid) -> np.ndarray:
        """The scan on a grid, or on a part of one: float32 array."""
        return resample(self.scan.array, self.scan.affine, grid, outside=self.background, change=self.window.apply)


def normalise(scan: Scan, modality: str, normalisation: Plain) -> Normalised:
    """Normalise a scan's intensities by its modality and find its body.

    Raises:
        UserError: if the modality is unknown or the body has no contrast.
    """
    window = fit_window(scan.array, modality, **normalisation)
    background = float(window.apply(np.float32(window.low)))
    body = part_of(Grid(scan.array.shape, scan.affine), *body_box(scan.array, modality), margin_mm=BODY_MARGIN_MM)
    return Normalised(scan, body, window, background)


def prepare_case(cohort: Cohort, case: Plain, stages: Plain, normalisation: Plain, folder: Path) -> list[Plain]:
    """Write the arrays of one case for every stage.

    Labels that name no structure of a stage leave it without a reference: ``teaches`` is then false in the index, and
    such a case may be predicted on but never trained on.

    Returns:
        One index row per stage.

    Raises:
        UserError: naming the case and file.
    """
    try:
        scan = read_scan(cohort.root / case["image"])
        labels = labels_on_image_grid(read_scan(cohort.root / case["label"]), scan)
        normal = normalise(scan, case["modality"], normalisation)
    except UserError as error:
        raise UserError(f"cohort {cohort.name}, case {case['case']}, {case['image']}: {error}") from error
    kidneys = reference_kidneys(labels, cohort.labels, scan.affine)
    rows = []
    for name, stage in stages.items():
        values = foreground_values(cohort.labels, stage["structures"])
        grid = normal.grid(stage["spacing_mm"])
        image = normal.on_grid(grid)
        label = resample(np.isin(labels, values), scan.affine, grid) >= 0.5
        boxes = {kidney.side: _box(kidney.mask, scan.affine, grid) for kidney in kidneys}
        stem = f"{case['case']}.{name}"
        np.save(folder / f"{stem}.image.npy", image.astype(np.float16), allow_pickle=False)
        np.save(folder / f"{stem}.label.npy", label.astype(np.uint8), allow_pickle=False)
        np.save(folder / f"{stem}.foreground.npy", _some_foreground(label), allow_pickle=False)
        rows.append(
            {
                "case": case["case"],
                "patient": case["patient"],
                "modality": case["modality"],
                "stage": name,
                "stem": stem,
                "affine": json.dumps(grid.affine.tolist()),
                "boxes": json.dumps(boxes, sort_keys=True),
                "teaches": bool(values),
                "foreground_voxels": int(label.sum()),
                "background": normal.background,
                **{f"window_{key}": value for key, value in asdict(normal.window).items()},
            }
        )
    return rows


def read_prepared(folder: Path, stage: str, cases: Sequence[str], teaching: bool = False) -> list[Prepared]:
    """Open prepared cases of one stage, memory-mapped, in the order asked for.

    Args:
        folder: of a prepared cohort.
        stage: name of the stage.
        cases: their names.
        teaching: refuse cases whose labels name no structure of the stage.

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
            "labels name none of the stage's structures; validate on them instead, or declare the labels."
        )
    return [_open(folder, rows.loc[case], case) for case in cases]


def foreground_values(names: dict[int, str], structures: Sequence[str]) -> list[int]:
    """Label values whose structure, of either side, is one of ``structures``."""
    return [value for value, name in names.items() if name.removeprefix("right_").removeprefix("left_") in structures]


def _open(folder: Path, row: pd.Series, case: str) -> Prepared:
    def array(kind: str, mode: str | None = "r") -> np.ndarray:
        return np.load(folder / f"{row['stem']}.{kind}.npy", mmap_mode=mode, allow_pickle=False)

    image = array("image")
    boxes = {side: (tuple(low), tuple(high)) for side, (low, high) in json.loads(row["boxes"]).items()}
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


def _box(mask: np.ndarray, affine: np.ndarray, grid: Grid) -> tuple[list[int], list[int]]:
    """The box of a native mask in voxels of a stage's grid: low, and high exclusive."""
    index = np.argwhere(mask)
    low, high = index.min(axis=0) - 0.5, index.max(axis=0) + 0.5
    corners = np.array([[(low, high)[bit >> axis & 1][axis] for axis in range(3)] for bit in range(8)])
    inside = grid.to_index(corners @ affine[:3, :3].T + affine[:3, 3])
    return np.floor(inside.min(axis=0) + 0.5).astype(int).tolist(), np.ceil(inside.max(axis=0) + 0.5).astype(
        int
    ).tolist()


def _some_foreground(label: np.ndarray) -> np.ndarray:
    """At most FOREGROUND_VOXELS indices, evenly spaced in memory order: (N, 3) int16."""
    index = np.argwhere(label)
    step = max(1, -(-len(index) // FOREGROUND_VOXELS))
    return index[::step].astype(np.int16)
