"""Samples are a pure function of their number, and cases come equally often."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmod.prepare.stored import Prepared, read_prepared
from crossmod.scans.box import window
from crossmod.scans.grid import Grid
from crossmod.train.sampling import Onward, Patches, Schedule
from tests.train.conftest import STAGES, TRAINING


@pytest.fixture
def patches(tiny):
    def make(stage="kidney", seed=0, **training):
        cases = read_prepared(tiny / "prepare/mr", stage, [f"mr-{n:04d}" for n in range(1, 7)])
        return Patches(cases, STAGES[stage] | {"patch": [16, 12, 10]}, TRAINING | training, seed)

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
    augmentation = TRAINING["augmentation"] | {"affine": 0.0}
    share = {
        forced: np.mean(
            [bool(patches(foreground=forced, augmentation=augmentation)[i]["label"].any()) for i in range(40)]
        )
        for forced in (0.0, 1.0)
    }
    assert share[1.0] == 1.0
    assert share[0.0] < 1.0


def test_patches_may_be_forced_onto_the_edge_of_the_foreground(patches):
    """Also in the planes of a thin patch, of which the ends of an organ along the thin axis are no edge."""
    data = patches(foreground=0.0, boundary=1.0)
    case = data.cases[0]
    label = np.asarray(case.label) > 0
    for thin in (None, 2):
        data.thin, data.edges = thin, {}
        edge = data._edge(case)
        assert 0 < len(edge) < label.sum()
        for x, y, z in edge:
            beside = [(x - 1, y, z), (x + 1, y, z), (x, y - 1, z), (x, y + 1, z)]
            beside += [(x, y, z - 1), (x, y, z + 1)] if thin is None else []
            inside = [p for p in beside if all(0 <= i < n for i, n in zip(p, label.shape, strict=True))]
            assert label[x, y, z] and not all(label[p] for p in inside)
        assert tuple(data._centre(case, np.random.default_rng(0))) in {tuple(point) for point in edge} or thin is None


def test_a_forced_voxel_may_lie_anywhere_in_its_patch(patches):
    """Else a network would learn that whatever it looks for lies in the middle."""
    augmentation = TRAINING["augmentation"] | {"affine": 0.0}
    middles = {}
    for off in (0.0, 1.0):
        data = patches(foreground=1.0, off_centre=off, augmentation=augmentation)
        labels = [data[sample]["label"][0].numpy() for sample in range(60)]
        assert all(label.any() for label in labels)
        middles[off] = np.mean([label[tuple(side // 2 for side in label.shape)] > 0 for label in labels])
    assert middles[0.0] > middles[1.0]


def test_no_further_chance_is_drawn_where_voxels_lie_in_the_middle(patches):
    """So that trainings without the key stay what they were, to the byte."""
    data = patches(foreground=1.0)
    rng = np.random.default_rng(5)
    data._centre(data.cases[0], rng)
    other = np.random.default_rng(5)
    other.random(), other.integers(len(data.cases[0].foreground))
    assert rng.random() == other.random()


def test_the_prior_counts_patches_with_foreground(patches):
    augmentation = TRAINING["augmentation"] | {"affine": 0.0}
    data = patches(foreground=0.3, augmentation=augmentation)
    assert data.prior(30) == np.mean([bool(data[sample]["label"].any()) for sample in range(30)])
    assert patches(foreground=1.0).prior(20) == 1.0


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


def case_of(label, boxes=None, spacing_mm=(1.0, 1.0, 1.0)):
    """A prepared case whose image holds its own first voxel index."""
    image = np.broadcast_to(np.arange(label.shape[0])[:, None, None], label.shape).astype(np.float16)
    points = np.argwhere(label).astype(np.int16)
    return Prepared(
        "c", "a", "MR", image, label, points, boxes or {}, Grid(label.shape, np.diag([*spacing_mm, 1.0])), 0
    )


STILL = TRAINING["augmentation"] | dict.fromkeys(["affine", "noise", "blur", "brightness", "contrast", "gamma"], 0.0)


def test_each_class_is_drawn_as_often_however_small():
    label = np.ones((30, 8, 8), dtype=np.uint8)
    label[25, 4, 4] = 2
    stage = STAGES["kidney"] | {"patch": [2, 2, 2], "classes": {"large": ["a"], "small": ["b"]}}
    data = Patches([case_of(label)], stage, TRAINING | {"foreground": 1.0, "augmentation": STILL}, 0)
    share = np.mean([bool((data[i]["label"] == 2).any()) for i in range(60)])
    assert 0.3 < share < 0.7


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_a_thin_patch_lies_in_any_plane_and_shows_the_foreground(thin):
    label = np.zeros((24, 24, 24), dtype=np.uint8)
    label[10:13, 11:15, 9:14] = 1
    patch = [8, 8, 8]
    patch[thin] = 1
    spacing_mm = [1.0, 1.0, 1.0]
    spacing_mm[thin] = None
    stage = STAGES["kidney"] | {"patch": patch, "spacing_mm": spacing_mm}
    turned = STILL | {"affine": 1.0}
    for augmentation in (STILL, turned):
        data = Patches([case_of(label)], stage, TRAINING | {"foreground": 1.0, "augmentation": augmentation}, 0)
        items = [data[i] for i in range(20)]
        assert all(item["image"].shape == item["label"].shape == (1, *patch) for item in items)
        assert all(item["label"].any() for item in items)
    if thin == 0:  # the image says which plane it is: a turned patch mixes none
        planes = {round(float(value), 3) for item in items for value in item["image"].unique()}
        assert planes == {10.0, 11.0, 12.0}
    anywhere = Patches([case_of(label)], stage, TRAINING | {"foreground": 0.0, "augmentation": STILL}, 0)
    assert 0 < np.mean([bool(anywhere[i]["label"].any()) for i in range(150)]) < 1


def test_a_thin_patch_lies_anywhere_along_a_box():
    label = np.zeros((20, 12, 12), dtype=np.uint8)
    stage = STAGES["parenchyma"] | {"patch": [1, 8, 8], "spacing_mm": [None, 1.0, 1.0], "jitter_mm": 1.0}
    case = case_of(label, {"all": ((4, 2, 2), (11, 10, 10))}, (3.0, 1.0, 1.0))
    data = Patches([case], stage, TRAINING | {"augmentation": STILL}, 0)
    assert {float(data[i]["image"].unique()) for i in range(60)} == set(range(4, 11))


def test_what_is_to_be_restored_is_degraded_and_kept(patches):
    label = np.zeros((20, 20, 20), dtype=np.uint8)
    stage = STAGES["kidney"] | {"learns": "reconstruction"}
    items = [Patches([case_of(label)], stage, TRAINING | {"augmentation": STILL}, 0)[3] for _ in range(2)]
    item = items[0]
    torch.testing.assert_close(item["image"], items[1]["image"], rtol=0, atol=0)
    assert item["image"].shape == item["target"].shape == (1, 16, 16, 16)
    assert set(np.diff(item["target"][0, :, 0, 0])) == {1.0}, "as the scan has it"
    blanked = item["image"] == 0
    assert 0.02 < blanked.float().mean() < 0.3
    assert 0.4 < (item["image"] - item["target"])[~blanked].std() < 0.6


@pytest.mark.parametrize(("noise_sd", "blanked"), [(0.0, 0.0), (2.0, 0.0), (0.0, 0.5)])
def test_a_stage_says_how_much_is_degraded(noise_sd, blanked):
    label = np.zeros((20, 20, 20), dtype=np.uint8)
    stage = STAGES["kidney"] | {"learns": "reconstruction", "degrade": {"noise_sd": noise_sd, "blanked": blanked}}
    item = Patches([case_of(label)], stage, TRAINING | {"augmentation": STILL}, 0)[3]
    away = (item["image"] == 0) & (item["target"] != 0)
    assert (item["image"] - item["target"])[~away].std() == pytest.approx(noise_sd, abs=0.1)
    assert away.float().mean() == pytest.approx(blanked, abs=0.1)
