"""The cascade on one scan: stages in order, on the whole image or in the boxes of what an earlier stage found."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from crossmod.anatomy.kidneys import MASK_VALUES, around, assign_sides, boxes_of
from crossmod.predict.native import native_mask, values_on
from crossmod.predict.network import Ensemble, TrainedStage
from crossmod.predict.on_grid import OnGrid
from crossmod.scans.box import window
from crossmod.scans.grid import Grid, carried, covered
from crossmod.stages import is_sided

Corners = tuple[NDArray[np.int_], NDArray[np.int_]]  # low, and high (exclusive), (3,) each
Stages = Mapping[str, TrainedStage | Ensemble]
# The one box of a region that has no sides.
ALL = "all"


def segment(scan: OnGrid, stages: Stages, native: Grid, reference: dict[str, dict[str, Corners]]) -> dict[str, NDArray]:
    """All masks of a cascade in native space.

    Args:
        scan: the scan on the stages' grids.
        stages: name → trained stage, in order.
        native: grid of the scan itself.
        reference: stage → the boxes of the reference that :func:`segment_boxes` looks in, for stages in a region.

    Returns:
        ``{stage}`` → mask found end to end, and after it ``{stage}_reference_box`` → mask found in the boxes of the
        reference, for stages in a region. Each is uint8 (X, Y, Z); see :func:`is_sided` for its values.
    """
    settings = {name: stage.stage for name, stage in stages.items()}
    masks = {}
    for name, stage in stages.items():
        region = stage.stage["region"]
        if region == "image":
            masks[name] = segment_image(scan, name, stage, native)
            continue
        found = region_boxes(masks[region], is_sided(settings, region), native, scan.grids[name])
        masks[name] = segment_boxes(scan, name, stage, native, found)
        masks[f"{name}_reference_box"] = segment_boxes(scan, name, stage, native, reference[name])
    return masks


def segment_image(scan: OnGrid, name: str, stage: TrainedStage | Ensemble, native: Grid) -> NDArray[np.uint8]:
    """What a stage finds on the whole image, in native space."""
    return native_mask(stage.probability(scan.whole(name), scan.background), scan.grids[name], stage.stage, native)


def segment_boxes(
    scan: OnGrid, name: str, stage: TrainedStage | Ensemble, native: Grid, boxes: dict[str, Corners]
) -> NDArray[np.uint8]:
    """What a stage finds in boxes of the image, in native space.

    Args:
        scan: the scan on the stages' grids.
        name: of the stage.
        stage: the trained stage.
        native: grid of the scan itself.
        boxes: ``right``, ``left`` or ``all`` → corners in voxels of the stage's grid; a stage of one class writes 1 in
            a right box, 2 in a left one, 1 in that of all.
    """
    result = np.zeros(native.shape, dtype=np.uint8, order="F")
    for side, (low, high) in boxes.items():
        probability, box = _in_box(scan, name, stage, np.asarray(low), np.asarray(high))
        found = covered(native, box)
        if found is None:
            continue
        where, part = found
        values = values_on(probability, box, stage.stage, part)
        if probability.ndim == 3:
            values *= np.uint8(MASK_VALUES.get(side, 1))
        # Where two boxes meet, a voxel stays with the first: sides never overlap.
        target = result[where]
        free = (values > 0) & (target == 0)
        target[free] = values[free]
    return assign_sides(result > 0, native.affine) if "one_a_side" in (stage.stage["keep"] or {}) else result


def region_boxes(mask: NDArray[np.uint8], sided: bool, native: Grid, grid: Grid) -> dict[str, Corners]:
    """The boxes of a native mask in voxels of a stage's grid.

    Args:
        mask: (X, Y, Z) what an earlier stage found.
        sided: whether the mask holds 1 for right and 2 for left; if not, one box holds all of it.
        native: grid of the mask.
        grid: of the stage that will look at the boxes.

    Returns:
        ``right`` and ``left``, or ``all`` → corners; nothing where nothing was found.
    """
    found = {value: box for value, box in enumerate(boxes_of(mask), start=1) if box}
    if sided:
        named = {side: found[value] for side, value in MASK_VALUES.items() if value in found}
    else:
        named = {ALL: around(found.values())} if found else {}
    return {side: carried(box, native, grid) for side, box in named.items()}


def _in_box(
    scan: OnGrid, name: str, stage: TrainedStage | Ensemble, low: NDArray, high: NDArray
) -> tuple[NDArray, Grid]:
    """Probability in a window around a box: at least a training patch, more where the box with its margin needs it."""
    settings, grid = stage.stage, scan.grids[name]
    spacing_mm = [own if mm is None else mm for mm, own in zip(settings["spacing_mm"], grid.spacing_mm, strict=True)]
    margin = settings["margin_mm"] / np.array(spacing_mm)
    size = np.maximum(np.ceil(high - low + 2 * margin), settings["patch"]).astype(int)
    start = np.round((low + high) / 2).astype(int) - size // 2
    image = window(scan.images[name], start, size, scan.background)
    return stage.probability(image, scan.background), grid.crop(start, tuple(size))
