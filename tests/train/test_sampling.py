"""Samples are a pure function of their number, and cases come equally often."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmod.design.compose import compose
from crossmod.prepare.arrays import read_prepared
from crossmod.scans.box import window
from crossmod.train.sampling import Onward, Patches, Schedule


@pytest.fixture
def patches(tiny):
    study = compose(["scale=smoke"])

    def make(stage="kidney", seed=0, **training):
        cases = read_prepared(tiny / "prepare/mr", stage, [f"mr-{n:04d}" for n in range(1, 7)])
        config = study["stages"][stage] | {"patch": [16, 12, 10], "spacing_mm": [8.0, 8.0, 8.0]}
        return Patches(cases, config, study["training"] | training, seed)

    return make


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 9), seed=st.integers(0, 99))
def test_every_case_once_a_pass(n, seed):
    schedule = Schedule(["MR"] * n, seed, "natural")
    for turn in range(3):
        assert sorted(schedule.case(i) for i in range(turn * n, turn * n + n)) == list(range(n))


def test_balanced_modalities_take_turns():
    schedule = Schedule(["CT"] * 6 + ["MR"] * 2, 0, "modality")
    drawn = Counter("CT" if schedule.case(i) < 6 else "MR" for i in range(24))
    assert drawn == {"CT": 12, "MR": 12}
    natural = Schedule(["CT"] * 6 + ["MR"] * 2, 0, "natural")
    assert Counter("CT" if natural.case(i) < 6 else "MR" for i in range(24)) == {"CT": 18, "MR": 6}


def test_same_number_same_sample_whatever_came_before(patches):
    first, second = patches(), patches()
    for sample in range(5):
        first[sample]
    torch.testing.assert_close(first[7]["image"], second[7]["image"], rtol=0, atol=0)
    assert not torch.equal(second[7]["image"], second[8]["image"])
    assert not torch.equal(second[7]["image"], patches(seed=1)[7]["image"])


@pytest.mark.parametrize("stage", ["kidney", "parenchyma"])
def test_samples_have_the_networks_shape(patches, stage):
    data = patches(stage)
    for sample in range(12):
        item = data[sample]
        assert item["image"].shape == item["label"].shape == (1, 16, 12, 10)
        assert item["image"].dtype == torch.float32
        assert set(item["label"].unique().tolist()) <= {0, 1}
        assert torch.isfinite(item["image"]).all()


def test_foreground_oversampling_oversamples(patches):
    augmentation = compose(["scale=smoke"])["training"]["augmentation"] | {"affine": 0.0}
    share = {
        forced: np.mean(
            [bool(patches(foreground=forced, augmentation=augmentation)[i]["label"].any()) for i in range(40)]
        )
        for forced in (0.0, 1.0)
    }
    assert share[1.0] == 1.0
    assert share[0.0] < 1.0


def test_kidney_patches_show_a_kidney(patches):
    data = patches("parenchyma")
    assert all(data[i]["label"].any() for i in range(20))


@settings(max_examples=50, deadline=None)
@given(low=st.tuples(*[st.integers(-6, 8)] * 3), size=st.tuples(*[st.integers(1, 7)] * 3))
def test_windows_are_what_padding_would_give(low, size):
    array = np.arange(5 * 4 * 3).reshape(5, 4, 3)
    padded = np.pad(array, 16, constant_values=-1)
    expected = padded[tuple(slice(a + 16, a + 16 + n) for a, n in zip(low, size, strict=True))]
    np.testing.assert_array_equal(window(array, np.array(low), np.array(size), -1), expected)


def test_samples_go_on_from_the_step_that_was_reached():
    steps = iter([0, 2, 3])
    order = Onward(4, 2, lambda: next(steps))
    assert [list(order) for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]]
    assert len(order) == 4
