"""Renal-cell carcinoma: subtype, size, place in the kidney, necrosis, haemorrhage and mass effect."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from crossmod.phantom.canvas import Canvas, Push
from crossmod.phantom.field import Field, random_field
from crossmod.phantom.kidney import Kidney
from crossmod.phantom.tissue import BONES, SHELL, VALUES, Tissue, table
from crossmod.phantom.torso import Torso

# Size: log-normal, median 35 ml, truncated. Sources: 39 ml (interquartile range 8.9-118) in KiTS23 label maps; 29 ml
# (0.7-1971) for clear-cell carcinoma on MR in the source paper.
MEDIAN_ML, SPREAD_LOG, LEAST_ML, MOST_ML = 35.0, 1.6, 0.8, 900.0
# ASSUME: shares of the subtypes as in surgical series (KiTS23: 310 clear-cell of 439 malignant).
SUBTYPES = {"clear_cell": 0.72, "papillary": 0.17, "chromophobe": 0.11}
GROWTHS = {"exophytic": 0.4, "mixed": 0.38, "endophytic": 0.22}


@dataclass(frozen=True)
class Tumour:
    """One carcinoma: an uneven ball that grew out of a kidney's surface."""

    side: str
    histology: str
    growth: str
    centre_mm: np.ndarray
    radius_mm: float
    stretch: np.ndarray
    invaded: float
    roughness: Field
    decay: Field
    necrosis: float
    haemorrhage: float


def draw_tumour(
    rng: np.random.Generator,
    kidneys: dict[str, Kidney],
    torso: Torso,
    share: float = 1.0,
    median_ml: float = MEDIAN_ML,
    spread_log: float = SPREAD_LOG,
    range_ml: tuple[float, float] = (LEAST_ML, MOST_ML),
) -> Tumour | None:
    """Draw the one carcinoma of a patient; None for those who are not of the `share` who have one."""
    side = str(rng.choice(["right", "left"]))
    kidney = kidneys[side]
    histology = str(rng.choice(list(SUBTYPES), p=list(SUBTYPES.values())))
    volume = np.inf
    while not range_ml[0] <= volume <= range_ml[1]:
        volume = np.exp(rng.normal(np.log(median_ml), spread_log))
    radius = float(np.cbrt(3000.0 * volume / (4 * np.pi)))
    # ASSUME: a mass wider than the kidney's half thickness cannot stay within it.
    free = radius > 0.75 * kidney.semi_mm[2]
    growth = str(rng.choice(list(GROWTHS), p=list(GROWTHS.values())))
    growth = "mixed" if free and growth == "endophytic" else growth
    low, high = {"exophytic": (0.25, 0.6), "mixed": (-0.25, 0.25), "endophytic": (-0.9, -0.55)}[growth]
    centre = _draw_centre(rng, kidney, torso, radius, (low, high))
    stretch = np.exp(rng.normal(0, 0.1, 3))
    dead = {"clear_cell": 0.5, "papillary": 0.35, "chromophobe": 0.15}[histology]
    found = Tumour(
        side=side,
        histology=histology,
        growth=growth,
        centre_mm=centre,
        radius_mm=radius,
        stretch=stretch / np.cbrt(np.prod(stretch)),
        invaded=float(rng.uniform(0.1, 0.5)),
        roughness=random_field(rng, max(9.0, 0.7 * radius), 1.0, (120.0, 120.0, 120.0)),
        decay=random_field(rng, max(7.0, 0.45 * radius), 1.0, (120.0, 120.0, 120.0)),
        necrosis=float(dead * rng.beta(1.2, 2.0) * 2.0 * np.clip((radius - 8.0) / 22.0, 0.0, 1.0)),
        haemorrhage=float(rng.uniform(0.05, 0.2)) if rng.random() < 0.15 and radius > 15 else 0.0,
    )
    # The last number of the stream: a patient with a tumour has the same one whatever the share.
    return found if rng.random() < share else None


def _draw_centre(
    rng: np.random.Generator, kidney: Kidney, torso: Torso, radius_mm: float, lift: tuple[float, float]
) -> np.ndarray:
    """Place a mass on the kidney's surface, in the roomiest of ten tries.

    The mass is lifted along the normal by a share of its radius.

    ASSUME: masses seldom grow from the hilum, and large ones grow forwards and sideways, where there is room.
    """
    best, room = kidney.centre_mm, -np.inf
    for _ in range(10):
        direction = rng.normal(size=3) * [1.3, 1.0, 1.0]
        direction[1] = -abs(direction[1]) if rng.random() < 0.85 else direction[1]
        point, normal = kidney.surface(direction)
        normal = normal + np.array([0.5 * kidney.sign, 0.9, 0.0]) * np.clip((radius_mm - 25.0) / 15.0, 0.0, 1.5)
        centre = point + normal / np.linalg.norm(normal) * radius_mm * rng.uniform(*lift)
        space = torso.clearance(centre) - 0.7 * radius_mm
        if space > room:
            best, room = centre, space
        if room > 0:
            break
    return best


def push_of(tumour: Tumour) -> Push:
    """The mass effect of a tumour on all that is soft."""
    return Push(tumour.centre_mm, tumour.radius_mm, 1.0 - tumour.invaded)


def paint_tumour(canvas: Canvas, tumour: Tumour, straight: list[np.ndarray]) -> None:
    """Paint a tumour over its kidney and the soft tissue around.

    Args:
        canvas: painted with kidneys.
        tumour: what to paint.
        straight: the canvas' body coordinates as they were before the mass effect.
    """
    box = canvas.box(tumour.centre_mm, tumour.radius_mm * 1.5)
    if box is None:
        return
    # Rough surface: the fields are fixed to the scanner's axes, centred on the tumour.
    middle = canvas.pose.turn.T @ tumour.centre_mm
    axes = tuple(axis[part] - m for axis, part, m in zip(canvas.axes, box, middle, strict=True))
    scale = (1.0 / (tumour.radius_mm * tumour.stretch)).astype(np.float32)
    parts = [(v[box] - np.float32(c)) * s for v, c, s in zip(straight, tumour.centre_mm, scale, strict=True)]
    radius = np.sqrt(sum(part * part for part in parts)) * (1 + np.float32(0.07) * tumour.roughness.on(axes))
    other = "left" if tumour.side == "right" else "right"
    # ASSUME: muscle gives way to a mass; bone, arteries and skin do not.
    free = ~table((*SHELL, *BONES, Tissue.ARTERY))[canvas.tissue[box]]
    for part in ("parenchyma", "sinus", "cyst"):
        free &= canvas.label[box] != VALUES[f"{other}_{part}"]
    mask = (radius < 1) & free
    canvas.paint(box, mask, Tissue.TUMOUR, label=VALUES[f"{tumour.side}_tumour"])
    decay = tumour.decay.on(axes)
    core = decay - np.float32(1.5) * np.maximum(radius - np.float32(0.55), 0) / np.float32(0.45)
    # Quantiles of a normal field: the share of the mass that is dead.
    canvas.paint(box, mask & (core > _threshold(tumour.necrosis)), Tissue.NECROSIS)
    if tumour.haemorrhage:
        canvas.paint(box, mask & (-decay > _threshold(tumour.haemorrhage)), Tissue.HAEMORRHAGE)


def _threshold(share: float) -> np.float32:
    """Level that a unit normal exceeds with this probability."""
    return np.float32(ndtri(1.0 - min(max(share, 1e-6), 0.9)))
