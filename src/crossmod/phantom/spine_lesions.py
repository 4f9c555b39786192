"""Tumours of the spine: metastases in vertebrae, and tumours within the dura beside the cord."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from crossmod.phantom.canvas import Canvas
from crossmod.phantom.liver_lesions import Ball, afflicted, draw_ball, draw_stretch
from crossmod.phantom.tissue import Tissue, table
from crossmod.phantom.torso import Torso
from crossmod.scans.box import Box, three

# ASSUME: only vertebrae near the kidneys have lesions, about the tenth thoracic to the fourth lumbar: others are seldom
# scanned.
HEIGHTS_MM = (-85.0, 110.0)
# ASSUME: seven in ten patients have vertebral tumours, which are far commoner (extradural: 95 % of spinal lesions, Shah
# & Salzman, Int J Surg Oncol 2011:769753), but tumours within the dura must be seen often enough to be learnt.
VERTEBRAL_SHARE = 0.7
COUNTS = (0.45, 0.27, 0.17, 0.11)
# ASSUME: half of the vertebral tumours stay inside the bone, a quarter each breaks out to the canal or the psoas.
BREACHES = {"none": 0.5, "canal": 0.25, "psoas": 0.25}
# The canal, as the torso paints it: semi-axes, its middle behind a vertebra's back edge, and the share the cord takes.
CANAL_MM, CANAL_BEHIND_MM, CORD_SHARE = (10.5, 8.0), 8.5, 0.52
# The cord comes back to its place over this length above and below a tumour.
_EASE_MM = 20.0
_BONE = (Tissue.BONE_MARROW, Tissue.BONE_CORTEX)
_BREAKS_INTO = {"none": (), "canal": (Tissue.CSF,), "psoas": (Tissue.MUSCLE, Tissue.VISCERAL_FAT)}


@dataclass(frozen=True)
class VertebralTumour:
    """A metastasis of the vertebra whose middle lies at `height_mm`, and where it breaks out."""

    height_mm: float
    breach: str
    ball: Ball


@dataclass(frozen=True)
class IntraduralTumour:
    """A tumour within the canal; the cord gives way by `shift_mm` against `towards`, a unit vector (x, y)."""

    ball: Ball
    towards: np.ndarray
    shift_mm: float


SpineLesion = VertebralTumour | IntraduralTumour


def draw_spine_lesions(rng: np.random.Generator, torso: Torso, share: float) -> tuple[SpineLesion, ...]:
    """Draw the spinal tumours of a patient: none, one to four of vertebrae, or one within the dura.

    Raises:
        UserError: if the share of patients who have any is not a number from 0 to 1.
    """
    if not afflicted(rng, share, "spine lesions"):
        return ()
    if rng.random() >= VERTEBRAL_SHARE:
        return (_draw_intradural(rng, torso),)
    heights = vertebra_heights(torso)
    count = min(len(heights), int(rng.choice(len(COUNTS), p=COUNTS)) + 1)
    chosen = np.sort(rng.choice(len(heights), size=count, replace=False))
    return tuple(_draw_vertebral(rng, torso, float(heights[i])) for i in chosen)


def vertebra_heights(torso: Torso) -> np.ndarray:
    """Heights (mm) of the middles of the vertebrae that may have lesions, ascending; discs lie halfway between."""
    low, high = (np.asarray(HEIGHTS_MM) / torso.disc_pitch + torso.disc_phase - 0.5).tolist()
    steps = np.arange(np.ceil(low), np.floor(high) + 1)
    return (steps + 0.5 - torso.disc_phase) * torso.disc_pitch


def _draw_vertebral(rng: np.random.Generator, torso: Torso, height_mm: float) -> VertebralTumour:
    width, depth = torso.vertebra
    breach = str(rng.choice(list(BREACHES), p=list(BREACHES.values())))
    side = float(rng.choice([-1.0, 1.0]))
    # Metastases that break out lie near the edge they break through, and are wide enough to reach beyond it.
    low, across, back = {
        "none": (8.0, rng.uniform(-0.35, 0.35), rng.uniform(-0.4, 0.3)),
        "canal": (14.0, rng.uniform(-0.3, 0.3), rng.uniform(-0.75, -0.5)),
        "psoas": (16.0, side * rng.uniform(0.5, 0.8), rng.uniform(-0.3, 0.3)),
    }[breach]
    centre = np.array([across * width, back * depth, height_mm + rng.uniform(-0.12, 0.12) * torso.disc_pitch])
    radius = float(rng.uniform(low, 25.0))
    return VertebralTumour(height_mm, breach, draw_ball(rng, centre, radius, draw_stretch(rng, 0.1), 0.08))


def _draw_intradural(rng: np.random.Generator, torso: Torso) -> IntraduralTumour:
    """A schwannoma or meningioma: an ellipsoid along the canal, pressed against the dura.

    ASSUME: most lie behind or beside the cord, where the dorsal roots are; they fill up to three quarters of the
    canal's depth and do not widen it.
    """
    across = float(rng.uniform(3.0, 6.0))
    along = float(np.clip(np.exp(rng.normal(np.log(11.0), 0.4)), max(5.0, across), 22.5))
    angle = -np.pi / 2 + np.clip(rng.normal(0, 0.9), -np.pi, np.pi)
    towards = np.array([np.cos(angle), np.sin(angle)])
    canal = 1 / float(np.hypot(*(towards / CANAL_MM)))
    offset = (canal - across) * float(rng.uniform(0.8, 1.0))
    middle = np.array([0.0, -(torso.vertebra[1] + CANAL_BEHIND_MM)]) + towards * offset
    centre = np.array([*middle, rng.uniform(HEIGHTS_MM[0] + along, HEIGHTS_MM[1] - along)])
    semi = np.array([across, across, along])
    ball = draw_ball(rng, centre, float(np.cbrt(semi.prod())), semi, 0.03)
    # The cord moves until it clears the tumour or lies against the dura; what is left of it there is pressed flat.
    cord = CORD_SHARE * canal
    shift = float(np.clip(cord + across - offset, 0.0, canal - cord))
    return IntraduralTumour(ball, towards, shift)


def paint_spine_lesions(canvas: Canvas, torso: Torso, lesions: tuple[SpineLesion, ...]) -> None:
    """Paint tumours over bone, and over canal, muscle and fat where they break out; never over an organ or a disc.

    ASSUME: vertebrae do not collapse, and tumours outside the dura do not move the cord.
    """
    for lesion in lesions:
        if isinstance(lesion, VertebralTumour):
            _paint_vertebral(canvas, torso, lesion)
        else:
            _paint_intradural(canvas, torso, lesion)


def _straight(canvas: Canvas, box: Box) -> list[np.ndarray]:
    """Body coordinates of a box without mass effect, to which the spine does not yield."""
    return canvas.pose.coordinates(three(axis[part] for axis, part in zip(canvas.axes, box, strict=True)))


def _paint_vertebral(canvas: Canvas, torso: Torso, lesion: VertebralTumour) -> None:
    ball = lesion.ball
    box = canvas.box(ball.centre_mm, ball.reach_mm)
    if box is None:
        return
    x, y, z = _straight(canvas, box)
    mask = ball.distance(canvas, box, [x, y, z]) < 1
    # Discs stop a metastasis: of bone it takes none but its own vertebra's.
    bone = table(_BONE)[canvas.tissue[box]]
    mask &= ~bone | (np.abs(z - np.float32(lesion.height_mm)) < np.float32(torso.disc_pitch / 2))
    # It fills the canal before the cord, not around it.
    mask &= (canvas.tissue[box] != Tissue.CSF) | (y > np.float32(-(torso.vertebra[1] + CANAL_BEHIND_MM)))
    canvas.paint(box, mask, Tissue.BONE_METASTASIS, table((*_BONE, *_BREAKS_INTO[lesion.breach])))


def _paint_intradural(canvas: Canvas, torso: Torso, lesion: IntraduralTumour) -> None:
    ball = lesion.ball
    along = ball.radius_mm * float(ball.stretch[2])
    middle = np.array([0.0, -(torso.vertebra[1] + CANAL_BEHIND_MM), ball.centre_mm[2]])
    box = canvas.box(middle, np.array([CANAL_MM[0] + 2, CANAL_MM[1] + 2, along + _EASE_MM]))
    if box is None:
        return
    x, y, z = _straight(canvas, box)
    sac = table((Tissue.CSF, Tissue.CORD))[canvas.tissue[box]]
    apart = np.abs(z - np.float32(ball.centre_mm[2])) / np.float32(along + _EASE_MM)
    bend = np.float32(lesion.shift_mm) * np.cos(np.minimum(apart, 1) * np.float32(np.pi / 2)) ** 2
    moved = sac & (apart < 1)
    canvas.paint(box, moved, Tissue.CSF)
    across, front = lesion.towards.astype(np.float32)
    canvas.paint(box, moved & _cord(torso, x + across * bend, y + front * bend, z), Tissue.CORD)
    canvas.paint(box, sac & (ball.distance(canvas, box, [x, y, z]) < 1), Tissue.INTRADURAL_TUMOUR)


def _cord(torso: Torso, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Where the cord lies, and below its end the nerve roots, as the torso paints them."""
    behind = np.float32(torso.vertebra[1] + CANAL_BEHIND_MM)
    canal = np.sqrt((x / np.float32(CANAL_MM[0])) ** 2 + ((y + behind) / np.float32(CANAL_MM[1])) ** 2)
    above = z > np.float32(torso.cord_end)
    roots = (np.abs(canal - np.float32(0.5)) < 0.12) & (y < -behind - np.float32(0.5))
    return np.where(above, canal < np.float32(CORD_SHARE), roots)


def spine_facts(lesions: tuple[SpineLesion, ...]) -> dict[str, Any]:
    """What is true of a patient's spine: kind, count and largest diameter of its tumours, how many leave the bone."""
    vertebral = [lesion for lesion in lesions if isinstance(lesion, VertebralTumour)]
    return {
        "spine_tumour_kind": "vertebral" if vertebral else "intradural" if lesions else "none",
        "spine_tumour_count": len(lesions),
        "spine_tumour_largest_mm": round(max((lesion.ball.diameter_mm for lesion in lesions), default=0.0), 1),
        "spine_tumour_breaches": sum(lesion.breach != "none" for lesion in vertebral),
    }
