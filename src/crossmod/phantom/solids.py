"""Liver and spleen under the diaphragm, as large as a drawn volume in the room that a body leaves them.

Both are shapes with one free number: the height of the liver's lower face, the size of the spleen. A coarse painting of
the body tells how much room there is, and the number follows from the volume. So a mass, a large kidney or a flat
diaphragm changes their form, and not how much of them there is.
"""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from crossmod.phantom.canvas import Canvas
from crossmod.phantom.kidney import Kidney
from crossmod.phantom.torso import Person, Torso, level
from crossmod.scans.box import Box

ROOM_MM = 7.0  # steps of the coarse painting
# The liver's lower face lies no lower and no higher than this from the kidneys' middle; the spleen's size is within
# these bounds of a usual one.
LOWEST_MM, HIGHEST_MM, SPLEEN_SIZES = -75.0, 90.0, (0.4, 2.6)
_MIDDLE_MM = 16.0  # no lung is nearer to the midline


@dataclass(frozen=True)
class Liver:
    """A liver: all the room under the diaphragm that lies above its lower face and before its back.

    Attributes:
        torso: the trunk around it.
        kidney: the right one, which lies behind and below it.
        low_mm: height of the lower face a quarter of the way to the right flank.
        steep, ridge_mm: how the face falls to the right flank, and how far it rises to the left (negative: falls).
        forward: by how much the face falls on its way to the front.
        tip_mm: where the left lobe ends, x.
    """

    torso: Torso
    kidney: Kidney
    low_mm: float
    steep: float
    ridge_mm: float
    forward: float
    tip_mm: float

    def face(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Height (mm) of the lower face over points of a horizontal plane."""
        half = self.torso.cavity[0]
        slope = np.minimum(np.float32(self.steep) * (0.25 - x * np.float32(1 / half)), np.float32(self.ridge_mm))
        thinner = np.maximum(np.float32(self.tip_mm + 20.0) - x, 0) * np.float32(1 / 20.0)
        return np.float32(self.low_mm) + slope + 70 * thinner * thinner - np.float32(self.forward) * (y - 20)

    def allowed(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Which points the liver may fill, whatever its lower face.

        ASSUME: its back runs beside the spine, behind the cava and before the left crus, and then forwards, so that the
        left lobe ends as a wedge under the front wall. Where the right kidney lies, it is beside and before that.
        """
        mask = z < diaphragm(self.torso, x, y) - 1
        front = self.torso.cavity[1]
        back = (0.9 * front, 0.2 * front + 22, 36.0, 12.0, -45.0, -400.0)
        mask &= y > np.interp(x, (self.tip_mm, 0.55 * self.tip_mm, -10.0, 20.0, 32.0, 33.0), back)
        mask &= wall(self.torso, x, y, z) < 0.985
        centre = self.kidney.centre_mm
        pole = centre[2] + 0.75 * self.kidney.semi_mm[0]
        beside = np.float32(0.8) * (x - np.float32(centre[0])) + np.float32(0.6) * (y - np.float32(centre[1]))
        return mask & (beside + 4 * np.maximum(z - np.float32(pole), 0) > 0)

    def inside(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Which points belong to it, where nothing else lies."""
        return (z > self.face(x, y)) & self.allowed(x, y, z)


@dataclass(frozen=True)
class Spleen:
    """A spleen: a crescent under the left flank and diaphragm, thickest in its middle.

    Attributes:
        torso: the trunk around it.
        size: of all its axes, relative to a usual one.
        angle_rad: where its middle lies on the flank; 0 is lateral, negative is behind.
        height_mm: where its middle lies.
        semi_mm: half its length and width along the flank, and its thickness.
        tilt_rad: of its long axis, whose front end lies lower.
    """

    torso: Torso
    size: float
    angle_rad: float
    height_mm: float
    semi_mm: tuple[float, float, float]
    tilt_rad: float

    def reach(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """How large a spleen must be to hold each point; infinite where there is none."""
        radius = np.float32(0.85 * self.torso.cavity[0])
        along = radius * (np.arctan2(y, -x) - np.float32(self.angle_rad))
        # Under the dome the way from the flank inwards counts like the way up.
        up = np.sqrt(x * x + y * y)
        up = z - np.float32(self.height_mm) + np.maximum(np.float32(0.9) * radius - up, 0)
        cos, sin = np.float32(np.cos(self.tilt_rad)), np.float32(np.sin(self.tilt_rad))
        share = wall(self.torso, x, y, z)
        deep = np.sqrt(x * x + y * y) * (1 - share) / np.maximum(share, 0.2)
        deep = np.minimum(deep, np.float32(0.85) * (diaphragm(self.torso, x, y) - 1 - z))
        parts = (along * cos - up * sin, along * sin + up * cos, deep)
        total = sum((part / np.float32(semi)) ** 2 for part, semi in zip(parts, self.semi_mm, strict=True))
        return np.where((deep > 0) & (x < -22), np.sqrt(total), np.float32(np.inf))

    def inside(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Which points belong to it, where nothing else lies."""
        return self.reach(x, y, z) < np.float32(self.size)


Solid = TypeVar("Solid", Liver, Spleen)


@dataclass(frozen=True)
class Fitted(Generic[Solid]):
    """A solid organ in its size, with the box that holds it: its middle, and half of its edges (body mm)."""

    solid: Solid
    centre_mm: np.ndarray
    reach_mm: np.ndarray


def diaphragm(torso: Torso, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height (mm) of the diaphragm: the floor of each lung, and between the lungs what leads from one to the other.

    ASSUME: the middle hangs 6 mm deep under the heart.
    """
    share = np.clip((x + _MIDDLE_MM) * np.float32(0.5 / _MIDDLE_MM), 0, 1)
    right = torso.dome(1, np.maximum(x, np.float32(_MIDDLE_MM)), y)
    left = torso.dome(-1, np.minimum(x, np.float32(-_MIDDLE_MM)), y)
    return share * right + (1 - share) * left - 24 * share * (1 - share)


def wall(torso: Torso, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """How far points lie on the way from the trunk's axis to the wall of its cavity: 0 to 1, and more outside."""
    return np.sqrt(np.sqrt(level(torso, x / torso.narrowing(z), y, y < 0, torso.cavity)))


def liver_ml(rng: np.random.Generator, person: Person) -> float:
    """Draw the volume of a liver: 1267 ml per square metre of body surface, less 794.

    Source: Vauthey et al., Liver Transpl 2002;8:233.

    ASSUME: a stature of 1 is 1.7 m. Patients of one surface differ by 240 ml, and no liver is outside 850 to 2700 ml.
    """
    height = 1.7 * person.stature
    surface = np.sqrt(height * 100 * person.bmi * height**2 / 3600)  # Mosteller
    return float(np.clip(1267 * surface - 794 + 240 * np.clip(rng.normal(), -2.5, 2.5), 850, 2700))


def spleen_ml(rng: np.random.Generator) -> float:
    """Draw the volume of a spleen: 198 +- 88 ml (Caglar, Folia Morphol 2014, doi 10.5603/FM.2014.0038).

    ASSUME: the logarithm is normal. One in twenty is two to four times as large (portal hypertension, lymphoma).
    """
    volume = np.exp(np.log(182.0) + 0.42 * np.clip(rng.normal(), -2.2, 2.2))
    return float(volume * (rng.uniform(2.0, 4.0) if rng.random() < 0.05 else 1.0))


def draw_liver(rng: np.random.Generator, torso: Torso, kidney: Kidney) -> Liver:
    """Draw the form of a liver, whose lower face is still to be found."""
    half = torso.cavity[0]
    return Liver(
        torso=torso,
        kidney=kidney,
        low_mm=0.0,
        steep=rng.uniform(25.0, 75.0),
        ridge_mm=rng.uniform(-30.0, 4.0),
        forward=rng.uniform(0.25, 0.5),
        # ASSUME: left lobes end between the midline and the spleen.
        tip_mm=-half * float(np.clip(rng.normal(0.58, 0.15), 0.2, 0.9)),
    )


def draw_spleen(rng: np.random.Generator, torso: Torso) -> Spleen:
    """Draw the form of a spleen, whose size is still to be found."""
    angle = float(np.clip(rng.normal(-0.2, 0.13), -0.45, 0.1))
    half = torso.cavity[0]
    top = diaphragm(torso, np.array([-0.75 * half]), np.array([0.75 * half * np.sin(angle)]))[0]
    return Spleen(
        torso=torso,
        size=1.0,
        angle_rad=angle,
        height_mm=float(top) - float(np.clip(rng.normal(23.0, 9.0), 5.0, 41.0)),
        semi_mm=(54.0 * rng.uniform(0.88, 1.14), 44.0 * rng.uniform(0.88, 1.14), 44.0 * rng.uniform(0.8, 1.25)),
        tilt_rad=float(np.clip(rng.normal(0.6, 0.2), 0.1, 1.1)),
    )


def fitted_liver(liver: Liver, volume_ml: float, canvas: Canvas, free: np.ndarray) -> Fitted[Liver]:
    """The same liver with the lower face that gives it a volume (ml) in the room that is free on a coarse canvas."""
    x, y, z = (value[free] for value in canvas.xyz)
    may = liver.allowed(x, y, z)
    above = (z - liver.face(x, y))[may]
    low = float(np.clip(-_smallest(-above, volume_ml), LOWEST_MM, HIGHEST_MM))
    return Fitted(replace(liver, low_mm=low), *_span(np.stack([x, y, z], axis=1)[may][above > low]))


def fitted_spleen(spleen: Spleen, volume_ml: float, canvas: Canvas, free: np.ndarray) -> Fitted[Spleen]:
    """The same spleen in the size that gives it a volume (ml) in the room that is free on a coarse canvas."""
    points = np.stack([value[free] for value in canvas.xyz], axis=1)
    reach = spleen.reach(*points.T)
    size = float(np.clip(_smallest(reach, volume_ml), *SPLEEN_SIZES))
    return Fitted(replace(spleen, size=size), *_span(points[reach < size]))


def _smallest(values: np.ndarray, volume_ml: float) -> float:
    """The value below which there are as many points of the coarse canvas as fill a volume."""
    count = min(round(1000.0 * volume_ml / ROOM_MM**3), len(values) - 1)
    return float(np.partition(values, count)[count]) if len(values) else np.inf


def _span(points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle and half edges of the box around points (n, 3); nothing is at the origin where there are none."""
    if not len(points_mm):
        return np.zeros(3), np.zeros(3)
    low, high = points_mm.min(axis=0).astype(float), points_mm.max(axis=0).astype(float)
    return (low + high) / 2, (high - low) / 2


def within(canvas: Canvas, solid: Liver | Spleen, box: Box, free: np.ndarray) -> np.ndarray:
    """Mask of those points of a box that are free (same shape) and within a solid organ."""
    mask = free.copy()
    mask[free] = solid.inside(*(value[box][free] for value in canvas.xyz))
    return mask
