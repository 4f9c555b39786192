"""Organs of patients whose organs are labelled: each in its place beside the others, none over another.

They begin with the organs that every simulated patient has, and move, join and resize them; what those lack is added:
oesophagus, a duodenum around the pancreas, splenic and portal vein from hilum to hilum, adrenals in their shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import ndimage

from crossmod.phantom.kidney import Kidney
from crossmod.phantom.organs import FREE, Blob, Branch, Organs, Tube, content, curve
from crossmod.phantom.solids import Fitted, Liver, Spleen
from crossmod.phantom.thorax import Thorax
from crossmod.phantom.tissue import Tissue
from crossmod.phantom.torso import Torso

# How much larger than in patients without labels, chosen so that medians of volumes come close to published ones.
GALLBLADDER, PANCREAS, STOMACH, HEART = 1.2, 1.28, 1.0, 1.33
BOWEL_LOOPS = 24  # of those drawn, joined to one bowel
CHEST = (*FREE, Tissue.LUNG, Tissue.MYOCARDIUM, Tissue.VEIN, Tissue.MUSCLE)
_STEP_MM = 7.0
ADRENALS = ("right_adrenal_gland", "left_adrenal_gland")
# The fat around a kidney does not reach into these.
SPARED = ("pancreas", "duodenum", "portal_and_splenic_vein", "stomach", "oesophagus", *ADRENALS)


@dataclass(frozen=True)
class Middle:
    """What lies between spleen and liver, in the order in which it is painted.

    Attributes:
        vessels: before organs, which grow around them.
        pancreas: the gland.
        clefts_mm: fat between its lobules (n, 3).
        tubes: oesophagus, duodenum and stomach.
        gas_level_mm: the stomach holds gas before this plane of the scanner.
    """

    vessels: tuple[Branch, ...]
    pancreas: Branch
    clefts_mm: np.ndarray
    tubes: tuple[Tube, ...]
    gas_level_mm: float


@dataclass(frozen=True)
class Viscera(Middle):
    """The organs of the belly and the vessels around them.

    Attributes:
        spleen, liver: fitted into their room.
        gallbladder: under the liver.
        liver_vessels: within the liver, a part of it.
        colon, bowel: hollow organs that fill what is left.
        adrenals: organ → points of its limbs (n, 3).
        mesentery: small vessels, into the fat that is left.
        plaques_mm: chalk in arteries.
    """

    spleen: Fitted[Spleen]
    liver: Fitted[Liver]
    gallbladder: tuple[Blob, ...]
    liver_vessels: tuple[Branch, ...]
    colon: Tube
    bowel: Tube
    adrenals: dict[str, np.ndarray]
    mesentery: tuple[Branch, ...]
    plaques_mm: np.ndarray


def draw_middle(
    rng: np.random.Generator,
    torso: Torso,
    organs: Organs,
    thorax: Thorax,
    kidneys: dict[str, Kidney],
    hilum_mm: np.ndarray,
) -> Middle:
    """Draw what lies between spleen and liver from the organs that a body has anyway."""
    named = {branch.organ: branch for branch in organs.branches if branch.organ}
    pancreas = _pancreas(rng, named["pancreas"], kidneys, hilum_mm)
    stomach = organs.tubes[0]
    # ASSUME: what a stomach holds is one fluid or one meal, with gas before a level in most.
    stomach = replace(
        stomach, radius_mm=stomach.radius_mm * STOMACH, content=(stomach.content[0],) * len(stomach.content)
    )
    # ASSUME: where the trunk is deep, the liver's left lobe has the room before the stomach.
    stomach = replace(stomach, points_mm=stomach.points_mm * np.array([1.0, 0.8, 1.0]) - _mm(0, 8, 0))
    stomach = _before_gland(_below_lung(stomach, torso), pancreas, torso)
    reach = stomach.points_mm[:, 1] + stomach.radius_mm
    gate = _mm(0.2 * torso.cavity[0], max(0.25 * torso.cavity[1], 44.0), pancreas.points_mm[:, 2].mean() + 34.0)
    return Middle(
        vessels=(
            *(_great_vessel(named[name], thorax) for name in ("aorta", "inferior_vena_cava")),
            *_portal(pancreas, hilum_mm, gate, kidneys),
            *(branch for branch in organs.branches if not branch.organ and branch.radius_mm[0] > 2.5),
        ),
        pancreas=pancreas,
        clefts_mm=_clefts(rng, pancreas),
        tubes=(_oesophagus(rng, stomach), _duodenum(rng, stomach, pancreas, kidneys), stomach),
        gas_level_mm=float(reach.max() - rng.uniform(-15.0, 30.0)),
    )


def draw_viscera(
    organs: Organs,
    kidneys: dict[str, Kidney],
    spleen: Fitted[Spleen],
    middle: Middle,
    liver: Fitted[Liver],
) -> Viscera:
    """Draw what settles around spleen and liver, and put all organs together."""
    face = liver.solid.face
    others = {name: [tube for tube in organs.tubes if tube.organ == name] for name in ("colon", "small_bowel")}
    duodenum = middle.tubes[1]
    colon = _settled(joined(others["colon"]), liver.solid, spleen.solid, kidneys)
    hub = organs.liver_vessels[0].points_mm[0]
    lift = float(np.clip(face(hub[:1], hub[1:2])[0] + 12.0 - hub[2], -40.0, 40.0))
    return Viscera(
        **vars(middle),
        spleen=spleen,
        liver=liver,
        gallbladder=tuple(
            _hung(replace(blob, semi_mm=blob.semi_mm * GALLBLADDER), liver.solid)
            for blob in organs.solids
            if blob.tissue == Tissue.GALLBLADDER
        ),
        liver_vessels=tuple(
            replace(branch, points_mm=branch.points_mm + _mm(0.0, 0.0, lift)) for branch in organs.liver_vessels
        ),
        colon=colon,
        bowel=joined([_end(duodenum), *others["small_bowel"][:BOWEL_LOOPS]]),
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
    # Neighbours come along, so that no path is torn.
    forward = ndimage.gaussian_filter1d(ndimage.maximum_filter1d(forward, 5), 1.2, mode="nearest")
    return points_mm + np.outer(forward, [0.0, 1.0, 0.0])


def _below_lung(stomach: Tube, torso: Torso) -> Tube:
    """A stomach whose fundus stays below the left lung and the heart."""
    points = stomach.points_mm.copy()
    top = torso.lung_base[1] + 0.75 * torso.lung_dome[1] - 0.6 * stomach.radius_mm
    points[:, 2] -= 0.75 * np.maximum(points[:, 2] - top, 0.0)
    return replace(stomach, points_mm=points)


def _before_gland(stomach: Tube, gland: Branch, torso: Torso) -> Tube:
    """A stomach that is pushed forwards where the pancreas is in its way, up to the front wall."""
    apart = stomach.points_mm[:, None] - gland.points_mm
    reach = 0.95 * (stomach.radius_mm[:, None] + gland.radius_mm)
    level = (apart[..., 0] ** 2 + apart[..., 2] ** 2) / reach**2
    front = np.sqrt(np.maximum(1 - level, 0)) * reach - apart[..., 1]
    forward = np.maximum(np.where(level < 1, front, 0.0).max(axis=1), 0.0)
    forward = np.maximum(forward, ndimage.gaussian_filter1d(forward, 1.5, mode="nearest"))
    room = torso.cavity[1] - 0.8 * stomach.radius_mm - stomach.points_mm[:, 1]
    forward = np.minimum(forward, np.maximum(room, 0.0))
    return replace(stomach, points_mm=stomach.points_mm + np.outer(forward, [0.0, 1.0, 0.0]))


def _mm(x: float, y: float, z: float) -> np.ndarray:
    return np.array([x, y, z], dtype=float)


def _hung(blob: Blob, liver: Liver) -> Blob:
    """A gallbladder under the liver: half of it below the liver's lower face."""
    x, y, _ = blob.centre_mm
    return replace(blob, centre_mm=_mm(x, y, liver.face(np.array([x]), np.array([y]))[0]))


def _settled(colon: Tube, liver: Liver, spleen: Spleen, kidneys: dict[str, Kidney]) -> Tube:
    """A colon below the liver and the spleen and before the kidneys, in one piece."""
    points = before_kidneys(colon.points_mm, colon.radius_mm, kidneys)
    drop, steps = np.zeros(len(points)), np.arange(0.0, 161.0, 8.0)
    for solid in (liver, spleen):
        top = points + np.outer(0.7 * colon.radius_mm, [0.0, 0.0, 1.0])
        hit = np.stack([solid.inside(top[:, 0], top[:, 1], top[:, 2] - step) for step in steps])
        drop = np.maximum(drop, np.where(hit.all(axis=0), 0.0, steps[hit.argmin(axis=0)]))
    drop = ndimage.gaussian_filter1d(ndimage.maximum_filter1d(drop, 3), 1.2, mode="nearest")
    return _dense(replace(colon, points_mm=points - np.outer(drop, [0.0, 0.0, 1.0])))


def _dense(tube: Tube) -> Tube:
    """The same tube with a ball at least every few millimetres."""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(tube.points_mm, axis=0), axis=1))])
    at = np.linspace(0.0, way[-1], int(way[-1] / _STEP_MM) + 2)
    points = np.stack([np.interp(at, way, tube.points_mm[:, axis]) for axis in range(3)], axis=1)
    nearest = np.searchsorted(way, at).clip(max=len(way) - 1)
    inside = tuple(tube.content[int(i)] for i in nearest)
    return replace(tube, points_mm=points, radius_mm=np.interp(at, way, tube.radius_mm), content=inside)


def _pancreas(rng: np.random.Generator, gland: Branch, kidneys: dict[str, Kidney], hilum_mm: np.ndarray) -> Branch:
    """The gland before the kidneys, from the uncinate process below its head to the hilum of the spleen."""
    # ASSUME: it lies about 18 mm higher than the one of patients without labels, as in the ten real CT (BTCV).
    points = gland.points_mm + _mm(0.0, 0.0, 18.0 + float(np.clip(rng.normal(0, 8), -16, 16)))
    share = np.linspace(0, 1, len(points))[:, None] ** 2
    points = points + share * np.clip(hilum_mm + _mm(12.0, 6.0, 0.0) - points[-1], -45.0, 45.0)
    # Lobules and clefts of fat.
    radius = gland.radius_mm * PANCREAS * np.exp(np.clip(rng.normal(0, 0.12, len(points)), -0.25, 0.25))
    gland = replace(gland, points_mm=points, radius_mm=radius)
    hook = curve([gland.points_mm[0] + _mm(-4.0, -2.0, -16.0), gland.points_mm[0]], 5.0)[:-1]
    points = np.concatenate([hook, gland.points_mm])
    radius = np.concatenate([np.full(len(hook), gland.radius_mm[0] * 0.85), gland.radius_mm])
    return replace(gland, points_mm=before_kidneys(points, radius, kidneys), radius_mm=radius, over=FREE)


def _clefts(rng: np.random.Generator, gland: Branch) -> np.ndarray:
    """Points (n, 3) of the fat within a pancreas: none in some, a fifth of the gland in others."""
    count = int(rng.uniform(0, 140))
    at = rng.integers(len(gland.points_mm), size=count)
    away = rng.normal(size=(count, 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return gland.points_mm[at] + away * (gland.radius_mm[at] * rng.uniform(0.35, 1.0, count))[:, None]


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
    # ASSUME: it is 13 to 17 mm wide with its wall, and collapsed but for a little fluid and air.
    radius = rng.uniform(6.5, 8.5) * rng.uniform(0.95, 1.05, len(points))
    kinds = rng.choice([Tissue.BOWEL_GAS, Tissue.BOWEL_FLUID, Tissue.MUSCLE], len(points), p=(0.08, 0.25, 0.67))
    inside = tuple(Tissue(int(kind)) for kind in kinds)
    return Tube(points, radius, 2.5, inside, "oesophagus")


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
    return replace(vessel, points_mm=points, radius_mm=radius, over=(*CHEST, Tissue.ARTERY))


def _portal(pancreas: Branch, hilum_mm: np.ndarray, gate: np.ndarray, kidneys: dict[str, Kidney]) -> tuple[Branch, ...]:
    """The splenic vein behind the pancreas, the portal vein up to the liver, and the mesenteric vein from below."""
    gland, thick = pancreas.points_mm, pancreas.radius_mm
    place = np.linspace(0.42, 0.95, 4)
    behind = np.stack([np.interp(place, np.linspace(0, 1, len(gland)), gland[:, axis]) for axis in range(3)], axis=1)
    behind[:, 1] -= np.interp(place, np.linspace(0, 1, len(gland)), thick) + 1.0
    # They lie in front of the great vessels.
    behind[:, 1] = np.where(behind[:, 0] > -30.0, np.maximum(behind[:, 1], 42.0), behind[:, 1])
    meeting = behind[0]
    forks = [
        curve([gate, gate + step, gate + 2.0 * step], 4.0)
        for step in (np.array([23.0, -4.0, 3.0]), np.array([-14.0, 10.0, 6.0]))
    ]
    splenic = curve([meeting, *behind[1:-1], 0.5 * (behind[-1] + hilum_mm) + _mm(4.0, 5.0, 0.0), hilum_mm], 4.0)
    splenic = before_kidneys(splenic, np.full(len(splenic), 6.0), kidneys)
    splenic += np.linspace(0, 1, len(splenic))[:, None] ** 3 * (hilum_mm - splenic[-1])
    portal = curve([meeting, meeting + _mm(8.0, 1.0, 14.0), 0.4 * meeting + 0.6 * gate + _mm(0.0, 3.0, 0.0), gate], 4.0)
    below = curve([meeting, meeting + _mm(0.0, 6.0, -25.0), [4.0, 50.0, -70.0]], 4.0)
    over, name = (*FREE, Tissue.MUSCLE), "portal_and_splenic_vein"
    return (
        Branch(portal, np.linspace(9.2, 7.8, len(portal)), Tissue.VEIN, over, name),
        Branch(splenic, np.linspace(6.8, 5.6, len(splenic)), Tissue.VEIN, over, name),
        *(Branch(fork, np.linspace(5.5, 3.5, len(fork)), Tissue.VEIN, over, name) for fork in forks),
        Branch(below, np.full(len(below), 5.0), Tissue.VEIN, FREE),
    )


def _adrenal(kidney: Kidney) -> np.ndarray:
    """Points (n, 3) of a gland above a kidney: two thin limbs that part backwards from a ridge in front."""
    top = kidney.centre_mm + kidney.turn[0] * kidney.semi_mm[0] * 0.8 + kidney.turn[1] * kidney.semi_mm[1] * 0.95
    ridge = top + _mm(-4.0 * kidney.sign, 19.0, 4.0)
    points = []
    for limb in (np.array([-0.25 * kidney.sign, -1.0, 0.0]), np.array([0.65 * kidney.sign, -0.8, 0.0])):
        for height in np.arange(-10.0, 18.1, 3.5):
            length = 19.0 - 0.3 * (height + 10.0)
            points += [ridge + limb * along + _mm(0.0, 0.0, height) for along in np.arange(0.0, length, 3.5)]
    return np.array(points)
