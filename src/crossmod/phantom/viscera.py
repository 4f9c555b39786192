"""Organs of patients whose organs are labelled: each in its place beside the others, none over another.

They begin with the organs that every simulated patient has, and move, join and resize them; what those lack is added:
oesophagus, a duodenum around the pancreas, splenic and portal vein from hilum to hilum, adrenals in their shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import ndimage

from crossmod.phantom.canvas import Canvas
from crossmod.phantom.kidney import Kidney
from crossmod.phantom.organs import FREE, Blob, Branch, Organs, Tube, content, curve
from crossmod.phantom.thorax import Thorax
from crossmod.phantom.tissue import Tissue, table
from crossmod.phantom.torso import Torso

# How much larger than in patients without labels, chosen so that medians of volumes come close to published ones.
LIVER, SPLEEN, GALLBLADDER, PANCREAS, STOMACH, HEART = 1.4, 1.1, 1.55, 1.28, 1.19, 1.33
BOWEL_LOOPS = 24  # of those drawn, joined to one bowel
_CHEST = (*FREE, Tissue.LUNG, Tissue.MYOCARDIUM, Tissue.VEIN, Tissue.MUSCLE)
_STEP_MM = 7.0
ADRENALS = ("right_adrenal_gland", "left_adrenal_gland")
# The fat around a kidney does not reach into these.
SPARED = ("pancreas", "duodenum", "portal_and_splenic_vein", "stomach", "oesophagus", *ADRENALS)


@dataclass(frozen=True)
class Underside:
    """The lower face of the liver: a slope that falls to the patient's right and to the front.

    middle_mm: its height a quarter of the way to the right flank. half_mm: half the width of the cavity.
    """

    middle_mm: float
    half_mm: float

    def height(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Height (mm) of the face above points of a horizontal plane."""
        slope = np.minimum(108.0 * (0.25 - x * np.float32(1 / self.half_mm)), 30.0)
        return np.float32(self.middle_mm) + slope - np.float32(0.25) * (y - 20)


@dataclass(frozen=True)
class Viscera:
    """The organs of the belly and the vessels around them, each in the order in which it is painted.

    Attributes:
        spleen, liver, gallbladder: solid organs.
        underside: below it there is no liver.
        vessels: before organs, which grow around them.
        liver_vessels: within the liver, a part of it.
        pancreas: the gland.
        tubes: hollow organs.
        adrenals: organ → points of its limbs (n, 3).
        mesentery: small vessels, into the fat that is left.
        plaques_mm: chalk in arteries.
    """

    spleen: tuple[Blob, ...]
    liver: tuple[Blob, ...]
    gallbladder: tuple[Blob, ...]
    underside: Underside
    vessels: tuple[Branch, ...]
    liver_vessels: tuple[Branch, ...]
    pancreas: Branch
    tubes: tuple[Tube, ...]
    adrenals: dict[str, np.ndarray]
    mesentery: tuple[Branch, ...]
    plaques_mm: np.ndarray


def draw_viscera(
    rng: np.random.Generator, torso: Torso, organs: Organs, thorax: Thorax, kidneys: dict[str, Kidney]
) -> Viscera:
    """Draw the labelled organs of a body from the organs that it has anyway."""
    half = torso.cavity[0]
    solids = {tissue: tuple(blob for blob in organs.solids if blob.tissue == tissue) for tissue in Tissue}
    # ASSUME: liver and spleen follow the diaphragm by three quarters of the way.
    right, left = (
        float(np.clip(0.75 * (base + dome - usual), -35.0, 20.0))
        for base, dome, usual in zip(torso.lung_base, torso.lung_dome, (116.0, 106.0), strict=True)
    )
    liver = tuple(_placed(blob, LIVER, right) for blob in solids[Tissue.LIVER])
    vessels = tuple(
        replace(branch, points_mm=branch.points_mm + _mm(0.0, 0.0, right)) for branch in organs.liver_vessels
    )
    # ASSUME: the liver's lower face lies 67 mm below its right lobe's centre, a quarter of the way to the flank.
    underside = Underside(float(liver[0].centre_mm[2] - 67.0 + rng.normal(0, 5)), half)
    spleen = tuple(_placed(blob, SPLEEN, left) for blob in solids[Tissue.SPLEEN])
    named = {branch.organ: branch for branch in organs.branches if branch.organ}
    pancreas = _pancreas(named["pancreas"], kidneys)
    stomach, *others = organs.tubes
    stomach = _before_gland(_below_lung(replace(stomach, radius_mm=stomach.radius_mm * STOMACH), torso), pancreas)
    duodenum = _duodenum(rng, stomach, pancreas, kidneys)
    colon = _settled(joined([tube for tube in others if tube.organ == "colon"]), underside, kidneys)
    bowel = joined([_end(duodenum), *(tube for tube in others if tube.organ == "small_bowel")][: BOWEL_LOOPS + 1])
    return Viscera(
        spleen=spleen,
        liver=liver,
        gallbladder=tuple(_hung(_placed(blob, GALLBLADDER), underside) for blob in solids[Tissue.GALLBLADDER]),
        underside=underside,
        vessels=(
            *(_great_vessel(named[name], thorax) for name in ("aorta", "inferior_vena_cava")),
            *_portal(pancreas, spleen[0], vessels[0].points_mm[0], kidneys),
            *(branch for branch in organs.branches if not branch.organ and branch.radius_mm[0] > 2.5),
        ),
        liver_vessels=vessels,
        pancreas=pancreas,
        tubes=(_oesophagus(rng, stomach), duodenum, stomach, colon, bowel),
        adrenals={f"{side}_adrenal_gland": _adrenal(kidney) for side, kidney in kidneys.items()},
        mesentery=tuple(branch for branch in organs.branches if not branch.organ and branch.radius_mm[0] <= 2.5),
        plaques_mm=organs.plaques_mm,
    )


def grown_heart(thorax: Thorax) -> Thorax:
    """The same chest with a heart as large as a living one with its blood."""
    return replace(thorax, size=thorax.size * HEART, heart=thorax.heart + np.array([0.0, 6.0, 8.0]))


def joined(tubes: Sequence[Tube]) -> Tube:
    """Several tubes as one: between the end of each and the start of the next it runs straight."""
    points, radius, contents = [tubes[0].points_mm], [tubes[0].radius_mm], list(tubes[0].content)
    for last, tube in pairwise(tubes):
        a, b = last.points_mm[-1], tube.points_mm[0]
        share = np.linspace(0, 1, int(np.linalg.norm(b - a) / _STEP_MM) + 2)[1:-1]
        points += [a + (b - a) * share[:, None], tube.points_mm]
        radius += [last.radius_mm[-1] + (tube.radius_mm[0] - last.radius_mm[-1]) * share, tube.radius_mm]
        contents += [tube.content[0]] * len(share) + list(tube.content)
    return replace(
        tubes[-1], points_mm=np.concatenate(points), radius_mm=np.concatenate(radius), content=tuple(contents)
    )


def _end(tube: Tube) -> Tube:
    """The last ball of a tube."""
    return replace(tube, points_mm=tube.points_mm[-1:], radius_mm=tube.radius_mm[-1:], content=tube.content[-1:])


def before_kidneys(points_mm: np.ndarray, radius_mm: np.ndarray, kidneys: dict[str, Kidney]) -> np.ndarray:
    """The same path (n, 3), pushed forwards where a kidney is in its way."""
    forward = np.zeros(len(points_mm))
    for kidney in kidneys.values():
        up, across, deep = kidney.semi_mm
        apart = points_mm - kidney.centre_mm
        level = (apart[:, 0] / (across + radius_mm)) ** 2 + (apart[:, 2] / (up + radius_mm)) ** 2
        front = np.sqrt(np.maximum(1 - level, 0)) * (deep + radius_mm + 2.0)
        forward = np.maximum(forward, np.where(level < 1, front - apart[:, 1], 0.0))
    return points_mm + np.outer(ndimage.gaussian_filter1d(forward, 1.0, mode="nearest"), [0.0, 1.0, 0.0])


def _below_lung(stomach: Tube, torso: Torso) -> Tube:
    """A stomach whose fundus stays below the left lung and the heart."""
    points = stomach.points_mm.copy()
    top = torso.lung_base[1] + 0.75 * torso.lung_dome[1] - 0.6 * stomach.radius_mm
    points[:, 2] -= 0.75 * np.maximum(points[:, 2] - top, 0.0)
    return replace(stomach, points_mm=points)


def _before_gland(stomach: Tube, gland: Branch) -> Tube:
    """A stomach that is pushed forwards where the pancreas is in its way."""
    apart = stomach.points_mm[:, None] - gland.points_mm
    reach = 0.85 * (stomach.radius_mm[:, None] + gland.radius_mm)
    level = (apart[..., 0] ** 2 + apart[..., 2] ** 2) / reach**2
    front = np.sqrt(np.maximum(1 - level, 0)) * reach - apart[..., 1]
    forward = np.clip(np.where(level < 1, front, 0.0).max(axis=1), 0.0, 25.0)
    forward = np.maximum(forward, ndimage.gaussian_filter1d(forward, 1.5, mode="nearest"))
    return replace(stomach, points_mm=stomach.points_mm + np.outer(forward, [0.0, 1.0, 0.0]))


def _mm(x: float, y: float, z: float) -> np.ndarray:
    return np.array([x, y, z], dtype=float)


def _placed(blob: Blob, size: float, higher_mm: float = 0.0) -> Blob:
    return replace(blob, semi_mm=blob.semi_mm * size, centre_mm=blob.centre_mm + _mm(0.0, 0.0, higher_mm))


def _hung(blob: Blob, underside: Underside) -> Blob:
    """A gallbladder under the liver: half of it below the liver's lower face."""
    x, y, _ = blob.centre_mm
    return replace(blob, centre_mm=_mm(x, y, underside.height(np.array([x]), np.array([y]))[0]))


def _settled(colon: Tube, underside: Underside, kidneys: dict[str, Kidney]) -> Tube:
    """A colon below the liver and before the kidneys."""
    points = before_kidneys(colon.points_mm, colon.radius_mm, kidneys)
    right = points[:, 0] > 0
    roof = underside.height(points[:, 0], points[:, 1]) - 0.7 * colon.radius_mm
    points[right, 2] = np.minimum(points[right, 2], roof[right])
    return replace(colon, points_mm=points)


def _pancreas(gland: Branch, kidneys: dict[str, Kidney]) -> Branch:
    """The gland before the kidneys, with an uncinate process below its head."""
    gland = replace(gland, radius_mm=gland.radius_mm * PANCREAS)
    hook = curve([gland.points_mm[0] + _mm(-4.0, -2.0, -16.0), gland.points_mm[0]], 5.0)[:-1]
    points = np.concatenate([hook, gland.points_mm])
    radius = np.concatenate([np.full(len(hook), gland.radius_mm[0] * 0.85), gland.radius_mm])
    return replace(gland, points_mm=before_kidneys(points, radius, kidneys), radius_mm=radius, over=FREE)


def _duodenum(rng: np.random.Generator, stomach: Tube, pancreas: Branch, kidneys: dict[str, Kidney]) -> Tube:
    """A loop around the head of the pancreas: from the pylorus, down on its right, and below it to the left."""
    wide = rng.uniform(10.0, 13.0)
    low = pancreas.points_mm[0]
    head = low + _mm(4.0, 2.0, 16.0)
    gap = float(pancreas.radius_mm.max()) + 0.75 * wide
    front = 24.0 + 11.0 + wide  # of the great vessels
    knots = [
        stomach.points_mm[-1],
        head + _mm(0.6 * gap, -2.0, 0.85 * gap),
        head + _mm(gap, -6.0, 0.0),
        low + _mm(gap, -6.0, -8.0),
        [low[0] + 4.0, max(low[1] - 4.0, front), low[2] - gap],
        [-10.0, front, low[2] - gap + rng.normal(4, 3)],
        [-30.0 + rng.normal(0, 4), front - 2.0, low[2] - gap + rng.normal(24, 5)],
    ]
    points = curve(knots, _STEP_MM)
    radius = wide * rng.uniform(0.9, 1.1, len(points))
    points = before_kidneys(points, radius, kidneys)
    loop = Tube(points, radius, 2.5, content(rng, len(points), (0.6, 0.3, 0.1)), "duodenum")
    return joined([_end(stomach), loop])


def _oesophagus(rng: np.random.Generator, stomach: Tube) -> Tube:
    """Down before the spine, crossing to the left before the aorta, through the hiatus and into the cardia."""
    fundus, wide = stomach.points_mm[0], stomach.radius_mm[0]
    cardia = fundus + wide * np.array([0.5, 0.35, 0.0])
    knots = [[4.0, 27.0, 280.0], [3.0, 30.0, 190.0], [-2.0, 40.0, cardia[2] + 42], [-8.0, 46.0, cardia[2] + 20], cardia]
    points = curve(knots, 5.0)
    # ASSUME: it is empty but for a little air, and 13 to 17 mm wide with its wall.
    radius = rng.uniform(6.5, 8.5) * rng.uniform(0.95, 1.05, len(points))
    gas = rng.random(len(points)) < 0.3
    inside = tuple(Tissue.BOWEL_GAS if air else Tissue.BOWEL_WALL for air in gas)
    return Tube(points, radius, float(radius.mean() - 2.5), inside, "oesophagus")


def _great_vessel(vessel: Branch, thorax: Thorax) -> Branch:
    """Aorta or cava with its own way through the chest: the aorta on the spine's left, the cava into the heart."""
    below = vessel.points_mm[:, 2] <= 62
    first = vessel.points_mm[below][0]
    if vessel.organ == "aorta":
        knots = [[-22.0, 8.0, 280.0], [-19.0, 12.0, 180.0], [-13.0, 19.0, 110.0], first]
    else:
        gate = thorax.heart + np.array([0.42, -0.2, -0.55]) * thorax.size
        knots = [gate, gate + _mm(8.0, -8.0, -14.0), first + _mm(3.0, 3.0, 24.0), first]
    above = curve(knots, 6.0)[:-1]
    points = np.concatenate([above, vessel.points_mm[below]])
    radius = np.concatenate([np.full(len(above), vessel.radius_mm[below][0]), vessel.radius_mm[below]])
    return replace(vessel, points_mm=points, radius_mm=radius, over=(*_CHEST, Tissue.ARTERY))


def _portal(pancreas: Branch, spleen: Blob, hilum: np.ndarray, kidneys: dict[str, Kidney]) -> tuple[Branch, ...]:
    """The splenic vein behind the pancreas, the portal vein up to the liver, and the mesenteric vein from below."""
    gland, thick = pancreas.points_mm, pancreas.radius_mm
    place = np.linspace(0.42, 0.95, 4)
    behind = np.stack([np.interp(place, np.linspace(0, 1, len(gland)), gland[:, axis]) for axis in range(3)], axis=1)
    behind[:, 1] -= np.interp(place, np.linspace(0, 1, len(gland)), thick) + 1.0
    # They lie in front of the great vessels.
    behind[:, 1] = np.where(behind[:, 0] > -30.0, np.maximum(behind[:, 1], 42.0), behind[:, 1])
    meeting, gate = behind[0], np.array([hilum[0] + 14.0, max(hilum[1], 44.0), hilum[2] + 8.0])
    forks = [
        curve([gate, gate + step, gate + 2.0 * step], 4.0)
        for step in (np.array([17.0, -4.0, 3.0]), np.array([-14.0, 10.0, 6.0]))
    ]
    entry = spleen.centre_mm + spleen.semi_mm * _mm(0.5, 0.35, 0.05)
    splenic = curve([meeting, *behind[1:], entry], 4.0)
    splenic = before_kidneys(splenic, np.full(len(splenic), 6.0), kidneys)
    portal = curve([meeting, meeting + _mm(8.0, 1.0, 14.0), 0.4 * meeting + 0.6 * gate + _mm(0.0, 3.0, 0.0), gate], 4.0)
    below = curve([meeting, meeting + _mm(0.0, 6.0, -25.0), [4.0, 50.0, -70.0]], 4.0)
    over, name = (*FREE, Tissue.MUSCLE), "portal_and_splenic_vein"
    return (
        Branch(portal, np.linspace(8.5, 7.2, len(portal)), Tissue.VEIN, over, name),
        Branch(splenic, np.linspace(6.2, 5.2, len(splenic)), Tissue.VEIN, over, name),
        *(Branch(fork, np.linspace(5.5, 3.5, len(fork)), Tissue.VEIN, over, name) for fork in forks),
        Branch(below, np.full(len(below), 5.0), Tissue.VEIN, FREE),
    )


def _adrenal(kidney: Kidney) -> np.ndarray:
    """Points (n, 3) of a gland above a kidney: two thin limbs that part backwards from a ridge in front."""
    top = kidney.centre_mm + kidney.turn[0] * kidney.semi_mm[0] * 0.98 + kidney.turn[1] * kidney.semi_mm[1] * 0.5
    ridge = top + _mm(-2.0 * kidney.sign, 11.0, 6.0)
    points = []
    for limb in (np.array([-0.25 * kidney.sign, -1.0, 0.0]), np.array([0.65 * kidney.sign, -0.8, 0.0])):
        for height in np.arange(-10.0, 18.1, 3.5):
            length = 19.0 - 0.3 * (height + 10.0)
            points += [ridge + limb * along + _mm(0.0, 0.0, height) for along in np.arange(0.0, length, 3.5)]
    return np.array(points)


def paint_viscera(canvas: Canvas, viscera: Viscera) -> None:
    """Paint vessels, then organs around them, each only into what is still fat."""
    _paint_blobs(canvas, viscera.spleen, "spleen", FREE)
    for branch in viscera.vessels:
        _paint_branch(canvas, branch)
    _paint_branch(canvas, viscera.pancreas)
    for tube in viscera.tubes[:-1]:
        _paint_tube(canvas, tube)
    _paint_liver(canvas, viscera)
    _paint_blobs(canvas, viscera.gallbladder, "gallbladder", (*FREE, Tissue.LIVER))
    _paint_tube(canvas, viscera.tubes[-1])
    for branch in viscera.mesentery:
        _paint_branch(canvas, branch)
    with canvas.painting(None):
        canvas.ball_chain(viscera.plaques_mm, np.full(len(viscera.plaques_mm), 2.4), Tissue.PLAQUE, (Tissue.ARTERY,))


def paint_adrenal_limbs(canvas: Canvas, viscera: Viscera, side: str) -> None:
    """Paint the adrenal gland of one side.

    ASSUME: where lung or muscle reaches as low as it lies, it has the room.
    """
    name = f"{side}_adrenal_gland"
    with canvas.painting(name):
        points = viscera.adrenals[name]
        canvas.ball_chain(points, np.full(len(points), 3.2), Tissue.ADRENAL, (*FREE, Tissue.LUNG, Tissue.MUSCLE))


def paint_back(canvas: Canvas, torso: Torso) -> None:
    """Paint the autochthonous muscles of the back: a column on either side of the spinous processes.

    ASSUME: 55 mm wide at the kidneys and three quarters of it in the chest, from behind the transverse processes to
    the fascia; they end as a wedge on the sacrum.
    """
    front, back = torso.vertebra[1] + 11.0, torso.back - torso.fat_back - 1.5
    for side, name in ((1, "right"), (-1, "left")):
        reach = np.array([30.0, (back - front) / 2 + 2.0, 240.0])
        box = canvas.box(np.array([side * 28.0, -(front + back) / 2, 40.0]), reach)
        if box is None:
            continue
        x, y, z = (value[box] for value in canvas.xyz)
        wide = np.clip(1 - z * np.float32(0.25 / 120), 0.75, 1.0) * np.clip(1 + (z + 120) * np.float32(0.008), 0.4, 1)
        u = (np.float32(side) * x - 28 * wide) / (27 * wide)
        rear = np.float32(back) - np.float32(torso.groove) * np.exp(x * x * np.float32(-1 / 700))
        v = (-y - (front + rear) / 2) / ((rear - front) / 2)
        u, v = u * u, v * v
        level = u * u + v * v
        free = ~canvas.belongs(box, f"{name}_iliopsoas_muscle")
        # A fascia of fat parts them from the other muscles of the trunk.
        canvas.paint(box, free & (level < 1.35), Tissue.VISCERAL_FAT, table((Tissue.MUSCLE,)))
        with canvas.painting(f"{name}_autochthonous_muscle"):
            mask = free & (level < 1) & (np.float32(side) * x > 2.5)
            canvas.paint(box, mask, Tissue.MUSCLE, table((Tissue.MUSCLE, Tissue.VISCERAL_FAT)))


def paint_lower_psoas(canvas: Canvas, torso: Torso, hip: np.ndarray) -> None:
    """Paint the iliopsoas from the pelvic brim to the front of the hip."""
    for side, name in ((1, "right"), (-1, "left")):
        mirror = np.array([side, 1.0, 1.0])
        brim = np.array([torso.vertebra[0] + 18.0, 0.0, -146.0])
        points = curve(
            np.array([brim, hip + _mm(-28.0, 20.0, 40.0), hip + _mm(-14.0, 26.0, -8.0), hip + _mm(4, 8, -50)]) * mirror,
            6,
        )
        with canvas.painting(f"{name}_iliopsoas_muscle"):
            radius = np.linspace(torso.psoas, 11.0, len(points))
            canvas.ball_chain(points, radius, Tissue.MUSCLE, (Tissue.MUSCLE, Tissue.VISCERAL_FAT))


def _paint_blobs(canvas: Canvas, blobs: Sequence[Blob], organ: str, over: tuple[Tissue, ...]) -> None:
    with canvas.painting(organ):
        for blob in blobs:
            canvas.ellipsoid(blob.centre_mm, blob.semi_mm, blob.tissue, over, blob.turn)


def _paint_liver(canvas: Canvas, viscera: Viscera) -> None:
    """Paint the liver, and take away what hangs below its lower face."""
    _paint_blobs(canvas, viscera.liver, "liver", FREE)
    for blob in viscera.liver:
        box = canvas.box(blob.centre_mm, np.sqrt((blob.turn.T**2) @ np.square(blob.semi_mm)))
        if box is not None:
            below = canvas.belongs(box, "liver")
            x, y, z = (value[box][below] for value in canvas.xyz)
            below[below] = z < viscera.underside.height(x, y)
            canvas.paint(box, below, Tissue.VISCERAL_FAT)
    with canvas.painting(None):
        for branch in viscera.liver_vessels:
            canvas.ball_chain(branch.points_mm, branch.radius_mm, branch.tissue, branch.over)


def _paint_branch(canvas: Canvas, branch: Branch) -> None:
    with canvas.painting(branch.organ) if branch.organ else canvas.sparing():
        canvas.ball_chain(branch.points_mm, branch.radius_mm, branch.tissue, branch.over)


def _paint_tube(canvas: Canvas, tube: Tube) -> None:
    """Paint the wall of a hollow organ, then what it holds into its own wall alone."""
    wall = table((Tissue.BOWEL_WALL,))
    with canvas.painting(tube.organ):
        if tube.organ == "oesophagus":
            with canvas.sparing("aorta", "inferior_vena_cava"):
                canvas.ball_chain(tube.points_mm, tube.radius_mm, Tissue.BOWEL_WALL, _CHEST)
        else:
            canvas.ball_chain(tube.points_mm, tube.radius_mm, Tissue.BOWEL_WALL, FREE)
        for i, box, mask in canvas.balls(tube.points_mm, tube.radius_mm - tube.wall_mm):
            canvas.paint(box, mask & canvas.belongs(box, tube.organ), tube.content[i], wall)
