"""Grids in physical space: oriented R-A-S, resampled with low-pass where coarser, and back to the scan's own space."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

# nibabel's axes point to the patient's right, anterior and superior (RAS+); ITK's first two point the other way (LPS+).
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


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

    def to_index(self, points_mm: np.ndarray) -> np.ndarray:
        """Continuous voxel indices of points: (N, 3) RAS millimetres → (N, 3)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(points_mm) @ inverse[:3, :3].T + inverse[:3, 3]

    def to_mm(self, index: np.ndarray) -> np.ndarray:
        """RAS millimetres of voxel indices: (N, 3) → (N, 3)."""
        return np.asarray(index) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def crop(self, low: np.ndarray, shape: tuple[int, int, int]) -> "Grid":
        """The grid of a window that starts at voxel ``low`` (may lie outside) and has ``shape``."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_mm(np.asarray([low], dtype=float))[0]
        return Grid(tuple(int(n) for n in shape), affine)


def part_of(grid: Grid, low: np.ndarray, high: np.ndarray, margin_mm: float) -> Grid:
    """The box from voxel ``low`` to ``high`` (exclusive) with a margin, cut at the grid's own edge."""
    margin = np.ceil(margin_mm / grid.spacing_mm).astype(int)
    low = np.maximum(np.asarray(low) - margin, 0)
    high = np.minimum(np.asarray(high) + margin, grid.shape)
    return grid.crop(low, tuple(high - low))


def standard_grid(shape: tuple[int, ...], affine: np.ndarray, spacing_mm: tuple[float, ...]) -> Grid:
    """The R-A-S ordered grid of a given spacing that covers a scan, obliqueness kept.

    Outer edges coincide at the low corner; at the high corner the grid reaches the edge or less than a voxel beyond it.

    Args:
        shape: the scan's array shape, (3,).
        affine: the scan's affine, 4×4, RAS+ millimetres.
        spacing_mm: along R-A-S.
    """
    to_canonical = nib.orientations.inv_ornt_aff(nib.io_orientation(affine), shape)
    canonical = affine @ to_canonical
    axes = nib.io_orientation(affine)[:, 0].astype(int)
    old_shape = np.empty(3)
    old_shape[axes] = shape
    old = np.linalg.norm(canonical[:3, :3], axis=0)
    new = np.asarray(spacing_mm, dtype=float)
    direction = canonical[:3, :3] / old
    result = np.eye(4)
    result[:3, :3] = direction * new
    result[:3, 3] = canonical[:3, 3] + direction @ ((new - old) / 2)
    extent = np.ceil(old_shape * old / new - 1e-3).astype(int)
    return Grid(tuple(int(n) for n in np.maximum(extent, 1)), result)


def resample(array: np.ndarray, affine: np.ndarray, grid: Grid, outside: float = 0.0) -> np.ndarray:
    """Linear interpolation of an image onto another grid, low-passed first along axes that become coarser.

    Args:
        array: (X, Y, Z) intensities or a mask as 0/1.
        affine: of ``array``, 4×4, RAS+ millimetres.
        grid: the wanted grid.
        outside: value of points outside the array.

    Returns:
        float32 array of ``grid.shape``.
    """
    source = _low_pass(np.asarray(array, dtype=np.float32), affine, grid)
    resampled = sitk.Resample(
        _to_itk(source, affine),
        [int(n) for n in grid.shape],
        sitk.Transform(),
        sitk.sitkLinear,
        *_itk_frame(grid.affine),
        float(outside),
        sitk.sitkFloat32,
    )
    return np.ascontiguousarray(sitk.GetArrayViewFromImage(resampled).transpose(2, 1, 0))


def _low_pass(array: np.ndarray, affine: np.ndarray, grid: Grid) -> np.ndarray:
    """Blur along each array axis so that its point spread becomes that of the coarser grid (box of one voxel)."""
    old = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.abs((affine[:3, :3] / old).T @ (grid.affine[:3, :3] / grid.spacing_mm))
    new = cosines @ grid.spacing_mm / cosines.sum(axis=1)
    # A box of width w has standard deviation w / sqrt(12).
    sigma = np.sqrt(np.maximum(new**2 - old**2, 0) / 12) / old
    for axis in np.flatnonzero(sigma > 0.1):
        array = ndimage.gaussian_filter1d(array, sigma[axis], axis=axis, mode="nearest", truncate=3)
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
    return lps[:3, 3].tolist(), spacing.tolist(), (lps[:3, :3] / spacing).ravel().tolist()
