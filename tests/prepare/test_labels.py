"""The label of a stage: one class ends where half a voxel is covered, several share what lies between them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossmod.anatomy.structures import values_of
from crossmod.prepare.labels import label_on_grid, teaches
from crossmod.scans.grid import Grid, resample, standard_grid
from crossmod.stages import classes_of

NAMES = {1: "right_kidney", 2: "left_kidney", 3: "tumour", 4: "liver"}
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
GRID = standard_grid((8, 7, 6), AFFINE, (3.0, 2.5, 4.0))
maps = arrays(np.uint8, (8, 7, 6), elements=st.integers(0, 4))


def stage(**classes):
    return {"classes": classes}


@pytest.mark.parametrize(
    ("structures", "values"),
    [
        (["kidney"], [1, 2]),
        (["left_kidney"], [2]),
        (["right_kidney", "tumour"], [1, 3]),
        (["right_tumour"], []),
        (["spleen"], []),
    ],
)
def test_a_side_stands_for_itself_and_a_bare_name_for_both(structures, values):
    assert values_of(NAMES, structures) == values


def test_one_class_learns_from_any_of_its_structures_and_several_from_labels_of_each():
    assert teaches(NAMES, stage(mass=["cyst", "tumour"]))
    assert not teaches(NAMES, stage(mass=["cyst"]))
    assert teaches(NAMES, stage(liver=["liver"], mass=["cyst", "tumour"]))
    assert not teaches(NAMES, stage(liver=["liver"], cyst=["cyst"]))
    assert teaches(NAMES, {"learns": "reconstruction"})
    assert teaches(NAMES, {"learns": "presence", "of": ["tumour"]})
    assert not teaches(NAMES, {"learns": "presence", "of": ["cyst"]})


def test_what_is_learnt_decides_the_classes():
    assert classes_of({"learns": "presence", "of": ["tumour"], "classes": {"x": ["y"]}}) == {"present": ["tumour"]}
    assert classes_of({"learns": "reconstruction"}) == {}
    assert classes_of({"learns": "segmentation", "classes": {"x": ["y"]}}) == {"x": ["y"]}


@given(maps)
def test_one_class_is_where_at_least_half_a_voxel_is_covered(labels):
    one = label_on_grid(labels, NAMES, stage(kidney=["kidney", "tumour"]), AFFINE, GRID)
    np.testing.assert_array_equal(one, resample(np.isin(labels, (1, 2, 3)), AFFINE, GRID) >= 0.5)


@given(maps)
def test_several_classes_take_what_covers_most(labels):
    values = {"kidney": [1, 2], "tumour": [3], "liver": [4]}
    found = label_on_grid(labels, NAMES, stage(**{name: [name] for name in values}), AFFINE, GRID)
    shares = [resample(np.isin(labels, own), AFFINE, GRID) for own in values.values()]
    shares = np.stack([1 - sum(shares), *shares])
    chosen = np.take_along_axis(shares, found[None].astype(int), axis=0)[0]
    np.testing.assert_allclose(chosen, shares.max(axis=0), atol=1e-5)
    assert found.dtype == np.uint8


@given(maps)
def test_a_class_that_meets_the_background_alone_ends_where_it_ends_by_itself(labels):
    apart = np.where(np.arange(8)[:, None, None] < 3, np.minimum(labels, 1), 0)
    apart[6:] = np.where(labels[6:] > 0, 4, 0)  # a gap wider than blur and interpolation reach
    apart = apart.repeat(4, axis=0)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    grid = standard_grid(apart.shape, affine, (3.0, 2.5, 4.0))
    both = label_on_grid(apart, NAMES, stage(kidney=["kidney"], liver=["liver"]), affine, grid)
    for value, name in ((1, "kidney"), (2, "liver")):
        np.testing.assert_array_equal(both == value, label_on_grid(apart, NAMES, stage(**{name: [name]}), affine, grid))


def test_the_later_class_wins_a_tie_and_a_value_that_two_name():
    labels = np.repeat([0, 1, 3, 0], 2).astype(np.uint8).reshape(8, 1, 1)
    between = Grid((7, 1, 1), np.array([[1.0, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    for order, middle in ((["kidney", "tumour"], 2), (["tumour", "kidney"], 2)):
        found = label_on_grid(labels, NAMES, stage(**{name: [name] for name in order}), np.eye(4), between)
        assert found[3, 0, 0] == middle, "half of each"
        assert found[1, 0, 0] and found[5, 0, 0], "half of a class, half of nothing"
    nested = label_on_grid(labels, NAMES, stage(organ=["kidney", "tumour"], tumour=["tumour"]), np.eye(4), between)
    assert nested.ravel().tolist() == [0, 1, 1, 2, 2, 2, 0]


def test_no_class_is_no_label():
    assert not label_on_grid(np.full((8, 7, 6), 3), NAMES, {"learns": "reconstruction"}, AFFINE, GRID).any()
