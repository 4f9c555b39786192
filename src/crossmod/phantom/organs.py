"""The abdominal organs around the kidneys: liver, spleen, stomach, bowel, pancreas, great vessels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from crossmod.phantom.canvas import Canvas
from crossmod.phantom.tissue import Tissue, table
from crossmod.phantom.torso import Person, Torso

FREE = (Tissue.VISCERAL_FAT,)
CONTENTS = (Tissue.BOWEL_FLUID, Tissue.BOWEL_STOOL, Tissue.BOWEL_GAS, Tissue.BOWEL_WALL)


@dataclass(frozen=True)
class Tube:
    """A hollow organ: ball centres (n, 3), outer radii (n,), wall thickness, one content for each ball."""

    points_mm: np.ndarray
    radius_mm: np.ndarray
    wall_mm: float
    content: tuple[Tissue, ...]
    organ: str


@dataclass(frozen=True)
class Blob:
    """A solid ellipsoid with its own axes."""

    centre_mm: np.ndarray
    semi_mm: np.ndarray
    turn: np.ndarray
    tissue: Tissue


@dataclass(frozen=True)
class Branch:
    """A vessel or other solid tube; `organ` is empty for what no label names."""

    points_mm: np.ndarray
    radius_mm: np.ndarray
    tissue: Tissue
    over: tuple[Tissue, ...]
    organ: str = ""


@dataclass(frozen=True)
class Organs:
    """Everything in the belly but the kidneys, in painting order."""

    solids: tuple[Blob, ...]
    liver_vessels: tuple[Branch, ...]
    tubes: tuple[Tube, ...]
    branches: tuple[Branch, ...]
    plaques_mm: np.ndarray


def rotation(rng: np.random.Generator, sd_rad: float) -> np.ndarray:
    """A small random rotation, 3x3."""
    a, b, c = np.clip(rng.normal(0.0, sd_rad, 3), -2.5 * sd_rad, 2.5 * sd_rad)
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rz @ ry @ rx


def curve(knots_mm: Sequence[ArrayLike] | np.ndarray, step_mm: float) -> np.ndarray:
    """Points about every `step_mm` along a Catmull-Rom curve through the knots, (n, 3)."""
    knots = np.asarray(knots_mm, float)
    ends = np.concatenate([[2 * knots[0] - knots[1]], knots, [2 * knots[-1] - knots[-2]]])
    out = []
    for a, b, c, d in zip(ends[:-3], ends[1:-2], ends[2:-1], ends[3:], strict=True):
        t = np.linspace(0, 1, max(2, int(np.linalg.norm(c - b) / step_mm)), endpoint=False)[:, None]
        out.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*out, knots[-1:]])


def draw_organs(rng: np.random.Generator, torso: Torso, person: Person) -> Organs:
    """Draw the organs to fit a trunk."""
    half, front, _ = torso.cavity
    solids = (*_liver(rng, half, front), *_spleen(rng, half), *_gallbladder(rng, half, front))
    tubes = (
        _stomach(rng, half, front),
        *_small_bowel(rng, half, front),
        *_colon(rng, half, front),
        _duodenum(rng),
    )
    count = rng.poisson(max(0.0, (person.age - 45) * 0.25))
    angle = rng.uniform(0, 2 * np.pi, count)
    plaques = np.stack([-7 + 8.5 * np.cos(angle), 25 + 8.5 * np.sin(angle), rng.uniform(-110, 100, count)], axis=1)
    return Organs(solids, _liver_vessels(rng, half, front), tubes, _vessels(rng), plaques)


def _liver(rng: np.random.Generator, half: float, front: float) -> tuple[Blob, ...]:
    size = np.clip(rng.normal(1.0, 0.1), 0.75, 1.3)
    low = rng.normal(0.0, 14.0)
    right = Blob(
        np.array([0.56 * half, 0.18 * front, 62.0 + low]),
        np.array([0.56 * half, 0.85 * front, 82.0]) * size,
        rotation(rng, 0.12),
        Tissue.LIVER,
    )
    tip = Blob(
        np.array([0.74 * half, 0.1 * front, 18.0 + low]),
        np.array([0.27 * half, 0.55 * front, rng.uniform(45, 85)]),
        rotation(rng, 0.15),
        Tissue.LIVER,
    )
    left = Blob(
        np.array([rng.uniform(-0.2, 0.05) * half, 0.5 * front, 85.0 + low]),
        np.array([0.55 * half, 0.38 * front, rng.uniform(30, 48)]),
        rotation(rng, 0.2),
        Tissue.LIVER,
    )
    return right, tip, left


def _spleen(rng: np.random.Generator, half: float) -> tuple[Blob, ...]:
    # ASSUME: spleen volume log-normal about 200 ml once cut by the wall and the lung; a tenth are large (portal
    # hypertension, lymphoma). Two in three have a medial lobe, which may lie on the left kidney's upper pole.
    volume = np.exp(rng.normal(np.log(280.0), 0.4)) * (2.2 if rng.random() < 0.1 else 1.0)
    size = np.cbrt(volume / 200.0)
    centre = np.array([-0.76 * half, rng.normal(-12.0, 12.0), 52.0 + rng.normal(0, 15) - 10 * (size - 1)])
    main = Blob(centre, np.array([22.0, 42.0, 52.0]) * size, rotation(rng, 0.25), Tissue.SPLEEN)
    inwards = np.array([rng.uniform(14.0, 40.0), rng.uniform(-12.0, 16.0), rng.uniform(-8.0, 24.0)])
    lobe = Blob(centre + inwards, rng.uniform([18, 20, 22], [32, 34, 40]) * size, rotation(rng, 0.4), Tissue.SPLEEN)
    return (main, lobe) if rng.random() < 0.67 else (main,)


def _gallbladder(rng: np.random.Generator, half: float, front: float) -> tuple[Blob, ...]:
    if rng.random() < 0.12:  # ASSUME: one in eight has had a cholecystectomy
        return ()
    centre = np.array([rng.uniform(0.3, 0.5) * half, rng.uniform(0.35, 0.65) * front, rng.normal(18, 14)])
    return (Blob(centre, rng.uniform([9, 9, 20], [16, 16, 36]), rotation(rng, 0.5), Tissue.GALLBLADDER),)


def content(rng: np.random.Generator, count: int, weights: tuple[float, float, float]) -> tuple[Tissue, ...]:
    """Contents along a tube (fluid, stool, gas), in runs of a few balls."""
    kinds = rng.choice(3, size=max(1, count // 4) + 1, p=weights)
    run = (Tissue.BOWEL_FLUID, Tissue.BOWEL_STOOL, Tissue.BOWEL_GAS)
    return tuple(run[kinds[i // 4]] for i in range(count))


def _stomach(rng: np.random.Generator, half: float, front: float) -> Tube:
    full = rng.uniform(0.55, 1.25)
    points = curve(
        [
            [-0.42 * half, 0.1 * front, 95],
            [-0.5 * half, 0.35 * front, 60],
            [-0.32 * half, 0.6 * front, 25 + rng.normal(0, 12)],
            [0.02 * half, 0.55 * front, 15 + rng.normal(0, 10)],
            [0.24 * half, 0.4 * front, 24],
        ],
        9.0,
    )
    radius = np.interp(np.linspace(0, 1, len(points)), [0, 0.3, 0.7, 1], [34, 32, 22, 12]) * full
    fluid = Tissue.BOWEL_FLUID if rng.random() < 0.6 else Tissue.BOWEL_STOOL
    top = np.quantile(points[:, 1], 0.75)
    content = tuple(Tissue.BOWEL_GAS if p[1] > top and rng.random() < 0.5 else fluid for p in points)
    return Tube(points, radius, rng.uniform(3.0, 6.0), content, "stomach")


def _small_bowel(rng: np.random.Generator, half: float, front: float) -> list[Tube]:
    """Loops: random walks that stay before the spine and below the stomach."""
    loops = []
    low, high = np.array([-0.75 * half, 0.18 * front, -185.0]), np.array([0.6 * half, 0.85 * front, 15.0])
    wet = rng.uniform(0.2, 0.9)
    for _ in range(int(rng.integers(16, 27))):
        point = rng.uniform(low, high)
        step = rng.normal(size=3)
        points = []
        for _ in range(int(rng.integers(10, 22))):
            step = 0.75 * step / np.linalg.norm(step) + 0.55 * rng.normal(size=3)
            point = point + 9.0 * step / np.linalg.norm(step)
            outside = (point < low) | (point > high)
            step[outside] *= -1
            point = np.clip(point, low, high)
            points.append(point)
        radius = rng.uniform(8.0, 14.0) * rng.uniform(0.88, 1.12, len(points))
        weights = (wet, 0.85 * (1 - wet), 0.15 * (1 - wet))
        wall = rng.uniform(2.0, 4.5)
        loops.append(Tube(np.array(points), radius, wall, content(rng, len(points), weights), "small_bowel"))
    return loops


def _colon(rng: np.random.Generator, half: float, front: float) -> list[Tube]:
    """Ascending, transverse and descending colon with haustra."""
    sag = rng.uniform(-70, 0)
    right_flexure, left_flexure = rng.normal(-25, 18), rng.normal(25, 18)
    paths = (
        [[0.66, 0.2, -145], [0.76, 0.05, -90], [0.7, 0.12, right_flexure]],
        [
            [0.68, 0.3, right_flexure],
            [0.3, 0.75, sag + 10],
            [-0.1, 0.8, sag],
            [-0.45, 0.7, sag + 25],
            [-0.72, 0.2, left_flexure],
        ],
        [[-0.78, 0.05, left_flexure], [-0.8, -0.05, -50], [-0.76, 0.05, -150]],
        [[-0.74, 0.1, -150], [-0.4, 0.25, -180], [0.1, 0.3, -160], [-0.1, 0.05, -185]],
    )
    tubes = []
    for path, size in zip(paths, (23, 20, 16, 15), strict=True):
        knots = np.array(path) * [half, front, 1.0] + rng.normal(0, 6, (len(path), 3))
        points = curve(knots, 9.0)
        haustra = 1 + 0.16 * np.sin(np.arange(len(points)) * 1.9 + rng.uniform(0, 6))
        radius = size * rng.uniform(0.65, 1.2) * haustra
        weights = ((0.1, 0.5, 0.4), (0.25, 0.4, 0.35))[int(rng.random() < 0.3)]
        tubes.append(Tube(points, radius, rng.uniform(2.0, 3.5), content(rng, len(points), weights), "colon"))
    return tubes


def _duodenum(rng: np.random.Generator) -> Tube:
    points = curve([[30, 48, 22], [44, 36, 5], [42, 34, -22], [20, 42, -38], [-20, 44, -34]], 7.0) + rng.normal(0, 3, 3)
    radius = rng.uniform(9, 13) * rng.uniform(0.9, 1.1, len(points))
    return Tube(points, radius, 2.5, content(rng, len(points), (0.6, 0.3, 0.1)), "duodenum")


def _liver_vessels(rng: np.random.Generator, half: float, front: float) -> tuple[Branch, ...]:
    """Portal and hepatic veins: a trunk that forks towards the surface."""
    hubs = (np.array([0.2 * half, 0.25 * front, 45.0]), np.array([0.15 * half, 0.05 * front, 95.0]))
    branches = []
    for hub in hubs:
        for _ in range(int(rng.integers(5, 8))):
            end = np.array([0.6 * half, 0.25 * front, 60.0]) + rng.normal(size=3) * [
                0.3 * half,
                0.3 * front,
                30,
            ]
            points = curve([hub, 0.5 * (hub + end) + rng.normal(0, 8, 3), end], 5.0)
            radius = np.linspace(rng.uniform(3.5, 6.0), 1.3, len(points))
            branches.append(Branch(points, radius, Tissue.LIVER_VESSEL, (Tissue.LIVER,)))
    return tuple(branches)


def _vessels(rng: np.random.Generator) -> tuple[Branch, ...]:
    """Aorta, vena cava, mesenteric and splenic vessels, pancreas and adrenals."""
    soft = (*FREE, *CONTENTS, Tissue.LIVER, Tissue.PANCREAS, Tissue.MUSCLE)
    bend = rng.normal(0, 4, 3)
    aorta = curve([[-7, 23, 170], [-7 + bend[0], 25, 60], [-7 + bend[1], 26, -40], [-5 + bend[2], 25, -110]], 6.0)
    cava = curve([[18, 22, 170], [17, 24, 60], [15 + bend[0] / 2, 23, -40], [12, 22, -110]], 6.0)
    wide = rng.uniform(8.0, 12.0)
    iliac = []
    for tissue, end, radius in ((Tissue.VEIN, cava[-1], 6.5), (Tissue.ARTERY, aorta[-1], 5.5)):
        for side in (1, -1):
            points = curve([end, [side * 28, 22, -140], [side * 52, 24, -175], [side * 68, 48, -225]], 5.0)
            iliac.append(Branch(points, np.full(len(points), radius), tissue, soft))
    mesenteric = curve([[-5, 34, 30], [-4, 48, 5], [-2, 55, -60]], 4.0)
    portal = curve([[6, 46, -55], [6, 44, 5], [14, 42, 25], [26, 40, 45]], 4.0)
    splenic = curve([[8, 42, 12], [-30, 36, 25], [-60, 18, 38], [-85, 0, 48]], 5.0) + rng.normal(0, 3, 3)
    gland = curve([[30, 46, 0], [10, 52, 8], [-22, 44, 20], [-50, 28, 32], [-72, 12, 40]], 6.0) + rng.normal(0, 4, 3)
    thick = np.interp(np.linspace(0, 1, len(gland)), [0, 0.3, 1], [15, 9, 10]) * rng.uniform(0.75, 1.15)
    return (
        *_mesentery(rng),
        *iliac,
        Branch(gland, thick * rng.uniform(0.85, 1.15, len(gland)), Tissue.PANCREAS, (*FREE, *CONTENTS), "pancreas"),
        Branch(splenic, np.full(len(splenic), 4.0), Tissue.VEIN, soft, "portal_and_splenic_vein"),
        Branch(portal, np.full(len(portal), 6.0), Tissue.VEIN, soft, "portal_and_splenic_vein"),
        Branch(mesenteric, np.full(len(mesenteric), 3.6), Tissue.ARTERY, soft),
        Branch(cava, rng.uniform(8, 12) * rng.uniform(0.92, 1.08, len(cava)), Tissue.VEIN, soft, "inferior_vena_cava"),
        Branch(aorta, wide * np.linspace(1.1, 0.85, len(aorta)), Tissue.ARTERY, soft, "aorta"),
    )


def _mesentery(rng: np.random.Generator) -> list[Branch]:
    """Small vessels that fan out through the visceral fat."""
    root = np.array([0.0, 50.0, -20.0])
    branches = []
    for _ in range(int(rng.integers(18, 34))):
        end = root + rng.normal(size=3) * [55, 16, 50]
        points = curve([root, 0.5 * (root + end) + rng.normal(0, 10, 3), end], 3.0)
        branches.append(Branch(points, np.linspace(2.2, 1.2, len(points)), Tissue.VEIN, FREE))
    return branches


def paint_organs(canvas: Canvas, organs: Organs) -> None:
    """Paint solid organs into visceral fat, then hollow ones, then vessels."""
    for blob in organs.solids:
        over = FREE if blob.tissue != Tissue.GALLBLADDER else (*FREE, Tissue.LIVER)
        canvas.ellipsoid(blob.centre_mm, blob.semi_mm, blob.tissue, over, blob.turn)
    for branch in organs.liver_vessels:
        canvas.ball_chain(branch.points_mm, branch.radius_mm, branch.tissue, branch.over)
    for tube in organs.tubes:
        canvas.ball_chain(tube.points_mm, tube.radius_mm, Tissue.BOWEL_WALL, FREE)
    for tube in organs.tubes:
        _fill(canvas, tube)
    for branch in organs.branches:
        canvas.ball_chain(branch.points_mm, branch.radius_mm, branch.tissue, branch.over)
    canvas.ball_chain(organs.plaques_mm, np.full(len(organs.plaques_mm), 2.4), Tissue.PLAQUE, (Tissue.ARTERY,))


def _fill(canvas: Canvas, tube: Tube) -> None:
    wall = table((Tissue.BOWEL_WALL,))
    for i, box, mask in canvas.balls(tube.points_mm, tube.radius_mm - tube.wall_mm):
        canvas.paint(box, mask, tube.content[i], wall)
