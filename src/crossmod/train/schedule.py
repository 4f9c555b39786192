"""Schedules of the learning rate that torch has not."""

import math
from collections.abc import Callable

import torch


class _Warmup(torch.optim.lr_scheduler.LambdaLR):
    """The learning rate rises linearly, then falls.

    Args:
        optimiser: whose learning rate it is.
        total_iters: optimiser steps in all.
        warmup: share of the steps over which the rate rises; at least one step.
        decay: share of the falling steps that is done, 0 to 1 → factor of the rate.
    """

    def __init__(
        self, optimiser: torch.optim.Optimizer, total_iters: int, warmup: float, decay: Callable[[float], float]
    ) -> None:
        rising = max(1, round(warmup * total_iters))

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            return decay(min(1.0, (step - rising) / max(1, total_iters - rising)))

        super().__init__(optimiser, factor)


class WarmupPolynomial(_Warmup):
    """The learning rate rises linearly, then falls as (1 - t)^power, nnU-Net's decay (Isensee et al. 2021).

    Args:
        optimiser: whose learning rate it is.
        total_iters: optimiser steps in all.
        warmup: share of the steps over which the rate rises; at least one step.
        power: of the decay.
    """

    def __init__(
        self, optimiser: torch.optim.Optimizer, total_iters: int, warmup: float = 0.0, power: float = 0.9
    ) -> None:
        super().__init__(optimiser, total_iters, warmup, lambda t: (1 - t) ** power)


class WarmupCosine(_Warmup):
    """The learning rate rises linearly, then falls to zero along half a cosine (Loshchilov and Hutter, ICLR 2017).

    Args:
        optimiser: whose learning rate it is.
        total_iters: optimiser steps in all.
        warmup: share of the steps over which the rate rises; at least one step.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, total_iters: int, warmup: float = 0.0) -> None:
        super().__init__(optimiser, total_iters, warmup, lambda t: (1 + math.cos(math.pi * t)) / 2)
