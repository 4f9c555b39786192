"""Levels of two convolutions, each coarser than the one before: the half that several networks share."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.layers.factories import Pool
from monai.networks.nets.basic_unet import TwoConv
from torch import nn

from crossmod.job import UserError


def two_convolutions(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """Twice a 3 × 3 convolution, batch norm and ReLU; 3 × 3 × 3 in three dimensions.

    The norm makes a bias needless.
    """
    return TwoConv(spatial_dims, in_channels, out_channels, act=("RELU", {"inplace": True}), norm="BATCH", bias=False)


class Encoder(nn.Module):
    """Levels of two convolutions, with a max-pooling between any two of them.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        channels: of each level, the finest first; the last one is the bottom.
        strides: by how much each pooling shrinks the grid, one less than there are levels.

    Raises:
        UserError: if there is not one stride between any two levels.
    """

    def __init__(self, spatial_dims: int, in_channels: int, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        if len(channels) != len(strides) + 1:
            levels = len(channels)
            raise UserError(f"model.channels: {levels} levels need {levels - 1} strides, not {len(strides)}.")
        self.stride = math.prod(strides)
        self.levels = nn.ModuleList(
            two_convolutions(spatial_dims, *pair) for pair in pairwise([in_channels, *channels])
        )
        self.pools = nn.ModuleList(Pool["MAX", spatial_dims](kernel_size=stride) for stride in strides)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, C, X, Y) → features of every level, the finest first.

        Raises:
            UserError: if a side is no multiple of the stride, so that what is widened again would be smaller.
        """
        if any(side % self.stride for side in x.shape[2:]):
            raise UserError(
                f"patch: {list(x.shape[2:])} is no multiple of the network's stride {self.stride}; choose one that is."
            )
        found = [self.levels[0](x)]
        for pool, level in zip(self.pools, list(self.levels)[1:], strict=True):
            found.append(level(pool(found[-1])))
        return found
