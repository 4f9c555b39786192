"""Painting inside boxes gives what painting over the whole grid would; mass effect keeps volumes."""

import numpy as np
import pytest

from crossmod.phantom.canvas import Canvas, Pose, Push
from crossmod.phantom.tissue import VALUES, Tissue

AXES = (np.arange(-110.0, 111, 4), np.arange(-90.0, 91, 4), np.arange(-90.0, 91, 5))


@pytest.fixture(params=range(6))
def canvas(request):
    canvas = Canvas.blank(AXES, Pose.draw(np.random.default_rng(request.param)))
    if request.param % 2:
        Push(np.array([40.0, 10.0, -5.0]), 35.0, 0.8).apply(canvas)
    return canvas


def everywhere(canvas, centre, semi):
    return sum(((v - c) / s) ** 2 for v, c, s in zip(canvas.xyz, centre, np.broadcast_to(semi, 3), strict=True)) < 1


def test_boxes_of_balls_miss_nothing(canvas):
    points = np.random.default_rng(1).uniform(-90, 90, (60, 3))
    radii = np.random.default_rng(2).uniform(4, 28, 60)
    canvas.ball_chain(points, radii, Tissue.LIVER)
    expected = np.zeros(canvas.tissue.shape, bool)
    for point, radius in zip(points, radii, strict=True):
        expected |= everywhere(canvas, point, radius)
    assert np.count_nonzero((canvas.tissue > 0) != expected) <= 2e-4 * expected.sum()


def test_boxes_of_ellipsoids_miss_nothing(canvas):
    centre, semi = np.array([35.0, -20.0, 12.0]), np.array([50.0, 22.0, 33.0])
    canvas.ellipsoid(centre, semi, Tissue.LIVER)
    expected = everywhere(canvas, centre, semi)
    assert np.count_nonzero((canvas.tissue > 0) != expected) <= 2e-4 * expected.sum()


def test_only_allowed_tissues_are_painted_over(canvas):
    canvas.ellipsoid(np.zeros(3), np.full(3, 40.0), Tissue.LIVER)
    before = canvas.tissue.copy()
    canvas.ball_chain(np.array([[30.0, 0.0, 0.0]]), np.array([25.0]), Tissue.VEIN, over=(Tissue.LIVER,))
    painted = canvas.tissue == Tissue.VEIN
    assert painted.any() and np.all(before[painted] == Tissue.LIVER)


def test_mass_effect_displaces_but_keeps_volume():
    pose = Pose.draw(np.random.default_rng(0))
    volumes, middles = [], []
    for push in (None, Push(np.array([60.0, 0.0, 0.0]), 24.0, 1.0)):
        canvas = Canvas.blank(AXES, pose)
        if push:
            push.apply(canvas)
        canvas.ellipsoid(np.array([15.0, 0.0, 0.0]), np.array([38.0, 25.0, 40.0]), Tissue.LIVER)
        volumes.append(np.count_nonzero(canvas.tissue))
        middles.append(np.argwhere(canvas.tissue)[:, 0].mean())
    assert volumes[1] == pytest.approx(volumes[0], rel=0.06)
    assert middles[1] < middles[0] - 0.2  # away from the growth, towards smaller x


@pytest.fixture
def labelled():
    return Canvas.blank(AXES, Pose.draw(np.random.default_rng(0)), organs=True)


def organ_values(canvas):
    return set(np.unique(canvas.organ).tolist())


def test_what_is_painted_belongs_to_the_organ_in_hand_and_else_to_none(labelled):
    with labelled.painting("liver"):
        labelled.ellipsoid(np.zeros(3), np.full(3, 60.0), Tissue.LIVER)
    assert organ_values(labelled) == {0, VALUES["liver"]}
    np.testing.assert_array_equal(labelled.organ > 0, labelled.tissue == Tissue.LIVER)
    labelled.ellipsoid(np.zeros(3), np.full(3, 30.0), Tissue.VISCERAL_FAT)
    np.testing.assert_array_equal(labelled.organ > 0, labelled.tissue == Tissue.LIVER)
    with labelled.painting(None):
        labelled.ellipsoid(np.zeros(3), np.full(3, 50.0), Tissue.LIVER_TUMOUR, (Tissue.LIVER,))
    np.testing.assert_array_equal(labelled.organ > 0, np.isin(labelled.tissue, (Tissue.LIVER, Tissue.LIVER_TUMOUR)))


def test_a_spared_organ_keeps_tissue_and_label(labelled):
    with labelled.painting("spleen"):
        labelled.ellipsoid(np.zeros(3), np.full(3, 40.0), Tissue.SPLEEN)
    before = labelled.organ.copy()
    with labelled.painting("liver"), labelled.sparing("spleen"):
        labelled.ellipsoid(np.zeros(3), np.full(3, 60.0), Tissue.LIVER)
    np.testing.assert_array_equal(labelled.organ == VALUES["spleen"], before > 0)
    np.testing.assert_array_equal(labelled.tissue == Tissue.SPLEEN, before > 0)
    with labelled.painting("liver"):
        labelled.ellipsoid(np.zeros(3), np.full(3, 60.0), Tissue.LIVER)
    assert organ_values(labelled) == {0, VALUES["liver"]}, "spared within the block alone"


def test_without_a_map_of_organs_nothing_of_it_shows():
    canvas = Canvas.blank(AXES, Pose.draw(np.random.default_rng(0)))
    with canvas.painting("liver"), canvas.sparing("spleen"):
        canvas.ellipsoid(np.zeros(3), np.full(3, 60.0), Tissue.LIVER)
    assert canvas.organ is None and (canvas.tissue == Tissue.LIVER).any()
