"""A whole simulated patient: anatomy from the seed alone, a scan of it by the recipe."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from crossmod.job import UserError
from crossmod.phantom.canvas import Canvas, Pose
from crossmod.phantom.ct import render_ct
from crossmod.phantom.grid import Grid, make_grid
from crossmod.phantom.kidney import Kidney, draw_kidneys, paint_adrenal, paint_fat, paint_kidney
from crossmod.phantom.mr import render_mr
from crossmod.phantom.organs import Organs, draw_organs, paint_organs
from crossmod.phantom.recipe import Recipe
from crossmod.phantom.tissue import LABELS
from crossmod.phantom.torso import Person, Torso, draw_person, draw_torso, paint_muscles, paint_torso
from crossmod.phantom.tumour import Tumour, draw_tumour, paint_tumour, push_of

# One stream of random numbers per part: a part that draws more leaves the others as they were. Order is for ever.
_STREAMS = ("person", "pose", "torso", "organs", "kidneys", "tumour", "place", "scan")


@dataclass(frozen=True)
class Anatomy:
    """A body in millimetres, before any scanner."""

    person: Person
    pose: Pose
    torso: Torso
    organs: Organs
    kidneys: dict[str, Kidney]
    tumour: Tumour


@dataclass(frozen=True)
class Patient:
    """A scanned patient.

    image: int16, CT in HU or MR in arbitrary units, native axes.
    labels: uint8 of the same shape, values in `crossmod.phantom.LABELS`, 0 elsewhere.
    tissues: uint8 of the same shape, values of `crossmod.phantom.Tissue`.
    affine: 4x4 float64, voxel indices to world RAS+ mm.
    facts: plain values: sex, age, tumour side and histology, volumes in ml measured on the labels.
    """

    image: np.ndarray
    labels: np.ndarray
    tissues: np.ndarray
    affine: np.ndarray
    facts: dict[str, Any]


def draw_anatomy(seed: int) -> Anatomy:
    """Draw a body. The seed alone decides."""
    person = draw_person(_stream(seed, "person"))
    torso = draw_torso(_stream(seed, "torso"), person)
    kidneys = draw_kidneys(_stream(seed, "kidneys"), person, torso)
    return Anatomy(
        person=person,
        pose=Pose.draw(_stream(seed, "pose")),
        torso=torso,
        organs=draw_organs(_stream(seed, "organs"), torso, person),
        kidneys=kidneys,
        tumour=draw_tumour(_stream(seed, "tumour"), kidneys, torso),
    )


def simulate(seed: int, recipe: Recipe) -> Patient:
    """Simulate one patient with renal-cell carcinoma: a pure function of its arguments.

    Raises:
        UserError: if the seed is negative or no whole number.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UserError(f"seed = {seed!r}: must be a whole number of 0 or more")
    anatomy = draw_anatomy(int(seed))
    grid = make_grid(recipe, _stream(seed, "place"))
    fine_tissue, fine_label = paint(anatomy, grid)
    scan, histology = _stream(seed, "scan"), anatomy.tumour.histology
    if recipe.modality == "CT":
        image = render_ct(fine_tissue, grid, recipe.ct, histology, scan)
    else:
        image = render_mr(fine_tissue, grid, recipe.mr, histology, scan)
    labels, tissues = grid.centre_slices(fine_label), grid.centre_slices(fine_tissue)
    facts = _facts(anatomy, labels, grid.voxel_ml)
    return Patient(grid.native(image), grid.native(labels), grid.native(tissues), grid.affine, facts)


def paint(anatomy: Anatomy, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Tissues and labels (uint8) of a body on the fine grid, R-A-S order."""
    canvas = Canvas.blank(grid.fine_axes, anatomy.pose)
    paint_torso(canvas, anatomy.torso)
    straight = [value.copy() for value in canvas.xyz]
    push_of(anatomy.tumour).apply(canvas)
    paint_muscles(canvas, anatomy.torso)
    paint_organs(canvas, anatomy.organs)
    for kidney in anatomy.kidneys.values():
        paint_fat(canvas, kidney)
    for kidney in anatomy.kidneys.values():
        paint_kidney(canvas, kidney)
        paint_adrenal(canvas, kidney)
    paint_tumour(canvas, anatomy.tumour, straight)
    return canvas.tissue, canvas.label


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([int(seed), _STREAMS.index(name)]))


def _facts(anatomy: Anatomy, labels: np.ndarray, voxel_ml: float) -> dict[str, Any]:
    """What is true of this patient; volumes are those of the label map."""
    counts = np.bincount(labels.ravel(), minlength=len(LABELS) + 1)
    facts: dict[str, Any] = {
        "tumour_side": anatomy.tumour.side,
        "sex": anatomy.person.sex,
        "age": anatomy.person.age,
        "bmi": round(anatomy.person.bmi, 1),
        "histology": anatomy.tumour.histology,
        "growth": anatomy.tumour.growth,
    }
    for value, name in LABELS.items():
        facts[f"{name}_ml"] = round(float(counts[value]) * voxel_ml, 3)
    facts["tumour_volume_ml"] = facts[f"{anatomy.tumour.side}_tumour_ml"]
    return facts
