"""The fast layout changes nothing but the time, and nothing from run to run."""

import pytest
import torch
from monai.networks.nets import DynUNet, SegResNet, UNet

from crossmod.design.compose import compose
from crossmod.models.build import build, load_weights, save_weights
from crossmod.models.hardware import hardware_for
from crossmod.models.thin import for_patch

MODEL = compose([])["model"] | {"out_channels": 2}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build(MODEL)


def test_the_fast_layout_keeps_the_outputs(network):
    x = torch.randn(2, 1, 24, 24, 24)
    machine = hardware_for(network, (24, 24, 24), "32-true")
    with torch.inference_mode():
        plain = network(x)
        fast = machine.lay_out(network)(x.contiguous(memory_format=machine.layout))
    torch.testing.assert_close(plain, fast, rtol=1e-4, atol=1e-4)


def others() -> dict[str, torch.nn.Module]:
    """Networks of standard layers, as their makers document them."""
    deep = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
    strides = [1, 2, 2]
    torch.manual_seed(1)
    return {
        "DynUNet": DynUNet(
            **deep, kernel_size=[3] * 3, strides=strides, upsample_kernel_size=strides[1:], filters=[8, 16, 32]
        ),
        "UNet": UNet(**deep, channels=(8, 16, 32), strides=(2, 2), num_res_units=1),
        "SegResNet": SegResNet(**deep, init_filters=8, upsample_mode="deconv"),
        "slopes": torch.nn.Sequential(torch.nn.Conv3d(1, 4, 3), torch.nn.PReLU(4), torch.nn.PReLU()),
        "uneven": torch.nn.ConvTranspose3d(1, 3, (1, 2, 3), stride=(1, 2, 3), bias=False),
        "overlap": torch.nn.ConvTranspose3d(1, 3, 3, stride=2, padding=1, output_padding=1),
    }


def flat() -> dict[str, torch.nn.Module]:
    """The same kinds of two dimensions, for patches one voxel thick."""
    shallow = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    torch.manual_seed(1)
    networks = {
        "DynUNet 2-D": DynUNet(
            **shallow, kernel_size=[3] * 3, strides=[1, 2, 2], upsample_kernel_size=[2, 2], filters=[8, 16, 32]
        ),
        "UNet 2-D": UNet(**shallow, channels=(8, 16, 32), strides=(2, 2), num_res_units=1),
        "uneven 2-D": torch.nn.ConvTranspose2d(1, 3, (2, 3), stride=(2, 3), bias=False),
        "overlap 2-D": torch.nn.ConvTranspose2d(1, 3, 3, stride=2, padding=1, output_padding=1),
    }
    return {name: for_patch(network, (32, 1, 32)) for name, network in networks.items()}


@pytest.mark.parametrize("name", [*others(), *flat()])
def test_any_network_keeps_outputs_gradients_and_names(name):
    """Layers computed another way compute the same."""
    plain, fast = ((others() | flat())[name] for _ in range(2))
    thin = name in flat()
    machine = hardware_for(fast, (32, 1, 32) if thin else (32, 32, 32), "32-true")
    assert machine.layout in (torch.channels_last if thin else torch.channels_last_3d, torch.contiguous_format)
    names = list(fast.state_dict())
    fast = machine.lay_out(fast)
    assert list(fast.state_dict()) == names
    x = torch.randn(2, 1, 16, 1 if thin else 16, 16)
    results = []
    for network in (plain, fast):
        inside = machine.arrange(x.clone()).requires_grad_()
        out = network(inside)
        (out * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).sum().backward()
        results.append([out, inside.grad, *(p.grad for p in network.parameters())])
    largest = max(float(gradient.abs().max()) for gradient in results[0][1:])
    for number, (one, other) in enumerate(zip(*results, strict=True)):
        # A bias before a norm has a gradient of zero up to rounding: gradients are compared with the largest of all.
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4 * (largest if number else 1.0))


def test_bf16_says_nearly_the_same(network):
    x = torch.randn(2, 1, 24, 24, 24)
    with torch.inference_mode():
        plain = network(x)
        with hardware_for(network, (24, 24, 24), "bf16-mixed").autocast():
            fast = network(x).float()
    assert (plain - fast).abs().max() < 0.05 * plain.abs().max()


def test_networks_that_see_too_few_voxels_are_computed_in_32_bit(network):
    if torch.cuda.is_available():
        pytest.skip("concerns CPUs")
    small = hardware_for(network, (64, 56, 16), "auto")
    assert (small.precision, small.layout) == ("32-true", torch.contiguous_format)
    assert "a convolution sees fewer than 3 voxels along an axis of a patch 64×56×16" in small.chosen(network)
    assert hardware_for(network, (64, 56, 24), "auto").layout == torch.channels_last_3d


def test_only_the_grid_a_convolution_sees_counts_not_how_many_stride():
    """A residual unit strides twice side by side: the grid is halved once."""
    residual = UNet(3, 1, 2, channels=(8, 16, 32, 64), strides=(2, 2, 2), num_res_units=2, norm="batch")
    before = {name: tensor.clone() for name, tensor in residual.state_dict().items()}
    assert hardware_for(residual, (24, 24, 24), "auto").layout == torch.channels_last_3d
    for name, tensor in residual.state_dict().items():  # a copy was tried
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    assert residual.training
    if not torch.cuda.is_available():
        assert hardware_for(residual, (16, 24, 24), "auto").layout == torch.contiguous_format


def test_a_thin_patch_is_computed_with_channels_last(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("concerns CPUs")
    monkeypatch.setattr("crossmod.models.hardware._cpu_computes_bf16", lambda: True)
    unet = for_patch(UNet(2, 1, 2, channels=(8, 16, 32), strides=(2, 2), num_res_units=1), (1, 32, 32))
    machine = hardware_for(unet, (1, 32, 32), "auto")
    assert (machine.layout, machine.precision) == (torch.channels_last, "bf16-mixed")
    assert "channels last, 6 InstanceNorm2d computed another way, " in machine.chosen(machine.lay_out(unet))
    small = for_patch(UNet(2, 1, 2, channels=(8, 16, 32), strides=(2, 2)), (1, 8, 32))
    assert hardware_for(small, (1, 8, 32), "auto").layout == torch.contiguous_format


def test_the_choice_can_be_read(network, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("concerns CPUs")
    monkeypatch.setattr("crossmod.models.hardware._cpu_computes_bf16", lambda: True)
    machine = hardware_for(network, (24, 24, 24), "auto")
    assert machine.chosen(machine.lay_out(network)) == (
        "cpu, bf16-mixed, channels last, 6 InstanceNorm3d computed another way (this processor has instructions for "
        "bf16)"
    )
    assert hardware_for(network, (24, 24, 24), "32-true").why == "as asked for"
    monkeypatch.setattr("crossmod.models.hardware._cpu_computes_bf16", lambda: False)
    assert hardware_for(network, (24, 24, 24), "auto").why == "this processor has no instructions for bf16"


@pytest.mark.parametrize("most", ["AVX2", "avx512_core"])
def test_instructions_that_are_switched_off_are_not_counted_on(network, monkeypatch, most):
    """On such a CPU oneDNN would imitate bf16, at a hundredth of the speed."""
    if torch.cuda.is_available():
        pytest.skip("concerns CPUs")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", most)
    assert hardware_for(network, (64, 64, 64), "auto").precision == "32-true"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
    assert hardware_for(network, (64, 64, 64), "auto").precision == "bf16-mixed"


def test_training_repeats_to_the_bit_in_this_machines_precision(network):
    machine = hardware_for(network, (24, 24, 24), "auto")
    network = machine.lay_out(network)
    x = torch.randn(2, 1, 24, 24, 24).contiguous(memory_format=machine.layout)

    def gradient():
        network.zero_grad()
        with machine.autocast():
            loss = network(x).float().square().mean()
        loss.backward()
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    first = gradient()
    assert torch.isfinite(first).all()
    for _ in range(5):
        torch.testing.assert_close(gradient(), first, rtol=0, atol=0)


def test_precision_asked_for_is_precision_given(network):
    assert hardware_for(network, (24, 24, 24), "32-true").precision == "32-true"


def test_weights_survive_and_foreign_ones_are_refused(network, tmp_path):
    from crossmod.job import UserError

    save_weights(network, tmp_path / "w.safetensors", {"arm": "x"})
    other = load_weights(build(MODEL), tmp_path / "w.safetensors")
    for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    with pytest.raises(UserError, match="not the weights of this network"):
        load_weights(build(MODEL | {"channels": [8, 8, 8, 8]}), tmp_path / "w.safetensors")
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
