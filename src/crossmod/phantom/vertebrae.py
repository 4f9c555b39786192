"""The vertebral column in numbers: how large vertebrae and discs are, and how they stand on each other."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from crossmod.phantom.field import Field, random_field
from crossmod.phantom.spine_patients import MOBILE
from crossmod.phantom.torso import Person, Torso

# Width and depth of the upper, of the lower endplate, height at the back, width and depth of the canal, all mm, means
# of Panjabi et al. (thoracic: Spine 1991;16:888; lumbar: Spine 1992;17:299).
# ASSUME: rounded to half a millimetre.
SIZES_MM = {
    "T1": (24.5, 18.5, 28.0, 19.5, 14.0, 22.0, 16.5),
    "T2": (25.0, 19.5, 27.5, 21.5, 15.5, 19.5, 15.5),
    "T3": (24.5, 22.5, 26.0, 23.5, 15.5, 18.5, 16.0),
    "T4": (24.5, 23.5, 26.0, 24.5, 16.0, 17.0, 16.0),
    "T5": (25.0, 24.5, 27.0, 26.0, 16.0, 17.0, 16.0),
    "T6": (26.0, 26.0, 28.0, 27.0, 17.5, 17.5, 16.5),
    "T7": (28.0, 27.5, 29.0, 28.5, 18.0, 17.5, 16.0),
    "T8": (29.5, 28.0, 30.5, 29.5, 18.5, 17.5, 16.0),
    "T9": (30.5, 29.5, 33.0, 31.0, 19.5, 18.0, 16.0),
    "T10": (32.0, 30.5, 35.5, 31.5, 20.0, 18.0, 15.5),
    "T11": (35.0, 32.0, 39.0, 32.0, 21.5, 19.5, 16.0),
    "T12": (39.0, 33.0, 42.0, 33.5, 22.5, 22.0, 18.0),
    "L1": (41.0, 34.0, 43.5, 35.5, 24.0, 23.5, 19.0),
    "L2": (42.5, 34.5, 45.5, 35.0, 24.5, 24.0, 18.0),
    "L3": (44.0, 35.0, 48.0, 35.0, 24.0, 24.5, 17.5),
    "L4": (46.5, 35.5, 49.5, 34.0, 24.0, 25.5, 18.5),
    "L5": (47.5, 34.5, 49.5, 33.0, 23.0, 27.0, 19.5),
    # ASSUME: the sacrum tapers as in atlases; its bodies are fused, a rest of a disc between them.
    "S1": (49.0, 33.0, 42.0, 23.0, 29.0, 29.0, 16.0),
    "S2": (40.0, 22.0, 34.0, 17.0, 24.0, 25.0, 12.0),
    "S3": (32.0, 16.5, 27.0, 13.5, 20.0, 20.0, 9.0),
    "S4": (26.0, 13.0, 21.0, 11.0, 17.0, 15.0, 6.0),
    "S5": (20.0, 10.5, 13.0, 8.0, 15.0, 10.0, 4.0),
}
LEVELS = tuple(SIZES_MM)
# Heights of the discs below these vertebrae, mm: thoracic ones near Kunkel et al., J Anat 2011;219:375, lumbar ones
# near Zhou et al., Eur Spine J 2000;9:242.
# ASSUME: discs between sacral vertebrae are rests of 1 to 2 mm.
_THORACIC_DISCS = (5.0, 4.5, 4.5, 4.5, 4.5, 5.0, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5)
DISCS_MM = dict(zip(LEVELS, (*_THORACIC_DISCS, 8.5, 9.5, 10.5, 11.5, 10.5, 2.0, 1.5, 1.0, 1.0), strict=False))
# Sacral slope, lordosis (L1 to S1) and kyphosis (T4 to T12), degrees, mean and standard deviation. Standing adults have
# 41 +- 8, 60 +- 10 and 41 +- 10: Vialle et al., J Bone Joint Surg Am 2005;87:260.
# ASSUME: lying on the back with the legs on a cushion flattens lordosis by a fifth, and the others by a tenth.
SLOPE_DEG, LORDOSIS_DEG, KYPHOSIS_DEG = (37.0, 6.0), (48.0, 8.0), (36.0, 8.0)
# ASSUME: two thirds of the lordosis lie below L4.
_LORDOSIS_SHARES = (0.08, 0.12, 0.18, 0.27, 0.35)
_SACRUM_DEG = (0.0, -3.0, -17.0, -36.0, -55.0)  # of its vertebrae against the first
# ASSUME: the vertebrae of living people are a tenth higher than Panjabi's, as those of the real scans at hand.
_TALLER = 1.1
# ASSUME: bodies are wedges, higher in front (+) or behind (-) by these millimetres.
_WEDGES_MM = dict.fromkeys(MOBILE, -1.2) | {"L1": -0.8, "L2": 0.0, "L3": 0.6, "L4": 1.5, "L5": 4.0}
HEALTHY, WORN = (1, 2), (4, 5)  # Pfirrmann grades (Pfirrmann et al., Spine 2001;26:1873)


@dataclass(frozen=True)
class Vertebra:
    """One vertebra. Lengths are mm; semi-axes of a body are those of its lower and upper endplate.

    centre_mm: middle of the body, along A and S.
    tilt_rad: how far its axis leans forward.
    """

    name: str
    centre_mm: tuple[float, float]
    tilt_rad: float
    height: float
    wedge: float
    width: tuple[float, float]
    depth: tuple[float, float]
    canal: tuple[float, float]
    lipping: float

    @property
    def semi_depth(self) -> float:
        """Half of the depth at half of the height."""
        return sum(self.depth) / 2

    @property
    def axis(self) -> np.ndarray:
        """The direction upwards, (2,) along A and S."""
        return np.array([np.sin(self.tilt_rad), np.cos(self.tilt_rad)])

    def at(self, forward_mm: float, up_mm: float) -> np.ndarray:
        """A point of the sagittal plane, (2,) along A and S, from the middle of the body."""
        up = self.axis
        return np.asarray(self.centre_mm) + forward_mm * np.array([up[1], -up[0]]) + up_mm * up


@dataclass(frozen=True)
class Disc:
    """One disc, below the vertebra of its name: a wedge of a height in its middle, with a Pfirrmann grade (1 to 5)."""

    name: str
    centre_mm: tuple[float, float]
    tilt_rad: float
    height: float
    wedge_rad: float
    width: float
    depth: float
    grade: int
    bulge_mm: float


@dataclass(frozen=True)
class Column:
    """Vertebrae from the first thoracic to the last sacral one, the discs below them, and what goes with age.

    Attributes:
        vertebrae, discs: from above.
        cord_end: height (mm) at which the cord ends.
        fat: of the marrow, against that of mixed marrow; -1 red to 1 fatty.
        patches: unit field in which marrow is redder or fattier than elsewhere.
        grain: finer unit field of the same, and of the fat between the processes.
        strands: unit field of the fat within the muscles of the back.
        muscle_fat: share of these muscles that is fat.
        aside: how far the column bends to the right (mm), and the height (mm) at which it does most.
        roots: places of the roots below the cord, (n, 2), across and along the sac's semi-axes.
        lordosis_deg, kyphosis_deg: L1 to S1 and T4 to T12.
    """

    vertebrae: tuple[Vertebra, ...]
    discs: tuple[Disc, ...]
    cord_end: float
    fat: float
    patches: Field
    grain: Field
    strands: Field
    muscle_fat: float
    aside: tuple[float, float]
    roots: np.ndarray
    lordosis_deg: float
    kyphosis_deg: float

    def vertebra(self, name: str) -> Vertebra:
        """The vertebra of a name."""
        return self.vertebrae[LEVELS.index(name)]

    def aside_mm(self, heights_mm: np.ndarray) -> np.ndarray:
        """How far to the right the column lies at some heights."""
        most, middle = self.aside
        return most * np.exp(-(((heights_mm - middle) / 90.0) ** 2))

    def forward_mm(self, heights_mm: np.ndarray) -> np.ndarray:
        """How far in front the column lies at some heights, where it is mobile; what is beyond follows its ends."""
        middles = np.array([vertebra.centre_mm for vertebra in self.vertebrae if vertebra.name in MOBILE])[::-1]
        return np.interp(heights_mm, middles[:, 1], middles[:, 0])


def draw_column(rng: np.random.Generator, person: Person, torso: Torso, wear: float) -> Column:
    """Draw a column for a person.

    Args:
        rng: source of chance.
        person: sex, age and stature.
        torso: of which the height of the cord's end is taken.
        wear: how worn discs are; 1 is usual for the age.
    """
    slope = _draw_angle(rng, SLOPE_DEG)
    # Lordosis follows the slope of the sacrum (r = 0.86 in Vialle et al.).
    lordosis = float(np.clip(LORDOSIS_DEG[0] + 1.15 * (slope - SLOPE_DEG[0]) + rng.normal(0, 4), 25.0, 72.0))
    kyphosis = _draw_angle(rng, KYPHOSIS_DEG)
    size = person.stature * float(np.clip(rng.normal(1.02, 0.03), 0.95, 1.1))
    grades = _draw_grades(rng, person.age, wear)
    gaps = [size * gap * (1.0, 1.0, 0.95, 0.8, 0.55)[g - 1] for gap, g in zip(DISCS_MM.values(), grades, strict=True)]
    lipping = [max(0.0, rng.normal(0.0, 0.03) + 0.03 * (grade > 3)) for grade in (*grades, 1)]
    shapes = [_shape(rng, name, size, lip) for name, lip in zip(LEVELS, lipping, strict=True)]
    vertebrae = _stacked(shapes, gaps, _tilts(slope, lordosis, kyphosis), float(rng.normal(0.0, 6.0)))
    discs = tuple(
        _disc(rng, above, below, gap, grade)
        for (above, below), gap, grade in zip(pairwise(vertebrae), gaps, grades, strict=True)
    )
    angle = np.linspace(np.pi * 1.08, np.pi * 1.92, 9) + rng.normal(0, 0.08, 9)
    return Column(
        vertebrae=vertebrae,
        discs=discs,
        cord_end=torso.cord_end,
        # ASSUME: marrow is mixed at 50 years, red at 20 and fatty at 80.
        fat=float(np.clip((person.age - 50) / 30 + rng.normal(0, 0.45), -1.2, 1.4)),
        patches=random_field(rng, 6.0, 1.0, (60.0, 110.0, 300.0)),
        grain=random_field(rng, 3.0, 1.0, (45.0, 110.0, 300.0)),
        strands=random_field(rng, 3.5, 1.0, (110.0, 180.0, 90.0)),
        muscle_fat=float(np.clip(rng.normal(0.04 + 0.003 * (person.age - 30), 0.04), 0.01, 0.4)),
        aside=(float(rng.normal(0, 3.0)), float(rng.uniform(-60, 160))),
        roots=np.stack([np.cos(angle) * rng.uniform(0.45, 0.75, 9), np.sin(angle) * rng.uniform(0.5, 0.75, 9)], axis=1),
        lordosis_deg=round(lordosis, 1),
        kyphosis_deg=round(kyphosis, 1),
    )


def _draw_angle(rng: np.random.Generator, mean_sd: tuple[float, float]) -> float:
    mean, sd = mean_sd
    return float(np.clip(rng.normal(mean, sd), mean - 2.2 * sd, mean + 2.2 * sd))


def _draw_grades(rng: np.random.Generator, age: int, wear: float) -> list[int]:
    """Pfirrmann grades from above; sacral rests are dry.

    ASSUME: grade 2 at 30 and 3.5 at 70 years in the lumbar spine, half a grade more in its two lowest discs (Teraguchi
    et al., Osteoarthritis Cartilage 2014;22:104: nine in ten above 50 have a degenerate lumbar disc), half less above.
    """
    grades = []
    for name in LEVELS[:-1]:
        region = {"L4": 0.5, "L5": 0.5, "L1": -0.2}.get(name, -0.5 if name[0] == "T" else 0.0)
        grade = 1.2 + wear * (0.6 + (age - 25) * 0.038 + region + rng.normal(0, 0.7))
        grades.append(5 if name[0] == "S" else int(np.clip(np.round(grade), 1, 5)))
    return grades


def _tilts(slope: float, lordosis: float, kyphosis: float) -> np.ndarray:
    """How far each vertebra leans forward, rad, from above."""
    lumbar = slope - np.cumsum(lordosis * np.array(_LORDOSIS_SHARES[::-1]))
    first = lumbar[-1]
    # ASSUME: of the kyphosis little lies at either end.
    steps = np.array([2.0, 2.0, 3.0, *[(kyphosis - 5.0) / 6.0] * 6, 2.5, 2.5, 2.5])
    thoracic = first + np.cumsum(steps)
    return np.radians([*thoracic[::-1], *lumbar[::-1], *(slope + turn for turn in _SACRUM_DEG)])


def _shape(rng: np.random.Generator, name: str, size: float, lipping: float) -> Vertebra:
    """A vertebra that stands nowhere yet."""
    wide, deep, low_wide, low_deep, height, *canal = SIZES_MM[name]
    own = size * float(np.clip(rng.normal(1.0, 0.02), 0.95, 1.05))
    taller = 1.0 if name[0] == "S" else _TALLER
    return Vertebra(
        name=name,
        centre_mm=(0.0, 0.0),
        tilt_rad=0.0,
        height=own * taller * height + _WEDGES_MM.get(name, 0.0) / 2,
        wedge=_WEDGES_MM.get(name, 0.0) + float(rng.normal(0, 0.5)),
        width=(own * low_wide / 2, own * wide / 2),
        depth=(own * low_deep / 2, own * deep / 2),
        canal=(size * canal[0] / 2 * float(rng.normal(1.0, 0.03)), size * canal[1] / 2 * float(rng.normal(1.0, 0.04))),
        lipping=lipping,
    )


def _stacked(shapes: list[Vertebra], gaps: list[float], tilts: np.ndarray, height: float) -> tuple[Vertebra, ...]:
    """Vertebrae one above the other; the middle of the second lumbar one lies at a height (mm) in the middle."""
    place, points = np.zeros(2), [np.zeros(2)]
    ups = [np.array([np.sin(tilt), np.cos(tilt)]) for tilt in tilts]
    for k, gap in enumerate(gaps):
        middle = (ups[k] + ups[k + 1]) / 2
        place = place - ups[k] * shapes[k].height / 2 - middle * gap - ups[k + 1] * shapes[k + 1].height / 2
        points.append(place)
    shift = np.array([0.0, height]) - points[LEVELS.index("L2")]
    return tuple(
        Vertebra(**{**vars(one), "centre_mm": tuple((point + shift).tolist()), "tilt_rad": float(tilt)})
        for one, point, tilt in zip(shapes, points, tilts, strict=True)
    )


def _disc(rng: np.random.Generator, above: Vertebra, below: Vertebra, gap: float, grade: int) -> Disc:
    middle = (above.at(0.0, -above.height / 2) + below.at(0.0, below.height / 2)) / 2
    bulge = max(0.0, rng.normal(0.3, 0.5) + (1.1 if grade > 3 else 0.3) * (grade > 2) * rng.uniform(0.3, 2.0))
    return Disc(
        name=above.name,
        centre_mm=(float(middle[0]), float(middle[1])),
        tilt_rad=(above.tilt_rad + below.tilt_rad) / 2,
        height=gap,
        wedge_rad=below.tilt_rad - above.tilt_rad,
        width=(above.width[0] + below.width[1]) / 2,
        depth=(above.depth[0] + below.depth[1]) / 2,
        grade=grade,
        bulge_mm=float(bulge) if above.name[0] != "S" else 0.0,
    )
