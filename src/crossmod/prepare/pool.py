"""A cohort prepared case by case in a few processes; the peak memory is estimated and printed first."""

import os
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from crossmod.cohort.table import Cohort
from crossmod.job import Plain, UserError, whole
from crossmod.parallel import each
from crossmod.prepare.arrays import prepare_case
from crossmod.scans.files import NIFTI, read_space
from crossmod.scans.grid import standard_grid
from crossmod.tables import records

# ASSUME, measured with benchmarks/prepare.py on scans of 2 to 8 million voxels: what a case in flight holds beside the
# interpreter with its libraries. Larger scans should take less a voxel, for they are resampled slab by slab.
BYTES_PER_VOXEL = 28
INTERPRETER_BYTES = 230e6
STORED_BYTES = 3  # a voxel: the image in half precision and its label


def prepare_cohort(cohort: Cohort, stages: Plain, normalisation: Plain, folder: Path, threads: int) -> None:
    """Write ``index.csv`` and the arrays of every labelled case; the folder appears whole.

    Raises:
        UserError: if a case cannot be prepared, no case has a label, or the disk has no room.
    """
    cases = records(cohort.cases[cohort.cases["label"].astype(str).str.len() > 0].sort_values("case"))
    if not cases:
        raise UserError(f"cohort {cohort.name}: no case has a label, nothing to prepare.")
    processes = _processes(cohort, cases, threads)
    with whole(folder) as partial_folder:
        partial_folder.mkdir()
        _need_room(cohort, cases, stages, folder.parent)
        work = partial(prepare_case, cohort, stages=stages, normalisation=normalisation, folder=partial_folder)
        rows = [row for found in each(f"prepare {cohort.name}", work, cases, processes) for row in found]
        pd.DataFrame(rows).to_csv(partial_folder / "index.csv", index=False, lineterminator="\n")


def _processes(cohort: Cohort, cases: list[Plain], threads: int) -> int:
    """Print the peak memory before the work starts, and use fewer processes where it would not fit."""
    largest = max(_voxels(cohort.root / case["image"]) for case in cases)
    bytes_in_flight = INTERPRETER_BYTES + BYTES_PER_VOXEL * largest
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    processes = int(max(1, min(threads, len(cases), (0.8 * installed - INTERPRETER_BYTES) // bytes_in_flight)))
    print(
        f"prepare {cohort.name}: {len(cases)} cases, {processes} at a time, peak memory about "
        f"{(INTERPRETER_BYTES + processes * bytes_in_flight) / 1e9:.1f} GB of {installed / 1e9:.0f} GB",
        file=sys.stderr,
    )
    return processes


def _need_room(cohort: Cohort, cases: list[Plain], stages: Plain, folder: Path) -> None:
    """Refuse to begin what the disk cannot hold: at most whole scans, as cropping to the body is not foreseen. Only
    NIfTI headers are asked.
    """
    paths = [cohort.root / case["image"] for case in cases]
    spaces = [read_space(path) for path in paths if path.name.lower().endswith(NIFTI)]
    shapes = [standard_grid(s.shape, s.affine, stage["spacing_mm"]).shape for s in spaces for stage in stages.values()]
    need = STORED_BYTES * sum(np.prod(shape, dtype=float) for shape in shapes)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"cohort {cohort.name}: its arrays may take {need / 1e9:.1f} GB, and only {free / 1e9:.1f} GB are free in "
            f"{folder}. Make room, or let `results` be a link to a larger disk."
        )


def _voxels(path: Path) -> int:
    """Voxels of a scan from its header where it is NIfTI, else about as many as it has bytes on disk."""
    if path.name.lower().endswith(NIFTI):
        return int(np.prod(read_space(path).shape))
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
