"""A config from disk names a network and plain values; it never runs code, nor takes all memory."""

import copy
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from crossmod.design.compose import compose
from crossmod.job import UserError
from crossmod.models.allowed import LARGEST_NUMBER, NETWORKS, OF_MONAI, target_problem
from crossmod.models.build import build, load_weights, save_weights, start_from
from crossmod.models.stage import build_for
from tests.conftest import ROOT

UNET = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
}
SMALL = {
    "crossmod.models.unet.UnfoldingUNet": UNET,
    "UNet": UNET,
    "AttentionUnet": UNET,
    "BasicUNet": {"features": [4, 4, 4, 4, 4, 4]},
    "DynUNet": {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [4, 4, 4],
    },
    "HighResNet": {"spatial_dims": 3, "in_channels": 1, "out_channels": 2},
    "SegResNet": {"spatial_dims": 3, "in_channels": 1, "out_channels": 2},
    "VNet": {"spatial_dims": 3, "in_channels": 1, "out_channels": 2},
    "crossmod.models.encoder_decoder.EncoderDecoder": UNET,
    "crossmod.models.patchwise.PatchedEncoderDecoder": UNET | {"spatial_dims": 2, "patch_size": 16},
    "crossmod.models.segnet.SegNet": {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "features": [4, 8],
        "strides": [2, 2],
    },
    "crossmod.models.fcn.FCN": UNET | {"channels": [4, 4, 8, 8], "strides": [2, 2, 2]},
}
OURS = sorted(target for target in NETWORKS.targets if target.startswith("crossmod."))


def canary(path) -> dict:
    """What would leave a file behind, were it called."""
    return {"_target_": "builtins.open", "_args_": [str(path), "w"]}


@pytest.mark.parametrize("target", sorted(NETWORKS.targets))
def test_every_allowed_network_maps_an_image_to_two_logits(target):
    arguments = SMALL.get(target) or SMALL[target.rsplit(".", 1)[1]]
    network = build(arguments | {"_target_": target}).eval()
    size = [32] * arguments.get("spatial_dims", 3)
    with torch.inference_mode():
        assert network(torch.zeros(1, 1, *size)).shape == (1, 2, *size)
    assert len(NETWORKS.targets) == len(OF_MONAI) + len(OURS)


@pytest.mark.parametrize(
    "target",
    [
        "crossmod.models.build.torch.load",
        "crossmod.models.build.load_weights",
        "crossmod.models.unet.nn.Module",
        "crossmod.models.parts.DiceCELoss",
        "monai.networks.nets.FlexibleUNet",
        "monai.networks.nets.HyenaNDUNETR",
        "monai.networks.nets.hub_load",
        "monai.networks.nets.unet.UNet",
        "monai.networks.nets.",
        "os.system",
        "",
        None,
        ["monai.networks.nets.UNet"],
        {"_target_": "os.system"},
    ],
)
def test_nothing_but_the_listed_networks_is_called(target):
    with pytest.raises(UserError, match=r"model\._target_: .*only monai\.networks\.nets"):
        build(UNET | {"_target_": target})


@pytest.mark.parametrize("place", ["argument", "list", "deep", "positional", "partial", "convert", "recursive"])
def test_what_is_nested_is_never_run(tmp_path, place):
    left = tmp_path / "canary"
    nested = canary(left)
    model = (
        UNET
        | {
            "argument": {"act": nested},
            "list": {"channels": [4, nested]},
            "deep": {"act": ["PRELU", {"init": nested}]},
            "positional": {"_args_": [nested]},
            "partial": {"_partial_": True, "act": nested},
            "convert": {"_convert_": "all"},
            "recursive": {"_recursive_": True},
        }[place]
    )
    with pytest.raises(UserError, match="nothing nested is built, imported or called"):
        build(model)
    assert not left.exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"act": "${oc.env:HOME}"}, r"model\.act: .*no plain text"),
        ({"act": "a" * 1000}, r"model\.act: .*no plain text"),
        ({"act": "REL\0U"}, r"model\.act: .*no plain text"),
        ({"channels": [10**9, 8]}, r"model\.channels\[0\]: 1000000000 is outside"),
        ({"dropout": float("nan")}, r"model\.dropout: nan is outside"),
        ({"dropout": b"0.1"}, r"model\.dropout: b'0.1' is no plain value"),
        ({"channels": [4] * 65}, r"model\.channels: 65 values"),
        ({"act": [[[[[["RELU"]]]]]]}, "nested more deeply"),
        ({"out_channels": 0}, r"model\.out_channels: 0 is outside 1 to 256"),
        ({"out_channels": True}, r"model\.out_channels: True is no whole number"),
        ({"in_channels": 3}, r"model\.in_channels: 3 must be 1"),
        ({"spatial_dims": 1}, r"model\.spatial_dims: 1 must be 3, or 2"),
        ({"spatial_dims": 2.0}, r"model\.spatial_dims: 2.0 is no whole number"),
        ({"patch_size": 16}, r"model\.spatial_dims: patches of patch_size pixels are cut from planes; choose 2"),
        ({"patch_size": 0, "spatial_dims": 2}, r"model\.patch_size: 0 is no whole number from 1"),
        ({"patch_size": 15, "spatial_dims": 2}, r"model\.patch_size: 15 is no multiple of the network's stride 2"),
        (
            {"patch_size": 16, "patch_stride": 17, "spatial_dims": 2},
            r"model\.patch_stride: 17 leaves gaps between patches of 16 pixels; choose at most 16",
        ),
    ],
)
def test_arguments_are_plain_and_small(change, problem):
    with pytest.raises(UserError, match=problem):
        build(UNET | change)


@pytest.mark.parametrize(
    "change",
    [
        {"channels": [65536] * 2},
        {"channels": [4096] * 3, "strides": [2, 2]},
        {"kernel_size": 65535},
        {"num_res_units": 65536},
        {"act": "os.system"},
        {"norm": "os.system"},
        {"channels": [-1, 8]},
        {"channels": "many"},
        {"unknown": 1},
        {"strides": []},
    ],
)
def test_arguments_that_do_not_fit_are_a_message(change):
    with pytest.raises(UserError, match="model: "):
        build(UNET | change)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-LARGEST_NUMBER, LARGEST_NUMBER) | st.sampled_from(["RELU", "batch", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b_1", "C"]), inner, max_size=3),
    max_leaves=6,
)
SPECIAL = st.sampled_from(["_target_", "_args_", "_partial_", "_recursive_", "_convert_", "__class__", "a.b", "", "1a"])


@given(st.lists(st.sampled_from(["list", "dict"]), max_size=3), SPECIAL, PLAIN)
def test_a_special_key_is_found_wherever_it_stands(wrapping, key, value):
    nested = {key: value}
    for kind in wrapping:
        nested = [1, nested] if kind == "list" else {"inner": nested}
    assert target_problem(UNET | {"act": nested})


@given(PLAIN)
def test_plain_values_are_told_apart_by_the_network_alone(value):
    """Whatever passes the check either builds a network or is a message."""
    if target_problem(UNET | {"act": value}) is None:
        try:
            build(UNET | {"act": value})
        except UserError as error:
            assert str(error).startswith("model: ")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, number):
    network = build(UNET)
    with torch.no_grad():
        next(iter(network.parameters())).view(-1)[0] = number
    save_weights(network, tmp_path / "w.safetensors", {})
    with pytest.raises(UserError, match=r"w\.safetensors: damaged weights: .*not finite"):
        load_weights(build(UNET), tmp_path / "w.safetensors")


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "int8", "int64", "bool", "complex64"])
def test_weights_of_a_kind_that_loses_their_values_are_refused(tmp_path, kind):
    network = build(UNET)
    state = {name: tensor.to(getattr(torch, kind)).contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=rf"w\.safetensors: not the weights .*torch\.{kind}"):
        load_weights(network, tmp_path / "w.safetensors")


def test_weights_beyond_the_network_s_precision_are_refused(tmp_path):
    network = build(UNET)
    state = {name: tensor.double() + 1e300 for name, tensor in network.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="not finite"):
        load_weights(network, tmp_path / "w.safetensors")


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_weights_of_another_precision_are_read(tmp_path, kind):
    network = build(UNET | {"norm": "batch"})
    state = {
        name: tensor.to(getattr(torch, kind)) if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    save_file(state, tmp_path / "w.safetensors")
    load_weights(network, tmp_path / "w.safetensors")


def test_a_study_s_config_has_the_same_check(tmp_path):
    left = tmp_path / "canary"
    with pytest.raises(UserError, match="nothing nested is built"):
        compose([f"+model.x={json.dumps(canary(left))}".replace('"', "").replace(": ", ":")])
    with pytest.raises(UserError, match=r"model\._target_: 'crossmod.models.build.torch.load'"):
        compose(["model._target_=crossmod.models.build.torch.load"])
    assert not left.exists()
    model = compose([])["model"]
    assert target_problem(copy.deepcopy(model)) is None
    fitting = ["stages.kidney.patch=[64,64,48]", "stages.parenchyma.patch=[64,64,64]"]
    assert target_problem(compose(["model=dynunet", *fitting])["model"]) is None


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf/model").glob("*.yaml")))
def test_weights_of_every_network_of_the_config_come_back_from_their_file(tmp_path, name):
    """Also of those that know a block by two names, of which the file holds one."""
    study = "spine" if name.endswith("2d") or name.startswith("patched") else "renal"
    composed = compose([f"study={study}", f"model={name}", *(["scale=full"] if name == "dynunet" else [])])
    stage = next(stage for stage in composed["stages"].values() if stage["learns"] == "segmentation")
    torch.manual_seed(0)
    first, second, third = (build_for(composed["model"], stage) for _ in range(3))
    save_weights(first, tmp_path / "model.safetensors", {})
    load_weights(second, tmp_path / "model.safetensors")
    started = start_from(third, tmp_path / "model.safetensors")
    assert not started.new and not started.unused
    for other in (second, third):
        assert all(torch.equal(tensor, other.state_dict()[key]) for key, tensor in first.state_dict().items())
