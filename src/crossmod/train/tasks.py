"""What a stage's network learns: to segment, to restore degraded images, or to tell whether something is present."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch.nn import functional

from crossmod.job import Plain, UserError
from crossmod.train.dice_entropy import DiceEntropy
from crossmod.train.optimise import loss_of

Batch = dict[str, torch.Tensor]


class Task(torch.nn.Module):
    """What is learnt, and the loss that says how far it is learnt.

    Args:
        config: of the loss; where its class is of no use to the task, the task takes its own.

    Attributes:
        config: of the loss that is used.
    """

    usual: ClassVar[Plain]
    losses: ClassVar[tuple[str, ...]]

    def __init__(self, config: Plain) -> None:
        super().__init__()
        self.config = config if config.get("_target_") in self.losses else self.usual
        self.loss = loss_of(self.config, **self._filled_in())

    def forward(self, outputs: Sequence[torch.Tensor], batch: Batch) -> torch.Tensor:
        """The loss of a network's outputs.

        Auxiliary outputs count half as much as the one before them, and the weights add up to 1. One on a coarser grid
        is compared with the nearest voxels of what it should be.

        Args:
            outputs: main output first, each (B, C, X, Y, Z).
            batch: ``image`` (B, 1, X, Y, Z) and ``label`` (B, 1, X, Y, Z), and ``target`` where images are restored.
        """
        if len(outputs) == 1:
            return self.one(outputs[0], batch)
        weights = [0.5**depth for depth in range(len(outputs))]
        losses = [self.one(output, _coarser(batch, output)) for output in outputs]
        first, *others = (weight * loss for weight, loss in zip(weights, losses, strict=True))
        return sum(others, start=first) / sum(weights)

    @abstractmethod
    def one(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The loss of one output."""

    def _filled_in(self) -> Plain:
        """Arguments of the loss that the task sets."""
        return {}


class Binary(Task):
    """One class and the background: two logits, of which the softmax is a sigmoid of their difference.

    The loss is the same, in a third of the time. Batch Dice: patches without foreground then do not pull the gradient
    about.
    """

    usual: ClassVar[Plain] = {"_target_": "monai.losses.DiceCELoss", "batch": True}
    overlaps = (
        *(
            f"monai.losses.{name}"
            for name in ("DiceCELoss", "DiceLoss", "DiceFocalLoss", "TverskyLoss", "GeneralizedDiceLoss")
        ),
        "crossmod.train.balanced.BalancedDiceCELoss",
    )
    losses = (*overlaps, "torch.nn.BCEWithLogitsLoss")

    def one(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Of (B, 2, X, Y, Z) logits."""
        foreground = (output[:, 1:] - output[:, :1]).float()  # (B, 1, X, Y, Z)
        return self.loss(foreground, batch["label"].float())

    def _filled_in(self) -> Plain:
        return {"sigmoid": True} if self.config["_target_"] in self.overlaps else {}


class Several(Task):
    """Several classes and the background: a softmax over all of them.

    The usual loss is computed another way, in a third of the time.
    """

    usual = Binary.usual
    losses = (*Binary.overlaps, "torch.nn.CrossEntropyLoss")

    def one(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Of (B, 1 + classes, X, Y, Z) logits."""
        if self.config == self.usual:
            return DiceEntropy.apply(output.float(), batch["label"].long())
        if self.config["_target_"] in Binary.overlaps:
            return self.loss(output.float(), batch["label"].float())
        return self.loss(output.float(), batch["label"][:, 0])

    def _filled_in(self) -> Plain:
        return {"softmax": True, "to_onehot_y": True} if self.config["_target_"] in Binary.overlaps else {}


class Reconstruction(Task):
    """The image before it was degraded, voxel by voxel."""

    usual: ClassVar[Plain] = {"_target_": "torch.nn.MSELoss"}
    losses = ("torch.nn.MSELoss", "torch.nn.L1Loss", "torch.nn.SmoothL1Loss")

    def one(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Of (B, 1, X, Y, Z) images."""
        return self.loss(output.float(), batch["target"])


class Presence(Task):
    """Whether a patch holds a voxel of the foreground: one logit, the mean of the network's output."""

    usual: ClassVar[Plain] = {"_target_": "torch.nn.BCEWithLogitsLoss"}
    losses = ("torch.nn.BCEWithLogitsLoss",)

    def one(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Of (B, 1, X, Y, Z), or (B, 1) where the network pools by itself."""
        logit = output.float().flatten(1).mean(dim=1)  # (B,)
        return self.loss(logit, (batch["label"] > 0).flatten(1).any(dim=1).float())


def task_of(stage: Plain, training: Plain) -> Task:
    """What a stage learns, with the loss that the training's config names.

    Where that loss is of no use to the task, the task's own takes its place.

    Raises:
        UserError: if the loss cannot be built.
    """
    tasks: dict[str, type[Task]] = {"reconstruction": Reconstruction, "presence": Presence}
    learns = stage.get("learns", "segmentation")
    if learns == "segmentation":
        return (Binary if len(stage["classes"]) == 1 else Several)(training["loss"])
    if learns not in tasks:
        raise UserError(f"learns is '{learns}': expected segmentation, reconstruction or presence.")
    return tasks[learns](training["loss"])


def _coarser(batch: Batch, output: torch.Tensor) -> Batch:
    """A batch on the grid of an output, by the nearest voxel."""
    grid = output.shape[2:]
    if not grid or grid == batch["label"].shape[2:]:
        return batch
    return {
        name: functional.interpolate(tensor.float(), size=grid, mode="nearest-exact").to(tensor.dtype)
        for name, tensor in batch.items()
    }
