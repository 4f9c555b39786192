"""Painting the labelled organs: vessels first, organs around them, each only into what is still fat."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from crossmod.phantom.canvas import Canvas
from crossmod.phantom.organs import FREE, Blob, Branch, Tube, curve
from crossmod.phantom.solids import Fitted, Liver, Spleen, within
from crossmod.phantom.tissue import VALUES, Tissue, table
from crossmod.phantom.torso import Torso
from crossmod.phantom.viscera import CHEST, Middle, Viscera

# What kidneys, masses and other organs cut off is no part of an organ: of solid ones, pieces of less than a share of
# the largest one; of hollow ones, which a thin slab shows in pieces, those of less than a volume (ml).
_LEAST = {name: (0.15, 0.0) for name in ("spleen", "gallbladder", "liver", "stomach", "pancreas")}
_LEAST |= {name: (0.0, 1.0) for name in ("portal_and_splenic_vein", "small_bowel", "duodenum", "colon")}


def paint_viscera(canvas: Canvas, viscera: Viscera) -> None:
    """Paint vessels, then organs around them, each only into what is still fat."""
    _paint_fitted(canvas, viscera.spleen, "spleen", Tissue.SPLEEN)
    paint_middle(canvas, viscera)
    _paint_tube(canvas, viscera.colon)
    _paint_fitted(canvas, viscera.liver, "liver", Tissue.LIVER)
    with canvas.painting(None):
        for branch in viscera.liver_vessels:
            canvas.ball_chain(branch.points_mm, branch.radius_mm, branch.tissue, branch.over)
    _paint_blobs(canvas, viscera.gallbladder, "gallbladder", (*FREE, Tissue.LIVER))
    _paint_tube(canvas, viscera.bowel)
    for branch in viscera.mesentery:
        _paint_branch(canvas, branch)
    with canvas.painting(None):
        canvas.ball_chain(viscera.plaques_mm, np.full(len(viscera.plaques_mm), 2.4), Tissue.PLAQUE, (Tissue.ARTERY,))


def paint_middle(canvas: Canvas, middle: Middle) -> None:
    """Paint what lies between spleen and liver."""
    for branch in middle.vessels:
        _paint_branch(canvas, branch)
    _paint_branch(canvas, middle.pancreas)
    with canvas.painting(None):
        clefts = middle.clefts_mm
        canvas.ball_chain(clefts, np.full(len(clefts), 2.5), Tissue.VISCERAL_FAT, (Tissue.PANCREAS,))
    for tube in middle.tubes:
        _paint_tube(canvas, tube)
    _let_gas_rise(canvas, middle)


def drop_specks(canvas: Canvas) -> None:
    """Turn into fat what kidneys, masses and other organs have cut off from an organ."""
    if canvas.organ is None:
        return
    voxel_ml = float(np.prod([np.ptp(axis) / max(len(axis) - 1, 1) for axis in canvas.axes])) / 1000.0
    found = ndimage.find_objects(canvas.organ)
    for name, (share, volume_ml) in _LEAST.items():
        value = VALUES[name]
        box = found[value - 1] if value <= len(found) else None
        if box is None:
            continue
        parts, count = ndimage.label(canvas.organ[box] == value)
        if count > 1:
            sizes = np.bincount(parts.ravel())
            small = sizes < max(share * sizes[1:].max(), volume_ml / max(voxel_ml, 1e-6))
            small[[0, 1 + int(sizes[1:].argmax())]] = False
            speck = small[parts]
            canvas.organ[box][speck] = 0
            canvas.tissue[box][speck & (canvas.label[box] == 0)] = Tissue.VISCERAL_FAT


def _let_gas_rise(canvas: Canvas, middle: Middle) -> None:
    """Gas in the stomach of a patient on the back: all that lies before a level."""
    stomach = middle.tubes[-1]
    centre, reach = stomach.points_mm.mean(axis=0), np.ptp(stomach.points_mm, axis=0) / 2 + stomach.radius_mm.max()
    box = canvas.box(centre, reach + 5.0)
    if box is None or canvas.organ is None:
        return
    inside = canvas.belongs(box, "stomach") & (canvas.tissue[box] != Tissue.BOWEL_WALL)
    inside &= (canvas.axes[1][box[1]] > middle.gas_level_mm)[None, :, None]
    canvas.tissue[box][inside] = Tissue.BOWEL_GAS


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
            np.array(
                [
                    brim,
                    hip + np.array([-28.0, 20.0, 40.0]),
                    hip + np.array([-14.0, 26.0, -8.0]),
                    hip + np.array([4, 8, -50]),
                ]
            )
            * mirror,
            6,
        )
        with canvas.painting(f"{name}_iliopsoas_muscle"):
            radius = np.linspace(torso.psoas, 11.0, len(points))
            canvas.ball_chain(points, radius, Tissue.MUSCLE, (Tissue.MUSCLE, Tissue.VISCERAL_FAT))


def _paint_blobs(canvas: Canvas, blobs: Sequence[Blob], organ: str, over: tuple[Tissue, ...]) -> None:
    with canvas.painting(organ):
        for blob in blobs:
            canvas.ellipsoid(blob.centre_mm, blob.semi_mm, blob.tissue, over, blob.turn)


def _paint_fitted(canvas: Canvas, fitted: Fitted[Liver] | Fitted[Spleen], organ: str, tissue: Tissue) -> None:
    """Paint liver or spleen into the fat that is there."""
    box = canvas.box(fitted.centre_mm, fitted.reach_mm + 10.0)
    if box is None:
        return
    mask = within(canvas, fitted.solid, box, table(FREE)[canvas.tissue[box]])
    with canvas.painting(organ):
        canvas.paint(box, mask, tissue)


def _paint_branch(canvas: Canvas, branch: Branch) -> None:
    with canvas.painting(branch.organ) if branch.organ else canvas.sparing():
        canvas.ball_chain(branch.points_mm, branch.radius_mm, branch.tissue, branch.over)


def _paint_tube(canvas: Canvas, tube: Tube) -> None:
    """Paint the wall of a hollow organ, then what it holds into its own wall alone."""
    wall = table((Tissue.BOWEL_WALL,))
    with canvas.painting(tube.organ):
        if tube.organ == "oesophagus":
            with canvas.sparing("aorta", "inferior_vena_cava"):
                canvas.ball_chain(tube.points_mm, tube.radius_mm, Tissue.BOWEL_WALL, CHEST)
        else:
            canvas.ball_chain(tube.points_mm, tube.radius_mm, Tissue.BOWEL_WALL, FREE)
        for i, box, mask in canvas.balls(tube.points_mm, tube.radius_mm - tube.wall_mm):
            canvas.paint(box, mask & canvas.belongs(box, tube.organ), tube.content[i], wall)
