"""One case → the arrays every training shares: oriented, resampled and normalised once per stage."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from crossmod.cohort.table import Cohort
from crossmod.job import Plain, UserError
from crossmod.prepare.boxes import reference_boxes
from crossmod.prepare.labels import label_on_grid, teaches
from crossmod.prepare.normalise import Window, body_box, fit_window
from crossmod.scans.files import read_scan
from crossmod.scans.grid import Grid, part_of, resample, standard_grid
from crossmod.scans.match import labels_on_image_grid
from crossmod.scans.scan import AnyScan
from crossmod.stages import classes_of

# Foreground voxels remembered per case for oversampling, shared by the classes; nnU-Net keeps 10 000 of them.
FOREGROUND_VOXELS = 4000
BODY_MARGIN_MM = 10.0


@dataclass(frozen=True)
class Normalised:
    """A scan, how its intensities are normalised, and the part of it that holds the body.

    Attributes:
        scan: as read; its intensities are normalised where they are used, so that no copy of a large scan is kept.
        body: the part of the scan's grid that holds the body.
        window: how intensities are normalised.
        background: what lies outside the field of view, normalised (air).
    """

    scan: AnyScan
    body: Grid
    window: Window
    background: float

    def grid(self, spacing_mm: Sequence[float | None]) -> Grid:
        """The R-A-S ordered grid of the body at a given spacing; None along an axis keeps the scan's own."""
        return standard_grid(self.body.shape, self.body.affine, spacing_mm)

    def on_grid(self, grid: Grid) -> np.ndarray:
        """The scan on a grid, or on a part of one: float32 array."""
        return resample(self.scan.array, self.scan.affine, grid, outside=self.background, change=self.window.apply)


def normalise(scan: AnyScan, as_modality: str, normalisation: Plain) -> Normalised:
    """Normalise a scan's intensities and find its body.

    Args:
        scan: as read, or treated.
        as_modality: whose rule is used, ``CT`` or ``MR``: the scan's own, or the one a network was trained for.
        normalisation: config of the rules.

    Raises:
        UserError: if the modality is unknown or the body has no contrast.
    """
    window = fit_window(scan.array, as_modality, **normalisation)
    background = float(window.apply(np.float32(window.low)))
    body = part_of(Grid(scan.array.shape, scan.affine), *body_box(scan.array, as_modality), margin_mm=BODY_MARGIN_MM)
    return Normalised(scan, body, window, background)


def prepare_case(cohort: Cohort, case: Plain, stages: Plain, normalisation: Plain, folder: Path) -> list[Plain]:
    """Write the arrays of one case for every stage.

    Labels that do not name what a stage needs leave it without a reference: ``teaches`` is then false in the index, and
    such a case may be predicted on but never trained on.

    Returns:
        One index row per stage.

    Raises:
        UserError: naming the case and file.
    """
    try:
        scan = read_scan(cohort.root / case["image"])
        labels = labels_on_image_grid(read_scan(cohort.label_root / case["label"]), scan)
        normal = normalise(scan, case["modality"], normalisation)
    except UserError as error:
        raise UserError(f"cohort {cohort.name}, case {case['case']}, {case['image']}: {error}") from error
    rows = []
    for name, stage in stages.items():
        grid = normal.grid(stage["spacing_mm"])
        label = label_on_grid(labels, cohort.labels, stage, scan.affine, grid)
        boxes = reference_boxes(labels, cohort.labels, stages, name, scan.affine, grid)
        stem = f"{case['case']}.{name}"
        np.save(folder / f"{stem}.image.npy", normal.on_grid(grid).astype(np.float16), allow_pickle=False)
        np.save(folder / f"{stem}.label.npy", label, allow_pickle=False)
        foreground = _some_foreground(label, len(classes_of(stage)))
        np.save(folder / f"{stem}.foreground.npy", foreground, allow_pickle=False)
        rows.append(
            {
                "case": case["case"],
                "patient": case["patient"],
                "modality": case["modality"],
                "stage": name,
                "stem": stem,
                "affine": json.dumps(grid.affine.tolist()),
                "boxes": json.dumps(boxes, sort_keys=True),
                "teaches": teaches(cohort.labels, stage),
                "foreground_voxels": int(np.count_nonzero(label)),
                "background": normal.background,
                **{f"window_{key}": value for key, value in asdict(normal.window).items()},
            }
        )
    return rows


def _some_foreground(label: np.ndarray, classes: int) -> np.ndarray:
    """At most FOREGROUND_VOXELS indices, the same number of each class, evenly spaced in memory order: (N, 3) int16."""
    found = [np.zeros((3, 0), dtype=np.int16)]
    for value in range(1, classes + 1):
        index = np.stack(np.nonzero(label == value))
        step = max(1, -(-index.shape[1] // (FOREGROUND_VOXELS // classes)))
        found.append(index[:, ::step].astype(np.int16))
    return np.concatenate(found, axis=1).T
