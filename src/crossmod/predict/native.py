"""From probabilities on a stage's grid to class values in the scan's own space."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crossmod.anatomy.kidneys import around, assign_sides, boxes_of
from crossmod.job import Plain
from crossmod.predict.keep import NEIGHBOURS, kept_part, without_small_parts
from crossmod.scans.box import Box, three
from crossmod.scans.grid import Grid, covered, resample
from crossmod.scans.parallel_axes import ParallelAxes

# Further than interpolation, and the blur before it where slices are thick, reaches.
_MARGIN_VOXELS = 8


def native_mask(probability: NDArray, grid: Grid, stage: Plain, native: Grid) -> NDArray[np.uint8]:
    """A mask in native space from a probability on a stage's grid.

    Args:
        probability: (X, Y, Z) of one class, or (K+1, X, Y, Z) of several.
        grid: of its voxels.
        stage: config of the stage: ``classes`` and ``keep``.
        native: grid of the mask.

    Returns:
        uint8 (X, Y, Z): class values; 1 right and 2 left where one component is kept on each side of the body.
    """
    if probability.ndim == 4:
        return _native_classes(probability, grid, stage, native)
    # Of a mask whose planes follow one another as in the file, the system hands out memory only where it is written to.
    mask = np.zeros(native.shape, dtype=bool, order="F")
    for inside, alone in _pieces(probability, stage["keep"], grid):
        piece = grid.crop(np.array([part.start for part in inside]), alone.shape)
        if found := covered(native, piece):
            where, part = found
            mask[where] |= resample(alone, piece.affine, part) >= 0.5
    return assign_sides(mask, native.affine) if "one_a_side" in (stage["keep"] or {}) else mask.view(np.uint8)


def values_on(probability: NDArray, grid: Grid, stage: Plain, part: Grid) -> NDArray[np.uint8]:
    """Class values on another grid, from the probabilities in a box of a stage's grid."""
    if probability.ndim == 4:
        return _classes_on(_with_kept(probability, stage), grid, part)
    kept = kept_part(probability, stage["keep"], grid)
    return (resample(probability * kept, grid.affine, part) >= 0.5).astype(np.uint8)


def _pieces(probability: NDArray, keep: Plain | None, grid: Grid) -> Iterator[tuple[Box, NDArray]]:
    """Each kept component by itself, with a margin: its place on the grid and its probabilities, 0 in other components.

    A scan of 512 × 512 × 600 voxels would take gigabytes if it were resampled as a whole.
    """
    if keep is None:
        for box in filter(None, boxes_of((probability >= 0.5).view(np.uint8))):  # one, or none
            inside = _wider(box, grid.shape)
            yield inside, probability[inside]
        return
    parts, _ = ndimage.label(kept_part(probability, keep, grid), NEIGHBOURS)
    for number, part in enumerate(ndimage.find_objects(parts), start=1):
        inside = _wider(three(part), grid.shape)
        yield inside, probability[inside] * (parts[inside] == number)


def _wider(box: Box, shape: tuple[int, ...]) -> Box:
    return three(
        slice(max(part.start - _MARGIN_VOXELS, 0), min(part.stop + _MARGIN_VOXELS, n))
        for part, n in zip(box, shape, strict=True)
    )


def _native_classes(probability: NDArray, grid: Grid, stage: Plain, native: Grid) -> NDArray[np.uint8]:
    """Class values in native space, computed only where a class is found."""
    mask = np.zeros(native.shape, dtype=np.uint8, order="F")
    kept = _with_kept(probability, stage)
    boxes = [box for box in boxes_of(kept.argmax(axis=0).astype(np.uint8)) if box]
    if not boxes:
        return mask
    inside = _wider(around(boxes), grid.shape)
    piece = grid.crop(np.array([part.start for part in inside]), tuple(part.stop - part.start for part in inside))
    if found := covered(native, piece):
        where, part = found
        mask[where] = _classes_on(kept[(slice(None), *inside)], piece, part)
    return mask


def _with_kept(probability: NDArray, stage: Plain) -> NDArray:
    """Probabilities of several classes, in which components that are not kept belong to the background.

    ASSUME: ``largest: n`` means the n largest components of each class by itself.
    """
    if stage["keep"] is None:
        return probability
    values = probability.argmax(axis=0).astype(np.uint8)
    dropped = without_small_parts(values, len(probability) - 1, stage["keep"]["largest"])
    background = np.zeros(len(probability), probability.dtype)
    background[0] = 1
    return np.where(dropped, background[:, None, None, None], probability)


def _classes_on(probability: NDArray, grid: Grid, part: Grid) -> NDArray[np.uint8]:
    """The likeliest class of each voxel of another grid; outside the probabilities' own grid lies background."""
    values, between = np.zeros(part.shape, np.uint8), ParallelAxes(grid, part)
    for planes in between.slabs(len(probability)):
        values[:, :, planes] = between.of(probability, planes).argmax(axis=0)
    return values
