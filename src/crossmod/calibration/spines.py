"""Vertebral bodies of simulated spines beside real ones: their size, and how bright they are against what is around."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage

from crossmod.job import UserError
from crossmod.phantom import SPINE, draw_recipe, parse_population, simulate
from crossmod.report.style import PAGE_MM, Picture, panels, styled
from crossmod.scans.files import read_scan
from crossmod.scans.scan import Scan

BODIES, CROP, CORD = "spine_vb", "tptbox/sample_mri", "sct"
# Weighting of the real scans: the protocol that simulates it.
PROTOCOLS = {"T1": "mr-spine-t1", "T2": "mr-spine-t2"}
# ASSUME: the files of vertebral bodies do not say where their axes point: these look at the feet, the back and the
# left.
_TRUE_AXES = "IPL"
GRID: dict[str, Any] = {
    "orientation": "RAS",
    "spacing_mm": [4.0, 1.0, 1.0],
    "field_of_view_mm": [68.0, 240.0, 260.0],
    "centre_mm": [0.0, 10.0, -45.0],
    "position_sd_mm": 0.0,
}
SEED = 60_000  # of the first simulated patient, far from those of a study's cohorts
UNITS = {"body height": "mm", "body depth": "mm", "distance of bodies": "mm", "body volume": "ml"}
MEASURES = (*UNITS, "disc / marrow", "canal / marrow", "muscle / marrow", "cord / CSF")
COLUMNS = ["weighting", "origin", "subject", "measure", "value"]
_LEAST = 0.6  # ASSUME: bodies smaller than this share of the median one are cut or sacral.


@dataclass(frozen=True, eq=False)
class Spined:
    """A scan in R-A-S order with one value a vertebral body in ``bodies``, and masks of others where they are known."""

    name: str
    origin: str
    weighting: str
    scan: Scan
    bodies: np.ndarray
    masks: dict[str, np.ndarray]


def real_spines(data: str | Path) -> list[Spined]:
    """The real scans with drawn vertebral bodies; empty where there are none."""
    found = []
    for path in sorted((Path(data) / BODIES).glob("*_img.nii.gz")):
        name, weighting = path.name.removesuffix("_img.nii.gz").split("_")
        image, labels = (
            _ras(read_scan(file).array) for file in (path, path.with_name(path.name.replace("img", "lab")))
        )
        scan = Scan(image, np.diag([1.0, 1.0, 1.0, 1.0]))
        found.append(Spined(name, "real", weighting.upper(), scan, labels.astype(np.uint8), {}))
    return found


def real_cords(data: str | Path) -> pd.DataFrame:
    """Cord against CSF on T2: a crop of a lumbar scan with drawn parts, and a cervical one with a drawn cord."""
    rows: list[tuple] = []
    crop = Path(data) / CROP
    if crop.is_dir():
        image = read_scan(crop / "sub-mri_label-6_T2w.nii.gz").array
        parts = read_scan(crop / "sub-mri_seg-subreg_label-6_msk.nii.gz").array
        rows += _cord(image, parts == 60, parts == 61, "tptbox")
    cervical = Path(data) / CORD
    if cervical.is_dir():
        scan = read_scan(cervical / "t2.nii.gz")
        cord = read_scan(cervical / "t2_seg-manual.nii.gz").array > 0
        away = ndimage.distance_transform_edt(~cord, scan.spacing_mm)
        # ASSUME: the brighter half of what lies 1 to 5 mm around the cord is CSF.
        around = (away > 1) & (away < 5)
        rows += _cord(scan.array, cord, around & (scan.array > np.median(scan.array[around])), "sct")
    return pd.DataFrame([("T2", "real", *row) for row in rows], columns=COLUMNS).astype({"value": float})


def _cord(image: np.ndarray, cord: np.ndarray, csf: np.ndarray, name: str) -> list[tuple]:
    inner = ndimage.binary_erosion(cord)
    return [(name, "cord / CSF", float(np.median(image[inner if inner.any() else cord]) / np.median(image[csf])))]


def simulated_spines(patients: int = 12, grid: dict[str, Any] | None = None) -> list[Spined]:
    """Patients without a tumour, each in both weightings, on a grid like that of the real scans.

    Raises:
        UserError: if fewer than one patient is asked for.
    """
    if isinstance(patients, bool) or not isinstance(patients, int) or patients < 1:
        raise UserError(f"patients = {patients!r}: must be a whole number of 1 or more")
    healthy = parse_population({"spine": {"metastases": 0.0, "intradural": 0.0, "haemangiomas": 0.0}})
    value = {name: value for value, name in SPINE.items()}
    found = []
    for seed in range(SEED, SEED + patients):
        for weighting, protocol in PROTOCOLS.items():
            recipe = draw_recipe(protocol, np.random.default_rng([seed, 1]), {**GRID, **(grid or {})})
            patient = simulate(seed, recipe, healthy)
            bodies, _ = ndimage.label(patient.labels == value["vertebral_body"])
            masks = {name: patient.labels == value[name] for name in ("cord", "canal")}
            scan = Scan(patient.image, patient.affine)
            found.append(Spined(f"simulated {seed}", "simulated", weighting, scan, bodies, masks))
    return found


def _ras(array: np.ndarray) -> np.ndarray:
    """An array whose axes point to `_TRUE_AXES`, in R-A-S order."""
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt(tuple(_TRUE_AXES)), nib.orientations.axcodes2ornt(tuple("RAS"))
    )
    return np.ascontiguousarray(nib.orientations.apply_orientation(array, turn))


def spine_measures(scans: list[Spined]) -> pd.DataFrame:
    """Weighting, origin, subject, measure (`MEASURES`) and value: the median over a subject's whole bodies."""
    rows: list[tuple] = []
    for one in scans:
        head = (one.weighting, one.origin, one.name)
        table = pd.DataFrame(list(_of_bodies(one)))
        rows += [(*head, measure, float(table[measure].median())) for measure in table if table[measure].notna().any()]
        if one.weighting == "T2" and one.masks.get("cord", np.zeros(1, bool)).any():
            rows += [
                (*head, *row[1:]) for row in _cord(one.scan.array, one.masks["cord"], one.masks["canal"], one.name)
            ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})


def _of_bodies(one: Spined) -> Iterator[dict[str, float]]:
    """What is measured of every whole body, and of the disc below it."""
    spacing = np.asarray(one.scan.spacing_mm)
    parts = [(k, box) for k, box in enumerate(ndimage.find_objects(one.bodies), start=1) if box]
    sizes = {k: int(np.count_nonzero(one.bodies[box] == k)) for k, box in parts}
    usual = float(np.median([size for size in sizes.values() if size > 200] or [0]))
    whole = [k for k, box in parts if sizes[k] >= _LEAST * usual and not _cut(box, one.bodies.shape)]
    shapes = sorted((_shape(one.bodies == k, spacing) for k in whole), key=lambda shape: -shape["middle"][2])
    for shape, below in zip(shapes, [*shapes[1:], None], strict=True):
        around = _around(one.scan.array, shape, below, spacing)
        apart = None if below is None else float(np.linalg.norm(shape["middle"] - below["middle"]))
        yield {
            "body height": shape["height"],
            "body depth": shape["depth"],
            "body volume": shape["volume"],
            # ASSUME: bodies further apart are not neighbours, but have one between them that was left out.
            "distance of bodies": apart if apart is not None and apart < 1.7 * shape["height"] else np.nan,
            **around,
        }


def _cut(box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    """Whether a body meets the edge of the picture above, below or in front."""
    return any(part.start == 0 or part.stop == n for part, n in zip(box[1:], shape[1:], strict=True))


def _shape(mask: np.ndarray, spacing: np.ndarray) -> dict[str, Any]:
    """Middle, axes and size of one body, from its middle sagittal section: that of a rectangle of equal moments."""
    x = int(np.median(np.nonzero(mask)[0]))
    places = np.argwhere(mask[x]) * spacing[1:]
    middle = places.mean(axis=0)
    spread, axes = np.linalg.eigh(np.cov((places - middle).T))
    up = int(np.argmax(np.abs(axes[1])))
    axis = axes[:, up] * np.sign(axes[1, up])
    return {
        "mask": mask,
        "middle": np.array([x * spacing[0], *middle]),
        "up": axis,
        "height": float(np.sqrt(12 * spread[up])),
        "depth": float(np.sqrt(12 * spread[1 - up])),
        "volume": float(np.count_nonzero(mask) * np.prod(spacing) / 1000),
    }


def _around(image: np.ndarray, shape: dict[str, Any], below: dict[str, Any] | None, spacing: np.ndarray) -> dict:
    """Signal of disc, canal and muscle of the back against that of marrow, in blocks placed by the body alone."""
    inner = ndimage.binary_erosion(shape["mask"], iterations=2)
    marrow = max(float(np.median(image[inner if inner.any() else shape["mask"]])), 1e-9)
    up, middle = shape["up"], shape["middle"]
    back = np.array([-up[1], up[0]]) if up[1] > 0 else np.array([up[1], -up[0]])

    def block(centre: np.ndarray, half: tuple[float, float, float]) -> float:
        low, high = ((centre + sign * np.array(half)) / spacing for sign in (-1, 1))
        first, last = np.maximum(np.ceil(low).astype(int), 0), np.floor(high).astype(int) + 1
        part = image[tuple(slice(a, max(b, a + 1)) for a, b in zip(first, last, strict=True))]
        return float(np.median(part)) / marrow if part.size else np.nan

    def behind(mm: float, aside: float = 0.0) -> np.ndarray:
        return middle + np.array([aside, *(back * (shape["depth"] / 2 + mm))])

    muscle = [block(behind(46.0, side), (3.0, 5.0, 8.0)) for side in (-17.0, 17.0)]
    found = {"canal / marrow": block(behind(9.0), (2.0, 2.5, 4.0)), "muscle / marrow": float(np.nanmean(muscle))}
    if below is not None:
        found["disc / marrow"] = block((middle + below["middle"]) / 2, (4.0, 3.0, 1.0))
    return found


def spines_side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """One row per weighting and measure: n, median, low and high of real and simulated subjects."""
    order = pd.MultiIndex.from_product([PROTOCOLS, MEASURES], names=["weighting", "measure"])
    sides = {}
    for origin in ("real", "simulated"):
        cell = table[table["origin"] == origin].groupby(["weighting", "measure"])["value"]
        sides[origin] = cell.agg(n="count", median="median", low="min", high="max").reindex(order)
    return pd.concat(sides, axis=1)


@styled
def spine_slices(scans: list[Spined], name: str, title: str) -> Picture:
    """The middle sagittal slice and one 16 mm beside it, of one real and one simulated subject in each weighting."""
    shown = [
        one
        for origin in ("real", "simulated")
        for weighting in PROTOCOLS
        for one in [s for s in scans if (s.origin, s.weighting) == (origin, weighting)][-1:]
    ]
    figure, axes = panels(2, max(len(shown), 1), PAGE_MM, 110)
    for column, one in zip(zip(*axes, strict=True), shown, strict=False):
        middle = int(np.median(np.nonzero(one.bodies)[0]))
        beside = middle + round(16.0 / one.scan.spacing_mm[0])
        for axis, cut in zip(column, (middle, min(beside, one.bodies.shape[0] - 1)), strict=True):
            picture = one.scan.array[cut].T
            aspect = one.scan.spacing_mm[2] / one.scan.spacing_mm[1]
            most = float(np.percentile(one.scan.array, 99.5))
            axis.imshow(picture, cmap="gray", origin="lower", aspect=aspect, vmin=0, vmax=most)
            axis.contour(one.bodies[cut].T > 0, [0.5], colors="#56B4E9", linewidths=0.4)
            axis.set_xticks([])
            axis.set_yticks([])
        column[0].set_title(f"{one.origin}, {one.weighting}")
    words = "Vertebral bodies outlined; black at 0 and white at the 99.5th percentile; the back is on the left."
    return Picture(name, title, words, f"{title}: middle sagittal slice above, beside it below.", figure)
