"""Smooth fields: one function of place, whatever the grid."""

import numpy as np
import pytest

from crossmod.phantom.field import random_field


@pytest.fixture
def field():
    return random_field(np.random.default_rng(3), 25.0, 2.0)


def test_two_grids_sample_the_same_field(field):
    fine = field.on((np.arange(-60.0, 61, 2),) * 3)
    coarse = field.on((np.arange(-60.0, 61, 8),) * 3)
    np.testing.assert_allclose(fine[::4, ::4, ::4], coarse, atol=1e-4)


def test_standard_deviation_is_as_asked():
    values = [random_field(np.random.default_rng(s), 25.0, 2.0).on((np.arange(-200.0, 201, 9),) * 3) for s in range(4)]
    assert np.std(values) == pytest.approx(2.0, rel=0.15)
    assert abs(np.mean(values)) < 0.2


def test_field_is_smooth(field):
    line = field.on((np.arange(-100.0, 101), np.array([0.0]), np.array([0.0]))).ravel()
    assert np.abs(np.diff(line)).max() < 1.0


def test_sum_of_two_fields_is_one_field():
    rng = np.random.default_rng(5)
    slow, fast = random_field(rng, 70.0, 4.5), random_field(rng, 26.0, 1.0)
    axes = (np.arange(-180.0, 181, 11),) * 3
    both = slow.on(axes) + fast.on(axes)
    apart = fast.plus(slow).on(axes) - both
    assert np.sqrt(np.mean(apart**2)) < 0.02 * both.std()
