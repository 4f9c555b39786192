"""Brightness of kidneys and of what surrounds them on coronal MR of three weightings, real and simulated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from crossmod.job import UserError
from crossmod.phantom import Population, Tissue, draw_recipe, simulate
from crossmod.prepare.normalise import body_mask
from crossmod.report.style import PAGE_MM, Picture, panels, styled
from crossmod.scans.files import read_scan
from crossmod.scans.scan import Scan

FOLDER = "afirm_t1_t2"
CORTEX, MEDULLA = 1, 2
# Weighting of the real scans: the protocol that simulates it, and what is fixed of it. All are at 3 T.
# ASSUME: the times of the inversion recovery did not come with the scans. These lie in the protocol's own ranges, where
# the cortex is darker than the medulla, as in the scans.
PROTOCOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "T1W": ("mr-t1-spin-echo", {}),
    "MPRAGE": (
        "mr-mprage",
        {
            "repetition_time_ms": 3000.0,
            "inversion_ms": 600.0,
            "echo_train": 64,
            "echo_spacing_ms": 5.0,
            "flip_deg": 8.0,
        },
    ),
    "T2W": ("mr-fs-t2", {}),
}
# The grid of the real scans, with a slab as thick.
GRID = {
    "orientation": "LIP",
    "spacing_mm": [1.5, 1.5, 5.5],
    "field_of_view_mm": [384.0, 384.0, 93.5],
    "centre_mm": [0.0, 0.0, 0.0],
}
SHELL_MM = (5.0, 15.0)  # around the kidneys
BRIGHTEST = 90.0  # ASSUME: the brightest tenth of that shell is fat, where fat is bright.
SEED = 40_000  # of the first simulated patient, far from those of a study's cohorts
MEASURES = ("cortex / medulla", "kidney / brightest around it", "kidney / body")
COLUMNS = ["weighting", "origin", "subject", "measure", "value"]


@dataclass(frozen=True, eq=False)
class Weighted:
    """A scan of one weighting, with the masks `CORTEX` and `MEDULLA` (uint8, the scan's shape)."""

    name: str
    origin: str
    weighting: str
    scan: Scan
    parts: np.ndarray


def real_kidneys(data: str | Path) -> list[Weighted]:
    """The real scans that are there: spin echo, inversion recovery and fat-suppressed T2 of the same people."""
    found = []
    for path in sorted((Path(data) / FOLDER).glob("*_seg.nii.gz")):
        name = path.name.removesuffix("_seg.nii.gz")
        parts = read_scan(path).array.astype(np.uint8)
        for weighting in PROTOCOLS:
            scan = read_scan(path.with_name(f"{name}_{weighting}.nii.gz"))
            found.append(Weighted(name, "real", weighting, scan, parts))
    return found


def simulated_kidneys(patients: int = 12, grid: dict[str, Any] | None = None) -> list[Weighted]:
    """Patients without a tumour, each scanned in all weightings at 3 T on the grid of the real scans.

    Fewer than one patient is refused.
    """
    if isinstance(patients, bool) or not isinstance(patients, int) or patients < 1:
        raise UserError(f"patients = {patients!r}: must be a whole number of 1 or more")
    found = []
    for seed in range(SEED, SEED + patients):
        for weighting, (protocol, timing) in PROTOCOLS.items():
            fixed = {**GRID, **(grid or {}), "mr": {"field_t": 3.0, **timing}}
            patient = simulate(
                seed, draw_recipe(protocol, np.random.default_rng([seed, 1]), fixed), Population(tumour=0.0)
            )
            parts = np.zeros_like(patient.tissues)
            parts[patient.tissues == Tissue.CORTEX] = CORTEX
            parts[patient.tissues == Tissue.MEDULLA] = MEDULLA
            scan = Scan(patient.image, patient.affine)
            found.append(Weighted(f"simulated {seed}", "simulated", weighting, scan, parts))
    return found


def ratios(scans: list[Weighted]) -> pd.DataFrame:
    """Weighting, origin, subject, measure (`MEASURES`) and value, of medians; a scan without both parts has no rows."""
    rows: list[tuple] = []
    for one in scans:
        array, kidney = one.scan.array.astype(float), one.parts > 0
        if not {CORTEX, MEDULLA} <= set(np.unique(one.parts)):
            continue
        cortex, medulla, whole = (float(np.median(array[m])) for m in (one.parts == 1, one.parts == 2, kidney))
        away = ndimage.distance_transform_edt(~kidney, one.scan.spacing_mm)
        around = array[(away >= SHELL_MM[0]) & (away <= SHELL_MM[1])]
        bright = float(np.median(around[around >= np.percentile(around, BRIGHTEST)]))
        body = float(np.median(array[body_mask(array, "MR")]))
        values = (cortex / max(medulla, 1e-9), whole / bright, whole / body)
        rows += [(one.weighting, one.origin, one.name, *pair) for pair in zip(MEASURES, values, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """One row per weighting and measure: n, median, low and high of real and simulated scans."""
    order = pd.MultiIndex.from_product([PROTOCOLS, MEASURES], names=["weighting", "measure"])
    sides = {}
    for origin in ("real", "simulated"):
        cell = table[table["origin"] == origin].groupby(["weighting", "measure"])["value"]
        sides[origin] = cell.agg(n="count", median="median", low="min", high="max").reindex(order)
    return pd.concat(sides, axis=1)


@styled
def weightings(scans: list[Weighted], name: str, title: str) -> Picture:
    """The coronal slice with most kidney of one real and one simulated patient, in all weightings."""
    origins = [origin for origin in ("real", "simulated") if any(one.origin == origin for one in scans)]
    figure, axes = panels(len(origins), len(PROTOCOLS), PAGE_MM, 58 * len(origins))
    for row, origin in zip(axes, origins, strict=True):
        first = [one for one in scans if one.origin == origin][: len(PROTOCOLS)]
        for axis, one in zip(row, first, strict=True):
            cut = int(np.argmax((one.parts > 0).sum(axis=(0, 1))))
            picture = one.scan.array[:, :, cut].T
            axis.imshow(picture, cmap="gray", vmin=0, vmax=float(np.percentile(one.scan.array, 99.5)))
            axis.set_title(one.weighting)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(origin)
    words = (
        "The slice with most kidney, black at 0 and white at the 99.5th percentile; the patient's right on the left."
    )
    return Picture(name, title, words, f"{title}, {' above '.join(origins)}.", figure)
