"""Liver lesions: whole, in the liver and nowhere else, as large as drawn."""

from dataclasses import replace

import numpy as np
import pytest

from crossmod.job import UserError
from crossmod.phantom.canvas import Canvas, Pose, Push
from crossmod.phantom.kidney import paint_fat, paint_kidney
from crossmod.phantom.liver_lesions import (
    MOST,
    SIZES_MM,
    TISSUES,
    LiverLesion,
    draw_ball,
    draw_liver_lesions,
    draw_stretch,
    draw_waves,
    liver_facts,
    paint_liver_lesions,
)
from crossmod.phantom.organs import paint_organs
from crossmod.phantom.patient import draw_anatomy
from crossmod.phantom.tissue import Tissue
from crossmod.phantom.torso import Person

AXES = tuple(np.arange(low, high, 3.0) for low, high in ((-110, 180), (-90, 160), (-110, 190)))
LIVER = (Tissue.LIVER, Tissue.LIVER_VESSEL)


def paint(anatomy, axes, pose=None) -> Canvas:
    """Organs and kidneys in a block of fat."""
    canvas = Canvas.blank(axes, pose or anatomy.pose)
    canvas.tissue[:] = Tissue.VISCERAL_FAT
    paint_organs(canvas, anatomy.organs)
    for kidney in anatomy.kidneys.values():
        paint_fat(canvas, kidney)
        paint_kidney(canvas, kidney)
    return canvas


def block(still: Pose, step_mm: float = 1.5) -> Canvas:
    """Nothing but liver, 100 mm wide."""
    canvas = Canvas.blank((np.arange(-50.0, 50.1, step_mm),) * 3, still)
    canvas.tissue[:] = Tissue.LIVER
    return canvas


def lesion(kind: str, radius: float, necrosis=0.0, capsule=0.0, centre=(0.0, 0.0, 0.0), seed=4) -> LiverLesion:
    rng = np.random.default_rng(seed)
    ball = draw_ball(rng, np.array(centre), radius, draw_stretch(rng, 0.1), 0.07)
    return LiverLesion(kind, ball, necrosis, draw_waves(rng, radius, 0.45), capsule)


def draw(seed: int, anatomy, share: float = 1.0, pose=None):
    rng = np.random.default_rng(seed)
    return draw_liver_lesions(rng, anatomy.organs, anatomy.person, share, lambda axes: paint(anatomy, axes, pose))


@pytest.fixture(scope="module")
def bodies():
    return [draw_anatomy(seed) for seed in range(5)]


def once(anatomy):
    """Paints an anatomy the first time only: its liver is always looked up on the same grid."""
    done = []

    def painted(axes):
        done.extend([] if done else [paint(anatomy, axes)])
        return done[0]

    return painted


@pytest.fixture(scope="module")
def many(bodies):
    """Lesions of 180 patients of either sex and three ages, all with one liver."""
    painted = once(bodies[0])
    people = [Person(sex, age, 27.0, 1.0) for sex in ("male", "female") for age in (25, 60, 75)]
    return [
        (person, draw_liver_lesions(np.random.default_rng(seed), bodies[0].organs, person, 1.0, painted))
        for seed, person in enumerate(people * 30)
    ]


@pytest.mark.parametrize("kind", SIZES_MM)
@pytest.mark.parametrize("radius", [10.0, 28.0])
def test_volume_is_that_of_the_ball(kind, radius, still):
    canvas = block(still)
    paint_liver_lesions(canvas, (lesion(kind, radius),))
    volume = np.count_nonzero(canvas.tissue == TISSUES[kind]) * 1.5**3
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)


@pytest.mark.parametrize("share", [0.1, 0.45])
def test_the_dead_share_is_in_the_middle_and_as_asked(share, still):
    shares = []
    for seed in range(8):
        canvas = block(still, 2.0)
        paint_liver_lesions(canvas, (lesion("metastasis", 25.0, necrosis=share, seed=seed),))
        dead, alive = canvas.tissue == Tissue.NECROSIS, canvas.tissue == Tissue.LIVER_METASTASIS
        shares.append(dead.sum() / (dead.sum() + alive.sum()))
        away = [np.abs(np.argwhere(part) - 25).max(axis=1).mean() for part in (dead, alive)]
        assert away[0] < away[1]
    assert np.mean(shares) == pytest.approx(share, rel=0.2)


def test_a_capsule_lies_around_the_tumour(still):
    plain, wrapped = block(still), block(still)
    paint_liver_lesions(plain, (lesion("hcc", 20.0),))
    paint_liver_lesions(wrapped, (lesion("hcc", 20.0, capsule=2.5),))
    tumour = plain.tissue == Tissue.LIVER_TUMOUR
    np.testing.assert_array_equal(wrapped.tissue == Tissue.LIVER_TUMOUR, tumour)
    rim = np.count_nonzero(wrapped.tissue == Tissue.LIVER_VESSEL) * 1.5**3
    assert rim == pytest.approx(4 / 3 * np.pi * (22.5**3 - 20.0**3), rel=0.05)
    assert not (plain.tissue == Tissue.LIVER_VESSEL).any()


def test_lesions_lie_in_the_liver_and_touch_nothing_else(bodies):
    for seed, body in enumerate(bodies):
        lesions = draw(seed, body)
        canvas = paint(body, AXES)
        tissue, label = canvas.tissue.copy(), canvas.label.copy()
        paint_liver_lesions(canvas, lesions)
        changed = canvas.tissue != tissue
        assert changed.any() and label.any()
        assert set(np.unique(tissue[changed])) <= set(LIVER)
        np.testing.assert_array_equal(canvas.label, label)
        for one in lesions:
            inside = [
                (((one.ball.centre_mm - blob.centre_mm) @ blob.turn.T / blob.semi_mm) ** 2).sum()
                for blob in body.organs.solids
                if blob.tissue == Tissue.LIVER
            ]
            assert min(inside) < 1.0


def test_lesions_are_whole(bodies, still):
    """What is drawn finds its place: no kidney, gallbladder or surface takes a large part of it away."""
    for seed, body in enumerate(bodies):
        for one in draw(seed, body, pose=still):
            canvas = paint(body, AXES, still)
            before = canvas.tissue.copy()
            paint_liver_lesions(canvas, (replace(one, capsule_mm=0.0),))
            volume = np.count_nonzero(canvas.tissue != before) * 27.0
            if one.ball.radius_mm > 6:
                assert volume == pytest.approx(4 / 3 * np.pi * one.ball.radius_mm**3, rel=0.25)


def test_mass_effect_carries_lesions_along(still):
    """A growth beside a lesion pushes it away with the liver around it."""
    middles = []
    for push in (None, Push(np.array([-25.0, 0.0, 0.0]), 20.0, 0.9)):
        canvas = block(still)
        if push:
            push.apply(canvas)
        paint_liver_lesions(canvas, (lesion("hcc", 8.0, centre=(10.0, 0.0, 0.0)),))
        middles.append(np.argwhere(canvas.tissue == Tissue.LIVER_TUMOUR).mean(axis=0) * 1.5 - 50)
    assert middles[1][0] > middles[0][0] + 1.0


def test_the_same_generator_gives_the_same_bytes(bodies):
    def tissue(seed):
        canvas = paint(bodies[0], AXES)
        paint_liver_lesions(canvas, draw(seed, bodies[0]))
        return canvas.tissue.tobytes()

    assert tissue(7) == tissue(7) != tissue(8)


def test_a_part_of_the_grid_shows_the_same_lesion(still):
    whole, part = block(still), block(still)
    axes = (whole.axes[0][12:50], whole.axes[1][5:44], whole.axes[2])
    part = Canvas.blank(axes, whole.pose)
    part.tissue[:] = Tissue.LIVER
    for canvas in (whole, part):
        paint_liver_lesions(canvas, (lesion("metastasis", 22.0, necrosis=0.3),))
    np.testing.assert_array_equal(part.tissue, whole.tissue[12:50, 5:44])


def test_lesions_outside_the_field_of_view_change_nothing(still):
    canvas = block(still)
    paint_liver_lesions(canvas, (lesion("hcc", 20.0, centre=(200.0, 0.0, 0.0)),))
    assert np.all(canvas.tissue == Tissue.LIVER)


def test_the_share_decides_how_many_have_lesions(bodies):
    assert all(draw(seed, bodies[0], 0.0) == () for seed in range(20))
    assert all(draw(seed, bodies[1], 1.0) for seed in range(5))
    body, painted = bodies[0], once(bodies[0])
    some = [
        bool(draw_liver_lesions(np.random.default_rng(s), body.organs, body.person, 0.4, painted)) for s in range(80)
    ]
    assert 0.25 < np.mean(some) < 0.55


@pytest.mark.parametrize("share", [-0.01, 1.01, np.nan, np.inf, "all", None, True])
def test_bad_shares_are_refused(share, bodies):
    with pytest.raises(UserError, match=r"liver lesions: share = .*0 .* to 1"):
        draw(0, bodies[0], share)


def test_kinds_sizes_and_numbers_are_as_stated(many):
    counts = {kind: [] for kind in SIZES_MM}
    for _, lesions in many:
        for kind in SIZES_MM:
            found = [one for one in lesions if one.kind == kind]
            counts[kind] += [len(found)] if found else []
            for one in found:
                assert SIZES_MM[kind][2] - 1e-9 <= 2 * one.ball.radius_mm <= SIZES_MM[kind][3]
                assert 0 <= one.necrosis <= 0.5 and one.ball.uneven in (0.02, 0.07)
                assert (one.kind == "hcc") or one.capsule_mm == 0
    assert np.mean(np.array(counts["hcc"]) == 1) > 0.8 and max(counts["hcc"]) <= 3
    assert 5 < max(counts["metastasis"]) <= MOST["metastasis"] and max(counts["cyst"]) <= MOST["cyst"]
    sizes = [2 * one.ball.radius_mm for _, lesions in many for one in lesions if one.kind == "hcc"]
    assert 22 < np.median(sizes) < 36 and max(sizes) > 60
    dead = [one.necrosis > 0 for _, lesions in many for one in lesions if one.kind == "metastasis"]
    assert 0.5 < np.mean(dead) < 0.7


def test_lesions_keep_apart_and_the_largest_comes_first(many):
    for _, lesions in many:
        balls = [one.ball for one in lesions]
        for i, ball in enumerate(balls):
            for other in balls[:i]:
                apart = np.linalg.norm(ball.centre_mm - other.centre_mm)
                assert apart >= ball.radius_mm + other.radius_mm - 1e-6
                assert other.radius_mm >= ball.radius_mm - 1e-6 or other.radius_mm >= 15


def test_age_and_sex_change_what_is_likely(many):
    def rate(kind, sex=None, ages=(25, 60, 75)):
        chosen = [lesions for person, lesions in many if sex in (None, person.sex) and person.age in ages]
        return np.mean([any(one.kind == kind for one in lesions) for lesions in chosen])

    assert rate("cyst", ages=(25,)) < 0.1 < 0.25 < rate("cyst", ages=(60, 75))
    assert rate("hcc", sex="male") > rate("hcc", sex="female")


def test_facts_tell_tumours_from_cysts():
    lesions = (lesion("metastasis", 20.0), lesion("cyst", 30.0), lesion("metastasis", 5.0))
    facts = liver_facts(lesions)
    assert facts["liver_tumour_kind"] == "metastasis"
    assert facts["liver_tumour_count"] == 2 and facts["liver_cyst_count"] == 1
    assert 40.0 <= facts["liver_tumour_largest_mm"] < 50.0
    assert 60.0 <= facts["liver_cyst_largest_mm"] < 75.0
    assert all(type(value) in (str, int, float) for value in facts.values())
    none = liver_facts(())
    assert list(none) == list(facts)
    assert none["liver_tumour_kind"] == "none" and none["liver_tumour_largest_mm"] == 0.0
