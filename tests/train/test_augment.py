"""Augmentation: drawn from its generator only, right stays right."""

import numpy as np
import torch

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
