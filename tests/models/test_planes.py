"""The networks of two dimensions that conf/model offers: each can be built, predicts a plane and takes a step."""

from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn import functional

from crossmod.design.cascades import stride_of
from crossmod.design.compose import compose
from crossmod.job import UserError
from crossmod.models.build import build
from crossmod.models.encoder_decoder import EncoderDecoder
from crossmod.models.fcn import FCN
from crossmod.models.hardware import hardware_for
from crossmod.models.norms import without_norms
from crossmod.models.segnet import unpooled
from crossmod.models.stage import build_for
from crossmod.train.module import Training
from crossmod.train.tasks import task_of
from tests.train.conftest import TRAINING

CONF = Path(__file__).resolve().parents[2] / "conf/model"
PLANES = sorted(path.stem for path in CONF.glob("*.yaml") if "3D" not in path.read_text(encoding="utf-8"))
WIDTHS = ("channels", "features", "filters")
POOLS = {2: (functional.max_pool2d, functional.max_unpool2d), 3: (functional.max_pool3d, functional.max_unpool3d)}
STAGE = {"learns": "segmentation", "classes": {"bright": ["liver"]}, "patch": [1, 64, 64]}


@cache
def config(name: str) -> dict:
    """What a file says, with the file that it builds on."""
    values = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    (base, *_) = values.pop("defaults", [None])
    return (config(base) if base else {}) | values


def narrow(model: dict) -> dict:
    """The same with four channels at each level."""
    return model | {key: [4] * len(model[key]) for key in WIDTHS if key in model}


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_networks_of_planes_are_these():
    assert PLANES == [
        "attention_unet2d",
        "dynunet2d",
        "encoder_decoder2d",
        "fcn2d",
        "patched",
        "patched_small",
        "segnet2d",
        "unet2d",
    ]


@pytest.mark.parametrize("name", PLANES)
def test_a_network_of_planes_is_built_predicts_and_learns(name):
    model = config(name)
    torch.manual_seed(0)
    network = build_for(narrow(model), STAGE)
    machine = hardware_for(network, STAGE["patch"], "32-true")
    module = Training(network, task_of(STAGE, TRAINING), TRAINING, 2, machine)
    optimiser = module.configure_optimizers()["optimizer"]
    label = torch.zeros(2, 1, 1, 64, 64, dtype=torch.long)
    label[..., 20:40, 24:44] = 1
    batch, losses = {"image": label + 0.1 * torch.randn(label.shape), "label": label}, []
    torch.use_deterministic_algorithms(True)
    for _ in range(3):
        optimiser.zero_grad()
        loss = module.training_step(batch, 0)
        loss.backward()
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters())
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    with torch.inference_mode():
        assert network.eval()(batch["image"]).shape == (2, 2, 1, 64, 64)


@pytest.mark.parametrize("name", [name for name in PLANES if not name.startswith("patched")])
def test_no_network_gives_another_size_than_it_is_given(name):
    (stride, _), model = stride_of(config(name)), narrow(config(name)) | {"out_channels": 2}
    network = build(model).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, 2 * stride, 3 * stride)).shape == (1, 2, 2 * stride, 3 * stride)
        uneven = torch.zeros(1, 1, 2 * stride + 1, 2 * stride)
        if name == "segnet2d":  # which knows how large each level was
            assert network(uneven).shape == (1, 2, 2 * stride + 1, 2 * stride)
            return
        with pytest.raises((RuntimeError, UserError)):
            network(uneven)


def test_a_study_gets_what_its_files_say_and_is_told_of_sides_that_do_not_fit():
    sides = ["stages.kidney.patch=[1,64,64]", "stages.parenchyma.patch=[1,64,64]"]
    assert compose(["model=patched_small", *sides])["model"] == config("patched_small")
    with pytest.raises(UserError, match=r"\[65, 64\] is no multiple of the network's stride \[16, 16\]"):
        compose(["model=segnet2d", "stages.kidney.patch=[1,65,64]", sides[1]])


@pytest.mark.parametrize("name", PLANES)
def test_without_its_batch_norms_a_network_says_the_same(name):
    torch.manual_seed(0)
    network = build(narrow(config(name)) | {"out_channels": 2})
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            for numbers, low in (
                (norm.weight, 0.5),
                (norm.bias, -0.5),
                (norm.running_mean, -0.5),
                (norm.running_var, 0.5),
            ):
                torch.nn.init.uniform_(numbers, low, low + 1)
    network.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    quick, x = without_norms(network), torch.randn(1, 1, 96, 64)
    with torch.inference_mode():
        torch.testing.assert_close(quick(x), network(x), rtol=1e-3, atol=1e-4)
    left = sum(isinstance(module, torch.nn.BatchNorm2d) for module in quick.modules())
    assert left == (9 if name == "attention_unet2d" else 0), "those of the gates follow no block of MONAI's"
    assert (quick is network) is (name in ("dynunet2d", "unet2d"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_the_networks_are_as_large_as_their_files_say():
    counts = {name: parameters(build(config(name) | {"out_channels": 2})) for name in PLANES}
    assert counts["patched"] == counts["encoder_decoder2d"] == 6_979_138
    assert all(100_000 < count < 700_000 for name, count in counts.items() if counts["patched"] != count)
    with_skips = parameters(build(config("patched") | {"out_channels": 2, "skips": True}))
    assert 6_979_138 < with_skips < 8_000_000


def test_skips_alone_carry_what_the_bottom_has_lost():
    """Without them the decoder sees a plane only through the bottom: with the bottom silenced it says one thing."""
    x = torch.randn(1, 1, 16, 16)
    for skips in (False, True):
        torch.manual_seed(0)
        network = EncoderDecoder(2, 1, 1, [4, 8], [2], skips=skips).eval()
        network.encoder.levels[-1].register_forward_hook(lambda _module, _given, output: torch.zeros_like(output))
        with torch.inference_mode():
            inner = network(x)[..., 3:-3, 3:-3]
            other = network(x.flip(2))[..., 3:-3, 3:-3]
        assert torch.equal(inner, other) is not skips


@pytest.mark.parametrize("shape", [(2, 3, 8, 12), (1, 2, 4, 6, 8)])
def test_values_go_back_to_where_they_were_found(shape):
    pool, unpool = POOLS[len(shape) - 2]
    values, places = pool(torch.randn(shape), 2, return_indices=True)
    torch.use_deterministic_algorithms(False)  # torch's own unpooling is not
    expected = unpool(values, places, 2)
    torch.use_deterministic_algorithms(True)
    torch.testing.assert_close(unpooled(values, places, shape[2:]), expected, rtol=0, atol=0)


def test_an_fcn_begins_with_linear_interpolation():
    network = FCN(2, 1, 2, [4, 4, 4, 4], [2, 2, 2])
    ramp = torch.arange(8.0).expand(1, 2, 8, 8)
    found = network.ups[0](ramp)
    expected = functional.interpolate(ramp, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(found[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2])


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"_target_": "crossmod.models.fcn.FCN", "channels": [4, 4, 4], "strides": [2, 2]}, "need more than 3 levels"),
        ({"_target_": "crossmod.models.fcn.FCN", "channels": [4] * 4, "strides": [2, 3, 2]}, "even strides"),
        (
            {"_target_": "crossmod.models.encoder_decoder.EncoderDecoder", "channels": [4, 4], "strides": [2, 2]},
            "2 levels need 1 strides, not 2",
        ),
    ],
)
def test_levels_that_do_not_fit_are_refused(model, problem):
    with pytest.raises(UserError, match=problem):
        build({"spatial_dims": 2, "in_channels": 1, "out_channels": 2} | model)
