"""What Lightning trains: a network, Dice + cross-entropy, AdamW with warm-up and polynomial decay."""

from typing import Any

import torch
from lightning.pytorch import LightningModule

from crossmod.models.hardware import Hardware
from crossmod.models.parts import DiceCELoss


class Segmentation(LightningModule):
    """Binary segmentation of patches.

    Args:
        network: maps (B, 1, X, Y, Z) to (B, 2, X, Y, Z) logits.
        settings: config of the training.
        steps: optimiser steps in all.
        machine: how it is computed.
    """

    def __init__(self, network: torch.nn.Module, settings: dict[str, Any], steps: int, machine: Hardware) -> None:
        super().__init__()
        self.layout = machine.layout
        self.network, self.settings, self.steps = machine.lay_out(network), settings, steps
        # Batch Dice: patches without foreground then do not pull the gradient about.
        # Of two classes the softmax is a sigmoid of the difference: the same loss, in a third of the time.
        self.loss = DiceCELoss(sigmoid=True, batch=True)

    def training_step(self, batch: dict[str, torch.Tensor], _: int) -> torch.Tensor:
        """One step on ``image`` (B, 1, X, Y, Z) and ``label`` (B, 1, X, Y, Z)."""
        logits = self.network(batch["image"].contiguous(memory_format=self.layout))  # (B, 2, X, Y, Z)
        foreground = (logits[:, 1:] - logits[:, :1]).float()  # (B, 1, X, Y, Z)
        return self.loss(foreground, batch["label"].float())

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW; the learning rate rises linearly, then falls as (1 - t)^0.9 (nnU-Net's decay)."""
        optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.settings["learning_rate"],
            weight_decay=self.settings["weight_decay"],
        )
        warmup = max(1, round(self.settings["warmup"] * self.steps))

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return max(0.0, 1 - (step - warmup) / max(1, self.steps - warmup)) ** 0.9

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
