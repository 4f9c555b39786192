"""What lies above the diaphragm: the heart with its chambers, the mediastinum, vessels of the lungs; and the arms."""

from dataclasses import dataclass

import numpy as np

from crossmod.phantom.canvas import Canvas
from crossmod.phantom.organs import curve, rotation
from crossmod.phantom.tissue import Tissue
from crossmod.phantom.torso import Torso


@dataclass(frozen=True)
class Thorax:
    """Heart, vessels and arms in mm, body frame.

    Attributes:
        heart: its centre.
        size: semi-axes of the heart.
        turn: rows point along them.
        vessels: pulmonary branches: points (n, 3) and radii (n,).
        arms: offset of each arm's axis from the trunk's side, and its radius.
    """

    heart: np.ndarray
    size: np.ndarray
    turn: np.ndarray
    vessels: tuple[tuple[np.ndarray, np.ndarray], ...]
    arms: tuple[float, float]


def draw_thorax(rng: np.random.Generator, torso: Torso) -> Thorax:
    """Draw what lies above a trunk's diaphragm."""
    floor = max(torso.lung_base) + 0.6 * max(torso.lung_dome)
    heart = np.array([-24.0 + rng.normal(0, 6), 0.52 * torso.cavity[1], floor + 44.0 + rng.normal(0, 6)])
    vessels = []
    for side in (1, -1):
        root = np.array([side * 28.0, 18.0, floor + 62.0])
        for _ in range(12):
            end = np.array([side * 0.5 * torso.cavity[0], 12.0, floor + 40.0]) + rng.normal(size=3) * [26, 34, 46]
            points = curve([root, 0.5 * (root + end) + rng.normal(0, 7, 3), end], 5.0)
            vessels.append((points, np.linspace(rng.uniform(3.0, 5.0), 1.2, len(points))))
    return Thorax(
        heart=heart,
        size=np.array([50.0, 40.0, 44.0]) * rng.uniform(0.85, 1.15),
        turn=rotation(rng, 0.25),
        vessels=tuple(vessels),
        arms=(rng.uniform(56.0, 85.0), rng.uniform(34.0, 48.0)),
    )


def paint_thorax(canvas: Canvas, thorax: Thorax) -> None:
    """Paint pulmonary vessels into the lungs, then the heart into lungs and mediastinum."""
    with canvas.painting(None):
        for points, radius in thorax.vessels:
            canvas.ball_chain(points, radius, Tissue.VEIN, (Tissue.LUNG,))
    free = (Tissue.LUNG, Tissue.VISCERAL_FAT, Tissue.VEIN)
    canvas.ellipsoid(thorax.heart, thorax.size + 4.0, Tissue.VISCERAL_FAT, free, thorax.turn)
    inside = (Tissue.MYOCARDIUM,)
    left = thorax.heart + np.array([-0.3, -0.1, -0.1]) @ np.diag(thorax.size) @ thorax.turn
    right = thorax.heart + np.array([0.45, 0.15, 0.1]) @ np.diag(thorax.size) @ thorax.turn
    with canvas.painting("heart"):
        canvas.ellipsoid(thorax.heart, thorax.size, Tissue.MYOCARDIUM, free, thorax.turn)
        canvas.ellipsoid(left, thorax.size * 0.45, Tissue.ARTERY, inside, thorax.turn)
        canvas.ellipsoid(right, thorax.size * 0.48, Tissue.VEIN, inside, thorax.turn)


def paint_arms(canvas: Canvas, torso: Torso, thorax: Thorax) -> None:
    """Paint both arms beside the trunk: bone, muscle, fat and skin."""
    offset, radius = thorax.arms
    for side in (1, -1):
        points = curve(
            [
                [side * (torso.half_width + offset - 8), 10.0, 290.0],
                [side * (torso.half_width + offset), 0.0, 0.0],
                [side * (torso.half_width + offset + 14), 14.0, -290.0],
            ],
            10.0,
        )
        # From the inside out, each into the air that is left: arms that touch the trunk leave it as it is.
        layers = (
            (6.5, Tissue.BONE_MARROW),
            (11.0, Tissue.BONE_CORTEX),
            (0.74 * radius, Tissue.MUSCLE),
            (radius - 2.0, Tissue.SUBCUTANEOUS_FAT),
            (radius, Tissue.SKIN),
        )
        for reach, tissue in layers:
            canvas.ball_chain(points, np.full(len(points), reach), tissue, (Tissue.AIR,))
