"""Spinal tumours: in the vertebra or the dura they are drawn in, over nothing they may not take."""

import numpy as np
import pytest

from crossmod.job import UserError
from crossmod.phantom.canvas import Canvas, Push
from crossmod.phantom.kidney import paint_fat, paint_kidney
from crossmod.phantom.liver_lesions import draw_ball, draw_stretch
from crossmod.phantom.patient import draw_anatomy
from crossmod.phantom.spine_lesions import (
    BREACHES,
    CANAL_BEHIND_MM,
    HEIGHTS_MM,
    IntraduralTumour,
    VertebralTumour,
    draw_spine_lesions,
    paint_spine_lesions,
    spine_facts,
    vertebra_heights,
)
from crossmod.phantom.tissue import Tissue
from crossmod.phantom.torso import paint_muscles, paint_torso

AXES = (np.arange(-64.0, 64.1, 1.6), np.arange(-64.0, 40.1, 1.6), np.arange(-110.0, 130.1, 2.0))
BONE = (Tissue.BONE_MARROW, Tissue.BONE_CORTEX)


def paint(body, axes=AXES, pose=None) -> Canvas:
    """Trunk, muscles and kidneys."""
    canvas = Canvas.blank(axes, pose or body.pose)
    paint_torso(canvas, body.torso, body.pelvis.promontory)
    paint_muscles(canvas, body.torso)
    for kidney in body.kidneys.values():
        paint_fat(canvas, kidney)
        paint_kidney(canvas, kidney)
    return canvas


def metastasis(body, radius: float, breach: str = "none", across: float = 0.0, back: float = 0.0) -> VertebralTumour:
    """A metastasis of the vertebra next to the origin, `across` and `back` of its middle in its semi-axes."""
    heights = vertebra_heights(body.torso)
    height = float(heights[np.argmin(np.abs(heights))])
    rng = np.random.default_rng(2)
    centre = np.array([across * body.torso.vertebra[0], -back * body.torso.vertebra[1], height])
    return VertebralTumour(height, breach, draw_ball(rng, centre, radius, draw_stretch(rng, 0.05), 0.05))


def intradural(body, seed: int = 0) -> IntraduralTumour:
    """The first tumour within the dura that a generator draws, beginning with this seed."""
    while True:
        (first, *_) = draw_spine_lesions(np.random.default_rng(seed), body.torso, 1.0)
        if isinstance(first, IntraduralTumour):
            return first
        seed += 1


@pytest.fixture(scope="module")
def bodies():
    return [draw_anatomy(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def many(bodies):
    return [draw_spine_lesions(np.random.default_rng(seed), bodies[seed % 4].torso, 1.0) for seed in range(240)]


def test_heights_are_those_of_vertebrae_and_discs_lie_between(bodies, still):
    for body in bodies:
        heights = vertebra_heights(body.torso)
        assert len(heights) >= 4
        assert heights.min() >= HEIGHTS_MM[0] and heights.max() <= HEIGHTS_MM[1]
        np.testing.assert_allclose(np.diff(heights), body.torso.disc_pitch)
        line = (np.array([0.0]), np.array([0.0]))
        middles = paint(body, (*line, heights), still).tissue.ravel()
        between = paint(body, (*line, heights + body.torso.disc_pitch / 2), still).tissue.ravel()
        assert np.all(middles == Tissue.BONE_MARROW) and np.all(between == Tissue.DISC)


@pytest.mark.parametrize("radius", [7.0, 9.5])
def test_volume_of_a_metastasis_inside_a_vertebra_is_that_of_the_ball(radius, bodies, still):
    one = metastasis(bodies[0], radius)
    z = one.height_mm
    canvas = paint(bodies[0], (np.arange(-20.0, 20.1), np.arange(-20.0, 20.1), np.arange(z - 16, z + 16.1)), still)
    paint_spine_lesions(canvas, bodies[0].torso, (one,))
    volume = np.count_nonzero(canvas.tissue == Tissue.BONE_METASTASIS)
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)


@pytest.mark.parametrize("breach", BREACHES)
def test_metastases_take_only_what_they_may(breach, bodies):
    across, back = {"none": (0.0, 0.0), "canal": (0.2, 0.7), "psoas": (0.7, 0.0)}[breach]
    for body in bodies:
        one = metastasis(body, 22.0, breach, across, back)
        canvas = paint(body)
        tissue, label = canvas.tissue.copy(), canvas.label.copy()
        paint_spine_lesions(canvas, body.torso, (one,))
        new = canvas.tissue != tissue
        assert new.any() and np.all(canvas.tissue[new] == Tissue.BONE_METASTASIS)
        taken = set(np.unique(tissue[new]))
        assert set(BONE) <= taken
        soft = {"none": set(), "canal": {Tissue.CSF}, "psoas": {Tissue.MUSCLE, Tissue.VISCERAL_FAT}}[breach]
        assert taken - set(BONE) <= soft
        assert bool(taken - set(BONE)) == bool(soft)
        np.testing.assert_array_equal(canvas.label, label)
        assert label.any()
        x, y, z = (value[new] for value in canvas.pose.coordinates(AXES))
        apart = np.sqrt(sum((v - c) ** 2 for v, c in zip((x, y, z), one.ball.centre_mm, strict=True)))
        assert apart.max() < 1.35 * one.ball.radius_mm
        of_bone = np.isin(tissue[new], BONE)
        assert np.abs(z[of_bone] - one.height_mm).max() <= body.torso.disc_pitch / 2
        assert np.all(y[tissue[new] == Tissue.CSF] > -(body.torso.vertebra[1] + CANAL_BEHIND_MM))


@pytest.mark.parametrize("seed", range(4))
def test_volume_of_an_intradural_tumour_is_that_of_the_ellipsoid_and_lies_in_the_canal(seed, bodies, still):
    body, one = bodies[seed], intradural(bodies[seed], 50 * seed)
    z = one.ball.centre_mm[2]
    axes = (np.arange(-13.0, 13.1, 0.5), np.arange(-40.0, -10.0, 0.5), np.arange(z - 50, z + 50.1))
    canvas = paint(body, axes, still)
    before = canvas.tissue.copy()
    paint_spine_lesions(canvas, body.torso, (one,))
    tumour = canvas.tissue == Tissue.INTRADURAL_TUMOUR
    assert set(np.unique(before[tumour])) <= {Tissue.CSF, Tissue.CORD}
    semi = one.ball.radius_mm * one.ball.stretch
    assert tumour.sum() * 0.25 == pytest.approx(4 / 3 * np.pi * one.ball.radius_mm**3, rel=0.08)
    assert 5.5 < 2 * semi[0] < 12.6 and 9.4 < 2 * semi[2] < 47.0
    outside = ~np.isin(before, (Tissue.CSF, Tissue.CORD))
    np.testing.assert_array_equal(canvas.tissue[outside], before[outside])


@pytest.mark.parametrize("towards", [(0.0, -1.0), (1.0, 0.0), (-0.6, -0.8)])
def test_the_cord_gives_way_and_comes_back(towards, bodies, still):
    body, towards = bodies[1], np.array(towards)
    behind, z = -(body.torso.vertebra[1] + CANAL_BEHIND_MM), body.torso.cord_end + 60.0
    ball = draw_ball(
        np.random.default_rng(0), np.array([*(towards * 4 + [0, behind]), z]), 5.0, np.array([3.5, 3.5, 10]), 0.0
    )
    axes = (np.arange(-13.0, 13.1, 0.5), behind + np.arange(-10.0, 10.1, 0.5), np.arange(z - 45, z + 45.1))
    canvas = paint(body, axes, still)
    before = canvas.tissue.copy()
    paint_spine_lesions(canvas, body.torso, (IntraduralTumour(ball, towards, 3.0),))
    level = int(np.argmin(np.abs(axes[2] - z)))
    moved = [np.argwhere(t[:, :, level] == Tissue.CORD).mean(axis=0) * 0.5 for t in (before, canvas.tissue)]
    assert -3.8 < (moved[1] - moved[0]) @ towards < -2.2
    ends = np.abs(axes[2] - z) > ball.radius_mm * ball.stretch[2] + 20
    assert ends.any()
    np.testing.assert_array_equal(canvas.tissue[:, :, ends], before[:, :, ends])
    areas = np.count_nonzero(canvas.tissue == Tissue.CORD, axis=(0, 1)) * 0.25
    assert areas.min() > 0.75 * areas.max()


def test_nerve_roots_are_the_torsos_where_nothing_is_moved(bodies):
    """Without a shift the canal is repainted as it was, above and below the cord's end."""
    for body in bodies:
        centre = np.array([0.0, -(body.torso.vertebra[1] + CANAL_BEHIND_MM), body.torso.cord_end])
        ball = draw_ball(np.random.default_rng(0), centre, 4.0, np.array([1.0, 1.0, 4.0]), 0.0)
        canvas = paint(body)
        before = canvas.tissue.copy()
        paint_spine_lesions(canvas, body.torso, (IntraduralTumour(ball, np.array([1.0, 0.0]), 0.0),))
        other = canvas.tissue != Tissue.INTRADURAL_TUMOUR
        np.testing.assert_array_equal(canvas.tissue[other], before[other])
        assert not other.all()


def test_mass_effect_of_a_renal_tumour_leaves_the_spine_and_its_tumours_alone(bodies):
    body = bodies[2]
    lesions = (metastasis(body, 12.0), intradural(body))
    tissues = []
    for push in (None, Push(np.array([40.0, 5.0, 0.0]), 30.0, 0.9)):
        canvas = Canvas.blank(AXES, body.pose)
        paint_torso(canvas, body.torso, body.pelvis.promontory)
        if push:
            push.apply(canvas)
        paint_spine_lesions(canvas, body.torso, lesions)
        tissues.append(canvas.tissue)
    np.testing.assert_array_equal(*tissues)


def test_the_same_generator_gives_the_same_bytes(bodies):
    def tissue(seed):
        canvas = paint(bodies[0])
        paint_spine_lesions(
            canvas, bodies[0].torso, draw_spine_lesions(np.random.default_rng(seed), bodies[0].torso, 1.0)
        )
        return canvas.tissue.tobytes()

    assert tissue(3) == tissue(3) != tissue(4)


def test_lesions_outside_the_field_of_view_change_nothing(bodies):
    axes = (*AXES[:2], np.arange(200.0, 240.0, 2.0))
    canvas = paint(bodies[0], axes)
    before = canvas.tissue.copy()
    paint_spine_lesions(canvas, bodies[0].torso, (metastasis(bodies[0], 20.0), intradural(bodies[0])))
    np.testing.assert_array_equal(canvas.tissue, before)


def test_the_share_decides_how_many_have_lesions(bodies):
    rngs = [np.random.default_rng(seed) for seed in range(100)]
    assert all(draw_spine_lesions(rng, bodies[0].torso, 0.0) == () for rng in rngs)
    assert all(draw_spine_lesions(rng, bodies[0].torso, 1.0) for rng in rngs)
    assert 25 < sum(bool(draw_spine_lesions(rng, bodies[0].torso, 0.4)) for rng in rngs) < 55


@pytest.mark.parametrize("share", [-0.01, 1.01, np.nan, np.inf, "all", None, True])
def test_bad_shares_are_refused(share, bodies):
    with pytest.raises(UserError, match=r"spine lesions: share = .*0 .* to 1"):
        draw_spine_lesions(np.random.default_rng(0), bodies[0].torso, share)


def test_kinds_sizes_and_numbers_are_as_stated(many):
    vertebral = [lesions for lesions in many if isinstance(lesions[0], VertebralTumour)]
    assert 0.6 < len(vertebral) / len(many) < 0.8
    assert {len(lesions) for lesions in vertebral} == {1, 2, 3, 4}
    assert {one.breach for lesions in vertebral for one in lesions} == set(BREACHES)
    for lesions in many:
        heights = [one.ball.centre_mm[2] for one in lesions]
        assert heights == sorted(heights) and len(set(heights)) == len(heights)
        for one in lesions:
            if isinstance(one, VertebralTumour):
                assert 8.0 <= one.ball.radius_mm <= 25.0
            else:
                assert len(lesions) == 1 and 0.0 <= one.shift_mm < 6.0
                assert np.linalg.norm(one.towards) == pytest.approx(1.0)
                across, _, along = 2 * one.ball.radius_mm * one.ball.stretch
                assert 5.5 < across < 12.6 and 9.4 < along < 47.0


def test_facts_name_kind_count_and_size(bodies):
    body = bodies[0]
    facts = spine_facts((metastasis(body, 20.0, "psoas"), metastasis(body, 9.0)))
    assert facts["spine_tumour_kind"] == "vertebral"
    assert facts["spine_tumour_count"] == 2 and facts["spine_tumour_breaches"] == 1
    assert 40.0 <= facts["spine_tumour_largest_mm"] < 46.0
    assert all(type(value) in (str, int, float) for value in facts.values())
    inside = spine_facts((intradural(body),))
    assert inside["spine_tumour_kind"] == "intradural" and inside["spine_tumour_count"] == 1
    none = spine_facts(())
    assert list(none) == list(facts)
    assert none["spine_tumour_kind"] == "none" and none["spine_tumour_largest_mm"] == 0.0
