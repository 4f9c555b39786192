"""Does a label map lie on its image? Rounding, fixable and fatal differences told apart, and the fixable ones fixed."""

from dataclasses import dataclass
from typing import Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crossmod.job import UserError
from crossmod.scans.scan import Scan

# ASSUME: corners of the two grids less than a thousandth of a voxel apart are the same corner (float32 headers).
_SAME_VOXELS = 1e-3
# ASSUME: up to a tenth of a voxel is rounding in a header, and the voxels correspond one to one.
_ROUNDING_VOXELS = 0.1
# ASSUME: a label map fits an image if it covers 95 % of the image's field of view and 95 % of what it labels lies
# inside.
_COVER = 0.95
# Beyond it float32, in which other than whole numbers are read, has no room for every whole number.
_MOST_FLOAT = 2**24


@dataclass(frozen=True)
class GridMatch:
    """How a label's grid relates to its image's.

    Attributes:
        grade: ``same``; ``rounding`` (voxels correspond, headers differ a little); ``fixable`` (another grid over the
            same space); ``fatal`` (another space).
        value: the difference in words, empty if same.
    """

    grade: Literal["same", "rounding", "fixable", "fatal"]
    value: str


def match_grids(label: Scan, image: Scan) -> GridMatch:
    """Compare the grid of a label map with its image's."""
    if label.array.shape == image.array.shape:
        apart = _corners_apart_voxels(label, image)
        if apart <= _SAME_VOXELS:
            return GridMatch("same", "")
        if apart <= _ROUNDING_VOXELS:
            return GridMatch("rounding", f"grids lie up to {apart:.2g} voxels apart")
    value = f"label {_describe(label)}, image {_describe(image)}"
    covered = _share_inside(_lattice(image.array.shape), image.affine, label)
    if covered < _COVER:
        return GridMatch("fatal", f"{value}; the label covers {100 * covered:.0f} % of the image")
    kept = _share_inside(np.argwhere(label.array != 0)[::97], label.affine, image)
    if kept < _COVER:
        return GridMatch("fatal", f"{value}; {100 * kept:.0f} % of the labelled voxels lie inside the image")
    return GridMatch("fixable", value)


def labels_on_image_grid(label: Scan, image: Scan) -> NDArray:
    """The label map, voxel by voxel on the image's grid.

    Same grids, and grids that differ by rounding, pass through; other grids over the same space are resampled (nearest
    neighbour, 0 outside).

    Returns:
        (X, Y, Z) of the image's shape, whole numbers (uint8 where they fit).

    Raises:
        UserError: if the label lies in another space, or holds other than whole numbers.
    """
    match = match_grids(label, image)
    if match.grade == "fatal":
        raise UserError(f"The label map lies in another space than its image: {match.value}.")
    array = whole_labels(label.array)
    if match.grade in ("same", "rounding"):
        return array
    to_label = np.linalg.inv(label.affine) @ image.affine
    return ndimage.affine_transform(
        array,
        to_label[:3, :3],
        to_label[:3, 3],
        output_shape=image.array.shape,
        order=0,
        mode="grid-constant",
        cval=0,
        prefilter=False,
    )


def whole_labels(array: NDArray) -> NDArray:
    """A label map as whole numbers, uint8 where they fit.

    Raises:
        UserError: if a value is no whole number of 0 or more, or too large to be kept apart from its neighbours.
    """
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        odd = array[~(np.isfinite(array) & (array == np.rint(array)))]
        raise UserError(f"A label map holds whole numbers, not {odd.flat[0]:g} (in {odd.size} voxels).")
    low, high = int(array.min()), int(array.max())
    if low < 0:
        raise UserError(f"A label map holds no negative numbers, not {low}.")
    most = _MOST_FLOAT if array.dtype.kind == "f" else np.iinfo(np.int32).max
    if high > most:
        raise UserError(f"A label map holds numbers up to {most}, not {high}.")
    return array.astype(np.uint8 if high < 256 else np.int32, copy=False)


def _corners_apart_voxels(label: Scan, image: Scan) -> float:
    """The largest distance between equal corners of two grids of one shape, in the image's smallest voxel edges."""
    corners = _lattice(image.array.shape, 2)
    apart = nib.affines.apply_affine(label.affine, corners) - nib.affines.apply_affine(image.affine, corners)
    return float(np.linalg.norm(apart, axis=-1).max() / image.spacing_mm.min())


def _lattice(shape: tuple[int, ...], points: int = 12) -> NDArray:
    """(points³, 3) voxel indices spread evenly over a grid, corners included."""
    axes = [np.linspace(0, n - 1, points) for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _share_inside(index: NDArray, affine: NDArray, other: Scan) -> float:
    """The share of points, given as voxel indices of one grid, that lies inside the field of view of another."""
    if not len(index):
        return 1.0
    there = nib.affines.apply_affine(np.linalg.inv(other.affine) @ affine, index)
    inside = (there > -1.0) & (there < np.array(other.array.shape))
    return float(inside.all(axis=1).mean())


def _describe(scan: Scan) -> str:
    shape = "×".join(str(n) for n in scan.array.shape)
    spacing = "×".join(f"{mm:.4g}" for mm in scan.spacing_mm)
    axes = "".join(nib.aff2axcodes(scan.affine))
    corner = ", ".join(f"{mm:.1f}" for mm in scan.affine[:3, 3])
    return f"{shape} voxels of {spacing} mm, {axes}, from ({corner}) mm"
