"""Above the diaphragm: a heart on the left, vessels within the lungs; arms beside the trunk where they are down."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from crossmod.phantom import Anatomy, Population, Recipe, Tissue, draw_anatomy, patient, simulate
from crossmod.phantom.canvas import Canvas
from crossmod.phantom.grid import make_grid
from crossmod.phantom.thorax import draw_thorax, paint_arms, paint_thorax
from crossmod.phantom.torso import draw_person, draw_torso, paint_torso

STEP_MM = 5.0
AXES = tuple(np.arange(low, high, STEP_MM) for low, high in ((-190, 191), (-110, 161), (0, 281)))
BLOOD = (Tissue.ARTERY, Tissue.VEIN)
HEART = (Tissue.MYOCARDIUM, *BLOOD)


@pytest.fixture(scope="module")
def chests():
    """Anatomy, the trunk alone, and the trunk with its heart, of six patients."""
    found = []
    for anatomy in map(draw_anatomy, range(6)):
        canvas = Canvas.blank(AXES, anatomy.pose)
        paint_torso(canvas, anatomy.torso, anatomy.pelvis.promontory)
        before = canvas.tissue.copy()
        paint_thorax(canvas, anatomy.thorax)
        found.append((anatomy, before, canvas))
    return found


def test_the_heart_lies_left_of_the_middle_above_the_diaphragm(chests):
    for anatomy, before, canvas in chests:
        x, _, z = canvas.xyz
        heart = canvas.tissue == Tissue.MYOCARDIUM
        assert x[heart].mean() < -8
        assert np.mean(x[heart] < 0) > 0.6
        lung = before == Tissue.LUNG
        assert z[heart].min() > z[lung].min() + 15
        assert anatomy.thorax.heart[2] > max(np.add(anatomy.torso.lung_base, anatomy.torso.lung_dome))
        # Lungs on both sides of it.
        level = np.abs(z - anatomy.thorax.heart[2]) < STEP_MM
        for side in (1, -1):
            assert np.count_nonzero((canvas.tissue == Tissue.LUNG) & level & (side * x > 60)) > 50


def test_the_heart_holds_blood_arterial_on_the_left_venous_on_the_right(chests):
    for anatomy, _, canvas in chests:
        offsets = np.stack(canvas.xyz, axis=-1) - anatomy.thorax.heart
        within = (((offsets @ anatomy.thorax.turn.T) / anatomy.thorax.size) ** 2).sum(axis=-1) < 1
        middle = {t: canvas.xyz[0][within & (canvas.tissue == t)].mean() for t in BLOOD}
        assert middle[Tissue.ARTERY] < middle[Tissue.VEIN] - 15
        shares = {t: np.mean(canvas.tissue[within] == t) for t in HEART}
        assert 0.05 < shares[Tissue.ARTERY] < 0.13 and 0.06 < shares[Tissue.VEIN] < 0.15
        assert shares[Tissue.MYOCARDIUM] > 0.5


def test_the_heart_is_as_large_as_drawn_and_takes_lung_and_fat_alone(chests):
    for anatomy, before, canvas in chests:
        changed = canvas.tissue != before
        assert set(np.unique(before[changed])) <= {Tissue.LUNG, Tissue.VISCERAL_FAT}
        muscle = np.count_nonzero(canvas.tissue == Tissue.MYOCARDIUM)
        blood = np.count_nonzero(ndimage.binary_fill_holes(canvas.tissue == Tissue.MYOCARDIUM)) - muscle
        drawn = 4 / 3 * np.pi * np.prod(anatomy.thorax.size) / STEP_MM**3
        assert 0.6 * drawn < muscle + blood < 1.05 * drawn


def test_vessels_of_the_lungs_stay_within_them(chests):
    for anatomy, before, canvas in chests:
        veins = canvas.tissue == Tissue.VEIN
        far = np.sqrt(sum((v - c) ** 2 for v, c in zip(canvas.xyz, anatomy.thorax.heart, strict=True))) > 70
        assert set(np.unique(before[veins & far])) == {Tissue.LUNG}
        for side in (1, -1):
            assert (veins & far & (side * canvas.xyz[0] > 20)).any()


def test_labels_stay(chests):
    assert not any(canvas.label.any() for _, _, canvas in chests)
    recipe = Recipe(spacing_mm=(5, 5, 5), field_of_view_mm=(500, 340, 240), position_sd_mm=0.0)
    up, down = (simulate(3, recipe.model_copy(update={"arms": arms})) for arms in ("up", "down"))
    np.testing.assert_array_equal(up.labels, down.labels)
    assert up.facts == down.facts


def test_hearts_fit_their_trunks():
    hearts = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        torso = draw_torso(rng, draw_person(rng, Population()))
        thorax = draw_thorax(rng, torso)
        hearts.append(thorax.heart[0])
        assert 0 < thorax.heart[1] < torso.cavity[1]
        np.testing.assert_allclose(thorax.turn @ thorax.turn.T, np.eye(3), atol=1e-9)
    assert np.mean(hearts) == pytest.approx(-24, abs=3) and max(hearts) < 0


# Wider than any field of view, to hold both arms.
WIDE = tuple(np.arange(low, high, 6.0) for low, high in ((-330, 331), (-160, 221), (-270, 231)))


def arms(anatomy: Anatomy) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Tissues of a body with arms up and down, and body coordinates."""
    grid = replace(make_grid(Recipe(spacing_mm=(6, 6, 3)), np.random.default_rng(0)), axes=WIDE)
    up, down = (patient.paint(anatomy, grid, arms)[0] for arms in ("up", "down"))
    return up, down, anatomy.pose.coordinates(WIDE)


@pytest.mark.parametrize("seed", [0, 4, 8])
def test_arms_appear_beside_the_trunk_only_where_they_are_down(seed):
    anatomy = draw_anatomy(seed)
    up, down, (x, _, _) = arms(anatomy)
    changed = up != down
    for side in (1, -1):
        far = side * x > anatomy.torso.half_width + 20
        assert not (far & (up == Tissue.BONE_MARROW)).any()
        assert np.count_nonzero(far & changed & (down == Tissue.BONE_MARROW)) > 20
        for tissue in (Tissue.SKIN, Tissue.SUBCUTANEOUS_FAT, Tissue.MUSCLE, Tissue.BONE_CORTEX):
            assert np.count_nonzero(changed & (down == tissue) & (side * x > 0)) > 50


@pytest.mark.parametrize("seed", [0, 4, 8, 10, 42, 76, 77])
def test_arms_take_the_place_of_nothing_but_air(seed):
    up, down, _ = arms(draw_anatomy(seed))
    assert {Tissue(value).name for value in np.unique(up[up != down])} == {"AIR"}


def test_arms_that_touch_wide_hips_leave_the_trunk_as_it_is():
    """As wide, thick and close as they are drawn."""
    anatomy = draw_anatomy(0)
    touching = replace(
        anatomy,
        torso=replace(anatomy.torso, hips=0.17, waist=0.0),
        thorax=replace(anatomy.thorax, arms=(56.0, 48.0)),
    )
    up, down, _ = arms(touching)
    assert {Tissue(value).name for value in np.unique(up[up != down])} == {"AIR"}


def test_layers_of_an_arm_lie_around_each_other():
    """Without a trunk: from skin to marrow, each layer thinner than the one around it."""
    anatomy = draw_anatomy(0)
    offset, radius = anatomy.thorax.arms
    middle = anatomy.pose.turn.T @ [anatomy.torso.half_width + offset, 0, 0]
    axes = tuple(np.arange(m - half, m + half, 2) for m, half in zip(middle, (64, 64, 3), strict=True))
    canvas = Canvas.blank(axes, anatomy.pose)
    paint_arms(canvas, anatomy.torso, anatomy.thorax)
    order = (Tissue.BONE_MARROW, Tissue.BONE_CORTEX, Tissue.MUSCLE, Tissue.SUBCUTANEOUS_FAT, Tissue.SKIN)
    widths = []
    for count in range(1, len(order) + 1):
        part = np.isin(canvas.tissue[:, :, 1], order[:count])
        assert ndimage.label(part)[1] == 1
        widths.append(2 * np.sqrt(part.sum() * 4 / np.pi))
    expected = 2 * np.array([6.5, 11, 0.74 * radius, radius - 2, radius])
    np.testing.assert_allclose(widths, expected, rtol=0.12, atol=2.5)


def test_all_comes_from_the_generator():
    torso = draw_anatomy(0).torso
    one, two, other = (draw_thorax(np.random.default_rng(seed), torso) for seed in (4, 4, 5))
    for a, b in zip(one.vessels, two.vessels, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
    for name in ("heart", "size", "turn", "arms"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))
