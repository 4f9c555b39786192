"""Kidneys: bean, cortex, pyramids, sinus with collecting system, renal vessels, perirenal fat, simple cysts."""

from dataclasses import dataclass, replace

import numpy as np

from crossmod.phantom.canvas import Canvas
from crossmod.phantom.organs import curve
from crossmod.phantom.tissue import BONES, ORGANS, SHELL, VALUES, Tissue, table
from crossmod.phantom.torso import Person, Torso
from crossmod.scans.box import Box

# Median volume (ml) of a kidney's tissue (parenchyma and collecting system) without mass, and its spread.
# Source: computed from the KiTS23 label maps: clean side median 192 ml, interquartile range 151-227 ml.
MEDIAN_ML, SPREAD_LOG, SPREAD_SIDE_LOG = 201.0, 0.25, 0.13
# The right kidney lies lower in 62 % of those patients: mean over spread of the height difference is 0.305.
HEIGHT_DIFFERENCE_MM, HEIGHT_SPREAD_MM = 6.7, 21.0


@dataclass(frozen=True)
class Kidney:
    """One kidney. Rows of `turn` point along its long axis (up), towards its hilum, and across."""

    side: str
    centre_mm: np.ndarray
    turn: np.ndarray
    semi_mm: np.ndarray
    bend: float
    sinus_centre: np.ndarray
    sinus_semi: np.ndarray
    lobes: np.ndarray
    lobulation: float
    cortex_mm: float
    pyramid_cos: float
    pelvis: float
    fat_mm: float
    fat_shift: np.ndarray
    cysts: tuple[tuple[np.ndarray, float], ...]

    @property
    def sign(self) -> int:
        """+1 for the patient's right, whose x is positive in R-A-S, -1 for the left."""
        return 1 if self.side == "right" else -1

    def surface(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Surface point and outward normal (body mm) in a direction (3,) of the kidney's own unit ball."""
        q = np.asarray(direction, float) / np.linalg.norm(direction)
        local = self.semi_mm * (q + np.array([0.0, self.bend * (q[0] ** 2 - 0.3), 0.0]))
        normal = q / self.semi_mm
        return self.centre_mm + local @ self.turn, (normal / np.linalg.norm(normal)) @ self.turn


@dataclass(frozen=True)
class _Parts:
    """Where the points of one kidney lie: all arrays are over the points inside it."""

    sinus: np.ndarray
    medulla: np.ndarray
    urine: np.ndarray


def draw_kidneys(
    rng: np.random.Generator, person: Person, torso: Torso, hydronephrosis: float = 0.0
) -> dict[str, Kidney]:
    """Draw both kidneys of a person, keyed right and left."""
    # ASSUME: kidney volume follows stature and is larger in men; 3 % have one small, atrophic kidney.
    body = rng.normal(0, SPREAD_LOG * 0.9) + 1.2 * np.log(person.stature / 0.99)
    lift = rng.normal(0.0, 8.0)
    difference = rng.normal(HEIGHT_DIFFERENCE_MM, HEIGHT_SPREAD_MM)
    atrophic = rng.choice(["right", "left"]) if rng.random() < 0.03 else None
    fat = float(np.clip(rng.normal(0.6 * (person.bmi - 21), 4), 0.0, 18.0))
    kidneys = {}
    for side in ("right", "left"):
        volume = MEDIAN_ML * np.exp(body + rng.normal(0, SPREAD_SIDE_LOG)) * (0.45 if side == atrophic else 1.0)
        height = lift - difference / 2 if side == "right" else lift + difference / 2
        shape = _draw_shape(rng, side, torso, height, fat * rng.uniform(0.7, 1.3))
        kidney = _scaled_to(shape, volume)
        kidneys[side] = replace(kidney, cysts=_draw_cysts(rng, kidney, person))
    for side in kidneys:
        # ASSUME: a blocked kidney's pelvis and calyces take up two to three times the room (grades 2 to 4).
        widened = rng.uniform(2.0, 3.2)
        if rng.random() < hydronephrosis:
            kidneys[side] = replace(kidneys[side], pelvis=widened, sinus_semi=kidneys[side].sinus_semi * 1.15)
    return kidneys


def _draw_shape(rng: np.random.Generator, side: str, torso: Torso, height_mm: float, fat_mm: float) -> Kidney:
    sign = 1 if side == "right" else -1
    # Lower poles lie lateral and in front (the psoas' slope): principal axes of KiTS23 kidneys, 11 +- 9 and 21 +- 11
    # degrees.
    lateral, forward, hilum = rng.normal([0.22, 0.42, 0.6], [0.16, 0.2, 0.22])
    up = np.array([-sign * np.sin(lateral), -np.sin(forward), np.cos(lateral)])
    up /= np.linalg.norm(up)
    inner = np.array([-sign * np.cos(hilum), np.sin(hilum), 0.0])
    inner -= up * (inner @ up)
    inner /= np.linalg.norm(inner)
    half, _, back = torso.cavity
    x = np.clip(rng.normal(0.545, 0.055) * half, 54, 90)
    depth = np.clip(rng.normal(0, 6), 26 - back, 20)
    lobes = _draw_lobes(rng)
    return Kidney(
        side=side,
        centre_mm=np.array([sign * x, depth, height_mm]),
        turn=np.stack([up, inner, np.cross(up, inner)]),
        semi_mm=np.array([1.0, rng.normal(0.54, 0.035), rng.normal(0.46, 0.035)]),
        bend=float(np.clip(rng.normal(0.3, 0.09), 0.05, 0.55)),
        sinus_centre=np.array([rng.normal(0, 0.05), rng.normal(0.42, 0.05), rng.normal(0, 0.04)]),
        sinus_semi=np.array([0.6, 0.58, 0.38]) * rng.normal(1.0, [0.08, 0.08, 0.12]),
        lobes=lobes,
        lobulation=float(np.abs(rng.normal(0.0, 0.045))),
        cortex_mm=float(rng.uniform(5.0, 8.5)),
        pyramid_cos=float(rng.uniform(0.875, 0.935)),
        pelvis=float(np.exp(rng.normal(0.0, 0.3)) * (1.8 if rng.random() < 0.05 else 1.0)),
        fat_mm=fat_mm,
        fat_shift=rng.uniform([-0.6, -0.8, -0.8], [0.6, 0.2, 0.2]),
        cysts=(),
    )


def _draw_lobes(rng: np.random.Generator) -> np.ndarray:
    """Directions (n, 3) of the pyramids, spread over the ball but for the hilum."""
    count = int(rng.integers(9, 16))
    k = np.arange(3 * count) + 0.5
    polar, angle = np.arccos(1 - 2 * k / (3 * count)), np.pi * (1 + 5**0.5) * k
    ball = np.stack([np.cos(polar), np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle)], axis=1)
    ball = ball[ball[:, 1] < 0.55]
    chosen = ball[np.linspace(0, len(ball) - 1, count).astype(int)] + rng.normal(0, 0.1, (count, 3))
    return (chosen / np.linalg.norm(chosen, axis=1, keepdims=True)).astype(np.float32)


def _scaled_to(kidney: Kidney, volume_ml: float) -> Kidney:
    """The same shape, scaled so that parenchyma and collecting system together fill a volume."""
    step = 0.07
    axis = np.arange(-1.35, 1.36, step, dtype=np.float32)
    q = np.meshgrid(axis, axis, axis, indexing="ij")
    # Any size gives the share of sinus fat; one kidney length is long enough for cortex to be a thin layer.
    rough = replace(kidney, semi_mm=kidney.semi_mm * 56.0)
    inside = _radius(rough, *q) < 1
    parts = _parts(rough, *(value[inside] for value in q))
    tissue = np.count_nonzero(inside) - np.count_nonzero(parts.sinus & ~parts.urine)
    unit_ml = tissue * step**3 * float(np.prod(rough.semi_mm)) / 1000.0
    return replace(rough, semi_mm=rough.semi_mm * np.cbrt(volume_ml / unit_ml))


def _draw_cysts(rng: np.random.Generator, kidney: Kidney, person: Person) -> tuple[tuple[np.ndarray, float], ...]:
    # ASSUME: simple cysts grow common with age (about a third of patients at 60); radius log-normal about 8 mm.
    cysts = []
    for _ in range(min(5, rng.poisson(0.3 * np.clip((person.age - 25) / 35, 0.1, 2.0)))):
        direction = rng.normal(size=3)
        direction[1] = -abs(direction[1]) * 0.8
        radius = float(np.clip(np.exp(rng.normal(np.log(8.0), 0.5)), 3.0, 32.0))
        point, normal = kidney.surface(direction)
        cysts.append((point + normal * radius * rng.uniform(-0.5, 0.7), radius))
    return tuple(cysts)


def _radius(kidney: Kidney, q0: np.ndarray, q1: np.ndarray, q2: np.ndarray) -> np.ndarray:
    """Bean radius, 1 on the surface, of points in units of the semi-axes: a bent, blunt-poled, lobulated ellipsoid."""
    along = q0 * q0
    across = q1 - np.float32(kidney.bend) * (along - np.float32(0.3))
    radius = np.sqrt(along * (np.float32(0.72) + np.float32(0.28) * along) + across * across + q2 * q2)
    if kidney.lobulation < 0.01:
        return radius
    near = (radius > 0.8) & (radius < 1.2)
    point = np.stack([q0[near], across[near], q2[near]], axis=-1)
    point /= np.linalg.norm(point, axis=-1, keepdims=True)
    nearest = closest(point, kidney.lobes)
    radius[near] /= 1 + np.float32(kidney.lobulation) * (np.minimum((nearest - 0.85) / 0.15, 1) - np.float32(0.5))
    return radius


def closest(points: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Greatest cosine between unit points (n, 3) and directions (m, 3); sums are written out to stay exact."""
    best = np.full(len(points), -1, dtype=np.float32)
    x, y, z = np.ascontiguousarray(points.T)
    for a, b, c in directions:
        np.maximum(best, x * a + y * b + z * c, out=best)
    return best


def _parts(kidney: Kidney, q0: np.ndarray, q1: np.ndarray, q2: np.ndarray) -> _Parts:
    """Sinus, medulla and collecting system among points (n,) inside the bean."""
    across = q1 - np.float32(kidney.bend) * (q0 * q0 - np.float32(0.3))
    radius = np.sqrt(q0 * q0 + across * across + q2 * q2) + np.float32(1e-4)
    a, b, c = (np.float32(1 / s) for s in kidney.semi_mm)
    slope = np.sqrt((q0 * a) ** 2 + (across * b) ** 2 + (q2 * c) ** 2) / radius
    depth = (1 - radius) / slope
    # The pyramids fan out from a rod in the sinus.
    hub = kidney.sinus_centre.astype(np.float32) * np.float32(0.7)
    ray = np.stack([np.float32(0.55) * (q0 - hub[0]), across - hub[1], q2 - hub[2]], axis=-1)
    length = np.linalg.norm(ray, axis=-1) + np.float32(1e-4)
    nearest = closest(ray / length[:, None], kidney.lobes)
    middle, semi = kidney.sinus_centre.astype(np.float32), kidney.sinus_semi.astype(np.float32)
    core = np.sqrt(
        ((q0 - middle[0]) / semi[0]) ** 2
        + (np.minimum(across - middle[1], 0) / semi[1]) ** 2
        + ((q2 - middle[2]) / semi[2]) ** 2
    )
    # Papillae bulge into the sinus; between them, columns of cortex reach it.
    papilla = np.clip((nearest - np.float32(kidney.pyramid_cos)) / np.float32(1 - kidney.pyramid_cos), 0, 1)
    sinus = core + np.float32(0.18) * papilla < 1
    medulla = ~sinus & (nearest > np.float32(kidney.pyramid_cos)) & (depth > np.float32(kidney.cortex_mm))
    pelvis = np.float32(kidney.pelvis)
    basin = ((q0 - hub[0]) / 0.24) ** 2 + ((across - np.float32(0.68)) / 0.34) ** 2 + ((q2 - hub[2]) / 0.13) ** 2
    calyx = (papilla > 1 - np.float32(0.3) * pelvis) & (core > 0.5)
    return _Parts(sinus, medulla, sinus & ((basin < pelvis) | calyx))


def paint_fat(canvas: Canvas, kidney: Kidney) -> None:
    """Clear a capsule of perirenal fat, thicker behind and below, before the kidney is painted."""
    soft = ~table((*SHELL, *BONES, Tissue.MUSCLE, Tissue.ARTERY, Tissue.VEIN, Tissue.LUNG))
    capsule = fat_capsule(canvas, kidney)
    if capsule is not None:
        canvas.paint(*capsule, Tissue.VISCERAL_FAT, soft)


def fat_capsule(canvas: Canvas, kidney: Kidney) -> tuple[Box, np.ndarray] | None:
    """A box, and which of its points lie in a kidney or in the fat around it; None outside of the canvas."""
    semi = kidney.semi_mm + kidney.fat_mm * np.array([1.3, 0.8, 0.7]) + 0.4
    centre = kidney.centre_mm + kidney.fat_mm * kidney.fat_shift
    box = canvas.box(centre, float(semi.max()))
    if box is None:
        return None
    q = _local(canvas, box, kidney, centre, semi)
    q1 = q[1] - np.float32(kidney.bend) * (q[0] * q[0] - np.float32(0.3))
    return box, q[0] ** 2 + q1 * q1 + q[2] ** 2 < 1


def paint_kidney(canvas: Canvas, kidney: Kidney) -> None:
    """Paint renal vessels, then the kidney with its labels, then its cysts."""
    paint_vessels(canvas, kidney)
    box = canvas.box(kidney.centre_mm, float(kidney.semi_mm.max()) * 1.15)
    if box is None:
        return
    q = _local(canvas, box, kidney, kidney.centre_mm, kidney.semi_mm)
    inside = _radius(kidney, *q) < 1
    inside &= ~table((*SHELL, *BONES))[canvas.tissue[box]]
    parts = _parts(kidney, *(value[inside] for value in q))
    tissue = np.full(len(parts.sinus), Tissue.CORTEX, dtype=np.uint8)
    tissue[parts.medulla] = Tissue.MEDULLA
    # Vessels already painted in the sinus stay: what is not urine keeps them.
    before = canvas.tissue[box][inside]
    fat = np.where(np.isin(before, (Tissue.VEIN, Tissue.ARTERY)), before, np.uint8(Tissue.SINUS_FAT))
    tissue[parts.sinus] = fat[parts.sinus]
    tissue[parts.urine] = Tissue.URINE
    canvas.tissue[box][inside] = tissue
    side = kidney.side
    canvas.label[box][inside] = np.where(
        parts.sinus, np.uint8(VALUES[f"{side}_sinus"]), np.uint8(VALUES[f"{side}_parenchyma"])
    )
    _paint_cysts(canvas, kidney)


def _local(canvas: Canvas, box: Box, kidney: Kidney, centre_mm: np.ndarray, semi_mm: np.ndarray) -> list[np.ndarray]:
    """Coordinates of a box along the kidney's axes, in units of `semi_mm`."""
    x, y, z = canvas.offsets(box, centre_mm)
    rows = (kidney.turn / semi_mm[:, None]).astype(np.float32)
    return [row[0] * x + row[1] * y + row[2] * z for row in rows]


def paint_vessels(canvas: Canvas, kidney: Kidney) -> None:
    """Renal vein and artery from the great vessels to the hilum, and the ureter's first part."""
    inner, up = kidney.turn[1], kidney.turn[0]
    gate = kidney.centre_mm + inner * kidney.semi_mm[1] * 0.85
    deep = kidney.centre_mm + inner * kidney.semi_mm[1] * 0.35
    vein = np.array([15.0, 30.0, gate[2] + 6]) if kidney.sign > 0 else np.array([12.0, 36.0, gate[2] + 10])
    over = ~table((*SHELL, *BONES, Tissue.MUSCLE))
    allowed = tuple(Tissue(i) for i in np.flatnonzero(over).tolist())
    spread = up * kidney.semi_mm[0] * 0.3
    paths = [
        (curve([vein, 0.5 * (vein + gate) + [0, 6, 3], gate, deep], 4.0), 4.5, Tissue.VEIN),
        (
            curve(
                [
                    [-3, 20, gate[2] + 12],
                    0.5 * (gate + np.array([0, 20, gate[2] + 8])),
                    gate - inner * 2,
                    deep + spread,
                ],
                4.0,
            ),
            2.8,
            Tissue.ARTERY,
        ),
        (curve([gate, deep - spread], 4.0), 3.0, Tissue.VEIN),
    ]
    with canvas.sparing(*ORGANS.values()):  # where organs are labelled, the vessels lie behind them
        for points, radius, tissue in paths:
            canvas.ball_chain(points, np.full(len(points), radius), tissue, allowed)
    drop = gate + np.array([-kidney.sign * 10.0, 2.0, -45.0])
    ureter = curve([gate, gate - np.array([0, 0, 14]), drop, [kidney.sign * 34.0, 20.0, -150.0]], 4.0)
    canvas.ball_chain(ureter, np.full(len(ureter), 2.4), Tissue.URINE, (Tissue.VISCERAL_FAT,))


def _paint_cysts(canvas: Canvas, kidney: Kidney) -> None:
    over = ~table((*SHELL, *BONES, Tissue.MUSCLE))
    for centre, radius in kidney.cysts:
        box = canvas.box(centre, radius)
        if box is not None:
            x, y, z = canvas.offsets(box, centre)
            mask = x * x + y * y + z * z < np.float32(radius**2)
            canvas.paint(box, mask, Tissue.CYST, over, VALUES[f"{kidney.side}_cyst"])


def paint_adrenal(canvas: Canvas, kidney: Kidney) -> None:
    """A thin gland on the inner side of the upper pole."""
    top = kidney.centre_mm + kidney.turn[0] * kidney.semi_mm[0] * 1.02 + kidney.turn[1] * kidney.semi_mm[1] * 0.35
    limb = np.array([-kidney.sign * 3.0, 12.0, 8.0])
    points = curve([top - limb, top, top + limb * [-1, 1, 1]], 3.0)
    canvas.ball_chain(points, np.full(len(points), 3.0), Tissue.ADRENAL, (Tissue.VISCERAL_FAT,))
