"""Networks of two dimensions take patches one voxel thick, and keep their names and numbers."""

import pytest
import torch
from monai.networks.nets import UNet

from crossmod.job import UserError
from crossmod.models.build import build, load_weights, save_weights
from crossmod.models.stage import build_for, fitted, outputs_of
from crossmod.models.thin import dimensions, for_patch, thin_axis

FLAT = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "channels": [4, 8],
    "strides": [2],
}
TWO = {"classes": {"a": ["liver"], "b": ["spleen"]}, "patch": [1, 16, 16]}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_thin_patch_is_what_its_plane_is(axis):
    torch.manual_seed(0)
    flat = UNet(2, 1, 2, channels=(4, 8), strides=(2,)).eval()
    x = torch.randn(3, 1, 16, 12)
    expected = flat(x)
    patch = [16, 12]
    patch.insert(axis, 1)
    names = list(flat.state_dict())
    thin = for_patch(flat, patch)
    torch.testing.assert_close(thin(x.unsqueeze(2 + axis)), expected.unsqueeze(2 + axis))
    assert list(thin.state_dict()) == names


def test_lists_and_stacks_are_thickened_and_pooled_logits_are_not():
    class Heads(torch.nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.kind, self.layer = kind, torch.nn.Conv2d(1, 2, 1)

        def forward(self, x):
            y = self.layer(x)
            return {"list": [y, y[..., ::2, ::2]], "stack": torch.stack([y, y], 1), "pooled": y.mean(dim=(2, 3))}[
                self.kind
            ]

    x = torch.zeros(2, 1, 8, 1, 6)
    main, auxiliary = for_patch(Heads("list"), [8, 1, 6])(x)
    assert (main.shape, auxiliary.shape) == ((2, 2, 8, 1, 6), (2, 2, 4, 1, 3))
    assert for_patch(Heads("stack"), [8, 1, 6])(x).shape == (2, 2, 2, 8, 1, 6)
    assert for_patch(Heads("pooled"), [8, 1, 6])(x).shape == (2, 2)


def test_a_network_has_its_dimensions_and_a_patch_its_thin_axis():
    assert [
        dimensions(torch.nn.Conv2d(1, 1, 1)),
        dimensions(torch.nn.Conv3d(1, 1, 1)),
        dimensions(torch.nn.ReLU()),
    ] == [2, 3, 3]
    assert [thin_axis(patch) for patch in ([1, 4, 4], [4, 4, 1], [4, 4, 4])] == [0, 2, None]
    with pytest.raises(UserError, match="one voxel thick along 2 axes"):
        thin_axis([1, 1, 4])
    with pytest.raises(UserError, match=r"patch: \[8, 8, 8\] has three dimensions and the network two"):
        build_for(FLAT, TWO | {"patch": [8, 8, 8]})


def test_a_network_fits_its_stage_and_its_weights_it(tmp_path):
    assert [
        outputs_of(TWO),
        outputs_of(TWO | {"learns": "reconstruction"}),
        outputs_of({"learns": "presence", "of": ["a"]}),
    ] == [3, 1, 1]
    network = build_for(FLAT, TWO).eval()
    save_weights(network, tmp_path / "w.safetensors", {})
    plain = load_weights(build(fitted(FLAT, TWO)), tmp_path / "w.safetensors")
    x = torch.randn(1, 1, 1, 16, 16)
    torch.testing.assert_close(load_weights(build_for(FLAT, TWO), tmp_path / "w.safetensors")(x), network(x))
    torch.testing.assert_close(plain(x[:, :, 0])[:, :, None], network(x))
