"""Focal lesions of the liver: hepatocellular carcinoma, metastases and simple cysts."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy import ndimage

from crossmod.job import UserError
from crossmod.phantom.canvas import Canvas
from crossmod.phantom.field import Axes, Field, random_field
from crossmod.phantom.organs import Organs
from crossmod.phantom.tissue import Tissue, table
from crossmod.phantom.torso import Person
from crossmod.scans.box import Box, three

# Diameters in mm: median, spread (log), least, most. Carcinomas: mean 34.7, standard deviation 27.3 (250 tumours; BMC
# Med Imaging 2023, doi 10.1186/s12880-023-01161-9, table 2), which are a log-normal's of median 27 and spread 0.69.
# Metastases: median 18.1, interquartile range 10.9-37.7 (463 of colorectal cancer; Bae, Abdom Radiol 2025;50:1624).
# ASSUME: cysts are about 1.4 cm wide.
SIZES_MM = {"hcc": (27.3, 0.69, 10.0, 120.0), "metastasis": (18.1, 0.92, 5.0, 50.0), "cyst": (14.0, 0.6, 5.0, 60.0)}
TISSUES = {"hcc": Tissue.LIVER_TUMOUR, "metastasis": Tissue.LIVER_METASTASIS, "cyst": Tissue.CYST}
# How many: the first shares are those of one, two and three observations in 379 patients of the same table.
# ASSUME: metastases and cysts come in geometric numbers, up to 12 and 5.
HCC_COUNTS, METASTASIS_CHANCE, CYST_CHANCE = (0.9, 0.077, 0.023), 0.3, 0.55
MOST = {"metastasis": 12, "cyst": 5}
# 18 % of patients who have a CT for another reason have liver cysts: Carrim & Murchison, Clin Radiol 2003;58:626.
CYST_SHARE = 0.18
# 50 of 106 resected carcinomas had a fibrous capsule: Ishigami et al., Radiology 2009;250:435.
CAPSULE_SHARE = 0.47
# Spacing of the grid on which a liver's shape is looked up.
_STEP_MM = 5.0
_OVER = (Tissue.LIVER, Tissue.LIVER_VESSEL)


@dataclass(frozen=True)
class Ball:
    """An uneven ball: stretched along the body's axes, with waves of `uneven` radii; `radius_mm` tells its volume."""

    centre_mm: np.ndarray
    radius_mm: float
    stretch: np.ndarray
    uneven: float
    roughness: Field

    @property
    def diameter_mm(self) -> float:
        """The longest diameter."""
        return 2 * self.radius_mm * float(self.stretch.max())

    @property
    def reach_mm(self) -> float:
        """Hardly any point of the ball is further from its centre (waves stay within 4.5 standard deviations)."""
        return self.radius_mm * float(self.stretch.max()) / (1 - 4.5 * self.uneven)

    def distance(self, canvas: Canvas, box: Box, xyz: list[np.ndarray]) -> np.ndarray:
        """Distance from the centre, 1 on the surface, of the points of a box with body coordinates `xyz`."""
        offsets = [value - np.float32(c) for value, c in zip(xyz, self.centre_mm, strict=True)]
        return _distance(offsets, self.radius_mm * self.stretch, self.uneven, self.waves(canvas, box, self.roughness))

    def waves(self, canvas: Canvas, box: Box, field: Field) -> np.ndarray:
        """A field that is fixed to the scanner's axes, centred on the ball, over a box."""
        middle = canvas.pose.turn.T @ self.centre_mm
        return field.on(tuple(axis[part] - m for axis, part, m in zip(canvas.axes, box, middle, strict=True)))


@dataclass(frozen=True)
class LiverLesion:
    """One lesion: `necrosis` is the share that is dead, in the middle; `capsule_mm` is the rim's thickness."""

    kind: str
    ball: Ball
    necrosis: float
    decay: Field
    capsule_mm: float


def afflicted(rng: np.random.Generator, share: float, what: str) -> bool:
    """Whether a patient is one of the share who have something.

    Raises:
        UserError: if the share is not a number from 0 to 1.
    """
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share <= 1:
        raise UserError(f"{what}: share = {share!r}: must lie in 0 (nobody has them) to 1 (everybody has)")
    return bool(rng.random() < share)


def draw_ball(
    rng: np.random.Generator, centre_mm: np.ndarray, radius_mm: float, stretch: np.ndarray, uneven: float
) -> Ball:
    """Draw the waves of an uneven ball, whose axes are as `stretch` (3,) to each other."""
    waves = draw_waves(rng, radius_mm, 0.7)
    stretch = stretch / np.cbrt(np.prod(stretch))
    # A ball holds so few waves that they make it larger or smaller as a whole.
    semi = radius_mm * stretch
    lines = [np.arange(-18, 19) * 0.1 * length for length in semi]
    offsets = [value.astype(np.float32) for value in np.meshgrid(*lines, indexing="ij", sparse=True)]
    inside = _distance(offsets, semi, uneven, waves.on(tuple(lines))) < 1
    share = np.count_nonzero(inside) * 0.1**3 / (4 / 3 * np.pi)
    return Ball(centre_mm, radius_mm, stretch / np.cbrt(share), uneven, waves)


def draw_stretch(rng: np.random.Generator, sd: float) -> np.ndarray:
    """Relative lengths of three axes that differ by `sd` (log scale)."""
    return np.exp(np.clip(rng.normal(0, sd, 3), -2 * sd, 2 * sd))


def _distance(offsets: list[np.ndarray], semi_mm: np.ndarray, uneven: float, waves: np.ndarray) -> np.ndarray:
    parts = [value * np.float32(1 / semi) for value, semi in zip(offsets, semi_mm, strict=True)]
    return np.sqrt(sum(part * part for part in parts)) * (1 + np.float32(uneven) * waves)


def draw_waves(rng: np.random.Generator, radius_mm: float, grain: float) -> Field:
    """A unit field around a ball, of a grain relative to its radius, also where mass effect may push the ball."""
    return random_field(rng, max(5.0, grain * radius_mm), 1.0, (1.6 * radius_mm + 40.0,) * 3)


def draw_liver_lesions(
    rng: np.random.Generator, organs: Organs, person: Person, share: float, painted: Callable[[Axes], Canvas]
) -> tuple[LiverLesion, ...]:
    """Draw the lesions of a patient's liver.

    Args:
        rng: source of chance.
        organs: where the liver is.
        person: age and sex change what is likely.
        share: share of patients who have any lesion.
        painted: paints the body without these lesions on some axes. Lungs, ribs, heart and kidneys take away half of
            the liver's ellipsoids, so that only a painted body tells where its liver is.

    Returns:
        None, one or several lesions, largest first, each with its centre in the liver and room for its radius.

    Raises:
        UserError: if the share is not a number from 0 to 1.
    """
    if not afflicted(rng, share, "liver lesions"):
        return ()
    sizes = _draw_sizes(rng, person)
    points, room = _room(organs, painted)
    lesions: list[LiverLesion] = []
    for kind, radius in sizes:
        space = room.copy()
        for other in lesions:
            gap = np.sqrt(((points - other.ball.centre_mm) ** 2).sum(axis=1)) - other.ball.radius_mm
            np.minimum(space, gap, out=space)
        # ASSUME: no lesion is wider than the liver where it grows, and none joins another.
        radius = min(radius, float(space.max(initial=0.0)))
        if 2 * radius < SIZES_MM[kind][2]:
            continue
        fits = np.flatnonzero(space >= radius)
        centre = points[fits[int(rng.integers(len(fits)))]].copy()
        lesions.append(_draw_lesion(rng, kind, centre, radius))
    return tuple(lesions)


def _draw_sizes(rng: np.random.Generator, person: Person) -> list[tuple[str, float]]:
    """Kind and radius (mm) of each lesion, largest first.

    ASSUME: of patients with lesions, a third each has carcinoma, metastases or cysts alone at 60; carcinoma is twice as
    common in men. Cysts are rare before 40, then grow common with age, and are a little commoner in women (Larssen et
    al., Clin Radiol 2005;60:1026).
    """
    male = person.sex == "male"
    cysts = float(np.clip((person.age - 35) / 25, 0.02, 1.6)) * (0.9 if male else 1.2)
    weights = np.array([0.4 if male else 0.2, 0.33, 0.33 * cysts])
    kind = str(rng.choice(list(SIZES_MM), p=weights / weights.sum()))
    counts = dict.fromkeys(SIZES_MM, 0)
    counts[kind] = _draw_count(rng, kind)
    if kind != "cyst" and rng.random() < CYST_SHARE * cysts:
        counts["cyst"] = _draw_count(rng, "cyst")
    sizes = [(kind, _draw_diameter(rng, kind) / 2) for kind, count in counts.items() for _ in range(count)]
    return sorted(sizes, key=lambda size: -size[1])


def _draw_count(rng: np.random.Generator, kind: str) -> int:
    if kind == "hcc":
        return int(rng.choice([1, 2, 3], p=HCC_COUNTS))
    return min(MOST[kind], int(rng.geometric(METASTASIS_CHANCE if kind == "metastasis" else CYST_CHANCE)))


def _draw_diameter(rng: np.random.Generator, kind: str) -> float:
    median, spread, least, most = SIZES_MM[kind]
    diameter = np.inf
    while not least <= diameter <= most:
        diameter = float(np.exp(rng.normal(np.log(median), spread)))
    return diameter


def _draw_lesion(rng: np.random.Generator, kind: str, centre_mm: np.ndarray, radius_mm: float) -> LiverLesion:
    # ASSUME: cysts are smooth and never dead inside. Six metastases in ten have a dead core, the larger the more; of
    # carcinomas, four in ten of those wider than 3 cm.
    sd, uneven = (0.04, 0.02) if kind == "cyst" else (0.1, 0.07)
    ball = draw_ball(rng, centre_mm, radius_mm, draw_stretch(rng, sd), uneven)
    dies = {"hcc": 0.4 * (radius_mm > 15), "metastasis": 0.6, "cyst": 0.0}[kind]
    grown = np.clip((radius_mm - 4.0) / 12.0, 0.2, 1.0)
    return LiverLesion(
        kind=kind,
        ball=ball,
        necrosis=float(rng.uniform(0.1, 0.5) * grown) if rng.random() < dies else 0.0,
        decay=draw_waves(rng, radius_mm, 0.45),
        capsule_mm=float(rng.uniform(0.8, 2.5)) if kind == "hcc" and rng.random() < CAPSULE_SHARE else 0.0,
    )


def _room(organs: Organs, painted: Callable[[Axes], Canvas]) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) of the liver in body mm, and how far each lies below its surface (n,)."""
    blobs = [blob for blob in organs.solids if blob.tissue == Tissue.LIVER]
    reach = [np.sqrt((blob.turn.T**2) @ np.square(blob.semi_mm)) for blob in blobs]
    # The pose tilts and warps the body a little against the scanner.
    low = np.min([blob.centre_mm - r for blob, r in zip(blobs, reach, strict=True)], axis=0) - 30.0
    high = np.max([blob.centre_mm + r for blob, r in zip(blobs, reach, strict=True)], axis=0) + 30.0
    canvas = painted(three(np.arange(a, b, _STEP_MM) for a, b in zip(low, high, strict=True)))
    liver = table(_OVER)[canvas.tissue]
    # Half a step: the surface lies between the last voxel inside and the first outside.
    depth = ndimage.distance_transform_edt(liver, sampling=_STEP_MM)[liver] - _STEP_MM / 2
    points = np.stack([value[liver] for value in canvas.xyz], axis=1).astype(float)
    return points, depth


def paint_liver_lesions(canvas: Canvas, lesions: tuple[LiverLesion, ...]) -> None:
    """Paint lesions over the liver and its vessels, and nothing else.

    ASSUME: they take the place of liver and displace nothing.
    """
    over = table(_OVER)
    for lesion in lesions:
        ball = lesion.ball
        box = canvas.box(ball.centre_mm, ball.reach_mm * (1 + lesion.capsule_mm / ball.radius_mm))
        if box is None:
            continue
        distance = ball.distance(canvas, box, [value[box] for value in canvas.xyz])
        free = over[canvas.tissue[box]]
        # A capsule is bright after contrast for the small vessels and sinusoids pressed together there (Ishigami).
        rim = free & (distance >= 1) & (distance < np.float32(1 + lesion.capsule_mm / ball.radius_mm))
        canvas.paint(box, rim, Tissue.LIVER_VESSEL)
        mask = canvas.paint(box, free & (distance < 1), TISSUES[lesion.kind])
        if lesion.necrosis:
            uneven = 1 + np.float32(0.15) * ball.waves(canvas, box, lesion.decay)
            canvas.paint(box, mask & (distance * uneven < np.float32(np.cbrt(lesion.necrosis))), Tissue.NECROSIS)


def liver_facts(lesions: tuple[LiverLesion, ...]) -> dict[str, Any]:
    """What is true of a patient's liver: kind, count and largest diameter of its tumours, and the same of its cysts."""
    tumours = [lesion for lesion in lesions if lesion.kind != "cyst"]
    cysts = [lesion for lesion in lesions if lesion.kind == "cyst"]
    return {
        "liver_tumour_kind": tumours[0].kind if tumours else "none",
        "liver_tumour_count": len(tumours),
        "liver_tumour_largest_mm": _largest(tumours),
        "liver_cyst_count": len(cysts),
        "liver_cyst_largest_mm": _largest(cysts),
    }


def _largest(lesions: list[LiverLesion]) -> float:
    return round(max((lesion.ball.diameter_mm for lesion in lesions), default=0.0), 1)
