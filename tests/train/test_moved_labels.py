"""Labels of many classes, moved at once, against each class moved by itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmod.models.parts import Affine
from crossmod.train.augment import _points
from crossmod.train.moved_labels import moved_labels


def blobs(shape: tuple[int, ...], classes: int, seed: int) -> torch.Tensor:
    """A map of regions of some voxels' size, so that most points lie inside one and many on an edge."""
    coarse = np.random.default_rng(seed).integers(0, classes + 1, [side // 4 + 1 for side in shape])
    for axis, side in enumerate(shape):
        coarse = np.repeat(coarse, 4, axis=axis).take(range(side), axis=axis)
    return torch.from_numpy(coarse)


def each_by_itself(label: torch.Tensor, affine: Affine, size: list[int], classes: int) -> torch.Tensor:
    """(1 + classes, ...) shares of background and classes, each interpolated by MONAI."""
    masks = torch.stack([(label == value).float() for value in range(classes + 1)])
    return affine(masks, spatial_size=size, mode="bilinear")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(23, 17, 20), (30, 26)]), st.integers(2, 24))
def test_the_class_with_the_largest_share_is_that_of_each_moved_by_itself(seed, shape, classes):
    random = np.random.default_rng(seed)
    turns = random.uniform(-0.5, 0.5, 3).tolist() if len(shape) == 3 else float(random.uniform(-0.5, 0.5))
    scales = random.uniform(0.7, 1.4, len(shape)).tolist()
    affine = Affine(rotate_params=turns, scale_params=scales, padding_mode="border", image_only=True)
    label, size = blobs(shape, classes, seed), [side - 6 for side in shape]
    shares = each_by_itself(label, affine, size, classes)
    found = moved_labels(label, _points(affine, size, label))
    own = shares.gather(0, found[None])[0]
    assert found.dtype == torch.int64 and found.shape == tuple(size)
    assert (shares.amax(0) - own).max() < 1e-5, "none has a larger share"


def test_a_grid_that_stays_gives_the_label_back():
    label = blobs((9, 8, 7), 5, 1)
    points = torch.stack(torch.meshgrid(*(torch.arange(float(side)) for side in label.shape), indexing="ij"))
    assert torch.equal(moved_labels(label, points), label)


def test_beyond_its_edge_the_label_goes_on():
    label = torch.tensor([[1, 2], [3, 4]])
    points = torch.tensor([[-3.0, 9.0, 0.2], [-1.0, 0.0, 7.0]])
    assert moved_labels(label, points).tolist() == [1, 3, 2]


@pytest.mark.parametrize(("labels", "expected"), [([3, 5], 5), ([5, 3], 5), ([0, 2], 2), ([2, 0], 2), ([0, 0], 0)])
def test_of_equal_shares_the_larger_value_stays_and_never_the_background(labels, expected):
    assert moved_labels(torch.tensor([labels, labels]), torch.tensor([[0.5], [0.5]])).tolist() == [expected]


def test_two_parts_of_a_class_count_together():
    label = torch.tensor([[1, 2], [1, 3]])  # at the middle 1 has a half, 2 and 3 a quarter each
    assert moved_labels(label, torch.tensor([[0.5], [0.5]])).tolist() == [1]


def test_a_label_one_voxel_long_is_interpolated_along_the_other_axes():
    assert moved_labels(torch.tensor([[4, 7]]), torch.tensor([[0.0, 0.3], [0.2, 0.9]])).tolist() == [4, 7]
