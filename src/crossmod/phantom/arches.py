"""Posterior elements: pedicles, laminae, articular, transverse and spinous processes, and heads of ribs."""

import numpy as np

from crossmod.phantom.sagittal import SOFT, Frame, Sagittal, quadric
from crossmod.phantom.tissue import Tissue
from crossmod.phantom.vertebrae import Column, Vertebra

NAME = "posterior_elements"
# Half width and height of a pedicle, its height above the middle as a share of the body's; length and half height of
# the spinous process and how steeply it falls; half height of the lamina; reach of the transverse processes: mm, for
# the thoracic and the lumbar spine.
# ASSUME: rounded from Panjabi et al. 1991 and 1992, with processes as in atlases; the lowest two thoracic vertebrae are
# as the lumbar ones.
_THORACIC = {"pedicle": (2.8, 6.8, 0.2), "spinous": (33.0, 5.5, 45.0), "lamina": 9.5, "transverse": 30.0}
_LUMBAR = {"pedicle": (4.6, 7.4, 0.18), "spinous": (31.0, 10.0, 8.0), "lamina": 9.0, "transverse": 42.0}
LENGTH_MM = 2.0  # of the lamina's thickness, between canal and process


def spinous_mm(vertebra: Vertebra) -> float:
    """How far the spinous process reaches behind the canal."""
    size: float = _of(vertebra)["spinous"][0]
    return size * (0.75 if vertebra.name == "L5" else 1.0)


def _of(vertebra: Vertebra) -> dict:
    return _LUMBAR if vertebra.name[0] == "L" or vertebra.name in ("T11", "T12") else _THORACIC


def paint_arches(sagittal: Sagittal, column: Column) -> None:
    """Paint the fat of the foramina and the posterior elements of all vertebrae."""
    marrow = Tissue.MARROW_FATTY if column.fat > 0 else Tissue.MARROW_MIXED
    for vertebra in column.vertebrae:
        frame = sagittal.frame(vertebra, 48.0, behind_mm=30.0)
        if frame is None:
            continue
        if vertebra.name[0] == "S":
            _crest(frame, vertebra, marrow)
            continue
        _foramen(frame, vertebra)
        _paint(frame, vertebra, marrow)


def _foramen(frame: Frame, one: Vertebra) -> None:
    """Fat below each pedicle, with the root that leaves there and veins around it."""
    wide = one.canal[0] + 5.0
    low = frame.v + np.float32(0.42 * one.height)
    back = frame.u + np.float32(one.semi_depth + 0.75 * one.canal[1])
    across = quadric([(np.abs(frame.x) - wide, 7.5)])
    frame.put(quadric([(back, 6.5), (low, 9.5)]), across, Tissue.VISCERAL_FAT, None)
    for tissue, size, u, v in ((Tissue.VENOUS_PLEXUS, 1.2, 2.5, 3.0), (Tissue.CORD, 2.6, 0.0, 4.0)):
        frame.put(quadric([(back - u, size), (low - v, 1.25 * size)]), across, tissue, None)


def _paint(frame: Frame, one: Vertebra, marrow: Tissue) -> None:
    shape, (wide, deep) = _of(one), one.canal
    lumbar, side = shape is _LUMBAR, np.abs(frame.x)
    u = frame.u + np.float32(one.semi_depth + deep)  # from the middle of the canal
    v, height = frame.v, one.height
    _joints(frame, one, u, marrow, lumbar)
    reach = shape["transverse"] - wide
    level = v - np.float32(0.22 * height) + (0.0 if lumbar else 0.25) * u
    frame.bone(
        quadric([(u + 5.0, 4.2), (level, 4.6)]),
        quadric([(side - wide - reach / 2 - 2, reach / 2 + 2)]),
        4.2,
        NAME,
        marrow,
    )
    half, high, above = shape["pedicle"]
    long = 0.5 * (0.5 * one.semi_depth + deep)
    g = (
        np.abs((u - np.float32(0.55 * deep)) / np.float32(long + 2)) ** 4
        + ((v - above * height) / np.float32(high)) ** 2
    )
    frame.bone(g, quadric([(side - wide - half * 1.1, half * 1.35)]), half, NAME, marrow)
    _lamina(frame, one, u, shape["lamina"], marrow)
    length, tall, fall = spinous_mm(one), shape["spinous"][1], np.radians(shape["spinous"][2])
    start = -(deep + LENGTH_MM)
    along = -(u - start) * np.float32(np.cos(fall)) - (v + 0.22 * height) * np.float32(np.sin(fall))
    up = -(u - start) * np.float32(np.sin(fall)) + (v + 0.22 * height) * np.float32(np.cos(fall))
    tip = 0.85 + 0.3 * along / np.float32(length)  # higher towards its tip
    g = np.abs((along - length / 2) / np.float32(length / 2)) ** 4 + np.abs(up / (tall * tip)) ** 3
    frame.bone(g, quadric([(frame.x, 4.0)]), 3.8, NAME, marrow)


def _joints(frame: Frame, one: Vertebra, u: np.ndarray, marrow: Tissue, lumbar: bool) -> None:
    """Articular processes: the upper ones before those of the vertebra above, a line of cartilage between."""
    side, height, wide = np.abs(frame.x), one.height, one.canal[0]
    out, steep = (wide + 5.0, 0.25) if lumbar else (wide + 1.0, 0.35)
    for back, up, long, thick in ((2.0, 0.52, 0.45, 4.6), (8.0, -0.62, 0.55, 4.4)):
        v = frame.v - np.float32(up * height)
        g = quadric([(u + back - steep * v, thick)]) ** 1.5 + quadric([(v, long * height)]) ** 2
        frame.put(g * np.float32(0.75), quadric([(side - out, 6.0)]), Tissue.CARTILAGE, None, SOFT)
        frame.bone(g, quadric([(side - out, 5.2)]), thick, NAME, marrow)


def _lamina(frame: Frame, one: Vertebra, u: np.ndarray, tall: float, marrow: Tissue) -> None:
    """Two plates that meet behind the canal, each falling backwards."""
    wide, deep = one.canal
    level = frame.v + np.float32(0.18 * one.height) - 0.35 * (u + deep)
    # A plate lies further back the nearer it is to the middle: x steps through it in four parts.
    for share in (0.1, 0.35, 0.6, 0.85):
        back = np.float32(deep * np.sqrt(1 - (0.9 * share) ** 2) + 3.0)
        g = quadric([(u + back, 3.3), (level, tall)])
        frame.bone(g, quadric([(np.abs(frame.x) - share * wide, 0.32 * wide)]), 3.0, NAME, marrow)


def _crest(frame: Frame, one: Vertebra, marrow: Tissue) -> None:
    """What closes the sacral canal behind, and the sacrum's wings beside its upper bodies."""
    wide, deep = one.canal
    u = frame.u + np.float32(one.semi_depth + deep)
    level = quadric([(frame.v, 0.6 * one.height)])
    frame.bone(quadric([(u + deep + 4.0, 4.5)]) + level, quadric([(frame.x, wide * 0.9)]), 4.0, "sacrum", marrow)
    wing = {"S1": 30.0, "S2": 24.0, "S3": 16.0}.get(one.name)
    if wing:
        middle = max(one.width) * 0.6 + wing / 2
        g = quadric([(frame.u + 8.0, one.semi_depth + 2.0), (frame.v, 0.62 * one.height)])
        frame.bone(g, quadric([(np.abs(frame.x) - middle, wing / 2 + 6.0)]), one.semi_depth, "sacrum", marrow)
