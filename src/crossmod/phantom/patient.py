"""A whole simulated patient: anatomy from seed and population, a scan of it by the recipe."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crossmod.job import UserError
from crossmod.phantom.canvas import Canvas, Pose, Push
from crossmod.phantom.ct import render_ct
from crossmod.phantom.field import Axes
from crossmod.phantom.grid import Grid, make_grid
from crossmod.phantom.kidney import Kidney, draw_kidneys, fat_capsule, paint_adrenal, paint_fat, paint_kidney
from crossmod.phantom.liver_lesions import LiverLesion, draw_liver_lesions, liver_facts, paint_liver_lesions
from crossmod.phantom.mr import render_mr
from crossmod.phantom.organs import Blob, Organs, draw_organs, paint_organs
from crossmod.phantom.paint_viscera import (
    drop_specks,
    paint_adrenal_limbs,
    paint_back,
    paint_lower_psoas,
    paint_viscera,
)
from crossmod.phantom.pelvis import Pelvis, draw_pelvis, paint_pelvis
from crossmod.phantom.recipe import Population, Recipe
from crossmod.phantom.room import fitted_viscera, room_axes
from crossmod.phantom.shapes import RealKidney, draw_shapes, paint_real_kidney, read_shapes, shape_facts
from crossmod.phantom.spine import Spine, broad_back, draw_spine, paint_back_fat, paint_spine
from crossmod.phantom.spine import spine_facts as detailed_spine_facts
from crossmod.phantom.spine_lesions import SpineLesion, draw_spine_lesions, paint_spine_lesions, spine_facts
from crossmod.phantom.thorax import Thorax, draw_thorax, paint_arms, paint_thorax
from crossmod.phantom.tissue import LABELS, ORGANS, SPINE, VALUES, Tissue
from crossmod.phantom.torso import Person, Torso, deepened, draw_person, draw_torso, paint_muscles, paint_torso
from crossmod.phantom.tumour import Tumour, draw_tumour, paint_tumour, push_of
from crossmod.phantom.viscera import SPARED, Viscera, grown_heart
from crossmod.scans.box import three

# One stream of random numbers per part: a part that draws more leaves the others as they were. Order is for ever.
_STREAMS = (
    "person",
    "pose",
    "torso",
    "organs",
    "kidneys",
    "tumour",
    "place",
    "scan",
    "pelvis",
    "thorax",
    "liver",
    "spine",
    "shapes",
    "viscera",
    "column",
    "column_tumours",
)
# What lies around a detailed spine is painted at every second voxel, where these lie nearer to each other (mm).
_DENSE_MM = 1.2


@dataclass(frozen=True)
class Anatomy:
    """A body in millimetres, before any scanner."""

    person: Person
    pose: Pose
    torso: Torso
    pelvis: Pelvis
    thorax: Thorax
    organs: Organs
    kidneys: dict[str, Kidney]
    planted: dict[str, RealKidney]
    tumour: Tumour | None
    liver_lesions: tuple[LiverLesion, ...] = ()
    spine_lesions: tuple[SpineLesion, ...] = ()
    viscera: Viscera | None = None
    spine: Spine | None = None


@dataclass(frozen=True)
class Patient:
    """A scanned patient.

    image: int16, CT in HU or MR in arbitrary units, native axes.
    labels: uint8 of the same shape, values of `labelled` for the population, 0 elsewhere.
    tissues: uint8 of the same shape, values of `crossmod.phantom.Tissue`.
    affine: 4x4 float64, voxel indices to world RAS+ mm.
    facts: plain values: sex, age, tumour side and histology, volumes in ml measured on the labels.
    """

    image: np.ndarray
    labels: np.ndarray
    tissues: np.ndarray
    affine: np.ndarray
    facts: dict[str, Any]


def draw_anatomy(seed: int, population: Population | None = None) -> Anatomy:
    """Draw a body. The seed alone decides which of a population."""
    who = population or Population()
    person = draw_person(_stream(seed, "person"), who)
    torso = draw_torso(_stream(seed, "torso"), person)
    kidneys = draw_kidneys(_stream(seed, "kidneys"), person, torso, who.hydronephrosis)
    planted = _plant(_stream(seed, "shapes"), who, kidneys)
    tumour = draw_tumour(
        _stream(seed, "tumour"),
        kidneys,
        torso,
        0.0 if who.spine else who.tumour,
        who.tumour_ml,
        who.tumour_spread,
        who.tumour_range_ml,
    )
    # Real kidneys bring their own tumours.
    tumour = None if any(real.tumour for real in planted.values()) else tumour
    rng = _stream(seed, "viscera")
    if who.organs:
        torso = deepened(torso, person, max((push.mass_ml for push in _pushes(planted, tumour)), default=0.0), rng)
    body = Anatomy(
        person=person,
        pose=Pose.draw(_stream(seed, "pose")),
        torso=torso,
        pelvis=draw_pelvis(_stream(seed, "pelvis"), person, torso),
        thorax=draw_thorax(_stream(seed, "thorax"), torso),
        organs=draw_organs(_stream(seed, "organs"), torso, person),
        kidneys=kidneys | {side: real.frame for side, real in planted.items()},
        planted=planted,
        tumour=tumour,
    )
    if who.organs:
        body = _with_viscera(body, rng)
    if who.spine:
        spine = draw_spine(_stream(seed, "column"), _stream(seed, "column_tumours"), person, torso, who.spine)
        body = replace(body, spine=spine, torso=broad_back(torso))
    return replace(
        body,
        liver_lesions=draw_liver_lesions(
            _stream(seed, "liver"), body.organs, person, who.liver_lesions, lambda axes: _healthy(body, axes, "up")
        ),
        spine_lesions=draw_spine_lesions(_stream(seed, "spine"), torso, who.spine_lesions),
    )


def labelled(population: Population) -> dict[int, str]:
    """The label values of a population's patients and the structures that they stand for."""
    if population.spine:
        return dict(SPINE)
    return LABELS | ORGANS if population.organs else dict(LABELS)


def simulate(seed: int, recipe: Recipe, population: Population | None = None) -> Patient:
    """Simulate one patient: a pure function of its arguments.

    Args:
        seed: of the patient.
        recipe: how the patient is scanned.
        population: who is scanned; None: patients with renal-cell carcinoma.

    Raises:
        UserError: if the seed is negative or no whole number.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UserError(f"seed = {seed!r}: must be a whole number of 0 or more")
    anatomy = draw_anatomy(int(seed), population)
    grid = make_grid(recipe, _stream(seed, "place"))
    fine_tissue, fine_label = paint(anatomy, grid, recipe.arms)
    scan, histology = _stream(seed, "scan"), anatomy.tumour.histology if anatomy.tumour else "clear_cell"
    render = render_ct if recipe.modality == "CT" else render_mr
    image = render(fine_tissue, grid, recipe, histology, scan)
    labels, tissues = grid.centre_slices(fine_label), grid.centre_slices(fine_tissue)
    facts = _facts(anatomy, labels, grid.voxel_ml)
    return Patient(grid.native(image), grid.native(labels), grid.native(tissues), grid.affine, facts)


def paint(anatomy: Anatomy, grid: Grid, arms: str = "up") -> tuple[np.ndarray, np.ndarray]:
    """Tissues and labels (uint8) of a body on the fine grid, R-A-S order."""
    if anatomy.spine is not None:
        return paint_spine(_around(anatomy, anatomy.spine, grid, arms), grid.fine_axes, anatomy.pose, anatomy.spine)
    canvas = _healthy(anatomy, grid.fine_axes, arms)
    # Last, over what is there: they change no label.
    with canvas.painting(None):
        paint_liver_lesions(canvas, anatomy.liver_lesions)
        paint_spine_lesions(canvas, anatomy.torso, anatomy.spine_lesions)
    if canvas.organ is None:
        return canvas.tissue, canvas.label
    return canvas.tissue, np.where(canvas.label > 0, canvas.label, canvas.organ)


def _around(anatomy: Anatomy, spine: Spine, grid: Grid, arms: str) -> np.ndarray:
    """Tissues around a detailed spine on the fine grid (uint8); sub-slices of a slice share theirs."""
    axes, repeats = [], []
    for axis, (places, spacing) in enumerate(zip(grid.axes, grid.spacing_mm, strict=True)):
        every = 2 if axis != grid.slice_axis and spacing < _DENSE_MM else 1
        axes.append(places[::every] + spacing * (every - 1) / 2)
        repeats.append(grid.samples if axis == grid.slice_axis else every)
    tissue = _healthy(replace(anatomy, pose=spine.bent(anatomy.pose)), three(axes), arms).tissue
    for axis, times in enumerate(repeats):
        tissue = np.repeat(tissue, times, axis=axis) if times > 1 else tissue
    x, y, z = (len(places) for places in grid.fine_axes)
    return np.ascontiguousarray(tissue[:x, :y, :z])


def _healthy(anatomy: Anatomy, axes: Axes, arms: str) -> Canvas:
    """All of a body but the lesions of liver and spine."""
    canvas, straight = _trunk(anatomy, axes, arms, organs=anatomy.viscera is not None or anatomy.spine is not None)
    if anatomy.spine is not None:
        paint_back(canvas, anatomy.torso)
        paint_back_fat(canvas, anatomy.spine.column)
    if anatomy.viscera is None:
        paint_organs(canvas, anatomy.organs)
    else:
        paint_back(canvas, anatomy.torso)
        paint_lower_psoas(canvas, anatomy.torso, anatomy.pelvis.hip)
        for side in anatomy.kidneys:
            paint_adrenal_limbs(straight if side in anatomy.planted else canvas, anatomy.viscera, side)
        paint_viscera(canvas, anatomy.viscera)
    # A real kidney was measured with what its tumour had pushed aside: it lies in straight coordinates.
    for side, kidney in anatomy.kidneys.items():
        with (straight if side in anatomy.planted else canvas).sparing(*SPARED) as place:
            paint_fat(place, kidney)
    _paint_kidneys(anatomy, canvas, straight)
    drop_specks(canvas)
    return canvas


def _trunk(anatomy: Anatomy, axes: Axes, arms: str, organs: bool) -> tuple[Canvas, Canvas]:
    """What is no organ of the belly, on a canvas pushed by a mass; and the same canvas in straight coordinates."""
    canvas = Canvas.blank(axes, anatomy.pose, organs=organs)
    block = anatomy.spine is None
    paint_torso(canvas, anatomy.torso, anatomy.pelvis.promontory if block else None)
    if arms == "down":
        paint_arms(canvas, anatomy.torso, anatomy.thorax)
    paint_thorax(canvas, anatomy.thorax)
    paint_pelvis(canvas, anatomy.torso, anatomy.pelvis, sacrum=block)
    straight = replace(canvas, xyz=[value.copy() for value in canvas.xyz])
    if pushes := _pushes(anatomy.planted, anatomy.tumour):
        max(pushes, key=lambda push: push.radius_mm).apply(canvas)
    paint_muscles(canvas, anatomy.torso)
    return canvas, straight


def _pushes(planted: dict[str, RealKidney], tumour: Tumour | None) -> list[Push]:
    """The mass effects of a body's tumours."""
    pushes = [real.push for real in planted.values() if real.push is not None]
    return pushes + ([push_of(tumour)] if tumour else [])


def _paint_kidneys(anatomy: Anatomy, canvas: Canvas, straight: Canvas) -> None:
    """Paint the kidneys and the tumour of one."""
    for side, kidney in anatomy.kidneys.items():
        if side in anatomy.planted:
            paint_real_kidney(straight, anatomy.planted[side])
        else:
            paint_kidney(canvas, kidney)
        if anatomy.viscera is None:
            paint_adrenal(straight if side in anatomy.planted else canvas, kidney)
    if anatomy.tumour:
        paint_tumour(canvas, anatomy.tumour, straight.xyz)


def _with_viscera(body: Anatomy, rng: np.random.Generator) -> Anatomy:
    """The same body with organs that can be told apart, around its kidneys and their tumour."""
    body = replace(body, thorax=grown_heart(body.thorax))
    canvas, straight = _trunk(body, room_axes(body.torso), "up", organs=True)
    clear = np.ones(canvas.tissue.shape, bool)
    for side, kidney in body.kidneys.items():
        capsule = fat_capsule(straight if side in body.planted else canvas, kidney)
        if capsule is not None:
            clear[capsule[0]] &= ~capsule[1]
    _paint_kidneys(body, canvas, straight)
    viscera = fitted_viscera(rng, canvas, clear, body.torso, body.person, body.organs, body.thorax, body.kidneys)
    # Where the liver is, for its lesions.
    liver = Blob(viscera.liver.centre_mm, viscera.liver.reach_mm, np.eye(3), Tissue.LIVER)
    return replace(body, viscera=viscera, organs=replace(body.organs, solids=(liver, *viscera.gallbladder)))


def _plant(rng: np.random.Generator, who: Population, kidneys: dict[str, Kidney]) -> dict[str, RealKidney]:
    """Real kidneys in place of the invented ones, for those patients who get them."""
    if who.shapes is None or rng.random() >= who.shapes_share:
        return {}
    return draw_shapes(rng, read_shapes(Path(who.shapes)), kidneys)


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([int(seed), _STREAMS.index(name)]))


def _facts(anatomy: Anatomy, labels: np.ndarray, voxel_ml: float) -> dict[str, Any]:
    """What is true of this patient; volumes are those of the label map."""
    counts = np.bincount(labels.ravel(), minlength=max(VALUES.values()) + 1)
    if anatomy.spine is not None:
        person = {"tumour_side": "none", "sex": anatomy.person.sex, "age": anatomy.person.age}
        volumes = {f"{name}_ml": round(float(counts[value]) * voxel_ml, 3) for value, name in SPINE.items()}
        seen = {name for value, name in SPINE.items() if counts[value]}
        return {**person, "bmi": round(anatomy.person.bmi, 1), **volumes, **detailed_spine_facts(anatomy.spine, seen)}
    tumour, real = anatomy.tumour, shape_facts(anatomy.planted)
    # What the label map shows: a mass outside the field of view is none of this case's.
    shown = [side for side in ("right", "left") if counts[VALUES[f"{side}_tumour"]]]
    facts: dict[str, Any] = {
        "tumour_side": {0: "none", 1: "".join(shown)}.get(len(shown), "both"),
        "sex": anatomy.person.sex,
        "age": anatomy.person.age,
        "bmi": round(anatomy.person.bmi, 1),
        "histology": tumour.histology if tumour and shown else "none",
        "growth": tumour.growth if tumour and shown else "none",
    }
    for value, name in (LABELS if anatomy.viscera is None else LABELS | ORGANS).items():
        facts[f"{name}_ml"] = round(float(counts[value]) * voxel_ml, 3)
    facts["tumour_volume_ml"] = round(facts["right_tumour_ml"] + facts["left_tumour_ml"], 3)
    return facts | real | liver_facts(anatomy.liver_lesions) | spine_facts(anatomy.spine_lesions)
