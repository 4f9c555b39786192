"""On which side the tumour lies."""

import numpy as np
import pytest

from crossmod.anatomy.sides import tumour_side

SIDED = {1: "right_parenchyma", 2: "left_parenchyma", 3: "right_tumour", 4: "left_tumour"}
PLAIN = {1: "parenchyma", 2: "tumour"}


@pytest.mark.parametrize(("values", "side"), [((3,), "right"), ((4,), "left"), ((3, 4), "both"), ((1, 2), "none")])
def test_names_decide(values, side):
    labels = np.zeros((3, 3, 3), dtype=np.uint8)
    labels.flat[: len(values)] = values
    assert tumour_side(labels, SIDED, np.eye(4)) == side


def test_places_decide_where_names_do_not(kidneys, affine):
    assert tumour_side(kidneys, PLAIN, affine) == "right"
    mirrored = affine @ np.diag([-1.0, 1, 1, 1])
    assert tumour_side(kidneys, PLAIN, mirrored) == "left"
    both = kidneys.copy()
    both[4, 5, 4] = 2
    assert tumour_side(both, PLAIN, affine) == "both"
    assert tumour_side(np.where(kidneys == 2, 1, kidneys), PLAIN, affine) == "none"


def test_without_tumours_among_the_structures_nothing_is_known(kidneys, affine):
    assert tumour_side(kidneys, {1: "kidney", 2: "cyst"}, affine) == "unknown"


def test_a_tumour_smaller_than_the_coarse_grid_is_found():
    labels = np.zeros((100, 30, 30), dtype=np.uint8)
    labels[5:20, 5:20, 5:20] = labels[80:95, 5:20, 5:20] = 1
    labels[7, 7, 7] = 2
    assert tumour_side(labels, PLAIN, np.diag([1.0, 1.0, 1.0, 1.0])) == "left"
