"""Optimisers and schedules are those of a closed list; a schedule lasts as long as its training."""

import math

import pytest
import torch

from crossmod.job import UserError
from crossmod.models.allowed import LOSSES, OPTIMISERS, SCHEDULES, target_problem
from crossmod.train.optimise import average_of, loss_of, optimiser_of, schedule_of, steps_of
from tests.train.conftest import TRAINING

NAMED = "torch.optim.lr_scheduler"


def rates(config, steps=40, lr=1.0, **optimiser):
    parameter = torch.nn.Parameter(torch.zeros(1))
    made = optimiser_of([parameter], {"_target_": "torch.optim.SGD", "lr": lr, "momentum": 0.9} | optimiser)
    schedule = schedule_of(made, config, steps)
    found = []
    for _ in range(steps):
        found.append(made.param_groups[0]["lr"])
        made.step()
        schedule.step()
    return found


def test_warm_up_and_decay_are_as_they_were():
    steps, warmup = 40, 2
    expected = [
        (step + 1) / warmup if step < warmup else (1 - (step - warmup) / (steps - warmup)) ** 0.9
        for step in range(steps)
    ]
    assert rates(TRAINING["schedule"], steps) == expected


def test_warm_up_then_half_a_cosine():
    found = rates({"_target_": "crossmod.train.schedule.WarmupCosine", "warmup": 0.25}, steps=8)
    assert found == pytest.approx([0.5, 1.0, *((1 + math.cos(math.pi * step / 6)) / 2 for step in range(6))])
    still = rates({"_target_": "crossmod.train.schedule.WarmupCosine", "warmup": 0.0}, steps=8)
    assert still[0] == 1.0 and still[1] == pytest.approx(1.0) and still[-1] < 0.1


@pytest.mark.parametrize(
    ("name", "arguments", "first", "last"),
    [
        ("PolynomialLR", {"power": 0.9}, 1.0, (1 / 40) ** 0.9),
        ("CosineAnnealingLR", {}, 1.0, 0.0015413331334360),
        ("StepLR", {"step_size": 10}, 1.0, 1e-3),
        ("OneCycleLR", {}, 1 / 25, 4e-6),
        ("ConstantLR", {}, 1.0, 1.0),
    ],
)
def test_a_schedule_lasts_as_long_as_its_training(name, arguments, first, last):
    found = rates({"_target_": f"{NAMED}.{name}", **arguments})
    assert found[0] == pytest.approx(first)
    assert found[-1] == pytest.approx(last, abs=0.004 if name == "OneCycleLR" else 1e-9)


def test_what_a_config_says_itself_comes_first():
    assert rates({"_target_": f"{NAMED}.PolynomialLR", "total_iters": 10, "power": 1.0})[5:12] == pytest.approx(
        [0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.0]
    )


@pytest.mark.parametrize(
    ("allowed", "config", "problem"),
    [
        (OPTIMISERS, {"_target_": "os.system"}, r"training\.optimiser\._target_: 'os\.system' is not an optimiser"),
        (OPTIMISERS, {"_target_": "torch.optim.LBFGS"}, "only torch.optim.(SGD, AdamW, Adam) are"),
        (OPTIMISERS, {"_target_": "torch.optim.SGD", "lr": {"_target_": "x"}}, "nothing nested is built"),
        (SCHEDULES, {"_target_": f"{NAMED}.LambdaLR"}, "crossmod.train.schedule.(WarmupPolynomial, WarmupCosine) are"),
        (LOSSES, {"_target_": "torch.nn.Linear"}, "is not a loss that a config may name"),
        (LOSSES, "dice", "training.loss: a loss is given as its _target_ and its arguments, not as 'dice'"),
    ],
)
def test_nothing_but_the_listed_classes_is_named(allowed, config, problem):
    import re

    found = target_problem(config, allowed)
    assert re.search(problem, found) or problem in found


@pytest.mark.parametrize("name", sorted(OPTIMISERS.targets))
def test_every_optimiser_can_be_made(name):
    made = optimiser_of([torch.nn.Parameter(torch.zeros(1))], {"_target_": name, "lr": 0.1, "weight_decay": 0.01})
    assert made.param_groups[0]["weight_decay"] == 0.01


def test_arguments_that_do_not_fit_are_a_message():
    config = {"_target_": "torch.optim.SGD", "lr": 1.0, "nesterov": True}  # without momentum
    with pytest.raises(UserError, match=r"training\.optimiser: torch\.optim\.SGD cannot be built of these arguments"):
        optimiser_of([torch.nn.Parameter(torch.zeros(1))], config)
    with pytest.raises(UserError, match=r"training\.loss: monai\.losses\.DiceLoss cannot be built"):
        loss_of({"_target_": "monai.losses.DiceLoss", "unknown": 1})


@pytest.mark.parametrize(
    ("passes", "cases", "batch", "steps"), [(10, 4, 2, 20), (1, 7, 2, 4), (3, 5, 4, 4), (1, 1, 8, 1)]
)
def test_passes_become_steps(passes, cases, batch, steps):
    training = TRAINING | {"budget": "passes", "batch": batch}
    assert steps_of({"steps": 99, "passes": passes}, training, cases) == steps
    assert steps_of({"steps": 99, "passes": passes}, TRAINING, cases) == 99


def test_a_budget_of_passes_needs_their_number():
    with pytest.raises(UserError, match="the stage has no `passes`"):
        steps_of({"steps": 99, "passes": None}, TRAINING | {"budget": "passes"}, 4)


def test_the_average_is_exponential_and_has_the_norms_statistics():
    network = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    average, expected = average_of(network, 0.75), None
    for value in (1.0, 2.0, 5.0):
        with torch.no_grad():
            network[0].weight.fill_(value)
            network[1].running_mean.fill_(-value)
        average.update_parameters(network)
        expected = value if expected is None else 0.75 * expected + 0.25 * value
    assert float(average.module[0].weight) == pytest.approx(expected)
    assert float(average.module[1].running_mean) == pytest.approx(-expected)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert list(average.module.state_dict()) == list(network.state_dict())
    assert average_of(network, None) is None
