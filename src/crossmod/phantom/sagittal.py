"""A canvas of the spine: body coordinates of the sagittal plane alone, in which shapes are painted bone by bone.

A shape is a sum g(y, z) + f(x) that is below 1 inside: two small arrays instead of a volume.
"""

from dataclasses import dataclass

import numpy as np

from crossmod.phantom.canvas import Canvas, Pose
from crossmod.phantom.field import Axes
from crossmod.phantom.tissue import VALUES, Tissue, table
from crossmod.phantom.vertebrae import Column, Disc, Vertebra
from crossmod.scans.box import Box

SOFT = table((Tissue.VISCERAL_FAT, Tissue.SUBCUTANEOUS_FAT, Tissue.MUSCLE, Tissue.SKIN))
CORTEX_MM = 1.0
_SLACK_MM = 12.0  # how far the warp may move a point, with its turn


@dataclass(frozen=True)
class Sagittal:
    """A canvas and its coordinates in mm.

    ASSUME: the warp of the midline holds for the whole width of the spine, and within a vertebra its sideways part is
    one shift.

    Attributes:
        canvas: where tissues and labels are painted.
        x: along R, (nx,).
        aside: what to add to x, (ny, nz).
        y, z: body coordinates of the plane, (ny, nz).
    """

    canvas: Canvas
    x: np.ndarray
    aside: np.ndarray
    y: np.ndarray
    z: np.ndarray

    @classmethod
    def of(cls, tissue: np.ndarray, axes: Axes, pose: Pose, column: Column) -> "Sagittal":
        """Begin with tissues that lie around the spine."""
        aside, y, z = (value[0] for value in pose.coordinates((np.zeros(1), axes[1], axes[2])))
        aside = aside - column.aside_mm(z).astype(np.float32)
        return cls(Canvas(axes, pose, [], tissue, np.zeros_like(tissue)), axes[0].astype(np.float32), aside, y, z)

    def frame(self, one: Vertebra | Disc, reach_mm: float, behind_mm: float = 0.0) -> "Frame | None":
        """The coordinates of a vertebra or disc within some reach of a point behind its middle; None outside."""
        up = np.array([np.sin(one.tilt_rad), np.cos(one.tilt_rad)])
        middle = np.asarray(one.centre_mm) - behind_mm * np.array([up[1], -up[0]])
        parts = []
        for axis, centre in zip(self.canvas.axes[1:], middle, strict=True):
            ends = np.searchsorted(axis, [centre - reach_mm - _SLACK_MM, centre + reach_mm + _SLACK_MM]).tolist()
            if ends[0] >= ends[1]:
                return None
            parts.append(slice(*ends))
        plane = (parts[0], parts[1])
        y, z = self.y[plane] - np.float32(one.centre_mm[0]), self.z[plane] - np.float32(one.centre_mm[1])
        sine, cosine = np.float32(up[0]), np.float32(up[1])
        x = self.x + np.float32(self.aside[plane].mean())
        return Frame(self.canvas, plane, x, y * cosine - z * sine, y * sine + z * cosine)


@dataclass(frozen=True)
class Frame:
    """Coordinates of one vertebra or disc in mm: x to the right (nx,), u forward and v up of a plane's part (ny, nz).

    Forms that are painted have the same shapes.
    """

    canvas: Canvas
    plane: tuple[slice, slice]
    x: np.ndarray
    u: np.ndarray
    v: np.ndarray

    def within(self, g: np.ndarray, f: np.ndarray, most: float = 1.0) -> tuple[Box, tuple[slice, slice, slice]] | None:
        """Where g + f may be below `most`: as a box of the canvas, and as one of the frame; None if nowhere."""
        flat = g < most - f.min()
        lines = [f < most - g.min(), flat.any(axis=1), flat.any(axis=0)]
        parts = []
        for line in lines:
            found = np.flatnonzero(line)
            if not len(found):
                return None
            parts.append(slice(int(found[0]), int(found[-1]) + 1))
        first, second = (
            slice(part.start + whole.start, part.stop + whole.start)
            for part, whole in zip(parts[1:], self.plane, strict=True)
        )
        return (parts[0], first, second), (parts[0], parts[1], parts[2])

    def put(
        self, g: np.ndarray, f: np.ndarray, tissue: Tissue, name: str | None, over: np.ndarray | None = None
    ) -> None:
        """Paint a shape with a tissue and a structure; None: with no structure."""
        found = self.within(g, f)
        if found is None:
            return
        box, (xs, us, vs) = found
        mask = g[None, us, vs] + f[xs, None, None] < 1
        self.canvas.paint(box, mask, tissue, over, value_of(name))

    def bone(self, g: np.ndarray, f: np.ndarray, semi_mm: float, name: str, marrow: Tissue) -> None:
        """Paint a quadric as cortex around marrow; `semi_mm` is its smallest semi-axis.

        ASSUME: walls that lie in the sagittal plane are half as thick: a slice is thicker than they are, and a slice
        without sub-slices would show them alone.
        """
        self.put(g, f, Tissue.BONE_CORTEX, name)
        inner, beside = (np.float32(1 / max(1 - mm / semi_mm, 0.05) ** 2) for mm in (CORTEX_MM, CORTEX_MM / 2))
        self.put(g * inner, f * beside, marrow, name)


def value_of(name: str | None) -> int:
    """The label value of a structure; 0 of None."""
    return 0 if name is None else VALUES[name]


def quadric(parts: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """Sum of the squares of one or two coordinates over their semi-axes (mm)."""
    squares = [(value / np.float32(semi)) ** 2 for value, semi in parts]
    return squares[0] if len(squares) == 1 else squares[0] + squares[1]
