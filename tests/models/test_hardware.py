"""The fast layout changes nothing but the time, and nothing from run to run."""

import pytest
import torch

from crossmod.config import compose
from crossmod.models.build import build, load_weights, save_weights
from crossmod.models.hardware import autocast, hardware, layout


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build(compose([])["model"])


def test_layout_keeps_the_outputs(network):
    x = torch.randn(1, 1, 24, 24, 24)
    with torch.inference_mode():
        plain = network(x)
        assert layout(network) == torch.channels_last_3d
        fast = network.to(memory_format=layout(network))(x.contiguous(memory_format=layout(network)))
    torch.testing.assert_close(plain, fast, rtol=1e-4, atol=1e-4)


def test_narrow_networks_keep_the_ordinary_layout():
    narrow = build(compose([])["model"] | {"channels": [4, 8, 8, 8]})
    assert layout(narrow) == torch.contiguous_format


def test_bf16_repeats_to_the_bit(network):
    network = network.to(memory_format=layout(network))
    x = torch.randn(2, 1, 24, 24, 24).contiguous(memory_format=layout(network))

    def gradient():
        network.zero_grad()
        with autocast("bf16-mixed"):
            loss = network(x).float().square().mean()
        loss.backward()
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    first = gradient()
    for _ in range(5):
        torch.testing.assert_close(gradient(), first, rtol=0, atol=0)


def test_precision_asked_for_is_precision_given():
    assert hardware("32-true")[1] == "32-true"
    assert hardware("auto")[1] in ("32-true", "bf16-mixed", "16-mixed")


def test_weights_survive_and_foreign_ones_are_refused(network, tmp_path):
    from crossmod.job import UserError

    save_weights(network, tmp_path / "w.safetensors", {"arm": "x"})
    other = load_weights(build(compose([])["model"]), tmp_path / "w.safetensors")
    for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    with pytest.raises(UserError, match="not the weights of this network"):
        load_weights(build(compose([])["model"] | {"channels": [8, 8, 8, 8]}), tmp_path / "w.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x80\x04pickle?")
    with pytest.raises(UserError, match="not the weights"):
        load_weights(network, tmp_path / "broken.safetensors")
    with pytest.raises(UserError, match="no such weights"):
        load_weights(network, tmp_path / "none.safetensors")


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "crossmodels.x"])
def test_only_networks_are_instantiated(target):
    from crossmod.job import UserError

    with pytest.raises(UserError, match="only monai.networks.nets"):
        build({"_target_": target})
