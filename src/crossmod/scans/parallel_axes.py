"""Linear interpolation of many images at once, between two grids whose axes are parallel: one matrix for each axis."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crossmod.scans.grid import TRUNCATE, Grid, blur_voxels

# Of one slab of all images: some dozens of megabytes.
SLAB_VOXELS = 8_000_000
_ALONG = 1e-3  # voxels by which axes may run apart over a whole grid


class ParallelAxes:
    """Interpolation from one grid to another, as :func:`crossmod.scans.grid.resample` does it, up to rounding.

    The low-pass of axes that become coarser is part of their matrices. Points outside the source are 0.

    Args:
        source: grid of the images.
        grid: the wanted grid; each of its axes runs along one of the source's, forward or backward.

    Raises:
        ValueError: if the axes are not parallel.
    """

    def __init__(self, source: Grid, grid: Grid) -> None:
        to_source = np.linalg.inv(source.affine) @ grid.affine
        self.axes = np.abs(to_source[:3, :3]).argmax(axis=0)  # of the source, for each of the grid's
        straight = np.zeros((3, 3))
        straight[self.axes, range(3)] = to_source[self.axes, range(3)]
        apart = np.abs(to_source[:3, :3] - straight) @ np.array(grid.shape)
        if sorted(self.axes) != [0, 1, 2] or (apart > _ALONG).any():
            raise ValueError(f"the axes of two grids are not parallel: one runs {apart.max():.3g} voxels apart")
        sigma = blur_voxels(source, grid)
        self.matrices = [
            _matrix(
                to_source[axis, own] * np.arange(grid.shape[own]) + to_source[axis, 3], source.shape[axis], sigma[axis]
            )
            for own, axis in enumerate(self.axes)
        ]

    def slabs(self, images: int) -> Iterator[slice]:
        """The planes of the grid's last axis, a few at a time."""
        shape = [len(matrix) for matrix in self.matrices]
        thick = max(1, SLAB_VOXELS // (images * shape[0] * shape[1]))
        for start in range(0, shape[2], thick):
            yield slice(start, min(start + thick, shape[2]))

    def of(self, images: NDArray, planes: slice) -> NDArray[np.float32]:
        """(N, X, Y, planes) of (N, ...) images on the source's grid."""
        x, y, z = self.matrices
        found = images.transpose(0, *(1 + self.axes)).astype(np.float32, copy=False) @ z[planes].T
        found = y @ found  # (N, x, Y, planes)
        shape = (len(images), len(x), *found.shape[2:])
        return (x @ found.reshape(len(images), found.shape[1], -1)).reshape(shape)


def _matrix(index: NDArray, n: int, sigma: float) -> NDArray[np.float32]:
    """(M, n) weights of n voxels for the values at M places, given as indices; rows of places outside are 0."""
    low = np.clip(np.floor(index), 0, n - 1).astype(int)
    share = np.clip(index, 0, n - 1) - low
    matrix, rows = np.zeros((len(index), n)), np.arange(len(index))
    matrix[rows, low] = 1 - share
    matrix[rows, np.minimum(low + 1, n - 1)] += share
    matrix[(index < -0.5) | (index >= n - 0.5)] = 0
    if sigma:
        matrix @= ndimage.gaussian_filter1d(np.eye(n), sigma, axis=0, mode="nearest", truncate=TRUNCATE)
    return matrix.astype(np.float32)
