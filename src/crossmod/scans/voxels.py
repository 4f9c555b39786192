"""How steps of voxels turn into millimetres and a voxel into millilitres, on upright and on sheared grids."""

import numpy as np
from numpy.typing import NDArray

# ASSUME: cosines between array axes up to this are rounding of a header; they change no volume by more than a
# millionth.
UPRIGHT = 1e-3


def edges_mm(affine: NDArray) -> NDArray[np.float64]:
    """(3, 3) upper triangular: how steps of a voxel along the array axes turn into millimetres.

    The patient may be rotated. The diagonal multiplies to a voxel's volume. Where the axes stand upright on each other,
    it holds the spacing on its diagonal, exactly; on a sheared grid (tilted gantry) distances and volumes are those of
    the slanted voxels.
    """
    columns = np.asarray(affine, dtype=float)[:3, :3]
    spacing_mm = np.linalg.norm(columns, axis=0)
    cosines = (columns / spacing_mm).T @ (columns / spacing_mm) - np.eye(3)
    if np.abs(cosines).max() <= UPRIGHT:
        return np.diag(spacing_mm)
    triangle = np.linalg.qr(columns)[1]
    return triangle * np.where(np.diag(triangle) < 0, -1.0, 1.0)[:, None]


def in_mm(index: NDArray, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) voxel indices, or steps of voxels, in millimetres; ``edges`` as of :func:`edges_mm`."""
    spacing = np.diag(edges)
    return index * spacing if np.array_equal(edges, np.diag(spacing)) else index @ edges.T


def voxel_mm3(edges: NDArray[np.float64]) -> float:
    """Volume of a voxel in cubic millimetres; ``edges`` as of :func:`edges_mm`."""
    return float(np.prod(np.diag(edges)))
