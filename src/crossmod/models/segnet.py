"""A network like SegNet: the decoder puts values back to where the encoder's poolings found them."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.layers.factories import Conv, Pool
from torch import nn

from crossmod.models.encoder import two_convolutions


class SegNet(nn.Module):
    """Max-poolings that remember where their values stood, and unpoolings that put them back there.

    After Badrinarayanan et al., IEEE TPAMI 2017, with two convolutions per level; theirs has the layers of VGG-16.
    torch's own unpooling is refused where algorithms are to be deterministic (torch 2.13), and so is not used.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        out_channels: of the logits.
        features: channels of each level, the finest first.
        strides: of the pooling after each level.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, features: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__()
        self.pools = nn.ModuleList(
            Pool["MAX", spatial_dims](kernel_size=stride, return_indices=True) for stride in strides
        )
        down, up = [in_channels, *features], [*features[::-1], features[0]]
        self.encoder = nn.ModuleList(two_convolutions(spatial_dims, *pair) for pair in pairwise(down))
        self.decoder = nn.ModuleList(two_convolutions(spatial_dims, *pair) for pair in pairwise(up))
        self.head = Conv["CONV", spatial_dims](features[0], out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, X, Y) images → (B, K, X, Y) logits."""
        left = []
        for level, pool in zip(self.encoder, self.pools, strict=True):
            features = level(x)
            x, places = pool(features)
            left.append((places, features.shape[2:]))
        for level, (places, size) in zip(self.decoder, reversed(left), strict=True):
            x = level(unpooled(x, places, size))
        return self.head(x)


def unpooled(x: torch.Tensor, places: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """(B, C, X/s, Y/s) → (B, C, X, Y): every value at its place, and 0 elsewhere.

    Args:
        x: values.
        places: of each value in the flattened grid, as torch's max-pooling tells them.
        size: X and Y.
    """
    empty = x.new_zeros(*x.shape[:2], math.prod(size))
    return empty.scatter(2, places.flatten(2), x.flatten(2)).unflatten(2, tuple(size))
