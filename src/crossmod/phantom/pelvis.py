"""The pelvis: iliac wings, sacrum, hips, bladder and rectum, below the abdomen."""

from dataclasses import dataclass

import numpy as np

from crossmod.phantom.canvas import Canvas
from crossmod.phantom.organs import curve
from crossmod.phantom.tissue import Tissue, table
from crossmod.phantom.torso import Person, Torso
from crossmod.scans.box import Box

_SOFT = (Tissue.VISCERAL_FAT, Tissue.MUSCLE)
# Bones painted as tubes: a cortex of this thickness around marrow.
_SHELL_MM = 2.5


@dataclass(frozen=True)
class Pelvis:
    """Bones and organs of the pelvis in mm, body frame.

    Attributes:
        crest: height of the iliac crests.
        bowl: half width, depth behind and height of the ellipsoid on which the wings lie.
        wing: thickness of the wings.
        flare: how far the crest falls towards its front and back ends.
        promontory: height at which the sacrum begins.
        slope: how far the sacrum leads backwards per mm downwards.
        bladder: semi-axes of the bladder.
        womb: semi-axes of the womb or prostate.
        stool: content of the rectum.
    """

    crest: float
    bowl: tuple[float, float, float]
    wing: float
    flare: float
    promontory: float
    slope: float
    bladder: tuple[float, float, float]
    womb: tuple[float, float, float]
    stool: Tissue

    @property
    def hip(self) -> np.ndarray:
        """Centre of the right femoral head; the left one is its mirror image."""
        return np.array([0.71 * self.bowl[0], 12.0, self.crest - 0.86 * self.bowl[2]])


def draw_pelvis(rng: np.random.Generator, person: Person, torso: Torso) -> Pelvis:
    """Draw a pelvis that fits a trunk.

    ASSUME: the crests lie at the fourth lumbar vertebra, about 100 mm below the kidneys' middle (first to second), and
    are 28 cm apart at their widest (Fischer & Mitteroecker, PNAS 2015;112:5655: bi-iliac breadth 27 to 28 cm).
    """
    female = person.sex == "female"
    crest = rng.normal(-98.0, 13.0) * (0.5 + 0.5 * person.stature)
    width = min(torso.cavity[0] + 6.0, rng.normal(131.0, 6.0) * person.stature)
    full = rng.uniform(12.0, 45.0)
    size = rng.uniform(14.0, 28.0)
    return Pelvis(
        crest=crest,
        bowl=(width, rng.uniform(58.0, 72.0), rng.uniform(122.0, 142.0) * (0.95 if female else 1.0)),
        wing=rng.uniform(6.0, 10.0),
        flare=rng.uniform(18.0, 34.0),
        promontory=crest - rng.uniform(18.0, 38.0),
        slope=rng.uniform(0.35, 0.7),
        bladder=(1.15 * full, 0.9 * full, full),
        womb=(size, 0.8 * size, (1.5 if female else 0.8) * size),
        stool=Tissue.BOWEL_GAS if rng.random() < 0.4 else Tissue.BOWEL_STOOL,
    )


def paint_pelvis(canvas: Canvas, torso: Torso, pelvis: Pelvis, sacrum: bool = True) -> None:
    """Paint muscles and bones of the pelvis, with or without the sacrum, then its organs."""
    top = pelvis.crest + 25.0
    box = canvas.box(np.array([0.0, 0.0, top - 200.0]), np.array([260.0, 260.0, 200.0]))
    if box is None:
        return
    for start in range(box[0].start, box[0].stop, 8):  # slabs stay in the cache
        _bowl(canvas, (slice(start, min(start + 8, box[0].stop)), *box[1:]), torso, pelvis)
    for side in (1, -1):
        _hip(canvas, pelvis, side)
    if sacrum:
        _sacrum(canvas, pelvis)
    _organs(canvas, pelvis)


def _bowl(canvas: Canvas, box: Box, torso: Torso, pelvis: Pelvis) -> None:
    """Iliac wings on the wall of a bowl, iliacus inside, gluteal muscles outside."""
    x, y, z = (value[box] for value in canvas.xyz)
    width, behind, height = (np.float32(v) for v in pelvis.bowl)
    front = np.float32(torso.cavity[1])
    drop = np.float32(pelvis.crest) - z
    level = np.sqrt(
        (x / width) ** 2 + (y / np.where(y < 0, behind, front)) ** 2 + (np.maximum(drop, 0) / height) ** 2
    ).astype(np.float32)
    turn = np.arctan2(y + 8, np.abs(x)) * np.float32(57.3)  # degrees from the side, positive to the front
    crest = drop - np.float32(pelvis.flare) * ((turn - 5) / 45) ** 2
    soft = table(_SOFT)
    # ASSUME: what lies between the bowl and the fascia below the crests is gluteal and hip muscle.
    canvas.paint(box, (level > 1) & (crest > -6), Tissue.MUSCLE, soft)
    canvas.paint(box, (np.abs(level - 1.19) < 0.018) & (crest > 10) & (turn < 40), Tissue.VISCERAL_FAT, soft)
    inside = (level > 1 - 14 / width) & (level <= 1) & (crest > 4) & (turn < 60)
    for side, here in (("right", x > 0), ("left", x <= 0)):
        with canvas.painting(f"{side}_iliopsoas_muscle"):  # the iliacus, its lower half
            canvas.paint(box, inside & here, Tissue.MUSCLE, soft)
    depth = np.abs(level - 1) * width
    # The wing thickens towards its crest and towards the hip.
    thick = np.float32(pelvis.wing / 2) * (0.75 + 0.5 * np.exp(-crest / 12) + 0.5 * np.clip(drop / height - 0.4, 0, 1))
    bone = (crest > 0) & (turn > -66) & (turn < 48) & (depth < thick) & (drop < 0.85 * height)
    canvas.paint(box, bone, Tissue.BONE_CORTEX, soft)
    inner = bone & (depth < thick - 1.8) & (crest > 2.5)
    canvas.paint(box, inner, Tissue.BONE_MARROW, table((Tissue.BONE_CORTEX,)))


def _hip(canvas: Canvas, pelvis: Pelvis, side: int) -> None:
    """Socket, femoral head, neck and shaft, pubis and ischium of one side."""
    mirror = np.array([side, 1.0, 1.0])
    hip = pelvis.hip

    def at(x: float, y: float, z: float) -> np.ndarray:
        return hip + np.array([x, y, z], dtype=float)

    hidden = (*_SOFT, Tissue.BONE_CORTEX, Tissue.BONE_MARROW, Tissue.CARTILAGE)
    tubes = [
        ([at(4, -4, 46), at(0, 0, 8)], [14.0, 27.0]),
        ([at(-22, 10, -4), at(-50, 40, -26), [7.0, 46.0, hip[2] - 34]], [11.0, 8.0, 13.0]),
        ([at(-10, -26, 6), at(-24, -40, -38), at(-30, -30, -62)], [17.0, 15.0, 17.0]),
        ([at(-30, -30, -62), at(-46, 16, -52), [9.0, 42.0, hip[2] - 40]], [9.0, 6.0, 8.0]),
    ]
    for knots, radius in tubes:
        _bone(canvas, np.array(knots) * mirror, radius, hidden)
    head = hip * mirror
    canvas.ellipsoid(head, np.full(3, 27.0), Tissue.CARTILAGE, hidden)
    for knots, radius in (
        ([at(0, 0, 0), at(20, -8, -14), at(44, -14, -26)], [24.0, 15.0, 18.0]),
        ([at(40, -12, -22), at(36, -2, -70), at(30, 4, -190)], [17.0, 15.0, 14.0]),
    ):
        _bone(canvas, np.array(knots) * mirror, radius, hidden)


def _bone(canvas: Canvas, knots: np.ndarray, radius_mm: list[float], over: tuple[Tissue, ...]) -> None:
    """A tube of cortical bone around marrow, along knots (n, 3) with a radius at each."""
    points = curve(list(knots), 5.0)
    radius = np.interp(np.linspace(0, 1, len(points)), np.linspace(0, 1, len(radius_mm)), radius_mm)
    canvas.ball_chain(points, radius, Tissue.BONE_CORTEX, over)
    canvas.ball_chain(points, radius - _SHELL_MM, Tissue.BONE_MARROW, (Tissue.BONE_CORTEX,))


def _sacrum(canvas: Canvas, pelvis: Pelvis) -> None:
    """A wedge that leads backwards from the promontory, with the end of the canal and the wings' joints."""
    top = pelvis.promontory
    box = canvas.box(np.array([0.0, -40.0, top - 60.0]), np.array([75.0, 90.0, 75.0]))
    if box is None:
        return
    x, y, z = (value[box] for value in canvas.xyz)
    fall = np.float32(top) - z
    # It leads backwards, then curves forwards to the coccyx.
    middle = -4 - np.float32(pelvis.slope) * fall + np.float32(0.0042) * np.maximum(fall - 30, 0) ** 2
    share = np.clip(fall / 125, 0, 1)
    half, depth = 58 - 46 * share, 20 - 12 * share
    level = np.sqrt((x / half) ** 2 + ((y - middle) / (depth - 0.1 * np.abs(x))) ** 2)
    bone = (level < 1) & (fall > -4) & (fall < 125)
    canvas.paint(box, bone, Tissue.BONE_CORTEX)
    canvas.paint(box, bone & (level < 0.86) & (fall > -1), Tissue.BONE_MARROW)
    canal = ((x / 11) ** 2 + ((y - middle + depth - 4) / 5) ** 2 < 1) & (fall > -6) & (fall < 55)
    canvas.paint(box, canal, Tissue.CSF)
    joint = bone & (np.abs(np.abs(x) - half * 0.9) < 1.6) & (fall < 60)
    canvas.paint(box, joint, Tissue.CARTILAGE)


def _organs(canvas: Canvas, pelvis: Pelvis) -> None:
    """Bladder, womb or prostate, rectum."""
    floor = pelvis.crest - 0.98 * pelvis.bowl[2]
    free = (*_SOFT, Tissue.BOWEL_WALL, Tissue.BOWEL_FLUID, Tissue.BOWEL_STOOL, Tissue.BOWEL_GAS)
    back = np.array([0.0, -28.0, floor + 20.0])
    rectum = curve([[-18, 4, floor + 78], [8, -28, floor + 52], back, [0, -18, floor - 18]], 8.0)
    radius = np.full(len(rectum), 15.0)
    with canvas.painting("colon"):
        canvas.ball_chain(rectum, radius, Tissue.BOWEL_WALL, free)
        canvas.ball_chain(rectum, radius - 3.0, pelvis.stool, (Tissue.BOWEL_WALL,))
    height = floor + 8 + pelvis.bladder[2]
    womb = np.array([0.0, 2.0, floor + 12 + (pelvis.womb[2] if pelvis.womb[2] > 24 else -10)])
    canvas.ellipsoid(womb, np.array(pelvis.womb), Tissue.MUSCLE, free)
    bladder = np.array([0.0, 34.0, height])
    wall = tuple(v + 3.5 for v in pelvis.bladder)
    canvas.ellipsoid(bladder, np.array(wall), Tissue.MUSCLE, free)
    canvas.ellipsoid(bladder, np.array(pelvis.bladder), Tissue.URINE, free)
