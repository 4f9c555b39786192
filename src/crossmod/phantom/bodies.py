"""Vertebral bodies with endplates, marrow and vein, discs with nucleus and annulus, and the ligament before them."""

import numpy as np

from crossmod.phantom.sagittal import CORTEX_MM, Frame, Sagittal, quadric, value_of
from crossmod.phantom.tissue import Tissue, table
from crossmod.phantom.vertebrae import HEALTHY, WORN, Column, Disc, Vertebra
from crossmod.scans.box import Box

# Outlines are superellipses: rounder in front than behind.
_SIDES, _FRONT, _BACK = 2.4, 2.4, 3.4
# ASSUME: at half of its height a body is narrower by these shares, and its endplates are hollow by these millimetres
# (Panjabi et al. 1992; Zhou et al. 2000 show the hollows, of 1.5 to 3 mm).
_WAIST_FRONT, _WAIST_BACK, _WAIST_SIDE, _HOLLOW_MM = 0.12, 0.05, 0.12, 2.2
_LIGAMENT_MM = 1.3
_MARROW = (Tissue.MARROW_RED, Tissue.MARROW_MIXED, Tissue.MARROW_FATTY)
# ASSUME: the annulus is dark outside of this share of a disc's outline; the nucleus, with the inner annulus, is bright
# within the other one.
_OUTER, _NUCLEUS = 0.84, 0.66
_INSIDE = {grade: Tissue.DISC_NUCLEUS for grade in HEALTHY} | {3: Tissue.DISC} | dict.fromkeys(WORN, Tissue.DISC_DRY)


def paint_discs(sagittal: Sagittal, column: Column) -> None:
    """Paint all discs, a little into the bodies that are painted over them."""
    for disc in column.discs:
        frame = sagittal.frame(disc, disc.depth + 6.0)
        if frame is not None:
            _paint_disc(frame, disc)


def _paint_disc(frame: Frame, disc: Disc) -> None:
    half = disc.height / 2 + (_HOLLOW_MM + 0.6 if disc.height > 3 else 0.4)
    wedge = frame.u * np.float32(np.tan(disc.wedge_rad / 2))
    flat = np.abs(frame.v) - wedge < half
    for name, tissue, share in (
        (None, Tissue.LIGAMENT, (disc.depth + _LIGAMENT_MM) / disc.depth),
        ("disc", Tissue.LIGAMENT, 1.0),
        ("disc", Tissue.DISC if disc.grade < WORN[0] else Tissue.DISC_DRY, _OUTER),
        ("disc", _INSIDE[disc.grade], _NUCLEUS),
    ):
        # What bulges is the annulus behind; in front the longitudinal ligament is thicker.
        back = disc.depth * share + (disc.bulge_mm if name else 0.0)
        g = np.where(
            frame.u > 0,
            np.abs(frame.u / np.float32(disc.depth * share)) ** _FRONT,
            np.abs(frame.u / np.float32(back)) ** _BACK,
        )
        if share == _NUCLEUS:
            g = g + (np.abs(frame.v) / np.float32(0.62 * disc.height)) ** 4
        frame.put(np.where(flat, g, np.inf), _across(frame.x, disc.width * share), tissue, name)
    if disc.grade == max(HEALTHY) and disc.height > 7.0:  # the cleft within a nucleus, which adults have
        g = quadric([(frame.u, 0.5 * disc.depth), (frame.v, 0.4)])
        frame.put(g, quadric([(frame.x, 0.5 * disc.width)]), Tissue.DISC, "disc")


def _across(x: np.ndarray, semi_mm: float) -> np.ndarray:
    return np.abs(x / np.float32(semi_mm)) ** np.float32(_SIDES)


def paint_bodies(sagittal: Sagittal, column: Column) -> None:
    """Paint all vertebral bodies, the sacrum with its wings among them."""
    for number, vertebra in enumerate(column.vertebrae):
        frame = sagittal.frame(vertebra, max(vertebra.depth) + 8.0)
        if frame is not None:
            box = _paint_body(frame, vertebra)
            if box is not None:
                _marrow(sagittal, column, box)
                _worn(frame, vertebra, column, number)
            if vertebra.name[0] != "S":
                _vein(frame, vertebra)


def _name(one: Vertebra) -> str:
    """The structure that a body is."""
    return {"S1": "first_sacral_body"}.get(one.name, "sacrum" if one.name[0] == "S" else "vertebral_body")


def _paint_body(frame: Frame, one: Vertebra) -> Box | None:
    """Cortex and endplates around marrow; where they may lie."""
    fused = one.name[0] == "S"
    u, v, x = frame.u, frame.v, frame.x
    t = np.clip(v / np.float32(one.height / 2), -1, 1)
    share, middle = (t + 1) / 2, 1 - t * t
    lips = 1 + np.float32(one.lipping) * t**6
    deep = (one.depth[0] + np.float32(one.depth[1] - one.depth[0]) * share) * lips
    deep = deep * (1 - np.where(u > 0, np.float32(_WAIST_FRONT), np.float32(_WAIST_BACK)) * middle)
    wide = (one.width[0] + np.float32(one.width[1] - one.width[0]) * share) * lips
    wide = wide * (1 - np.float32(0.0 if fused else _WAIST_SIDE) * middle)
    outline = np.where(u > 0, np.abs(u / deep) ** np.float32(_FRONT), np.abs(u / deep) ** np.float32(_BACK))
    hollow = 0.3 if fused else _HOLLOW_MM
    top = np.abs(v) - np.float32(one.height / 2) - u * np.float32(one.wedge / 4 / one.semi_depth)
    found = frame.within(np.where(top < 0, outline, np.inf), _across(x, wide.max() + _LIGAMENT_MM), 1.25)
    if found is None:
        return None
    box, (xs, us, vs) = found
    u, top, deep = u[us, vs], top[None, us, vs], deep[us, vs]
    radius = outline[None, us, vs] + (np.abs(x[xs]) ** np.float32(_SIDES))[:, None, None] * (
        wide[us, vs] ** np.float32(-_SIDES)
    )
    bowl = ((x[xs] / np.float32(max(one.width))) ** 2)[:, None, None] + (u / np.float32(one.semi_depth)) ** 2
    top = top + np.float32(hollow) * np.maximum(1 - bowl, 0)
    canvas, value = frame.canvas, value_of(_name(one))
    ligament = (radius < np.where(u > 0, (1 + _LIGAMENT_MM / deep) ** _FRONT, 0)) & (top < 0)
    canvas.paint(box, ligament, Tissue.LIGAMENT, label=0)
    canvas.paint(box, (radius < 1) & (top < 0), Tissue.BONE_CORTEX, label=value)
    core = (radius < np.where(u > 0, (1 - CORTEX_MM / deep) ** _FRONT, (1 - CORTEX_MM / deep) ** _BACK)) & (
        top < -CORTEX_MM
    )
    canvas.paint(box, core, Tissue.MARROW_MIXED, label=value)
    return box


def _marrow(sagittal: Sagittal, column: Column, box: Box) -> None:
    """Turn mixed marrow redder or fattier in patches; with age fattier ones win."""
    x, y, z = (axis[part] for axis, part in zip(sagittal.canvas.axes, box, strict=True))
    patches = (column.patches.on((x, y, z)) + column.grain.on((x, y, z))) * np.float32(0.45) + np.float32(column.fat)
    mixed = table((Tissue.MARROW_MIXED,))
    here = sagittal.canvas.label[box]
    sagittal.canvas.paint(box, (patches > 0.7) & (here > 0), Tissue.MARROW_FATTY, mixed)
    sagittal.canvas.paint(box, (patches < -0.7) & (here > 0), Tissue.MARROW_RED, mixed)


def _worn(frame: Frame, one: Vertebra, column: Column, number: int) -> None:
    """Fatty marrow beside discs of grade 5 (Modic type 2).

    ASSUME: a band of 5 mm in the front half; type 2 is the commonest (Modic et al., Radiology 1988;166:193).
    """
    for side, disc in ((1.0, number - 1), (-1.0, number)):
        if 0 <= disc < len(column.discs) and column.discs[disc].grade == max(WORN) and one.name[0] != "S":
            g = quadric(
                [(frame.u - 0.3 * one.semi_depth, 0.75 * one.semi_depth), (frame.v - side * one.height / 2, 6.0)]
            )
            g = np.where(np.abs(frame.v) < one.height / 2, g, np.inf)
            frame.put(
                g, quadric([(frame.x, 0.7 * max(one.width))]), Tissue.MARROW_FATTY, "vertebral_body", table(_MARROW)
            )


def _vein(frame: Frame, one: Vertebra) -> None:
    """The basivertebral vein: a funnel from the middle of the back wall."""
    g = quadric([(frame.u + one.semi_depth, 0.75 * one.semi_depth), (frame.v, 1.5)])
    g = np.where(frame.u > -one.semi_depth, g, np.inf)
    frame.put(
        g, quadric([(frame.x, 5.0)]), Tissue.VENOUS_PLEXUS, "vertebral_body", table((*_MARROW, Tissue.BONE_CORTEX))
    )
