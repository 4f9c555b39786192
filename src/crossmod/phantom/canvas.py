"""A volume being painted with tissues, in warped millimetres, each shape only inside its own box."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from crossmod.phantom.field import Axes, Field, Profile, random_field
from crossmod.phantom.tissue import VALUES, Tissue, table
from crossmod.scans.box import Box, three

# The warp is also kept at these nodes, to bound it locally; between nodes it can exceed them by the slack.
_NODE_MM, _SLACK_MM = 20.0, 1.5
_NODES = (np.arange(-260.0, 261.0, _NODE_MM),) * 3
_BEYOND = 4  # how many nodes further up and down a bent trunk is looked at


@dataclass(frozen=True)
class Pose:
    """How the body lies in the scanner, and how it departs from its ideal shapes: small turns and a smooth warp.

    turn: rotation from scanner to body, 3x3.
    warp: one field per axis, mm.
    least, most: bounds (3, n, n, n) of the warp around each node, mm.
    """

    turn: np.ndarray
    warp: tuple
    least: np.ndarray
    most: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Pose":
        """Draw a pose: a few degrees of turn, ~4 mm of slow warp and ~1 mm of fast warp along each axis."""
        roll, yaw = np.clip(rng.normal(0.0, 0.03, 2), -0.08, 0.08)
        slow = tuple(random_field(rng, 70.0, 4.5) for _ in range(3))
        fast = tuple(random_field(rng, 26.0, 1.0) for _ in range(3))
        warp = tuple(quick.plus(calm) for quick, calm in zip(fast, slow, strict=True))
        return cls(_turn(roll, yaw), warp, *_bounds(warp, 0))

    def bent(self, forward_mm: Profile) -> "Pose":
        """The same pose with more warp along the body's depth, which depends on the height alone."""
        warp = (self.warp[0], self.warp[1].plus(forward_mm), self.warp[2])
        return Pose(self.turn, warp, *_bounds(warp, _BEYOND))

    def warp_range(self, centre_mm: np.ndarray, reach_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest warp (3,) within a box of half size `reach_mm` (3,) around a scanner point, mm."""
        # Bounds around a node hold one node further out, so the box may shrink by one step.
        first = _node(np.minimum(centre_mm - reach_mm + _NODE_MM, centre_mm))
        last = _node(np.maximum(centre_mm + reach_mm - _NODE_MM, centre_mm))
        part = (slice(None), *(slice(a, b + 1) for a, b in zip(first, last, strict=True)))
        return self.least[part].min((1, 2, 3)), self.most[part].max((1, 2, 3))

    def warp_near(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest warp (n, 3) close to scanner points (n, 3), mm."""
        at = (slice(None), *_node(points_mm).T)
        return self.least[at].T, self.most[at].T

    def coordinates(self, axes: Axes) -> list[np.ndarray]:
        """Body coordinates x, y, z in mm of every grid point, float32."""
        line = [np.asarray(axis, dtype=np.float32) for axis in axes]
        line = [line[0][:, None, None], line[1][None, :, None], line[2][None, None, :]]
        out = []
        for axis in range(3):
            value = self.warp[axis].on(axes)
            row = self.turn[axis].astype(np.float32)
            value += row[0] * line[0] + row[1] * line[1] + row[2] * line[2]
            out.append(value)
        return out


def _bounds(warp: tuple[Field, ...], beyond: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest warp around each node; the lowest and highest ones answer for some nodes beyond them too."""
    far = np.arange(-beyond, len(_NODES[2]) + beyond) * _NODE_MM + _NODES[2][0]
    nodes = np.stack([field.on((_NODES[0], _NODES[1], far)) for field in warp])
    near = (1, 3, 3, 3)
    least, most = ndimage.minimum_filter(nodes, near), ndimage.maximum_filter(nodes, near)
    ends = (slice(0, beyond + 1), slice(beyond + 1, -beyond - 1), slice(-beyond - 1, None))
    low, inner, high = (least[..., part] for part in ends)
    least = np.concatenate([low.min(-1, keepdims=True), inner, high.min(-1, keepdims=True)], axis=-1)
    low, inner, high = (most[..., part] for part in ends)
    most = np.concatenate([low.max(-1, keepdims=True), inner, high.max(-1, keepdims=True)], axis=-1)
    return least - _SLACK_MM, most + _SLACK_MM


def _turn(roll_rad: float, yaw_rad: float) -> np.ndarray:
    """Rotation about the long axis (roll) and the front-back axis (yaw), 3x3."""
    cr, sr, cy, sy = np.cos(roll_rad), np.sin(roll_rad), np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])


def _node(points_mm: np.ndarray) -> np.ndarray:
    """Index of the nearest node along each axis."""
    nearest = np.round((np.asarray(points_mm) - _NODES[0][0]) / _NODE_MM).astype(int)
    return np.minimum(np.maximum(nearest, 0), len(_NODES[0]) - 1)


@dataclass
class Canvas:
    """Body coordinates (mm) of a grid, and what has been painted there so far.

    organ: value of the organ that every point belongs to, 0 for none; None where organs are not labelled.
    """

    axes: Axes
    pose: Pose
    xyz: list[np.ndarray]
    tissue: np.ndarray
    label: np.ndarray
    push: "Push | None" = field(default=None)
    organ: np.ndarray | None = None
    _brush: int | None = 0
    _spared: np.ndarray | None = None

    @classmethod
    def blank(cls, axes: Axes, pose: Pose, organs: bool = False) -> "Canvas":
        """Air everywhere; with or without a map of the organs."""
        xyz = pose.coordinates(axes)
        shape = xyz[0].shape
        organ = np.zeros(shape, np.uint8) if organs else None
        return cls(axes, pose, xyz, np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), organ=organ)

    @contextmanager
    def painting(self, organ: str | None) -> Iterator[None]:
        """Whatever is painted meanwhile belongs to this organ; None: every point stays with the organ it belonged to.

        Outside of any such block, what is painted belongs to no organ.
        """
        before, self._brush = self._brush, None if organ is None else VALUES[organ]
        try:
            yield
        finally:
            self._brush = before

    @contextmanager
    def sparing(self, *organs: str) -> Iterator["Canvas"]:
        """Nothing that is painted meanwhile covers these organs."""
        before = self._spared
        spared = np.zeros(max(VALUES.values()) + 1, bool) if before is None else before.copy()
        spared[[VALUES[name] for name in organs]] = True
        self._spared = spared
        try:
            yield self
        finally:
            self._spared = before

    def belongs(self, box: Box, organ: str) -> np.ndarray:
        """Which points of a box belong to an organ; all of them where organs are not labelled."""
        return np.ones(self.tissue[box].shape, bool) if self.organ is None else self.organ[box] == VALUES[organ]

    def box(self, centre_mm: np.ndarray, radius_mm: float | np.ndarray) -> Box | None:
        """Index box that surely holds every grid point within `radius_mm` of a body point; None if outside."""
        # The turn is an isometry, so a ball of the body is a ball of the scanner, up to the warp.
        reach = np.broadcast_to(np.asarray(radius_mm, float), 3)
        if not np.all(reach == reach[0]):
            reach = np.abs(self.pose.turn.T) @ reach
        if self.push is not None:
            reach = reach + self.push.reach(centre_mm, float(np.linalg.norm(reach)))
        middle = self.pose.turn.T @ np.asarray(centre_mm, float)
        low, high = self.pose.warp_range(middle, reach)
        slices = []
        for axis in range(3):
            first = int(np.searchsorted(self.axes[axis], middle[axis] - reach[axis] - high[axis]))
            last = int(np.searchsorted(self.axes[axis], middle[axis] + reach[axis] - low[axis], side="right"))
            if first >= last:
                return None
            slices.append(slice(first, last))
        return three(slices)

    def offsets(self, box: Box, centre_mm: np.ndarray) -> list[np.ndarray]:
        """Body coordinates in a box relative to a centre, mm."""
        return [value[box] - np.float32(c) for value, c in zip(self.xyz, centre_mm, strict=True)]

    def paint(
        self,
        box: Box,
        mask: np.ndarray,
        tissue: Tissue,
        over: np.ndarray | None = None,
        label: int | None = None,
    ) -> np.ndarray:
        """Paint a mask in a box with a tissue (and label); `over` is a table of tissues that may be overwritten.

        Returns:
            The mask actually painted.
        """
        here = self.tissue[box]
        if over is not None:
            mask = mask & np.take(over, here)
        if self.organ is not None and self._spared is not None:
            mask = mask & ~np.take(self._spared, self.organ[box])
        np.copyto(here, np.uint8(tissue), where=mask)
        if self.organ is not None and self._brush is not None:
            np.copyto(self.organ[box], np.uint8(self._brush), where=mask)
        if label is not None:
            np.copyto(self.label[box], np.uint8(label), where=mask)
        return mask

    def ball_chain(
        self,
        points_mm: np.ndarray,
        radius_mm: np.ndarray,
        tissue: Tissue,
        over: tuple[Tissue, ...] | None = None,
    ) -> None:
        """Paint a tube: balls of `radius_mm` (n,) around `points_mm` (n, 3), closely spaced."""
        allowed = None if over is None else table(over)
        for _, box, mask in self.balls(points_mm, radius_mm):
            self.paint(box, mask, tissue, allowed)

    def balls(self, points_mm: np.ndarray, radius_mm: np.ndarray) -> Iterator[tuple[int, Box, np.ndarray]]:
        """Number, box and mask of each ball of `radius_mm` (n,) around `points_mm` (n, 3).

        Balls outside of the canvas are left out.
        """
        radius_mm = np.broadcast_to(radius_mm, len(points_mm))
        reach = radius_mm + (0.0 if self.push is None else self.push.reach(points_mm, radius_mm))
        middle = points_mm @ self.pose.turn
        low, high = self.pose.warp_near(middle)
        spans = []
        for axis, line in enumerate(self.axes):
            first = np.searchsorted(line, middle[:, axis] - reach - high[:, axis])
            last = np.searchsorted(line, middle[:, axis] + reach - low[:, axis], side="right")
            spans.append((first.tolist(), last.tolist()))
        (x0, x1), (y0, y1), (z0, z1) = spans
        squares = (np.maximum(radius_mm, 0) ** 2).astype(np.float32)
        for i, point in enumerate(np.asarray(points_mm, dtype=np.float32)):
            if x0[i] < x1[i] and y0[i] < y1[i] and z0[i] < z1[i]:
                box = (slice(x0[i], x1[i]), slice(y0[i], y1[i]), slice(z0[i], z1[i]))
                x, y, z = (value[box] - c for value, c in zip(self.xyz, point, strict=True))
                yield i, box, x * x + y * y + z * z < squares[i]

    def ellipsoid(
        self,
        centre_mm: np.ndarray,
        semi_mm: np.ndarray,
        tissue: Tissue,
        over: tuple[Tissue, ...] | None = None,
        turn: np.ndarray | None = None,
    ) -> None:
        """Paint an ellipsoid with semi-axes `semi_mm` (3,) along the rows of `turn` (3x3, default the body's axes)."""
        turn = np.eye(3) if turn is None else turn
        box = self.box(centre_mm, np.sqrt((turn.T**2) @ np.square(semi_mm)))
        if box is None:
            return
        x, y, z = self.offsets(box, centre_mm)
        total = np.zeros_like(x)
        for row, semi in zip((turn / np.asarray(semi_mm, float)[:, None]).astype(np.float32), semi_mm, strict=True):
            part = row[0] * x + row[1] * y + row[2] * z if semi else x
            total += part * part
        self.paint(box, total < 1, tissue, None if over is None else table(over))


@dataclass(frozen=True)
class Push:
    """Mass effect: a growth of `radius_mm` at `centre_mm` displaces soft tissue outwards, keeping volumes.

    A point that was at distance s from the centre moves to cbrt(s^3 + share * radius^3).
    ASSUME: growth is spherical and the share not displaced has been invaded.
    """

    centre_mm: np.ndarray
    radius_mm: float
    share: float

    @property
    def mass_ml(self) -> float:
        """Volume of the growth."""
        return float(4 / 3 * np.pi * self.radius_mm**3 / 1000.0)

    def reach(self, centre_mm: np.ndarray, radius_mm: np.ndarray | float) -> np.ndarray:
        """No point within `radius_mm` (...) of body points (..., 3) has moved further than this (...)."""
        apart = np.linalg.norm(np.asarray(centre_mm) - self.centre_mm, axis=-1)
        nearest = np.maximum(0.0, apart - radius_mm)
        return np.cbrt(nearest**3 + self.share * self.radius_mm**3) - nearest

    def apply(self, canvas: Canvas) -> None:
        """Change the canvas' coordinates so that shapes painted from now on are pushed aside."""
        box = canvas.box(self.centre_mm, 3.0 * self.radius_mm)
        canvas.push = self
        if box is None:
            return
        parts = canvas.offsets(box, self.centre_mm)
        distance = np.sqrt(sum(part * part for part in parts)) + np.float32(1e-3)
        cube = distance**3 - np.float32(self.share * self.radius_mm**3)
        # Inside, where nothing came from, points map towards the centre; the growth is painted over them.
        source = np.cbrt(np.maximum(cube, 0)) + np.float32(0.05) * np.minimum(cube, 0) / distance**2
        fade = np.clip((3.0 * self.radius_mm - distance) / self.radius_mm, 0, 1)
        scale = 1 - fade * (1 - np.maximum(source, 0) / distance)
        for value, part, c in zip(canvas.xyz, parts, self.centre_mm, strict=True):
            value[box] = part * scale + np.float32(c)
