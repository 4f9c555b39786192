"""The trunk: outline, fat, muscles, ribs, spine and lung bases."""

from dataclasses import dataclass, replace

import numpy as np

from crossmod.phantom.canvas import Canvas
from crossmod.phantom.recipe import Population
from crossmod.phantom.tissue import VALUES, Tissue, table


@dataclass(frozen=True)
class Person:
    """Who is scanned."""

    sex: str
    age: int
    bmi: float
    stature: float


@dataclass(frozen=True)
class Torso:
    """Shape of the trunk in mm; the origin is a vertebral body's centre at the height between the kidneys."""

    half_width: float
    front: float
    back: float
    squareness: float
    waist: float
    fat_side: float
    fat_front: float
    fat_back: float
    wall_side: float
    wall_front: float
    psoas: float
    rib_end: float
    rib_pitch: float
    rib_phase: float
    lung_base: tuple[float, float]
    lung_dome: tuple[float, float]
    vertebra: tuple[float, float]
    disc_pitch: float
    disc_phase: float
    cord_end: float
    cavity_back: float
    groove: float
    hips: float
    chest: float

    @property
    def cavity(self) -> tuple[float, float, float]:
        """Half width, front and back extent of the abdominal cavity."""
        return (
            self.half_width - self.fat_side - self.wall_side,
            self.front - self.fat_front - self.wall_front,
            self.cavity_back,
        )

    def clearance(self, point_mm: np.ndarray) -> float:
        """Distance (mm, about) from a point to the cavity's wall, the spine or the midline; negative outside."""
        half, front, back = self.cavity
        x, y, _ = point_mm
        depth = front if y > 0 else back
        radius = np.hypot(x / half, y / depth)
        return float(min((1 - radius) * np.hypot(x, y) / max(radius, 0.05), abs(x) - 6.0))

    def narrowing(self, z: np.ndarray) -> np.ndarray:
        """Width of the trunk at some heights, relative to that of the cross-section drawn.

        ASSUME: the waist is narrowest just below the kidneys, the hips are widest 20 cm below them, and the chest
        narrows upwards.
        """
        narrow = 1 - np.float32(self.waist) * np.exp(-((z + 40) ** 2) * np.float32(1 / 3600))
        narrow += np.float32(self.hips) / (1 + np.exp(np.minimum((z + 140) * np.float32(0.05), 20)))
        narrow -= np.float32(self.chest) / (1 + np.exp(np.minimum((110 - z) * np.float32(0.04), 20)))
        return narrow

    def dome(self, side: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Height (mm) of a hemidiaphragm, side +1 right and -1 left: a dome, deep in the back and at the side."""
        half, front, back = self.cavity
        base, dome = (values[side < 0] for values in (self.lung_base, self.lung_dome))
        return base + np.float32(dome) * (
            1
            - ((side * x - np.float32(0.5 * half)) * np.float32(1.6 / half)) ** 2
            - ((y - np.float32(0.25 * front)) * np.float32(1.3 / (front + back))) ** 2
        )


def draw_person(rng: np.random.Generator, population: Population) -> Person:
    """Draw sex, age, body mass index and stature.

    ASSUME: 60 % men, as in kidney-cancer cohorts (KiTS23); so are the population's defaults (median age 61, BMI about
    28 +- 5).
    """
    sex = "male" if rng.random() < 0.6 else "female"
    age = int(np.clip(np.round(rng.normal(population.age, population.age_sd)), 20, 89))
    bmi = float(np.clip(rng.normal(population.bmi, population.bmi_sd), 18.0, 42.0))
    return Person(sex, age, bmi, float(np.clip(rng.normal(1.02 if sex == "male" else 0.95, 0.04), 0.85, 1.15)))


def draw_torso(rng: np.random.Generator, person: Person) -> Torso:
    """Draw a trunk for a person: width, depth and fat grow with the body mass index."""
    over = person.bmi - 22.0
    female = person.sex == "female"
    fat = max(3.0, (8.0 + 1.5 * over) * rng.uniform(0.6, 1.3) * (1.25 if female else 0.9))
    half_width = 141.0 * person.stature + 3.6 * max(over, -1.5) + rng.normal(0, 6)
    front = 98.0 * person.stature + 3.8 * max(over, -1.5) + rng.normal(0, 8)
    base = rng.normal(46.0, 14.0)
    dome = rng.uniform(55.0, 85.0)
    fat_side, fat_front, fat_back = (
        fat * rng.uniform(0.6, 1.0),
        fat * rng.uniform(0.8, 1.3),
        fat * rng.uniform(0.7, 1.1),
    )
    cavity_back = 45.0 * person.stature + rng.normal(0, 3)
    back = cavity_back + rng.uniform(26, 38) + fat_back
    return Torso(
        half_width=half_width,
        front=front,
        back=back,
        squareness=rng.uniform(0.55, 0.95),
        waist=rng.uniform(0.0, 0.07) * (1.5 if female else 1.0),
        fat_side=min(fat_side, half_width - 110.0),
        fat_front=min(fat_front, front - 62.0),
        fat_back=fat_back,
        wall_side=rng.uniform(11.0, 17.0),
        wall_front=rng.uniform(8.0, 13.0),
        psoas=rng.uniform(15.0, 22.0) * (0.88 if female else 1.0) * (1.1 - 0.002 * person.age),
        rib_end=rng.normal(-15.0, 18.0),
        rib_pitch=rng.uniform(27.0, 33.0),
        rib_phase=rng.uniform(0.0, 1.0),
        lung_base=(base + rng.normal(0, 5), base + rng.normal(0, 5)),
        lung_dome=(dome, dome - rng.uniform(0, 20)),
        vertebra=(rng.uniform(20.0, 25.0), rng.uniform(15.0, 18.5)),
        disc_pitch=rng.uniform(33.0, 38.0),
        disc_phase=rng.uniform(0.0, 1.0),
        cord_end=rng.normal(22.0, 14.0),
        cavity_back=cavity_back,
        groove=rng.uniform(2.0, 12.0),
        hips=rng.uniform(0.0, 0.12) + (0.05 if female else 0.0),
        chest=rng.uniform(-0.03, 0.09),
    )


def deepened(torso: Torso, person: Person, mass_ml: float, rng: np.random.Generator) -> Torso:
    """The same trunk with a deeper belly and chest, and a diaphragm that stands higher above the kidneys.

    ASSUME: what is wanting in depth is cavity. In the ten real CT (BTCV) the trunk before the aorta is 0.56 of its
    width less 57 mm deep, with a spread of 17 mm, and livers reach 113 mm above the kidneys' middle; drawn trunks fall
    short of it by this much. A mass makes the belly bulge by two thirds of its volume.
    """
    deeper = 22.0 + 2.2 * max(person.bmi - 22.0, -2.0) + float(np.clip(rng.normal(0, 10), -20, 20))
    deeper += 670.0 * mass_ml / (2 * torso.cavity[0] * 220.0)
    higher = 14.0 + 0.6 * max(0.0, 112.0 - torso.lung_base[0] - torso.lung_dome[0])
    base = (torso.lung_base[0] + higher, torso.lung_base[1] + higher)
    return replace(torso, front=torso.front + max(deeper, 0.0), lung_base=base)


def paint_torso(canvas: Canvas, torso: Torso, promontory_mm: float | None) -> None:
    """Paint outline, fat, wall, ribs and lungs over the whole grid, then the spine down to the sacrum.

    Without a promontory there is no spine: it is painted elsewhere, in detail.
    """
    for start in range(0, canvas.tissue.shape[0], 8):  # slabs stay in the cache
        slab = slice(start, start + 8)
        x, y, z = (value[slab] for value in canvas.xyz)
        canvas.tissue[slab] = _layers(torso, x, y, z)
        if canvas.organ is not None:
            lung = canvas.tissue[slab] == Tissue.LUNG
            canvas.organ[slab][lung & (x > 0)] = VALUES["right_lung"]
            canvas.organ[slab][lung & (x < 0)] = VALUES["left_lung"]
    if promontory_mm is not None:
        _spine(canvas, torso, promontory_mm)


def _layers(torso: Torso, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Tissue from skin to cavity for body coordinates of one slab."""
    # ASSUME: cross-sections are superellipses of order 2 to 3.
    x = x / torso.narrowing(z)
    behind = y < 0
    inner = level(torso, x, y, behind, torso.cavity)
    # The back is hollow along the spine.
    y = np.where(behind, y - np.float32(torso.groove) * np.exp(x * x * np.float32(-1 / 700)), y)
    outer = level(torso, x, y, behind, (torso.half_width, torso.front, torso.back))
    fascia = level(
        torso,
        x,
        y,
        behind,
        (torso.half_width - torso.fat_side, torso.front - torso.fat_front, torso.back - torso.fat_back),
    )
    tissue = np.where(outer < 1, np.uint8(Tissue.SUBCUTANEOUS_FAT), np.uint8(Tissue.AIR))
    tissue[(outer < 1) & (outer > np.float32((1 - 2.2 / torso.half_width) ** 4))] = Tissue.SKIN
    wall = (fascia < 1) & (inner >= 1)
    tissue[wall] = Tissue.MUSCLE
    tissue[inner < 1] = Tissue.VISCERAL_FAT
    _ribs(torso, tissue, wall & (inner < np.float32(1.28)), x, y, z)
    _lungs(torso, tissue, inner, x, y, z)
    return tissue


def level(torso: Torso, x: np.ndarray, y: np.ndarray, behind: np.ndarray, semi: tuple) -> np.ndarray:
    """Fourth power of the superelliptic radius, 1 on the boundary given by half width, front and back."""
    p = (x * np.float32(1 / semi[0])) ** 2
    q = (y * np.where(behind, np.float32(1 / semi[2]), np.float32(1 / semi[1]))) ** 2
    return p * p + q * q + np.float32(2 * torso.squareness) * p * q


def _ribs(torso: Torso, tissue: np.ndarray, ring: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
    """Ribs: oblique bands in the wall's inner ring that fall towards the front, above the costal margin."""
    at = np.nonzero(ring)
    xs, ys, zs = np.abs(x[at]), y[at], z[at]
    height = zs + np.float32(0.55) * (ys + np.float32(30.0))
    turn = height / np.float32(torso.rib_pitch) + np.float32(torso.rib_phase)
    band = np.abs(turn - np.round(turn)) * np.float32(torso.rib_pitch)
    # The costal margin climbs towards the middle in front; the lowest two ribs end free in the flank.
    margin = np.float32(torso.rib_end) + np.maximum(0, ys) * 0.5 + np.maximum(0, 60 - xs) * (ys > 0)
    bone = (band < 5.5) & (height > margin) & (xs > 32)
    values = tissue[at]
    values[bone] = Tissue.BONE_CORTEX
    values[bone & (band < 3.2)] = Tissue.BONE_MARROW
    tissue[at] = values


def _lungs(torso: Torso, tissue: np.ndarray, inner: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
    """Lung above each hemidiaphragm."""
    for sign in (1, -1):
        above = z > torso.dome(sign, x, y)
        tissue[(inner < np.float32(0.97)) & above & (sign * x > 16)] = Tissue.LUNG


def paint_muscles(canvas: Canvas, torso: Torso) -> None:
    """Psoas, quadratus lumborum and the fat clefts around the back muscles."""
    fat, muscle = Tissue.VISCERAL_FAT, Tissue.MUSCLE
    for side in (1, -1):
        body = torso.vertebra[0]
        steps = np.linspace(45.0, -150.0, 60)
        grow = np.clip((45.0 - steps) / 90.0, 0.12, 1.0) ** 0.6
        points = np.stack([side * (body + 4 + 14 * grow), -6 + 8 * grow * (steps < 0) * 0.5, steps], axis=1)
        with canvas.painting("right_iliopsoas_muscle" if side > 0 else "left_iliopsoas_muscle"):
            canvas.ball_chain(points, torso.psoas * grow, muscle, (fat, Tissue.MUSCLE))
        canvas.ellipsoid(np.array([side * 62.0, -36.0, -70.0]), np.array([17.0, 9.0, 75.0]), muscle, (fat,))
        cleft = np.array([side * 60.0, -torso.cavity_back - 9.0, -60.0])
        canvas.ellipsoid(cleft, np.array([24.0, 2.5, 120.0]), fat, (muscle,))


def _spine(canvas: Canvas, torso: Torso, promontory_mm: float) -> None:
    """Vertebral bodies, discs, canal with cord or nerve roots, and the posterior processes."""
    middle = (promontory_mm + 400.0) / 2
    box = canvas.box(np.array([0.0, -22.0, middle]), np.array([52.0, 52.0, 400.0 - middle]))
    if box is None:
        return
    x, y, z = (value[box] for value in canvas.xyz)
    turn = z / np.float32(torso.disc_pitch) + np.float32(torso.disc_phase)
    level = np.abs(turn - np.round(turn)) * np.float32(torso.disc_pitch)  # 0 in the disc's middle
    width, depth = torso.vertebra
    hollow = 1 - 0.12 * (level / np.float32(torso.disc_pitch / 2)) ** 2
    radius = np.sqrt((x / np.float32(width)) ** 2 + (y / np.float32(depth)) ** 2) / hollow
    _arch(canvas, box, torso, x, y, level)
    body = radius < 1
    with canvas.painting("spine"):
        canvas.paint(box, body, Tissue.BONE_MARROW)
        canvas.paint(box, body & ((radius > 0.92) | (level < 6.0)), Tissue.BONE_CORTEX)
    canvas.paint(box, (radius < 1.03) & (level < 4.6), Tissue.DISC)
    canal = np.sqrt((x / np.float32(10.5)) ** 2 + ((y + np.float32(depth + 8.5)) / np.float32(8.0)) ** 2)
    canvas.paint(box, canal < 1, Tissue.CSF)
    cord = (canal < 0.52) & (z > np.float32(torso.cord_end))
    roots = (np.abs(canal - 0.5) < 0.12) & (y < -(depth + 9)) & (z <= np.float32(torso.cord_end))
    canvas.paint(box, cord | roots, Tissue.CORD)


def _arch(canvas: Canvas, box: tuple, torso: Torso, x: np.ndarray, y: np.ndarray, level: np.ndarray) -> None:
    """Pedicles, laminae, spinous and transverse processes of each vertebra."""
    depth = np.float32(torso.vertebra[1])
    across = np.abs(x)
    half = np.float32(torso.disc_pitch / 2)
    ring = (across / 17) ** 2 + ((y + depth + 9) / 14) ** 2
    spinous = (across < 3.6) & (y < -depth - 16) & (y > -depth - 44) & (level > half - 13)
    transverse = (np.abs(y + depth + 8) < 4.5) & (across < 42) & (level > half - 6)
    bone = ((ring < 1) & (level > 5)) | spinous | transverse
    shoulder = table((Tissue.AIR,))
    canvas.paint(box, bone, Tissue.BONE_CORTEX, ~shoulder)
    marrow = (
        ((ring < 0.72) & (level > 7)) | (spinous & (across < 1.8)) | (transverse & (across < 39) & (level > half - 3.5))
    )
    canvas.paint(box, marrow, Tissue.BONE_MARROW, ~shoulder)
