"""What Lightning trains: a network, what it learns, and how it is optimised."""

from typing import Any

import torch
from lightning.pytorch import LightningModule

from crossmod.job import Plain
from crossmod.models.hardware import Hardware
from crossmod.models.heads import heads
from crossmod.train.optimise import average_of, optimiser_of, schedule_of
from crossmod.train.tasks import Task


class Training(LightningModule):
    """The training of a network on patches.

    Args:
        network: maps (B, 1, X, Y, Z) to (B, C, X, Y, Z), or to several of those.
        task: what it learns.
        settings: config of the training.
        steps: optimiser steps in all.
        machine: how it is computed.
    """

    def __init__(self, network: torch.nn.Module, task: Task, settings: Plain, steps: int, machine: Hardware) -> None:
        super().__init__()
        self.machine, self.task = machine, task
        self.network, self.settings, self.steps = machine.lay_out(network), settings, steps
        self.average = average_of(self.network, settings["average"])

    @property
    def result(self) -> torch.nn.Module:
        """The network with the weights that a training ends with: their average, where one is kept."""
        return self.network if self.average is None else self.average.module

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        """One step on ``image`` (B, 1, X, Y, Z) and ``label`` (B, 1, X, Y, Z)."""
        return self.task(heads(self.network(self.machine.arrange(batch["image"]))), batch)

    def on_train_batch_end(self, *_: Any) -> None:
        """Take the step's weights into their average."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def configure_optimizers(self) -> dict[str, Any]:
        """Optimiser and schedule, as the config names them."""
        optimiser = optimiser_of(self.network.parameters(), self.settings["optimiser"])
        schedule = schedule_of(optimiser, self.settings["schedule"], self.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
