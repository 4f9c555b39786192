"""Augmentation: drawn from its generator only, right stays right."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from crossmod.design.compose import compose
from crossmod.train.augment import Augment

SETTINGS = compose([])["training"]["augmentation"]
ALWAYS = SETTINGS | dict.fromkeys(["affine", "noise", "blur", "brightness", "contrast", "gamma"], 1.0)
NEVER = SETTINGS | dict.fromkeys(["affine", "noise", "blur", "brightness", "contrast", "gamma"], 0.0)


def pair(size=20):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(size,) * 3).astype(np.float16)
    label = np.zeros((size,) * 3, dtype=np.uint8)
    label[2:8, 8:12, 8:12] = 1
    return image, label


def test_never_means_unchanged():
    image, label = pair()
    out = Augment(NEVER, (20, 20, 20)).draw(np.random.default_rng(0))(image, label)
    np.testing.assert_array_equal(out["image"][0].numpy(), image.astype(np.float32))
    np.testing.assert_array_equal(out["label"][0].numpy(), label)


def test_same_generator_same_change():
    image, label = pair()
    outs = [Augment(ALWAYS, (16, 16, 16)).draw(np.random.default_rng(5))(image, label) for _ in range(2)]
    torch.testing.assert_close(outs[0]["image"], outs[1]["image"], rtol=0, atol=0)
    assert outs[0]["image"].shape == outs[0]["label"].shape == (1, 16, 16, 16)


def test_each_change_changes_the_image_only_where_it_should():
    image, label = pair()
    for name in ("noise", "blur", "brightness", "contrast", "gamma"):
        out = Augment(NEVER | {name: 1.0}, (20, 20, 20)).draw(np.random.default_rng(1))(image, label)
        assert not np.array_equal(out["image"][0].numpy(), image.astype(np.float32)), name
        np.testing.assert_array_equal(out["label"][0].numpy(), label)


def test_nothing_crosses_the_midline():
    image, label = pair()
    for seed in range(20):
        out = Augment(NEVER | {"affine": 1.0}, (20, 20, 20)).draw(np.random.default_rng(seed))(image, label)
        x = out["label"][0].nonzero()[:, 0].float().mean()
        assert x < 9, "a structure on one side stays there"


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_a_thin_patch_is_changed_within_its_plane(thin):
    """As a thick patch of the same planes is when it is turned about the axis across them."""
    rng = np.random.default_rng(0)
    plane = ndimage.gaussian_filter(rng.normal(size=(25, 25)), 2)
    image, label = np.expand_dims(plane, thin), np.expand_dims((plane > 0).astype(np.uint8), thin)
    patch = tuple(np.where(np.arange(3) == thin, 1, 20).tolist())
    still = NEVER | {"affine": 1.0, "rotation_deg": 0.0, "scale": 0.0}
    out = Augment(still, patch).draw(np.random.default_rng(3))(image, label)
    assert out["image"].shape == out["label"].shape == (1, *patch)
    assert out["label"].unique().tolist() == [0, 1]
    turned = Augment(NEVER | {"affine": 1.0, "scale": 0.0}, patch).draw(np.random.default_rng(3))(image, label)
    assert not torch.equal(turned["image"], out["image"])
    everything = Augment(ALWAYS, patch).draw(np.random.default_rng(3))(image, label)
    assert torch.isfinite(everything["image"]).all() and everything["image"].shape == (1, *patch)


def test_a_thin_patch_is_not_darkened_by_a_blur_across_it():
    image, label = np.full((1, 20, 20), 5.0, dtype=np.float32), np.zeros((1, 20, 20), dtype=np.uint8)
    out = Augment(NEVER | {"blur": 1.0}, (1, 20, 20)).draw(np.random.default_rng(0))(image, label)
    torch.testing.assert_close(out["image"][0, :, 8:12, 8:12], torch.full((1, 4, 4), 5.0))


def test_classes_move_together_and_stay_themselves():
    """Values are not mixed: between 1 and 3 no 2 appears, and each class moves as it would alone."""
    label = np.zeros((20, 20, 20), dtype=np.uint8)
    label[4:10, 6:14, 6:14], label[10:16, 6:14, 6:14] = 1, 3
    image = np.zeros_like(label, dtype=np.float16)
    for seed in range(5):
        change = Augment(NEVER | {"affine": 1.0}, (16, 16, 16)).draw(np.random.default_rng(seed))
        both = change(image, label)["label"]
        assert both.dtype == torch.int64 and set(both.unique().tolist()) == {0, 1, 3}
        whole = change(image, (label > 0).astype(np.uint8))["label"]
        assert ((both > 0) == whole.bool()).float().mean() > 0.995
