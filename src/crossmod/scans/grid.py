"""Grids in physical space: oriented R-A-S, resampled with low-pass where coarser, and back to the scan's own space."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike
from scipy import ndimage

from crossmod.scans.box import Box, box_between, three
from crossmod.scans.scan import Unread, planes
from crossmod.scans.voxels import edges_mm, voxel_mm3

# nibabel's axes point to the patient's right, anterior and superior (RAS+); ITK's first two point the other way (LPS+).
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
TRUNCATE = 3.0  # standard deviations that the low-pass reaches
SLAB_VOXELS = 8_000_000  # treated at a time: a few copies of 32 MB

Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Grid:
    """A regular grid in patient space.

    Attributes:
        shape: voxels along the three array axes.
        affine: 4×4, voxel index → RAS+ millimetres.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def spacing_mm(self) -> np.ndarray:
        """Voxel edge lengths, (3,), millimetres."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel; of a sheared grid less than the product of its edges."""
        return voxel_mm3(edges_mm(self.affine)) / 1000

    def to_index(self, points_mm: ArrayLike) -> np.ndarray:
        """Continuous voxel indices of points: (N, 3) RAS millimetres → (N, 3)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(points_mm) @ inverse[:3, :3].T + inverse[:3, 3]

    def to_mm(self, index: ArrayLike) -> np.ndarray:
        """RAS millimetres of voxel indices: (N, 3) → (N, 3)."""
        return np.asarray(index) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def crop(self, low: np.ndarray, shape: Sequence[int]) -> "Grid":
        """The grid of a window that starts at voxel ``low`` (may lie outside) and has ``shape``."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_mm(np.asarray([low], dtype=float))[0]
        return Grid(three(int(n) for n in shape), affine)


def part_of(grid: Grid, low: np.ndarray, high: np.ndarray, margin_mm: float) -> Grid:
    """The box from voxel ``low`` to ``high`` (exclusive) with a margin, cut at the grid's own edge."""
    margin = np.ceil(margin_mm / grid.spacing_mm).astype(int)
    low = np.maximum(np.asarray(low) - margin, 0)
    high = np.minimum(np.asarray(high) + margin, grid.shape)
    return grid.crop(low, tuple(high - low))


def standard_grid(shape: tuple[int, ...], affine: np.ndarray, spacing_mm: Sequence[float | None]) -> Grid:
    """The R-A-S ordered grid of a given spacing that covers a scan, obliqueness kept.

    Outer edges coincide at the low corner; at the high corner the grid reaches the edge or less than a voxel beyond it.

    Args:
        shape: the scan's array shape, (3,).
        affine: the scan's affine, 4×4, RAS+ millimetres.
        spacing_mm: along R-A-S; None along an axis keeps the scan's own planes.
    """
    to_canonical = nib.orientations.inv_ornt_aff(nib.io_orientation(affine), shape)
    canonical = affine @ to_canonical
    axes = nib.io_orientation(affine)[:, 0].astype(int)
    old_shape = np.empty(3)
    old_shape[axes] = shape
    old = np.linalg.norm(canonical[:3, :3], axis=0)
    new = filled_spacing_mm(spacing_mm, old)
    direction = canonical[:3, :3] / old
    result = np.eye(4)
    result[:3, :3] = direction * new
    result[:3, 3] = canonical[:3, 3] + direction @ ((new - old) / 2)
    extent = np.ceil(old_shape * old / new - 1e-3).astype(int)
    return Grid(three(int(n) for n in np.maximum(extent, 1)), result)


def filled_spacing_mm(spacing_mm: Sequence[float | None], own_mm: np.ndarray) -> np.ndarray:
    """(3,) a spacing along R-A-S, with a scan's own where it is None."""
    given = np.array(spacing_mm, dtype=float)
    return np.where(np.isnan(given), own_mm, given)


def resample(
    array: np.ndarray | Unread, affine: np.ndarray, grid: Grid, outside: float = 0.0, change: Change | None = None
) -> np.ndarray:
    """Linear interpolation of an image onto another grid, low-passed first along axes that become coarser.

    Only what the grid covers is read, slab by slab: beside array and result, memory does not grow with either.

    Args:
        array: (X, Y, Z) intensities or a mask as 0/1.
        affine: of ``array``, 4×4, RAS+ millimetres.
        grid: the wanted grid.
        outside: value of points outside the array, not changed.
        change: of the intensities before all else, e.g. a window; it treats every voxel by itself.

    Returns:
        float32 array of ``grid.shape``.
    """
    source = Grid(array.shape, affine)
    result = np.full(grid.shape, outside, dtype=np.float32)
    sigma = blur_voxels(source, grid)
    reach = np.ceil(TRUNCATE * sigma).astype(int) + 2  # of the blur, and of the interpolation
    # Slabs overlap least along the longest axis; of a scan on disk whole planes are read.
    along = int(np.argmax(grid.shape)) if isinstance(array, np.ndarray) else _like(grid, source, planes(array)[0])
    for where, slab in _slabs(grid, source, along):
        inside = covered(source, slab, reach)
        if inside is None:
            continue
        read, part = inside
        values = np.asarray(array[read], dtype=np.float32)
        values = _low_pass(values if change is None else change(values), sigma)
        resampled = sitk.Resample(
            _to_itk(values, part.affine),
            [int(n) for n in slab.shape],
            sitk.Transform(),
            sitk.sitkLinear,
            *_itk_frame(slab.affine),
            float(outside),
            sitk.sitkFloat32,
        )
        result[where] = sitk.GetArrayViewFromImage(resampled).transpose(2, 1, 0)
    return result


def carried(box: Box, source: Grid, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of a grid that touch a box of another grid: corners (3,) ``low`` and ``high``, high exclusive.

    Args:
        box: of voxels of ``source``.
        source: the grid that the box belongs to.
        grid: the grid that it is wanted in; the corners may lie outside of it.
    """
    ends = [(part.start - 0.5, part.stop - 0.5) for part in box]
    corners = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, 8).T
    index = grid.to_index(source.to_mm(corners))
    return np.floor(index.min(axis=0) + 0.5).astype(int), np.ceil(index.max(axis=0) + 0.5).astype(int)


def covered(source: Grid, part: Grid, margin: np.ndarray | int = 0) -> tuple[Box, Grid] | None:
    """The box of a grid's voxels that another grid covers, and its grid; None where they do not meet.

    Args:
        source: the grid to take a part of.
        part: the grid that covers it.
        margin: further voxels of ``source`` along each axis, cut at its edge.
    """
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in part.shape], indexing="ij")).reshape(3, 8).T
    index = source.to_index(part.to_mm(corners))
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1 + margin, source.shape)
    if (low >= high).any():
        return None
    return box_between(low, high), source.crop(low, tuple(high - low))


def _like(grid: Grid, source: Grid, axis: int) -> int:
    """The axis of a grid that runs most like one of another grid."""
    return int(np.argmax(np.abs(source.affine[:3, axis] @ (grid.affine[:3, :3] / grid.spacing_mm))))


def _slabs(grid: Grid, source: Grid, axis: int) -> Iterator[tuple[Box, Grid]]:
    """A grid cut along an axis so that neither a slab nor the source under it has many voxels."""
    finer = max(1.0, float(np.prod(grid.spacing_mm) / np.prod(source.spacing_mm)))
    thick = max(1, int(SLAB_VOXELS * grid.shape[axis] / (np.prod(grid.shape, dtype=float) * finer)))
    for start in range(0, grid.shape[axis], thick):
        low, shape = np.zeros(3, dtype=int), list(grid.shape)
        low[axis], shape[axis] = start, min(thick, grid.shape[axis] - start)
        yield box_between(low, low + shape), grid.crop(low, shape)


def blur_voxels(source: Grid, grid: Grid) -> np.ndarray:
    """Standard deviation of the low-pass along each axis of the source, in its voxels.

    It is 0 where the grid is not coarser.
    """
    old = source.spacing_mm
    cosines = np.abs((source.affine[:3, :3] / old).T @ (grid.affine[:3, :3] / grid.spacing_mm))
    new = cosines @ grid.spacing_mm / cosines.sum(axis=1)
    # A box of width w has standard deviation w / sqrt(12).
    sigma = np.sqrt(np.maximum(new**2 - old**2, 0) / 12) / old
    return np.where(sigma > 0.1, sigma, 0.0)


def _low_pass(array: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Blur along each array axis so that its point spread becomes that of the coarser grid (box of one voxel)."""
    for axis in np.flatnonzero(sigma).tolist():
        array = ndimage.gaussian_filter1d(array, sigma[axis], axis=axis, mode="nearest", truncate=TRUNCATE)
    return array


def _to_itk(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    origin, spacing, direction = _itk_frame(affine)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    return image


def _itk_frame(affine: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """Origin, spacing and direction of an affine in ITK's convention."""
    lps = _RAS_TO_LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    # ITK inverts the matrix by an SVD that fails on denormal numbers, and goes on with a wrong inverse.
    direction[np.abs(direction) < 1e-12] = 0
    return lps[:3, 3].tolist(), spacing.tolist(), direction.ravel().tolist()
