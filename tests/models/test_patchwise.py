"""Patches inside a network: what is cut is put together again, exactly, and a patch alone is a patch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from crossmod.design.compose import compose
from crossmod.job import UserError
from crossmod.models.build import build
from crossmod.models.patchwise import Patchwise
from crossmod.models.stage import build_for
from crossmod.predict.network import TrainedStage

NAMES = st.sampled_from(["hann", "gaussian"])
SMALL = {
    "_target_": "crossmod.models.patchwise.PatchedEncoderDecoder",
    "spatial_dims": 2,
    "in_channels": 1,
    "channels": [4, 8],
    "strides": [2],
    "patch_size": 16,
}
STAGE = {"classes": {"bright": ["liver"]}, "patch": [1, 16, 16], "overlap": 0.5}


@settings(deadline=None, max_examples=40)
@given(st.tuples(st.integers(1, 70), st.integers(1, 70)), st.integers(1, 24), st.data(), NAMES)
def test_an_identity_gives_the_plane_back_whatever_its_size(size, patch, data, weights):
    stride = data.draw(st.integers(max(1, patch // 4), patch) | st.none())
    x = torch.randn(2, 3, *size)
    found = Patchwise(nn.Identity(), patch, stride, weights)(x)
    torch.testing.assert_close(found, x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("patch", [48, 64, 96])
def test_the_sizes_of_a_study_give_a_plane_back_to_float_precision(patch):
    x = torch.randn(1, 1, 100, 130, dtype=torch.float64)
    torch.testing.assert_close(Patchwise(nn.Identity(), patch).double()(x), x, rtol=1e-12, atol=1e-12)


def test_every_patch_is_seen_once_by_the_same_network():
    seen = []

    class Sees(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x

    plane = torch.arange(24.0 * 16).reshape(1, 1, 24, 16)
    Patchwise(Sees(), 16, 8)(plane)
    (patches,) = seen
    assert patches.shape == (2, 1, 16, 16)
    assert torch.equal(patches[0, 0], plane[0, 0, :16]) and torch.equal(patches[1, 0], plane[0, 0, 8:])


def test_overlapping_patches_meet_in_the_weighted_mean():
    """Each patch says its own number: the first and last rows are one patch's alone, and between them it goes over."""

    class Numbers(nn.Module):
        def forward(self, x):
            return torch.arange(float(len(x)))[:, None, None, None].expand(-1, 1, *x.shape[2:])

    found = Patchwise(Numbers(), 16, 8)(torch.zeros(1, 1, 24, 16))[0, 0, :, 0]
    assert torch.equal(found[:8], torch.zeros(8)) and torch.equal(found[16:], torch.ones(8))
    hann = np.sin(np.pi * (np.arange(16) + 0.5) / 16) ** 2
    np.testing.assert_allclose(found[8:16], hann[:8] / (hann[:8] + hann[8:]), rtol=1e-6)


def test_gradients_flow_to_every_pixel_and_weight():
    network = Patchwise(nn.Conv2d(2, 3, 3, padding=1), 16)
    x = torch.randn(2, 2, 20, 37, requires_grad=True)
    out = network(x)
    assert out.shape == (2, 3, 20, 37)
    (out * torch.randn(out.shape)).sum().backward()
    assert bool((x.grad != 0).all()) and all(bool((p.grad != 0).all()) for p in network.parameters())


def test_a_plane_of_a_patch_goes_through_as_it_is():
    inner = nn.Conv2d(1, 2, 3, padding=1)
    x = torch.randn(4, 1, 16, 16)
    assert torch.equal(Patchwise(inner, 16)(x), inner(x))
    assert list(Patchwise(inner, 16).state_dict()) == ["network.weight", "network.bias"]


def test_a_plane_holds_what_any_of_its_patches_holds():
    class Brightest(nn.Module):
        def forward(self, x):
            return x.flatten(2).amax(dim=2)  # (B·n, 1)

    x = torch.zeros(2, 1, 40, 40)
    x[1, 0, 33, 5] = 7.0
    assert Patchwise(Brightest(), 16)(x).tolist() == [[0.0], [7.0]]


def test_gaps_and_unknown_weights_are_refused():
    with pytest.raises(UserError, match="17 leaves gaps between patches of 16 pixels"):
        Patchwise(nn.Identity(), 16, 17)
    with pytest.raises(UserError, match="patch_weights: 'box' is unknown; hann and gaussian are known"):
        build(SMALL | {"out_channels": 2, "patch_weights": "box"})


@pytest.mark.parametrize("shape", [(3, 40, 29), (2, 9, 50)])
def test_whole_planes_are_predicted_by_patches_of_the_network_s_own(shape):
    torch.manual_seed(0)
    network = build_for(SMALL, STAGE).eval()
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = TrainedStage.of(network, STAGE, "32-true").probability(image, background=-1.0)
    assert found.shape == shape
    missing = [max(0, 16 - n) for n in shape[1:]]
    padded = np.pad(image, [(0, 0), *((n // 2, n - n // 2) for n in missing)], constant_values=-1)
    with torch.inference_mode():
        expected = network(torch.from_numpy(padded)[:, None, None]).softmax(dim=1)[:, 1, 0]
    low = [n // 2 for n in missing]
    expected = expected[:, low[0] : low[0] + shape[1], low[1] : low[1] + shape[2]]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_patch_smaller_than_the_network_s_own_is_refused():
    with pytest.raises(UserError) as told:
        compose(["model=patched", "stages.kidney.patch=[1,48,64]", "stages.parenchyma.patch=[1,80,100]"])
    assert "kidney.patch: [1, 48, 64] is smaller than the 64 pixels of model.patch_size" in str(told.value)
    assert "parenchyma" not in str(told.value), "a larger one is cut"


@settings(deadline=None, max_examples=40)
@given(st.integers(16, 90), st.integers(16, 90), st.integers(3, 16))
def test_patches_lie_inside_the_plane_at_even_distances(width, height, stride):
    """No patch holds a repeated edge, every pixel is in some patch, and no step is longer than was asked."""
    seen = []

    class Sees(nn.Module):
        def forward(self, x):
            seen.append(x[:, 0])
            return x

    plane = torch.arange(float(width * height)).reshape(1, 1, width, height)
    Patchwise(Sees(), 16, stride)(plane)
    corners = seen[0][:, 0, 0].long()
    starts = [sorted(set((corners // height).tolist())), sorted(set((corners % height).tolist()))]
    for found, side in zip(starts, (width, height), strict=True):
        steps = np.diff(found)
        assert found[0] == 0 and found[-1] == side - 16
        assert (steps <= stride).all() and (len(steps) == 0 or steps.max() - steps.min() <= 1)
    ramp = torch.arange(16.0)
    assert torch.equal(seen[0] - seen[0][:, :1, :1], (ramp[:, None] * height + ramp).expand_as(seen[0]))
