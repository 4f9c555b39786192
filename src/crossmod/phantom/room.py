"""The room that a body leaves its organs, on a coarse painting of it: spleen first, liver last, the others between."""

import numpy as np

from crossmod.phantom.canvas import Canvas
from crossmod.phantom.field import Axes
from crossmod.phantom.kidney import Kidney
from crossmod.phantom.organs import FREE, Organs
from crossmod.phantom.paint_viscera import paint_middle
from crossmod.phantom.solids import (
    ROOM_MM,
    Fitted,
    Spleen,
    draw_liver,
    draw_spleen,
    fitted_liver,
    fitted_spleen,
    liver_ml,
    spleen_ml,
    within,
)
from crossmod.phantom.thorax import Thorax
from crossmod.phantom.tissue import table
from crossmod.phantom.torso import Person, Torso
from crossmod.phantom.viscera import Viscera, draw_middle, draw_viscera
from crossmod.scans.box import Box, three

_ALL: Box = (slice(None), slice(None), slice(None))
# How high above and how far below the kidneys' middle the room reaches, and by how much pose and warp may move it.
_LOW_MM, _HIGH_MM, _MARGIN_MM = -150.0, 190.0, 20.0


def room_axes(torso: Torso) -> Axes:
    """Axes of a coarse painting that holds the cavity of a trunk."""
    half, front, back = torso.cavity
    edges = ((-half, half), (-back, front), (_LOW_MM, _HIGH_MM))
    return three(np.arange(low - _MARGIN_MM, high + _MARGIN_MM, ROOM_MM) for low, high in edges)


def fitted_viscera(
    rng: np.random.Generator,
    canvas: Canvas,
    clear: np.ndarray,
    torso: Torso,
    person: Person,
    organs: Organs,
    thorax: Thorax,
    kidneys: dict[str, Kidney],
) -> Viscera:
    """Draw all labelled organs of a body.

    Args:
        rng: source of chance.
        canvas: the body without organs of the belly but with kidneys and masses, on `room_axes`; it is painted on.
        clear: mask of the canvas, False where the fat around the kidneys lies.
        torso, person, organs, thorax, kidneys: of the body.
    """
    fat = table(FREE)
    spleen = fitted_spleen(draw_spleen(rng, torso), spleen_ml(rng), canvas, fat[canvas.tissue] & clear)
    own = within(canvas, spleen.solid, _ALL, fat[canvas.tissue] & clear)
    middle = draw_middle(rng, torso, organs, thorax, kidneys, _hilum(spleen, canvas, own))
    clear &= ~own
    paint_middle(canvas, middle)
    liver = draw_liver(rng, torso, kidneys["right"])
    fitted = fitted_liver(liver, liver_ml(rng, person), canvas, fat[canvas.tissue] & clear)
    return draw_viscera(organs, kidneys, spleen, middle, fitted)


def _hilum(spleen: Fitted[Spleen], canvas: Canvas, own: np.ndarray) -> np.ndarray:
    """The point of a spleen's inner face (body mm, (3,)) where its vessels enter.

    ASSUME: it faces inwards, forwards and down.
    """
    points = np.stack([value[own] for value in canvas.xyz], axis=1).astype(float)
    if not len(points):
        return spleen.centre_mm
    gate = points.mean(axis=0) + np.array([26.0, 14.0, -12.0])
    return points[np.argmin(((points - gate) ** 2).sum(axis=1))]
