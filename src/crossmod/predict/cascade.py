"""The cascade on one scan: kidneys on the whole image, then parenchyma inside the box of each kidney."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crossmod.anatomy.kidneys import MASK_VALUES, SEPARATION_MM, assign_sides, boxes_of, part_centres
from crossmod.job import Plain
from crossmod.predict.network import Ensemble, TrainedStage
from crossmod.prepare.arrays import Normalised, normalise
from crossmod.scans.box import window
from crossmod.scans.grid import Grid, covered, resample
from crossmod.scans.scan import Scan
from crossmod.scans.voxels import edges_mm, voxel_mm3

# ASSUME: what is kept as a kidney is at least this large; the smallest adult kidneys (atrophy) have about 20 ml.
SMALLEST_KIDNEY_ML = 5.0
# Further than interpolation, and the blur before it where slices are thick, reaches.
_MARGIN_VOXELS = 8


@dataclass(frozen=True)
class OnGrid:
    """A scan made ready for the cascade: one normalised image per stage.

    Attributes:
        images: stage name → (X, Y, Z) array, R-A-S, or what gives parts of it.
        grids: stage name → grid of that array.
        background: value outside the field of view.
    """

    images: "dict[str, np.ndarray | Unsampled]"
    grids: dict[str, Grid]
    background: float


@dataclass(frozen=True)
class Unsampled:
    """A scan on a stage's grid of which only the boxes that are asked for are resampled: kidneys are a small part of a
    trunk.

    Attributes:
        scan: with its normalisation.
        grid: of the stage.
    """

    scan: Normalised
    grid: Grid
    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(X, Y, Z) of the whole."""
        return self.grid.shape

    def __getitem__(self, box: tuple[slice, slice, slice]) -> np.ndarray:
        ends = np.array([part.indices(n)[:2] for part, n in zip(box, self.shape, strict=True)])
        return self.scan.on_grid(self.grid.crop(ends[:, 0], tuple(ends[:, 1] - ends[:, 0])))


def on_grids(scan: Scan, modality: str, stages: Plain, normalisation: Plain) -> OnGrid:
    """Orient, normalise and resample a scan for every stage, exactly as the prepare step does: whole for the first one,
    which looks everywhere.
    """
    normal = normalise(scan, modality, normalisation)
    grids = {name: normal.grid(stage["spacing_mm"]) for name, stage in stages.items()}
    first, *others = stages
    images = {first: normal.on_grid(grids[first]), **{name: Unsampled(normal, grids[name]) for name in others}}
    return OnGrid(images, grids, normal.background)


def segment_kidneys(scan: OnGrid, name: str, stage: TrainedStage | Ensemble, native: Grid) -> np.ndarray:
    """Kidneys of the whole image in native space: uint8, 1 right, 2 left."""
    probability = stage.probability(scan.images[name], scan.background)
    return kidneys_of(probability, scan.grids[name], stage.stage["components"], native)


def kidneys_of(probability: np.ndarray, grid: Grid, components: int, native: Grid) -> np.ndarray:
    """Kidneys in native space (uint8, 1 right, 2 left) from a probability on a stage's grid.

    One component is kept on each side of the body's middle; right and left follow from the patient's geometry.
    """
    kept = _one_a_side(probability, components, grid)
    mask = np.zeros(native.shape, dtype=bool, order="F")
    # Each kidney by itself, and only where it is: a scan of 512 × 512 × 600 would take gigabytes. Of the mask, whose
    # planes follow one another as they do in the file, the system hands out memory only where it is written to.
    parts, _ = ndimage.label(kept, np.ones((3, 3, 3)))
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        low = np.maximum([part.start - _MARGIN_VOXELS for part in box], 0)
        high = np.minimum([part.stop + _MARGIN_VOXELS for part in box], grid.shape)
        inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        window = grid.crop(low, tuple(high - low))
        if found := covered(native, window):
            where, part = found
            alone = probability[inside] * (parts[inside] == number)
            mask[where] |= resample(alone, window.affine, part) >= 0.5
    return assign_sides(mask, native.affine)


def segment_parenchyma(
    scan: OnGrid,
    name: str,
    stage: TrainedStage | Ensemble,
    native: Grid,
    boxes: dict[str, tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Parenchyma inside the box of each kidney in native space: uint8, 1 right, 2 left.

    Args:
        scan: the scan on the stages' grids.
        name: of the stage.
        stage: the trained stage.
        native: grid of the scan itself.
        boxes: side → (low, high) corners in voxels of the stage's grid, high exclusive.
    """
    result = np.zeros(native.shape, dtype=np.uint8, order="F")
    for side, (low, high) in boxes.items():
        probability, window = _in_box(scan, name, stage, np.asarray(low), np.asarray(high))
        kept = _largest(probability >= 0.5, stage.stage["components"])
        where, part = covered(native, window)  # a kidney of the scan lies in it
        found = resample(probability * kept, window.affine, part) >= 0.5
        # Where the windows of two kidneys meet, a voxel stays with the first: sides never overlap.
        target = result[where]
        target[found & (target == 0)] = MASK_VALUES[side]
    return result


def kidney_boxes(mask: np.ndarray, native: Grid, grid: Grid) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The box of each kidney of a native mask (1 right, 2 left) in voxels of a stage's grid."""
    boxes, found = {}, dict(enumerate(boxes_of(mask), start=1))
    for side, value in MASK_VALUES.items():
        if box := found.get(value):
            low, high = (np.array([getattr(part, end) for part in box]) - 0.5 for end in ("start", "stop"))
            corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, 8).T
            inside = grid.to_index(native.to_mm(corners))
            boxes[side] = (np.floor(inside.min(axis=0) + 0.5), np.ceil(inside.max(axis=0) + 0.5))
    return boxes


def _in_box(
    scan: OnGrid, name: str, stage: TrainedStage | Ensemble, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, Grid]:
    """Probability in a window around a box: at least a training patch, more where the kidney with its margin needs it."""
    margin = stage.stage["margin_mm"] / np.array(stage.stage["spacing_mm"])
    size = np.maximum(np.ceil(high - low + 2 * margin), stage.stage["patch"]).astype(int)
    start = np.round((low + high) / 2).astype(int) - size // 2
    image = window(scan.images[name], start, size, scan.background)
    return stage.probability(image, scan.background), scan.grids[name].crop(start, tuple(size))


def _largest(mask: np.ndarray, count: int) -> np.ndarray:
    """The largest connected components (26 neighbours), at most ``count``."""
    parts, found = ndimage.label(mask, np.ones((3, 3, 3)))
    if not found:
        return mask
    sizes = np.bincount(parts.ravel())[1:]
    return _only(parts, np.argsort(-sizes, kind="stable")[:count] + 1)


def _one_a_side(probability: np.ndarray, count: int, grid: Grid) -> np.ndarray:
    """One connected component on each side of the grid's middle, which is the body's; at most ``count``.

    A second component on one side is spleen, liver or bowel. It can be as large as the kidney, but the network is less
    sure of it: of those that have half the size of the side's largest or more, the one with the highest mean
    probability is kept.
    """
    mask = probability >= 0.5
    parts, found = ndimage.label(mask, np.ones((3, 3, 3)))
    if not found:
        return mask
    numbers, of = np.arange(1, found + 1), parts[mask] - 1
    voxels = np.bincount(of)
    volume_ml = voxels * voxel_mm3(edges_mm(grid.affine)) / 1000
    sure = np.bincount(of, probability[mask]) / voxels
    x_mm = grid.to_mm(part_centres(parts))[:, 0]
    right = x_mm >= grid.to_mm([(np.array(grid.shape) - 1) / 2])[0, 0]
    chosen = []
    for side in (right, ~right):
        usual = np.max(volume_ml, where=side, initial=0.0) / 2
        candidates = np.flatnonzero(side & (volume_ml >= max(usual, SMALLEST_KIDNEY_ML)))
        if len(candidates):
            chosen.append(int(candidates[np.argmax(sure[candidates])]))
    chosen.sort(key=lambda i: -volume_ml[i])
    # Two parts of one kidney may lie on two sides of the middle.
    if len(chosen) == 2 and abs(x_mm[chosen[0]] - x_mm[chosen[1]]) < SEPARATION_MM:
        chosen = chosen[:1]
    return _only(parts, numbers[chosen[:count]])


def _only(parts: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The components of some numbers, with a rim: a probability of exactly one half there must survive interpolation."""
    kept = np.isin(parts, numbers)
    result = kept.copy()
    for axis in range(3):  # the rim: neighbours by a face
        ahead, behind = ([slice(None)] * 3 for _ in range(2))
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        result[tuple(ahead)] |= kept[tuple(behind)]
        result[tuple(behind)] |= kept[tuple(ahead)]
    return result & (kept | (parts == 0))
