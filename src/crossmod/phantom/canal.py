"""The spinal canal along its own curve: epidural fat and veins, ligaments, dural sac, cord, conus and roots."""

from dataclasses import dataclass

import numpy as np

from crossmod.phantom.arches import spinous_mm
from crossmod.phantom.organs import curve
from crossmod.phantom.sagittal import SOFT, Sagittal, value_of
from crossmod.phantom.tissue import Tissue, table
from crossmod.phantom.vertebrae import Column
from crossmod.scans.box import Box

_WITHIN = table((Tissue.CSF, Tissue.CORD))
# Semi-axes of the cord from front to back and across, at these vertebrae, mm: Ko et al., Spinal Cord 2004;42:1 (by
# segment), Frostell et al., Front Neurol 2016;7:238 are near these.
_CORD_AT = ("T1", "T4", "T8", "T11", "T12", "L1", "L2")
_CORD_MM = np.array([[3.6, 4.6], [3.2, 4.1], [3.2, 4.1], [3.7, 4.5], [4.0, 4.7], [3.9, 4.4], [3.9, 4.4]])
_CONUS_MM = 26.0  # over which the cord ends
_ROOT_MM = 0.75
# ASSUME: the sac takes these shares of the canal's depth and lies forwards (+) or backwards (-) in it by these shares:
# fat lies behind it in the lumbar spine, and before it at the sacrum, where it ends at the second vertebra.
_SAC_AT = {"T1": (0.88, 0.06), "T10": (0.88, 0.06), "L1": (0.84, 0.1), "L4": (0.8, 0.1), "L5": (0.72, 0.0)}
_SAC_AT |= {"S1": (0.6, -0.15), "S2": (0.42, 0.0), "S3": (0.0, 0.0), "S5": (0.0, 0.0)}
_SAC_WIDE = 0.86


@dataclass(frozen=True)
class Shift:
    """How the cord gives way: most at a height, none `reach` above and below, by mm across and forward."""

    height: float
    reach: float
    across: float
    forward: float
    swollen: float = 0.0


@dataclass(frozen=True)
class Canal:
    """The canal's part of a canvas.

    Attributes:
        box: of the canvas.
        x: to the right of the canal's middle, (nx, ny, nz).
        d: forward of its middle, (ny, nz).
        height: of the nearest point of its curve, (ny, nz), which tells the levels of all that follows.
        wide, deep: semi-axes of the canal, (ny, nz).
        sac: semi-axes of the dural sac across and along, and how far forward it lies, (3, ny, nz).
        near: which points lie within it, or close to it, (ny, nz).
        spinous: how far behind the canal the spinous processes end, (ny, nz).
    """

    box: Box
    x: np.ndarray
    d: np.ndarray
    height: np.ndarray
    wide: np.ndarray
    deep: np.ndarray
    sac: np.ndarray
    near: np.ndarray
    spinous: np.ndarray


def middle_at(column: Column, height_mm: float) -> tuple[np.ndarray, float, float]:
    """A point (2,) of the curve at a height, and the canal's semi-axes there."""
    points, heights, wide, deep = _nodes(column)
    line = curve(points, 1.0)
    forward = float(np.interp(height_mm, line[::-1, 1], line[::-1, 0]))
    across, along = (float(np.interp(height_mm, heights[::-1], value[::-1])) for value in (wide, deep))
    return np.array([forward, height_mm]), across, along


def _nodes(column: Column) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Middles of the canal behind all vertebrae (n, 2), their heights and semi-axes (n,), from above."""
    points = np.array([one.at(-(one.semi_depth + one.canal[1]), 0.0) for one in column.vertebrae])
    wide, deep = np.array([one.canal for one in column.vertebrae]).T
    return points, points[:, 1], wide, deep


def find_canal(sagittal: Sagittal, column: Column) -> Canal | None:
    """Coordinates along the canal; None where it is outside of the picture."""
    points, heights, wide, deep = _nodes(column)
    line = curve(points, 1.0)[::-1]
    lean = np.gradient(line[:, 0], line[:, 1])
    foot = sagittal.z
    for _ in range(3):  # the foot of the perpendicular: its place on the tangent of the last one
        slope = np.interp(foot, line[:, 1], lean)
        off = sagittal.y - np.interp(foot, line[:, 1], line[:, 0])
        foot = foot + (sagittal.z - foot + slope * off) / (1 + slope**2)
    d = (sagittal.y - np.interp(foot, line[:, 1], line[:, 0])) * np.sqrt(1 + np.interp(foot, line[:, 1], lean) ** 2)
    near = (np.abs(d) < 54.0) & (d < 14.0) & (foot > heights[-1] - 5.0)
    span = wide.max() + 3.0
    xs = np.flatnonzero(np.abs(sagittal.x + sagittal.aside[near].mean()) < span + 4.0) if near.any() else np.array([])
    if not len(xs):
        return None
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    box = tuple(slice(int(part[0]), int(part[-1]) + 1) for part in (xs, rows, columns))
    plane = box[1:]
    foot, d = foot[plane].astype(np.float32), d[plane].astype(np.float32)
    levels = [column.vertebra(name) for name in _SAC_AT]
    at = [one.at(-(one.semi_depth + one.canal[1]), 0.0)[1] for one in levels]
    share, forward = (_along(foot, at, values) for values in zip(*_SAC_AT.values(), strict=True))
    half, half_deep = _along(foot, heights, wide), _along(foot, heights, deep)
    return Canal(
        box=(box[0], box[1], box[2]),
        x=sagittal.x[box[0], None, None] + sagittal.aside[None, plane[0], plane[1]],
        d=d,
        height=foot,
        wide=half,
        deep=half_deep,
        sac=np.stack([_SAC_WIDE * half * np.minimum(1.0, share / 0.7), share * half_deep, forward * half_deep]),
        near=np.abs(d) < half_deep + 1.6,
        spinous=_along(foot, heights, [spinous_mm(one) if one.name[0] != "S" else 8.0 for one in column.vertebrae]),
    )


def _along(heights_mm: np.ndarray, at: np.ndarray | list, values: np.ndarray | list | tuple) -> np.ndarray:
    """Values given at falling heights, between them straight, float32."""
    return np.interp(heights_mm, np.asarray(at)[::-1], np.asarray(values, float)[::-1]).astype(np.float32)


def paint_bed(sagittal: Sagittal, canal: Canal, column: Column) -> None:
    """Paint what joins the arches: fat of the canal, ligaments before, within and behind it; never over bone."""
    canvas, box, d, x = sagittal.canvas, canal.box, canal.d, canal.x
    inside = (x / canal.wide) ** 2 + (d / canal.deep) ** 2 < 1
    flavum = (np.abs(d + canal.deep + 1.2) < 2.0) & (np.abs(x) < 0.8 * canal.wide)
    canvas.paint(box, flavum, Tissue.LIGAMENT, SOFT)
    behind = -d - canal.deep
    middle = np.abs(x) < 2.6
    # ASSUME: what is between the processes is as bright as muscle, with fat among it.
    axes = [axis[part] for axis, part in zip(canvas.axes, box, strict=True)]
    fibres = column.grain.on((np.zeros(1), axes[1], axes[2])) > 0.2
    between = middle & (behind > 2.0) & (behind < canal.spinous)
    canvas.paint(box, between & fibres, Tissue.MUSCLE, SOFT)
    canvas.paint(box, between & ~fibres, Tissue.VISCERAL_FAT, SOFT)
    canvas.paint(box, middle & (np.abs(behind - canal.spinous - 1.0) < 1.2), Tissue.LIGAMENT, SOFT)
    canvas.paint(box, inside, Tissue.VISCERAL_FAT, label=0)


def paint_sac(sagittal: Sagittal, canal: Canal, column: Column, shifts: tuple[Shift, ...]) -> None:
    """Paint the longitudinal ligament, veins, the sac, roots and the cord into the fat that bones and discs left."""
    fat, near = table((Tissue.VISCERAL_FAT,)), canal.near
    place = _Place.of(canal)
    x, d, deep = place.x, place.d, canal.deep[near]
    ligament = (d > deep - 0.6) & (d < deep + 1.5) & (np.abs(x) < 6.0)
    place.paint(sagittal, ligament, Tissue.LIGAMENT, fat)
    veins = (d > 0.55 * deep) & (np.abs(np.abs(x) - 0.55 * canal.wide[near]) < 2.0)
    place.paint(sagittal, veins, Tissue.VENOUS_PLEXUS, fat)
    across, along, forward = canal.sac[:, near]
    p, q = x / np.maximum(across, 1e-3), (d - forward) / np.maximum(along, 1e-3)
    fat[Tissue.VENOUS_PLEXUS] = True
    place.paint(sagittal, p * p + q * q < 1, Tissue.CSF, fat, "canal")
    _roots(sagittal, place, column, p, q, across, along)
    _cord(sagittal, place, column, shifts, along, forward)


@dataclass(frozen=True)
class _Place:
    """The points near the canal, a list of those of the plane: x (nx, n), d and height (n,)."""

    canal: Canal
    x: np.ndarray
    d: np.ndarray
    height: np.ndarray

    @classmethod
    def of(cls, canal: Canal) -> "_Place":
        return cls(canal, canal.x[:, canal.near], canal.d[canal.near], canal.height[canal.near])

    def paint(
        self, sagittal: Sagittal, mask: np.ndarray, tissue: Tissue, over: np.ndarray, name: str | None = None
    ) -> None:
        whole = np.zeros(self.canal.x.shape, bool)
        whole[:, self.canal.near] = mask
        sagittal.canvas.paint(self.canal.box, whole, tissue, over, value_of(name))


def _cord(
    sagittal: Sagittal,
    place: _Place,
    column: Column,
    shifts: tuple[Shift, ...],
    along: np.ndarray,
    forward: np.ndarray,
) -> None:
    """The cord down to its conus, which gives way to tumours but stays within the sac."""
    height = place.height
    at = [column.vertebra(name).centre_mm[1] for name in _CORD_AT]
    semi = np.array([_along(height, at, row) for row in _CORD_MM.T])
    end = np.clip((height - column.cord_end) / _CONUS_MM, 0, 1) ** np.float32(0.6)
    semi *= np.maximum(end, 1e-3)
    # ASSUME: lying on the back, the cord rests in front where the spine is kyphotic, and behind in the lumbar spine.
    first, last = (column.vertebra(name).centre_mm[1] for name in ("T8", "L1"))
    middle = forward + along * _along(height, [first, last], [0.25, -0.2])
    aside = np.zeros_like(middle)
    for shift in shifts:
        ease = np.cos(np.clip((height - shift.height) / shift.reach, -1, 1) * np.float32(np.pi / 2)) ** 2
        middle, aside = middle + shift.forward * ease, aside + shift.across * ease
        semi *= 1 + shift.swollen * ease
    cord = ((place.x - aside) / semi[1]) ** 2 + ((place.d - middle) / semi[0]) ** 2 < 1
    place.paint(sagittal, cord, Tissue.CORD, _WITHIN, "cord")


def _roots(
    sagittal: Sagittal,
    place: _Place,
    column: Column,
    p: np.ndarray,
    q: np.ndarray,
    across_mm: np.ndarray,
    along_mm: np.ndarray,
) -> None:
    """Roots of the cauda equina: threads that begin beside the cord and spread to the sides of the sac.

    ASSUME: nine bundles, of which each leaves at its own level; lying on the back they rest behind.
    """
    height = place.height
    leaves = np.linspace(column.vertebra("L2").centre_mm[1], column.vertebra("S2").centre_mm[1], len(column.roots))
    mask = np.zeros(p.shape, bool)
    for (across, along), low in zip(column.roots, leaves[np.argsort(-np.abs(column.roots[:, 0]))], strict=True):
        mine = np.flatnonzero((height < column.cord_end + 35.0) & (height > low))
        spread = np.clip((height[mine] - low) / max(column.cord_end - low, 20.0), 0, 1)
        wave = np.float32(0.06) * np.sin(height[mine] / np.float32(11.0) + np.float32(9 * across))
        side = across * (1.25 - 0.45 * spread) + wave
        apart = ((q[mine] - along - wave) * along_mm[mine]) ** 2
        mask[:, mine] |= ((p[:, mine] - side) * across_mm[mine]) ** 2 + apart < _ROOT_MM**2
    place.paint(sagittal, mask, Tissue.CORD, table((Tissue.CSF,)), "canal")
