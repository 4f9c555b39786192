"""Each task learns what it says, from losses that are what their names say."""

import math

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss, DiceLoss
from torch.nn import functional

from crossmod.job import UserError
from crossmod.models.hardware import hardware_for
from crossmod.models.heads import heads
from crossmod.models.stage import build_for
from crossmod.prepare.stored import read_prepared
from crossmod.train.dice_entropy import DiceEntropy
from crossmod.train.module import Training
from crossmod.train.sampling import Patches
from crossmod.train.tasks import Binary, Presence, Reconstruction, Several, task_of
from tests.train.conftest import STAGES, TRAINING, UNET
from tests.train.toy import QUICK, THIN, UNET2D, prepared

LOSS = TRAINING["loss"]
SETTINGS = TRAINING | QUICK
RESTORE = THIN | {"learns": "reconstruction"}
PRESENT = THIN | {"learns": "presence", "of": ["liver"]}


def learnt(folder, stage, steps=40, model=UNET2D, **training):
    """A network after some steps on the toy, and its losses."""
    cases = read_prepared(prepared(folder / "toy", "s"), "s", ["case0", "case1", "case2"])
    settings = SETTINGS | training
    data = Patches(cases, stage, settings, 0)
    torch.manual_seed(0)
    network = build_for(model, stage)
    module = Training(
        network, task_of(stage, settings), settings, steps, hardware_for(network, stage["patch"], "32-true")
    )
    made = module.configure_optimizers()
    losses = []
    for step in range(steps):
        items = [data[step * settings["batch"] + i] for i in range(settings["batch"])]
        batch = {key: torch.stack([item[key] for item in items]) for key in items[0]}
        made["optimizer"].zero_grad()
        loss = module.training_step(batch, 0)
        loss.backward()
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
        module.on_train_batch_end()
        losses.append(float(loss.detach()))
    return network.eval(), losses, cases


def planes(case):
    """(planes, 1, 1, Y, Z) of a case, cut to what the network halves."""
    return torch.from_numpy(np.array(case.image, dtype=np.float32))[:, None, None]


def test_thin_patches_teach_several_classes(tmp_path):
    network, losses, cases = learnt(tmp_path, THIN, 60)
    assert losses[-1] < 0.3 * losses[0]
    with torch.inference_mode():
        found = network(planes(cases[0])).argmax(dim=1)[:, 0].numpy()
    for value in (1, 2):
        a, b = found == value, cases[0].label == value
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.9


def test_a_network_restores_what_was_degraded(tmp_path):
    network, losses, cases = learnt(tmp_path, RESTORE, 60)
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    clean = planes(cases[0])
    noisy = clean + 0.5 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert functional.mse_loss(network(noisy), clean) < 0.7 * functional.mse_loss(noisy, clean)


def test_a_network_tells_whether_something_is_present(tmp_path):
    network, losses, cases = learnt(tmp_path, PRESENT, 60)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    with torch.inference_mode():
        logits = network(planes(cases[0])).flatten(1).mean(dim=1)
    assert ((logits > 0).numpy() == cases[0].label.any(axis=(1, 2))).all()


def test_a_task_follows_from_what_a_stage_learns():
    kinds = {"kidney": (STAGES["kidney"], Binary), "thin": (THIN, Several)}
    kinds |= {"restore": (RESTORE, Reconstruction), "present": (PRESENT, Presence)}
    for stage, kind in kinds.values():
        assert type(task_of(stage, TRAINING)) is kind
    assert task_of(RESTORE, TRAINING).config == {"_target_": "torch.nn.MSELoss"}
    asked = {"loss": {"_target_": "torch.nn.L1Loss"}}
    assert task_of(RESTORE, TRAINING | asked).config == asked["loss"]
    assert task_of(THIN, TRAINING | asked).config == LOSS
    with pytest.raises(UserError, match="learns is 'guess'"):
        task_of(THIN | {"learns": "guess"}, TRAINING)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 3, (2, 1, 8, 8, 8), generator=generator)
    return {"image": torch.randn(2, 1, 8, 8, 8, generator=generator), "label": label}


def test_one_class_costs_what_two_softmaxed_ones_do(batch):
    logits, binary = torch.randn(2, 2, 8, 8, 8), batch | {"label": (batch["label"] > 0).long()}
    foreground = logits[:, 1:] - logits[:, :1]
    expected = DiceCELoss(sigmoid=True, batch=True)(foreground, binary["label"].float())
    torch.testing.assert_close(Binary(LOSS)([logits], binary), expected)
    entropy = functional.cross_entropy(logits, binary["label"][:, 0])
    torch.testing.assert_close(
        functional.binary_cross_entropy_with_logits(foreground, binary["label"].float()), entropy
    )


def test_several_classes_cost_a_softmax_over_all(batch):
    logits = torch.randn(2, 3, 8, 8, 8)
    softmax = DiceLoss(softmax=True, to_onehot_y=True, batch=True)(logits, batch["label"])
    entropy = functional.cross_entropy(logits, batch["label"][:, 0])
    torch.testing.assert_close(Several(LOSS)([logits], batch), softmax + entropy)
    torch.testing.assert_close(Several({"_target_": "torch.nn.CrossEntropyLoss"})([logits], batch), entropy)


@pytest.mark.parametrize("absent", [0, 2])
@pytest.mark.parametrize("shape", [(4, 5, 6), (7, 8)])
def test_the_fast_loss_and_its_slope_are_those_of_monai(shape, absent):
    """Also of a class that no patch holds, in two dimensions, and of logits of 16 bit."""
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(0, 6 - absent, (2, 1, *shape), generator=generator)
    logits = 4 * torch.randn(2, 6, *shape, generator=generator)
    several, monai = Several(LOSS), DiceCELoss(softmax=True, to_onehot_y=True, batch=True)
    assert several.config == several.usual
    for dtype in (torch.float32, torch.bfloat16):
        ours, theirs = (logits.detach().to(dtype, copy=True).requires_grad_() for _ in range(2))
        losses = several([ours], {"label": label}), monai(theirs.float(), label.float())
        torch.testing.assert_close(*losses)
        for loss in losses:
            (3 * loss).backward()
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_the_slope_of_the_fast_loss_is_that_of_its_values():
    label = torch.randint(0, 4, (2, 1, 3, 3), generator=torch.Generator().manual_seed(2))
    logits = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(DiceEntropy.apply, (logits, label), eps=1e-2, atol=1e-3)


def test_far_too_sure_logits_give_a_finite_slope():
    label = torch.zeros(1, 1, 2, 2, 2, dtype=torch.long)
    logits = torch.full((1, 3, 2, 2, 2), 0.0)
    logits[:, 1] = 500.0
    logits.requires_grad_()
    loss = Several(LOSS)([logits], {"label": label})
    loss.backward()
    assert loss > 400 and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", Binary.overlaps)
def test_every_loss_of_overlaps_serves_one_class_and_several(batch, name):
    config = {"_target_": name}
    for task, channels in ((Binary(config), 2), (Several(config), 3)):
        label = batch["label"].clamp(max=channels - 1)
        sure = 40.0 * functional.one_hot(label[:, 0], channels).movedim(-1, 1) - 20.0
        right, wrong = (task([logits], batch | {"label": label}) for logits in (sure, -sure))
        assert right < 0.05 < wrong


def test_a_balanced_loss_gives_a_class_of_few_voxels_as_much_to_say_as_the_others(batch):
    """Each class weighs as if it had half of the voxels: the loss of a class does not depend on how many it has."""
    config = {"_target_": "crossmod.train.balanced.BalancedDiceCELoss"}
    label = torch.zeros(2, 1, 8, 8, 8, dtype=torch.long)
    label[0, 0, 0, 0, :4] = 1  # 4 of 1024 voxels
    logits = torch.randn(2, 2, 8, 8, 8)
    foreground = logits[:, 1:] - logits[:, :1]
    each = functional.binary_cross_entropy_with_logits(foreground, label.float(), reduction="none")
    expected = (each[label == 1].mean() + each[label == 0].mean()) / 2
    dice = DiceLoss(sigmoid=True, batch=True)(foreground, label.float())
    torch.testing.assert_close(Binary(config)([logits], {"label": label}), dice + expected)
    several = DiceLoss(softmax=True, to_onehot_y=True, batch=True)(logits, label)
    torch.testing.assert_close(Several(config)([logits], {"label": label}), several + expected)


def test_a_class_that_a_batch_lacks_says_nothing(batch):
    config = {"_target_": "crossmod.train.balanced.BalancedDiceCELoss"}
    label = torch.zeros(2, 1, 8, 8, 8, dtype=torch.long)
    logits = torch.randn(2, 3, 8, 8, 8)
    found = Several(config)([logits], {"label": label}) - Several({"_target_": "monai.losses.DiceLoss", "batch": True})(
        [logits], {"label": label}
    )
    torch.testing.assert_close(found, functional.cross_entropy(logits, label[:, 0]))


def test_weights_of_classes_may_be_lists(batch):
    weighted = {"_target_": "torch.nn.CrossEntropyLoss", "weight": [1.0, 2.0, 3.0]}
    logits = torch.randn(2, 3, 8, 8, 8)
    expected = functional.cross_entropy(logits, batch["label"][:, 0], torch.tensor([1.0, 2.0, 3.0]))
    torch.testing.assert_close(Several(weighted)([logits], batch), expected)
    task = Presence({"_target_": "torch.nn.BCEWithLogitsLoss", "pos_weight": 3.0})
    assert float(task.loss.pos_weight) == 3.0


def test_auxiliary_outputs_count_half_as_much_each(batch):
    task = Several(LOSS)
    outputs = [torch.randn(2, 3, n, n, n) for n in (8, 4, 2)]
    labels = [
        functional.interpolate(batch["label"].float(), size=(n,) * 3, mode="nearest-exact").long() for n in (8, 4, 2)
    ]
    alone = [task([output], {"label": label}) for output, label in zip(outputs, labels, strict=True)]
    expected = (alone[0] + alone[1] / 2 + alone[2] / 4) / 1.75
    torch.testing.assert_close(task(outputs, batch), expected)


def test_outputs_come_as_lists_or_stacked():
    one = torch.randn(2, 3, 8, 8, 8)
    assert heads(one) == [one]
    assert heads((one, one)) == [one, one]
    stacked = heads(torch.stack([one, 2 * one], dim=1))
    assert len(stacked) == 2 and torch.equal(stacked[1], 2 * one)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_network_with_deep_supervision_learns(tmp_path, dims):
    model = {
        "_target_": "monai.networks.nets.DynUNet",
        "spatial_dims": dims,
        "in_channels": 1,
        "out_channels": 2,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [4, 4, 8],
        "deep_supervision": True,
        "deep_supr_num": 1,
    }
    stage = THIN if dims == 2 else THIN | {"patch": [4, 16, 16]}
    network, losses, _ = learnt(tmp_path, stage, 25, model)
    assert losses[-1] < 0.8 * losses[0]
    assert len(heads(network.train()(torch.zeros(2, 1, *stage["patch"])))) == 2
    assert len(heads(network.eval()(torch.zeros(2, 1, *stage["patch"])))) == 1


def test_the_output_follows_the_stage():
    for stage, channels in (
        (STAGES["kidney"], 2),
        (THIN | {"patch": [16] * 3}, 3),
        (STAGES["kidney"] | {"learns": "presence"}, 1),
    ):
        assert build_for(UNET, stage)(torch.zeros(1, 1, 16, 16, 16)).shape == (1, channels, 16, 16, 16)
    assert math.isclose(
        float(Presence(LOSS)([torch.zeros(3, 1)], {"label": torch.zeros(3, 1, 2, 2, 2)})), math.log(2), rel_tol=1e-6
    )
