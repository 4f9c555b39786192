"""Smooth random fields that live in millimetres, so that any grid samples the same one.

A field is a lattice of Gaussian control values under cubic B-splines. It is evaluated on the outer product of three
coordinate axes, one axis after the other, with four taps per axis: cheap, and free of BLAS, whose rounding may depend
on the number of threads.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crossmod.scans.box import three

# Half extent of every field (x, y, z) in mm around the body's origin: larger than any field of view allowed.
EXTENT_MM = (300.0, 300.0, 300.0)
# Variance of a cubic B-spline mixture of unit normal controls is (151/315)^3 on average over a cell (three axes).
_GAIN = float((315.0 / 151.0) ** 1.5)

Axes = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Profile:
    """A scalar that depends on the height alone, by a smooth function of heights in mm."""

    at: Callable[[np.ndarray], np.ndarray]

    def on(self, axes: Axes) -> np.ndarray:
        """Values on the grid spanned by three axes in mm, as `Field.on`."""
        values = self.at(np.asarray(axes[2], dtype=float)).astype(np.float32)
        return np.broadcast_to(values, tuple(len(axis) for axis in axes))


@dataclass(frozen=True)
class Field:
    """A smooth random scalar field: `control` values (nx, ny, nz) every `spacing_mm`."""

    control: np.ndarray
    spacing_mm: float
    half_mm: tuple[float, float, float]

    @property
    def bound(self) -> float:
        """No value of the field exceeds this (convex hull of a B-spline)."""
        return float(np.abs(self.control).max())

    def plus(self, slower: "Field | Profile") -> "Field":
        """The sum with a field of longer waves, on this one's lattice: half the work of evaluating both.

        The splines of this lattice go through the slower field's values at its nodes.
        """
        nodes = [
            (np.arange(n) - 1) * self.spacing_mm - half
            for n, half in zip(self.control.shape, self.half_mm, strict=True)
        ]
        through = ndimage.spline_filter(slower.on(three(nodes)), order=3, output=np.float32, mode="mirror")
        return Field(self.control + through, self.spacing_mm, self.half_mm)

    def on(self, axes: Axes) -> np.ndarray:
        """Values on the grid spanned by three axes in mm, as float32 (len x, len y, len z)."""
        taps = [self._taps(axes[axis], axis) for axis in range(3)]
        # Only controls that are needed: a thin slab needs few of them across.
        starts = [int(first.min()) for first, _ in taps]
        values = self.control[
            tuple(slice(start, start + 4 + int(np.ptp(first))) for start, (first, _) in zip(starts, taps, strict=True))
        ]
        for axis in (2, 1):
            values = np.moveaxis(values, axis, 0)
            values = np.moveaxis(_mix(values, taps[axis][0] - starts[axis], taps[axis][1]), 0, axis)
        return _mix(np.ascontiguousarray(values), taps[0][0] - starts[0], taps[0][1])

    def _taps(self, positions_mm: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
        steps = (np.asarray(positions_mm, dtype=np.float64) + self.half_mm[axis]) / self.spacing_mm
        steps = np.clip(steps, 0.0, self.control.shape[axis] - 4.0)
        first = np.minimum(np.floor(steps).astype(int), self.control.shape[axis] - 4)
        t = steps - first
        weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3])
        return first, (weights / 6.0).astype(np.float32)


def _mix(values: np.ndarray, first: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Cubic B-spline along the leading axis: (m, ...) controls to (n, ...) values."""
    out = np.empty((len(first), *values.shape[1:]), dtype=np.float32)
    part = np.empty(values.shape[1:], dtype=np.float32)
    for i, j in enumerate(first):  # one slab at a time stays in the cache
        w = weights[:, i]
        np.multiply(values[j], w[0], out=out[i])
        for k in (1, 2, 3):
            out[i] += np.multiply(values[j + k], w[k], out=part)
    return out


def random_field(
    rng: np.random.Generator,
    spacing_mm: float,
    sd: float,
    half_mm: tuple[float, float, float] = EXTENT_MM,
) -> Field:
    """Draw a field of standard deviation `sd` (about) and correlation length of about 1.5 x `spacing_mm`."""
    shape = [int(np.ceil(2 * half / spacing_mm)) + 4 for half in half_mm]
    control = rng.standard_normal(shape, dtype=np.float32) * np.float32(sd * _GAIN)
    return Field(np.clip(control, -3 * sd * _GAIN, 3 * sd * _GAIN), spacing_mm, half_mm)
