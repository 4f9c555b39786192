"""Modality-wise intensity normalisation. The network never sees which modality it looks at."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from crossmod.job import UserError
from crossmod.scans.scan import Unread, planes


@dataclass(frozen=True)
class Window:
    """Intensities are clipped to [low, high], then shifted and scaled to mean 0 and SD 1 of the body."""

    low: float
    high: float
    mean: float
    sd: float

    def apply(self, array: ArrayLike) -> np.ndarray:
        """Normalise an array of any shape; float32."""
        clipped = np.clip(np.asarray(array, dtype=np.float32), self.low, self.high)
        return (clipped - np.float32(self.mean)) / np.float32(self.sd)


def body_mask(array: np.ndarray, modality: str) -> np.ndarray:
    """Where the body is, roughly: (X, Y, Z) boolean.

    Raises:
        UserError: if the modality is neither CT nor MR.
    """
    return array > body_level(array, modality)


def body_level(array: np.ndarray | Unread, modality: str) -> float:
    """The intensity above which a voxel belongs to the body.

    Raises:
        UserError: if the modality is neither CT nor MR.
    """
    if modality == "CT":
        # ASSUME: the body is what is denser than lung; -300 HU lies between lung and fat.
        return -300
    if modality == "MR":
        # ASSUME: the body is what is brighter than the scan's mean, TorchIO's convention for z-scoring MR.
        return np.asarray(array).mean()
    raise UserError(f"modality is '{modality}': expected CT or MR.")


def body_box(array: np.ndarray | Unread, modality: str) -> tuple[np.ndarray, np.ndarray]:
    """The box that holds the body: low and high (exclusive) voxel indices, (3,) each; the whole array if there is none.

    A plane belongs to the body when at least one voxel in two hundred does, so that noise and the table's rim do not
    stretch the box.
    """
    level, shape = body_level(array, modality), np.array(array.shape)
    low, high = np.zeros(3, dtype=int), shape.copy()
    for axis, voxels in enumerate(_voxels_above(level, array)):
        # ASSUME: 0.5 % of a plane.
        inside = np.flatnonzero(voxels / np.prod(np.delete(shape, axis)) >= 0.005)
        if inside.size:
            low[axis], high[axis] = inside[0], inside[-1] + 1
    return low, high


def _voxels_above(level: float, array: np.ndarray | Unread) -> list[np.ndarray]:
    """How many voxels of each plane are brighter, for the planes across every axis; read plane by plane."""
    across, read = planes(array)
    counts = [np.zeros(n, dtype=int) for n in array.shape]
    for number, plane in enumerate(read):
        above = plane > level
        counts[across][number] = np.count_nonzero(above)
        for axis, other in zip((a for a in range(3) if a != across), (1, 0), strict=True):
            counts[axis] += np.count_nonzero(above, axis=other)
    return counts


def fit_window(
    array: np.ndarray | Unread,
    modality: str,
    ct_window_hu: tuple[float, float],
    mr_percentiles: tuple[float, float],
) -> Window:
    """Measure the window of one scan.

    Args:
        array: (X, Y, Z) intensities; HU for CT.
        modality: ``CT`` or ``MR``.
        ct_window_hu: HU are clipped to these.
        mr_percentiles: MR intensities are clipped to these percentiles of the body.

    Raises:
        UserError: if the modality is neither, or the body has no contrast.
    """
    if modality == "CT":
        low, high = ct_window_hu
        # Plane by plane: a CT of the whole trunk has too many voxels for a copy.
        clipped: Iterable[np.ndarray] = (
            np.clip(plane[body_mask(plane, "CT")], low, high) for plane in planes(array)[1]
        )
    elif modality == "MR":
        array = np.asarray(array, dtype=np.float32)
        body = array[body_mask(array, "MR")]
        low, high = (float(value) for value in np.percentile(body, mr_percentiles)) if body.size else (0.0, 0.0)
        clipped = (np.clip(body, low, high),)
    else:
        raise UserError(f"modality is '{modality}': expected CT or MR.")
    mean, sd = _moments(clipped)
    if not sd > 0:
        raise UserError(
            f"The {modality} scan has no contrast inside the body (clipped to {low:g}…{high:g}): is it empty, or is "
            "the modality wrong? CT must be in HU."
        )
    return Window(float(low), float(high), mean, sd)


def _moments(parts: Iterable[np.ndarray]) -> tuple[float, float]:
    """Mean and standard deviation of values that come in parts (Chan, Golub and LeVeque 1979); 0 and 0 of none."""
    count, mean, squares = 0, 0.0, 0.0
    for part in parts:
        if part.size:
            own = float(part.mean(dtype=np.float64))
            apart, count = own - mean, count + part.size
            mean += apart * part.size / count
            squares += (
                float(part.var(dtype=np.float64)) * part.size + apart**2 * part.size * (count - part.size) / count
            )
    return mean, (squares / count) ** 0.5 if count else 0.0
