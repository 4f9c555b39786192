"""Loss, optimiser, schedule and average of weights, as a training's config names them."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from crossmod.job import Plain, UserError
from crossmod.models.allowed import LOSSES, OPTIMISERS, SCHEDULES
from crossmod.models.build import made


def steps_of(stage: Plain, training: Plain, cases: int) -> int:
    """Optimiser steps of a training: the stage's, or as many as its passes over the training set take.

    Args:
        stage: config of the stage (``steps``, ``passes``).
        training: config of the training (``budget``, ``batch``).
        cases: that patches are drawn from.
    """
    if training["budget"] == "steps":
        return stage["steps"]
    if not stage.get("passes"):
        raise UserError("training.budget is 'passes' and the stage has no `passes`: say how often each case is seen.")
    return math.ceil(stage["passes"] * cases / training["batch"])


def loss_of(config: Plain, **filled_in: Any) -> torch.nn.Module:
    """The loss that a config names.

    Args:
        config: ``_target_`` and arguments; ``weight`` and ``pos_weight`` may be lists.
        filled_in: what a task sets itself.
    """
    weights = {
        name: torch.tensor(config[name], dtype=torch.float32)
        for name in ("weight", "pos_weight")
        if isinstance(config.get(name), list | int | float)
    }
    plain = {name: value for name, value in config.items() if name not in weights}
    return made(plain, LOSSES, torch.nn.Module, **filled_in | weights)


def optimiser_of(parameters: Iterable[torch.nn.Parameter], config: Plain) -> torch.optim.Optimizer:
    """The optimiser that a config names, of some parameters."""
    return made(config, OPTIMISERS, torch.optim.Optimizer, parameters)


def schedule_of(optimiser: torch.optim.Optimizer, config: Plain, steps: int) -> LRScheduler:
    """The schedule that a config names; how long it lasts is filled in where the config does not say.

    ``ConstantLR`` alone changes nothing here, where torch would take a third of the rate for five steps.

    Args:
        optimiser: whose learning rate it is.
        config: ``_target_`` and arguments.
        steps: optimiser steps in all.
    """
    filled_in = {
        "CosineAnnealingLR": {"T_max": steps},
        "OneCycleLR": {"total_steps": steps, "max_lr": optimiser.param_groups[0]["lr"]},
        "StepLR": {},
        "ConstantLR": {"factor": 1.0, "total_iters": steps},
    }.get(str(config.get("_target_")).rsplit(".", 1)[-1], {"total_iters": steps})
    return made(config, SCHEDULES, LRScheduler, optimiser, **filled_in)


def average_of(network: torch.nn.Module, decay: float | None) -> AveragedModel | None:
    """A copy of a network whose weights, and statistics of its norms, are to be the exponential mean of the network's.

    Args:
        network: that is trained.
        decay: share of the mean that stays at each step; None: there is no mean.
    """
    if decay is None:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True).requires_grad_(False)
