"""The pelvis: two hips that carry a sacrum, below the crests, with bladder and rectum.

Nothing of the kidneys changes.
"""

from dataclasses import replace

import numpy as np
import pytest

from crossmod.phantom import Population, Recipe, Tissue, draw_anatomy, patient
from crossmod.phantom.canvas import Canvas
from crossmod.phantom.grid import make_grid
from crossmod.phantom.pelvis import draw_pelvis, paint_pelvis
from crossmod.phantom.tissue import BONES, table
from crossmod.phantom.torso import draw_person, draw_torso, paint_torso

STEP_MM = 5.0
AXES = tuple(np.arange(low, high, STEP_MM) for low, high in ((-200, 201), (-130, 161), (-340, -20)))
BONE = (Tissue.BONE_CORTEX, Tissue.BONE_MARROW)
SIDES = (1, -1)


def blank(anatomy, axes=AXES) -> Canvas:
    """Nothing but fat in a body's pose."""
    canvas = Canvas.blank(axes, anatomy.pose)
    canvas.tissue[:] = Tissue.VISCERAL_FAT
    return canvas


def painted(anatomy, axes=AXES) -> Canvas:
    """A pelvis in a block of fat."""
    canvas = blank(anatomy, axes)
    paint_pelvis(canvas, anatomy.torso, anatomy.pelvis)
    return canvas


def around(anatomy, centre_mm, half_mm: float, step_mm: float = 2.0) -> tuple[np.ndarray, ...]:
    """Fine axes around a point of the body."""
    middle = anatomy.pose.turn.T @ np.asarray(centre_mm)
    return tuple(np.arange(m - half_mm, m + half_mm, step_mm) for m in middle)


def distance(canvas: Canvas, centre_mm) -> np.ndarray:
    return np.sqrt(sum((value - c) ** 2 for value, c in zip(canvas.xyz, centre_mm, strict=True)))


def volume_ml(mask: np.ndarray, step_mm: float = STEP_MM) -> float:
    return np.count_nonzero(mask) * step_mm**3 / 1000


@pytest.fixture(scope="module")
def bodies():
    """Anatomies with their pelvis painted."""
    return [(anatomy, painted(anatomy)) for anatomy in map(draw_anatomy, range(6))]


@pytest.fixture(scope="module")
def pelves():
    """Person, trunk and pelvis of many patients."""
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        person = draw_person(rng, Population())
        torso = draw_torso(rng, person)
        found.append((person, torso, draw_pelvis(rng, person, torso)))
    return found


def test_iliac_bone_lies_on_both_sides_below_the_crest_and_nowhere_above(bodies):
    for anatomy, canvas in bodies:
        x, _, z = canvas.xyz
        bone = np.isin(canvas.tissue, BONE)
        assert not bone[z > anatomy.pelvis.crest].any()
        wings = [bone & (side * x > 65) & (z > anatomy.pelvis.crest - 70) for side in SIDES]
        for wing in wings:
            assert volume_ml(wing) > 25
            assert z[wing].max() > anatomy.pelvis.crest - 2 * STEP_MM
        # Alike but for the pose's warp.
        assert volume_ml(wings[0]) == pytest.approx(volume_ml(wings[1]), rel=0.35)


def test_wings_have_marrow_within_cortex(bodies):
    for anatomy, canvas in bodies:
        high = (np.abs(canvas.xyz[0]) > 65) & (canvas.xyz[2] > anatomy.pelvis.crest - 70)
        for tissue in BONE:
            assert volume_ml(high & (canvas.tissue == tissue)) > 10


def test_wings_lie_on_the_bowl(bodies):
    """No bone of the wings stands off the bowl's wall by more than their thickness."""
    for anatomy, canvas in bodies:
        width, behind, height = anatomy.pelvis.bowl
        x, y, z = canvas.xyz
        part = np.isin(canvas.tissue, BONE) & (np.abs(x) > 65) & (z > anatomy.pelvis.crest - 0.25 * height)
        depth = np.where(y < 0, behind, anatomy.torso.cavity[1])
        level = np.sqrt((x / width) ** 2 + (y / depth) ** 2 + ((z - anatomy.pelvis.crest) / height) ** 2)
        assert np.abs(level[part] - 1).max() * width < anatomy.pelvis.wing


@pytest.mark.parametrize("side", SIDES)
def test_femoral_heads_are_where_the_hips_are(bodies, side):
    for anatomy, _ in bodies:
        hip = anatomy.pelvis.hip * [side, 1, 1]
        canvas = painted(anatomy, around(anatomy, hip, 45))
        apart = distance(canvas, hip)
        assert set(np.unique(canvas.tissue[apart < 20])) == {Tissue.BONE_MARROW}
        shell = canvas.tissue[(apart > 24.5) & (apart < 26.5)]
        assert np.mean(np.isin(shell, (*BONE, Tissue.CARTILAGE))) == 1
        assert np.mean(shell == Tissue.CARTILAGE) > 0.6


@pytest.mark.parametrize("side", SIDES)
def test_a_thigh_bone_leads_down_from_each_hip(bodies, side):
    for anatomy, canvas in bodies:
        hip = anatomy.pelvis.hip * [side, 1, 1]
        shaft = hip + np.array([side * 35, 0, -100])
        assert anatomy.pelvis.hip[0] == -(anatomy.pelvis.hip * [-1, 1, 1])[0] > 60
        near = (distance(canvas, shaft) < 25) & np.isin(canvas.tissue, BONE)
        assert volume_ml(near) > 10


def test_the_sacrum_continues_the_spine_and_leads_backwards(bodies):
    for anatomy, _ in bodies:
        axes = (np.arange(-24.0, 25, 3), np.arange(-110.0, 71, 3), np.arange(-290.0, -20, 3))
        canvas = Canvas.blank(axes, anatomy.pose)
        paint_torso(canvas, anatomy.torso, anatomy.pelvis.promontory)
        paint_pelvis(canvas, anatomy.torso, anatomy.pelvis)
        x, y, z = canvas.xyz
        spine = np.isin(canvas.tissue, BONES) & (np.abs(x) < 8) & (y > -75)
        top, fronts = anatomy.pelvis.promontory, []
        before = None
        for height in np.arange(top + 40, top - 90, -4):
            here = y[spine & (np.abs(z - height) < 3)]
            assert here.size, height
            # Each level overlaps with the one above.
            assert before is None or (here.min() < before[1] and here.max() > before[0]), height
            before = here.min(), here.max()
            fronts.append(here.max())
        assert np.mean(fronts[:5]) > np.mean(fronts[-10:-5]) + 20


def test_the_canal_goes_on_into_the_sacrum(bodies):
    for anatomy, canvas in bodies:
        x, _, z = canvas.xyz
        canal = canvas.tissue == Tissue.CSF
        fall = anatomy.pelvis.promontory - z
        assert np.count_nonzero(canal & (fall > 0) & (fall < 45)) > 20
        assert np.abs(x[canal]).max() < 15 and fall[canal].max() < 60


def test_sacrum_and_wings_are_joined_by_cartilage(bodies):
    for anatomy, canvas in bodies:
        x, _, z = canvas.xyz
        joint = (canvas.tissue == Tissue.CARTILAGE) & (np.abs(z - anatomy.pelvis.promontory + 25) < 30)
        for side in SIDES:
            assert (joint & (side * x > 25) & (side * x < 60)).any()


def test_the_bladder_holds_urine_within_a_wall(bodies):
    for anatomy, _ in bodies:
        pelvis = anatomy.pelvis
        floor = pelvis.crest - 0.98 * pelvis.bowl[2]
        centre = np.array([0.0, 34.0, floor + 8 + pelvis.bladder[2]])
        canvas = painted(anatomy, around(anatomy, centre, 70))
        inside, wall = (
            sum(((v - c) / (s + more)) ** 2 for v, c, s in zip(canvas.xyz, centre, pelvis.bladder, strict=True)) < 1
            for more in (0.0, 3.0)
        )
        np.testing.assert_array_equal(canvas.tissue == Tissue.URINE, inside)
        assert volume_ml(inside, 2.0) > 5
        assert np.mean(canvas.tissue[wall & ~inside] == Tissue.MUSCLE) > 0.8


@pytest.mark.parametrize("stool", [Tissue.BOWEL_GAS, Tissue.BOWEL_STOOL])
def test_the_rectum_holds_what_was_drawn(bodies, stool):
    anatomy = replace(bodies[0][0], pelvis=replace(bodies[0][0].pelvis, stool=stool))
    canvas = painted(anatomy)
    assert volume_ml(canvas.tissue == stool) > 5
    assert volume_ml(canvas.tissue == Tissue.BOWEL_WALL) > 5
    other = {Tissue.BOWEL_GAS, Tissue.BOWEL_STOOL} - {stool}
    assert not np.isin(canvas.tissue, list(other)).any()
    assert canvas.xyz[2][canvas.tissue == stool].max() < anatomy.pelvis.promontory


def test_labels_stay_and_bones_take_the_place_of_fat_and_muscle_alone(bodies):
    """The sacrum also that of the spine's end; nothing reaches the skin."""
    for anatomy, _ in bodies:
        canvas = Canvas.blank(AXES, anatomy.pose)
        paint_torso(canvas, anatomy.torso, anatomy.pelvis.promontory)
        canvas.label[:] = np.random.default_rng(0).integers(0, 9, canvas.label.shape)
        tissue, label = canvas.tissue.copy(), canvas.label.copy()
        paint_pelvis(canvas, anatomy.torso, anatomy.pelvis)
        np.testing.assert_array_equal(canvas.label, label)
        changed = canvas.tissue != tissue
        soft = {Tissue.VISCERAL_FAT, Tissue.MUSCLE}
        assert set(np.unique(tissue[changed & (np.abs(canvas.xyz[0]) > 62)])) == soft
        assert set(np.unique(tissue[changed])) <= soft | set(BONES)


@pytest.mark.parametrize("seed", range(4))
def test_no_kidney_is_changed_by_the_pelvis(monkeypatch, seed):
    """A carcinoma is: it stops at the bones. So it is left out here."""
    recipe = Recipe(spacing_mm=(5, 5, 5), field_of_view_mm=(420, 340, 440), centre_mm=(0, 20, -60), position_sd_mm=0.0)
    who = Population(tumour=0.0)
    whole = patient.simulate(seed, recipe, who)
    monkeypatch.setattr(patient, "paint_pelvis", lambda *_, **__: None)
    bare = patient.simulate(seed, recipe, who)
    assert (whole.tissues != bare.tissues).any()
    np.testing.assert_array_equal(whole.labels, bare.labels)
    assert whole.facts == bare.facts


@pytest.mark.parametrize("seed", [1, 20])
def test_bones_do_not_give_way_to_a_tumour(seed):
    """Wings are where they would be without the carcinoma, large and low in these patients."""
    recipe = Recipe(spacing_mm=(5, 5, 5), field_of_view_mm=(420, 340, 300), centre_mm=(0, 20, -90), position_sd_mm=0.0)
    grid = make_grid(recipe, np.random.default_rng(0))
    anatomy = draw_anatomy(seed)
    x, _, z = anatomy.pose.coordinates(grid.fine_axes)
    wings = (z < anatomy.pelvis.crest) & (np.abs(x) > 65)
    ill, well = (patient.paint(body, grid)[0] for body in (anatomy, replace(anatomy, tumour=None)))
    np.testing.assert_array_equal(table(BONE)[ill[wings]], table(BONE)[well[wings]])


def test_a_field_of_view_above_the_pelvis_sees_none_of_it(bodies):
    anatomy = bodies[0][0]
    canvas = blank(anatomy, (AXES[0], AXES[1], np.arange(0.0, 200, STEP_MM)))
    paint_pelvis(canvas, anatomy.torso, anatomy.pelvis)
    assert (canvas.tissue == Tissue.VISCERAL_FAT).all()


@pytest.mark.parametrize("part", [slice(0, 20), slice(30, 50)])
def test_a_part_of_the_field_of_view_shows_what_the_whole_does(bodies, part):
    for anatomy, canvas in bodies[:3]:
        low = painted(anatomy, (*AXES[:2], AXES[2][part]))
        np.testing.assert_array_equal(low.tissue, canvas.tissue[:, :, part])
        side = painted(anatomy, (AXES[0][part], *AXES[1:]))
        np.testing.assert_array_equal(side.tissue, canvas.tissue[part])


def test_sizes_are_those_of_people(pelves):
    """Fischer & Mitteroecker: the crests are 27 to 28 cm apart.

    They lie at the fourth lumbar vertebra, 10 cm below the kidneys.
    """
    breadth = [2 * pelvis.bowl[0] + pelvis.wing for _, _, pelvis in pelves]
    assert 255 < np.mean(breadth) < 285
    assert 8 < np.std(breadth) < 25
    crest = [pelvis.crest for _, _, pelvis in pelves]
    assert -104 < np.mean(crest) < -92
    for _, torso, pelvis in pelves:
        assert pelvis.bowl[0] <= torso.cavity[0] + 6
        assert 18 <= pelvis.crest - pelvis.promontory <= 38
        assert pelvis.hip[2] < pelvis.promontory - 40
        assert 0 < pelvis.hip[1] < 25
    # Femoral heads are some 18 cm apart, and 11 cm below the crests.
    assert 165 < np.mean([2 * pelvis.hip[0] for _, _, pelvis in pelves]) < 200
    assert 95 < np.mean([pelvis.crest - pelvis.hip[2] for _, _, pelvis in pelves]) < 125


def test_bladders_and_rectums_differ_from_patient_to_patient(pelves):
    full = [4 / 3 * np.pi * np.prod(pelvis.bladder) / 1000 for _, _, pelvis in pelves]
    assert min(full) < 20 and max(full) > 250
    gas = np.mean([pelvis.stool == Tissue.BOWEL_GAS for _, _, pelvis in pelves])
    assert 0.3 < gas < 0.5
    womb = {
        sex: np.mean([p.womb[2] / p.womb[0] for who, _, p in pelves if who.sex == sex]) for sex in ("female", "male")
    }
    assert womb["female"] == pytest.approx(1.5) and womb["male"] == pytest.approx(0.8)


def test_all_comes_from_the_generator(pelves):
    person, torso, _ = pelves[0]
    one, two, other = (draw_pelvis(np.random.default_rng(seed), person, torso) for seed in (4, 4, 5))
    assert one == two != other
