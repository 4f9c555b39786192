"""Schedules of the learning rate that torch has not."""

import torch


class WarmupPolynomial(torch.optim.lr_scheduler.LambdaLR):
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
        rising = max(1, round(warmup * total_iters))

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            return max(0.0, 1 - (step - rising) / max(1, total_iters - rising)) ** power

        super().__init__(optimiser, factor)
