"""A loss in which every class weighs the same, however few voxels it has."""

import torch
from monai.losses import DiceLoss
from torch import nn
from torch.nn import functional


class BalancedDiceCELoss(nn.Module):
    """Soft Dice of the batch, plus a cross-entropy that is averaged within each class first and then over the classes.

    A class that the batch does not hold takes no part in the cross-entropy. Of one class and the background it is the
    class-balanced cross-entropy of Xie and Tu (ICCV 2015), up to a factor that depends on the number of voxels alone.

    Args:
        sigmoid: one logit per voxel is given, of one class.
        softmax: as many logits as classes are given, the background included.
        to_onehot_y: whether labels are to be taken apart into classes, as MONAI's losses say it.
    """

    def __init__(self, sigmoid: bool = False, softmax: bool = False, to_onehot_y: bool = False) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.dice = DiceLoss(sigmoid=sigmoid, softmax=softmax, to_onehot_y=to_onehot_y, batch=True)

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The loss of (B, C, X, Y, Z) logits, with (B, 1, X, Y, Z) numbers of classes."""
        if self.sigmoid:
            each, classes = functional.binary_cross_entropy_with_logits(logits, label, reduction="none"), 2
        else:
            each, classes = functional.cross_entropy(logits, label[:, 0].long(), reduction="none"), logits.shape[1]
        return self.dice(logits, label) + _within_classes(each.flatten(), label.flatten().long(), classes)


def _within_classes(each: torch.Tensor, label: torch.Tensor, classes: int) -> torch.Tensor:
    """The mean over the classes of the mean over their voxels; (N,) values and classes."""
    counts = torch.stack([(label == value).sum() for value in range(classes)])
    shares = 1.0 / counts.clamp(min=1) / (counts > 0).sum()
    return (each * shares[label]).sum()
