"""Real kidneys: outlines of KiTS23 patients, read from their label maps alone and planted where invented kidneys lie.

KiTS23 outlines kidney, tumour and cyst. What lies inside a kidney is made up: cortex, pyramids, columns and the renal
sinus follow the rules of the invented kidneys, in the bean that fits the real outline best.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage
from scipy.special import ndtri

from crossmod.anatomy.kidneys import KIDNEY, SIDES
from crossmod.anatomy.structures import KITS as NAMES
from crossmod.anatomy.units import units_of
from crossmod.job import UserError
from crossmod.phantom.canvas import Canvas, Push
from crossmod.phantom.field import random_field
from crossmod.phantom.kidney import Kidney, closest, paint_vessels
from crossmod.phantom.tissue import BONES, SHELL, VALUES, Tissue, table
from crossmod.scans.files import read_scan
from crossmod.scans.match import whole_labels

# Of finer label maps every n-th voxel is read, about the first apart; fields of a shape have nodes every second step.
_COARSE_MM, STEP_MM = 3.0, 2.0
# The stairs of voxels are smoothed by this share of their edge; fields reach this far beyond the label map's voxels.
_SMOOTH_SHARE, _MARGIN_MM = 0.7, 8.0
# What a ball of this radius cannot reach from outside is the kidney's own; shallower dents are rough outline.
_CLOSING_MM, _DENT_MM = 11.0, 4.0
LEAST_ML = 30.0
# ASSUME: a single kidney wider than this is two grown together or joined by a tumour (three patients of KiTS23).
_WIDEST_MM = 130.0
# Sinus as a share of parenchyma and sinus, 24 of 182 ml per square metre of body surface, and medulla as a share of
# parenchyma, 43 of 158 (NAKO). Collecting system as a share of the sinus: as in the invented kidneys.
_SINUS_SHARE, _MEDULLA_SHARE, _URINE_SHARE = 0.13, 0.27, 0.18
# R.E.N.A.L. score (Kutikov & Uzzo, J Urol 2009;182:844): exophytic from one half outside the kidney.
_EXOPHYTIC, _ENDOPHYTIC = 0.5, 0.05


@dataclass(frozen=True)
class Shapes:
    """Label maps to draw from: names only, so that it costs nothing to hand to a worker.

    folder: where they lie.
    files: paths within it, sorted by case.
    """

    folder: Path
    files: tuple[str, ...]

    def __len__(self) -> int:
        """Number of patients."""
        return len(self.files)

    def case(self, index: int) -> str:
        """Name of a patient, as in KiTS23: case_XXXXX."""
        return next(part for part in self.files[index].split("/") if part.startswith("case_")).removesuffix(".nii.gz")


@dataclass(frozen=True)
class RealKidney:
    """A real kidney in body coordinates.

    source: case it was taken from.
    frame: the bean that fits it best, where it lies, for all that is painted around a kidney.
    origin_mm: body place of the first node, (3,).
    levels: one field (nx, ny, nz) per structure on nodes every `STEP_MM` along R, A, S; positive inside.
    growth: exophytic, mixed or endophytic; empty without a tumour.
    push: mass effect on all that is soft around of what grew out of it, if anything; its own form shows it already.
    """

    source: str
    frame: Kidney
    origin_mm: np.ndarray
    levels: dict[str, np.ndarray]
    growth: str
    push: Push | None

    @property
    def tumour(self) -> bool:
        """Whether it holds a tumour."""
        return "tumour" in self.levels


@dataclass(frozen=True)
class _Source:
    """One kidney cut out of a label map; arrays share one grid along R, A, S.

    voxel_mm: its edges (3,).
    masks: voxels that are parenchyma, tumour, cyst.
    outline: parenchyma closed by a ball: the kidney without what grew out of it.
    clefts: parts of the outline that are labelled nothing: fat of the sinus.
    """

    voxel_mm: np.ndarray
    masks: dict[str, np.ndarray]
    outline: np.ndarray
    clefts: np.ndarray


def read_shapes(folder: Path) -> Shapes:
    """List the label maps of a folder; none is read.

    Args:
        folder: KiTS23 as downloaded (`dataset/case_XXXXX/segmentation.nii.gz`), its `dataset` folder, or a flat
            folder of `case_XXXXX.nii.gz`.

    Raises:
        UserError: if there is none of these.
    """
    folder = Path(folder)
    for pattern in ("dataset/case_*/segmentation.nii.gz", "case_*/segmentation.nii.gz", "case_*.nii.gz"):
        files = sorted(path.relative_to(folder).as_posix() for path in folder.glob(pattern))
        if files:
            return Shapes(folder, tuple(files))
    problem = "holds no label map of KiTS23" if folder.is_dir() else "is no folder"
    raise UserError(
        f"shapes = '{folder}': {problem}. Give the folder as downloaded, with dataset/case_XXXXX/segmentation.nii.gz, "
        "or one of case_XXXXX.nii.gz."
    )


def draw_shapes(rng: np.random.Generator, shapes: Shapes, kidneys: dict[str, Kidney]) -> dict[str, RealKidney]:
    """Draw one patient and plant the kidneys where invented ones lie.

    Args:
        rng: source of the choice, and of the dead parts of a tumour.
        shapes: whom to draw from.
        kidneys: invented kidneys by side: they lend their place, and the rules for what lies inside.

    Returns:
        Real kidneys by side, right before left. A side is absent if its kidney is cut by the label map's border,
        holds less than 30 ml of parenchyma, is grown together with the other one, or is missing: nothing is mirrored.

    Raises:
        UserError: if the file cannot be read or is no label map of KiTS23.
    """
    index = int(rng.integers(len(shapes)))
    sources = _read_kidneys(shapes.folder / shapes.files[index])
    sides = [side for side in SIDES if side in sources and side in kidneys]
    return {side: _plant(rng, shapes.case(index), sources[side], kidneys[side]) for side in sides}


def shape_facts(planted: dict[str, RealKidney]) -> dict[str, Any]:
    """Plain values: whose kidneys were planted, on which sides, and which hold a tumour (both, none, right or left)."""
    tumours = [side for side, real in planted.items() if real.tumour]
    words = {0: "none", 2: "both"}
    return {
        "shape_source": next((real.source for real in planted.values()), "none"),
        "shape_sides": words.get(len(planted), "".join(planted)),
        "shape_tumour": words.get(len(tumours), "".join(tumours)),
    }


def _read_kidneys(path: Path) -> dict[str, _Source]:
    """The usable kidneys of a label map by side."""
    labels, affine = _read_labels(path)
    voxel_mm = np.diag(affine)[:3]
    found = {}
    kidneys = units_of(labels, NAMES, affine, KIDNEY)
    for kidney in kidneys:
        masks = {name: kidney.mask & (labels[kidney.box] == value) for value, name in NAMES.items()}
        cut = any(part.start == 0 or part.stop == n for part, n in zip(kidney.box, labels.shape, strict=True))
        wide = np.count_nonzero(masks["parenchyma"].any(axis=(1, 2))) * voxel_mm[0] > _WIDEST_MM
        if not cut and not (wide and len(kidneys) == 1) and _ml(masks["parenchyma"], voxel_mm) >= LEAST_ML:
            found[kidney.side] = _cut_out(masks, voxel_mm, kidney.side)
    return found


def _read_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A label map (X, Y, Z), axes along R, A, S, voxels about 3 mm apart or more, and its affine.

    ASSUME: scans are not tilted: the axes of the file lie along the patient's.
    """
    scan = read_scan(path)
    try:
        labels = whole_labels(scan.array)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if labels.max() > max(NAMES):
        cure = "Give the label maps of KiTS23, whose values are 1 kidney, 2 tumour, 3 cyst."
        raise UserError(f"{path}: label value {labels.max()} is none of KiTS23's. {cure}")
    turn = nib.io_orientation(scan.affine)
    affine = scan.affine @ nib.orientations.inv_ornt_aff(turn, labels.shape)
    spacing = nib.affines.voxel_sizes(affine)
    step = np.maximum(1, np.floor(_COARSE_MM / spacing + 1e-3)).astype(int)
    labels = nib.orientations.apply_orientation(labels, turn)[:: step[0], :: step[1], :: step[2]]
    return labels, nib.affines.from_matvec(np.diag(spacing * step), affine[:3, 3])


def _cut_out(masks: dict[str, np.ndarray], voxel_mm: np.ndarray, side: str) -> _Source:
    """Close the kidney's outline, and find the fat of its sinus in what the closing adds."""
    room = np.ceil((_CLOSING_MM + 2) / voxel_mm).astype(int)
    kidney = np.pad(masks["parenchyma"], [(n, n) for n in room])
    outer = ndimage.distance_transform_edt(~kidney, sampling=voxel_mm) <= _CLOSING_MM
    depth = ndimage.distance_transform_edt(outer, sampling=voxel_mm) - _CLOSING_MM
    depth = depth[tuple(slice(n, -n) for n in room)]
    outline = (depth > 0) | masks["parenchyma"]
    bare = outline & ~np.logical_or.reduce(list(masks.values()))
    # Clefts at the poles or on the outer side are not the sinus.
    deep = bare & (depth > _DENT_MM)
    (x, _, z), (middle, spread) = np.nonzero(deep), _moments(outline, voxel_mm)
    outward = (x * voxel_mm[0] - middle[0]) * (1 if side == "right" else -1)
    deep[deep] = (outward < 6.0) & (np.abs(z * voxel_mm[2] - middle[2]) < 1.6 * np.sqrt(spread[2, 2]))
    return _Source(voxel_mm, masks, outline, ndimage.binary_dilation(deep) & bare)


def _moments(mask: np.ndarray, voxel_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (3,) of some voxels in mm from the first voxel, and covariance (3, 3) in square mm."""
    place = [axis * mm for axis, mm in zip(np.nonzero(mask), voxel_mm, strict=True)]
    middle = np.array([axis.mean() for axis in place])
    apart = [axis - m for axis, m in zip(place, middle, strict=True)]
    # Sums are written out: products of large arrays would depend on the number of threads.
    return middle, np.array([[(a * b).mean() for b in apart] for a in apart])


def _ml(mask: np.ndarray, edges_mm: np.ndarray | float = STEP_MM) -> float:
    """Volume of some voxels, or of some nodes."""
    return float(np.count_nonzero(mask) * np.prod(np.broadcast_to(edges_mm, 3))) / 1000.0


def _plant(rng: np.random.Generator, case: str, source: _Source, kidney: Kidney) -> RealKidney:
    """Bring a kidney to where an invented one lies: centre of mass on centre, axes along the patient's."""
    whole = np.logical_or.reduce(list(source.masks.values()))
    shift = kidney.centre_mm - _moments(whole, source.voxel_mm)[0]
    frame = _fit(source, kidney, shift)
    levels = _outer_levels(source, whole)
    levels |= _inner_levels(levels, source, frame, shift - _MARGIN_MM)
    growth, beyond = "", source.masks["tumour"].copy()
    if "tumour" in levels:
        levels["necrosis"] = _draw_necrosis(rng, levels["tumour"] > 0)
        x, y, z = _in_bean(frame, beyond, source.voxel_mm, shift)
        out = x**2 + y**2 + z**2 > 1
        beyond[beyond] = out
        growth = "exophytic" if out.mean() >= _EXOPHYTIC else "endophytic" if out.mean() < _ENDOPHYTIC else "mixed"
    radius = float(np.cbrt(3000.0 * _ml(beyond, source.voxel_mm) / (4 * np.pi)))
    push = Push(_moments(beyond, source.voxel_mm)[0] + shift, radius, 1.0) if beyond.any() else None
    return RealKidney(case, frame, shift - _MARGIN_MM, levels, growth, push)


def _fit(source: _Source, kidney: Kidney, shift: np.ndarray) -> Kidney:
    """The bean that fits a kidney's outline: its place, axes, size and bend."""
    middle, spread = _moments(source.outline, source.voxel_mm)
    # ASSUME: a kidney's long axis lies within 50 degrees of the patient's; else the invented one is kept.
    up = np.linalg.eigh(spread)[1][:, 2]
    up = up * np.sign(up[2]) if abs(up[2]) > np.cos(np.radians(50)) else kidney.turn[0]
    # ASSUME: where too little fat lies in the sinus to show the hilum, it faces as in the invented kidney.
    inner = kidney.turn[1]
    if _ml(source.clefts, source.voxel_mm) > 2.0:
        gate = _moments(source.clefts, source.voxel_mm)[0] - middle
        gate -= up * (gate @ up)
        inner = gate if -kidney.sign * gate[0] > 3.0 else inner
    inner = inner - up * (inner @ up)
    inner /= np.linalg.norm(inner)
    turn = np.stack([up, inner, np.cross(up, inner)])
    # Half axes of an ellipsoid are root five times its standard deviations.
    semi = np.sqrt(5 * np.array([row @ spread @ row for row in turn]))
    frame = replace(kidney, centre_mm=middle + shift, turn=turn, semi_mm=semi, bend=0.0, cysts=())
    along, inwards, _ = _in_bean(frame, source.outline, source.voxel_mm, shift)
    square = along**2 - (along**2).mean()
    return replace(frame, bend=float(np.clip((inwards * square).sum() / (square**2).sum(), 0.0, 0.55)))


def _in_bean(frame: Kidney, mask: np.ndarray, step_mm: np.ndarray | float, first_mm: np.ndarray) -> list[np.ndarray]:
    """Where the points of a mask lie in a straightened bean, along its axes in units of its half axes, float32."""
    place = zip(np.nonzero(mask), np.broadcast_to(step_mm, 3), first_mm - frame.centre_mm, strict=True)
    x, y, z = ((index * step + start).astype(np.float32) for index, step, start in place)
    q0, q1, q2 = (r[0] * x + r[1] * y + r[2] * z for r in (frame.turn / frame.semi_mm[:, None]).astype(np.float32))
    return [q0, q1 - np.float32(frame.bend) * (q0 * q0 - np.float32(0.3)), q2]


def _outer_levels(source: _Source, whole: np.ndarray) -> dict[str, np.ndarray]:
    """Smooth fields of the whole kidney with all that grew on it, its tumour, its cysts and its sinus' clefts.

    Each is cut where it fills its volume of the label map: smoothing alone would shrink what is small.
    """
    parts = {"whole": whole | source.clefts, **source.masks, "cleft": source.clefts}
    levels: dict[str, np.ndarray] = {}
    for name in ("whole", "tumour", "cyst", "cleft"):
        if parts[name].any():
            smooth = _smooth(parts[name], source.voxel_mm)
            among = levels["whole"] > 0 if levels else np.ones(smooth.shape, bool)
            if name == "cyst" and "tumour" in levels:
                among &= levels["tumour"] <= 0
            levels[name] = _cut(smooth, among, _ml(parts[name], source.voxel_mm))
    return levels


def _smooth(mask: np.ndarray, voxel_mm: np.ndarray) -> np.ndarray:
    """A mask on the nodes, float32, smoothed."""
    size = np.ceil(((np.array(mask.shape) - 1) * voxel_mm + 2 * _MARGIN_MM) / STEP_MM).astype(int) + 1
    values, start = mask.astype(np.float32), -_MARGIN_MM / voxel_mm
    values = ndimage.affine_transform(values, STEP_MM / voxel_mm, start, tuple(size), order=1, mode="grid-constant")
    return ndimage.gaussian_filter(values, _SMOOTH_SHARE * voxel_mm / STEP_MM, mode="constant", truncate=2.5)


def _cut(score: np.ndarray, among: np.ndarray, volume_ml: float) -> np.ndarray:
    """A score shifted so that its highest nodes among some are positive, as many as fill a volume."""
    values = score[among]
    rank = min(round(1000.0 * volume_ml / STEP_MM**3), len(values) - 1)
    return score - np.partition(values, -rank - 1)[-rank - 1] if len(values) else score


def _inner_levels(
    outer: dict[str, np.ndarray], source: _Source, frame: Kidney, origin_mm: np.ndarray
) -> dict[str, np.ndarray]:
    """Sinus, collecting system and medulla by the rules of the invented kidneys, in the bean that fits the outline.

    ASSUME: KiTS23 counts the collecting system, and in most patients nearly the whole sinus, as kidney (closing the
    outlines with a ball of 12 mm adds 5 %, the sinus is 13 %), so the sinus is carved out of it.
    """
    whole = outer["whole"]
    at = whole > whole.min() + np.float32(0.02)
    inside = whole[at] > 0
    q0, across, q2 = _in_bean(frame, at, STEP_MM, origin_mm)
    hub = frame.sinus_centre.astype(np.float32) * np.float32(0.7)
    ray = np.stack([np.float32(0.55) * (q0 - hub[0]), across - hub[1], q2 - hub[2]], axis=-1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True) + np.float32(1e-4)
    lean = closest(ray, frame.lobes) - np.float32(frame.pyramid_cos)
    papilla = np.clip(lean / np.float32(1 - frame.pyramid_cos), 0, 1)
    away = [(axis - m) / s for axis, m, s in zip((q0, across, q2), frame.sinus_centre, frame.sinus_semi, strict=True)]
    core = np.sqrt(away[0] ** 2 + np.minimum(away[1], 0) ** 2 + away[2] ** 2)
    # Shares are those of the kidney without its tumour; usual half axes and a usual cortex give the median.
    share = min(_SINUS_SHARE * float(np.prod(frame.sinus_semi)) / 0.132, 0.2)
    sinus = _cut(-core - np.float32(0.18) * papilla, inside, share * _ml(source.outline, source.voxel_mm))
    basin = ((q0 - hub[0]) / 0.24) ** 2 + ((across - np.float32(0.68)) / 0.34) ** 2 + ((q2 - hub[2]) / 0.13) ** 2
    calyx = np.minimum(papilla - np.float32(0.7), core - np.float32(0.5))
    hollow = sinus > 0
    kept = np.all([inside, *(outer[name][at] <= 0 for name in outer if name != "whole")], axis=0)
    wet_ml = min(_URINE_SHARE * frame.pelvis, 0.6) * _ml(inside & hollow)
    urine = _cut(np.maximum(1 - basin, 3 * calyx), kept & hollow, wet_ml)
    depth = ndimage.distance_transform_edt(whole > 0)[at] * STEP_MM - frame.cortex_mm
    share = _MEDULLA_SHARE * 6.75 / frame.cortex_mm
    medulla = _cut(np.minimum(100 * lean, depth), kept & ~hollow, share * _ml(kept & ~hollow))
    levels = {}
    for name, values in (("sinus", sinus), ("urine", urine), ("medulla", medulla)):
        levels[name] = np.full(whole.shape, -1, np.float32)
        levels[name][at] = values
    return levels


def _draw_necrosis(rng: np.random.Generator, tumour: np.ndarray) -> np.ndarray:
    """The dead parts of a tumour: as in an invented one, more of them in large tumours and none in the rim.

    ASSUME: the histology is not in the label map; the share is the mean over the subtypes.
    """
    radius = float(np.cbrt(3000.0 * _ml(tumour) / (4 * np.pi)))
    share = float(0.44 * rng.beta(1.2, 2.0) * 2.0 * np.clip((radius - 8.0) / 22.0, 0.0, 1.0))
    decay = random_field(rng, max(7.0, 0.45 * radius), 1.0, (120.0, 120.0, 120.0))
    axes = tuple((np.arange(n) - (n - 1) / 2) * STEP_MM for n in tumour.shape)
    depth = ndimage.distance_transform_edt(tumour)
    rim = np.maximum(1 - depth / max(depth.max(), 1.0) - 0.55, 0) / 0.45
    return decay.on(axes) - (1.5 * rim + ndtri(1.0 - min(max(share, 1e-6), 0.9))).astype(np.float32)


def paint_real_kidney(canvas: Canvas, real: RealKidney) -> None:
    """Paint renal vessels, then a real kidney with its tumour, cysts and labels.

    Args:
        canvas: painted with organs and with the fat around the kidneys (`paint_fat` of `real.frame`); its coordinates
            are those before any mass effect, which a real kidney shows already.
        real: what to paint.
    """
    half = (np.array(real.levels["whole"].shape) - 1) * STEP_MM / 2
    box = canvas.box(real.origin_mm + half, half)
    if box is None:
        paint_vessels(canvas, real.frame)
        return
    # ASSUME: muscle and organs give way; bone, arteries, skin and the other kidney do not.
    free = ~table((*SHELL, *BONES, Tissue.ARTERY))[canvas.tissue[box]]
    side, other = ("right", "left") if real.frame.sign > 0 else ("left", "right")
    free &= ~np.isin(canvas.label[box], [value for name, value in VALUES.items() if name.startswith(other)])
    paint_vessels(canvas, real.frame)
    nodes = [value / np.float32(STEP_MM) for value in canvas.offsets(box, real.origin_mm)]
    free &= _at(real.levels["whole"], nodes) > 0
    nodes = [value[free] for value in nodes]
    part = {name: _at(level, nodes) > 0 for name, level in real.levels.items() if name != "whole"}
    none = np.zeros(len(nodes[0]), bool)
    cleft, tumour, cyst = (part.get(name, none) for name in ("cleft", "tumour", "cyst"))
    sinus = part["sinus"] | cleft
    tissue = np.where(part["medulla"], np.uint8(Tissue.MEDULLA), np.uint8(Tissue.CORTEX))
    before = canvas.tissue[box][free]
    vessel = np.isin(before, (Tissue.VEIN, Tissue.ARTERY))
    tissue[sinus] = np.where(vessel, before, np.uint8(Tissue.SINUS_FAT))[sinus]
    tissue[sinus & part["urine"] & ~cleft] = Tissue.URINE
    label = np.where(sinus, np.uint8(VALUES[f"{side}_sinus"]), np.uint8(VALUES[f"{side}_parenchyma"]))
    for mask, kind, name in ((cyst, Tissue.CYST, "cyst"), (tumour, Tissue.TUMOUR, "tumour")):
        tissue[mask] = kind
        label[mask] = VALUES[f"{side}_{name}"]
    tissue[tumour & part.get("necrosis", none)] = Tissue.NECROSIS
    canvas.tissue[box][free] = tissue
    canvas.label[box][free] = label


def _at(level: np.ndarray, nodes: list[np.ndarray]) -> np.ndarray:
    """A field between its nodes, negative beyond them."""
    return ndimage.map_coordinates(level, nodes, order=1, mode="constant", cval=-1.0)
