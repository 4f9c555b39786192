"""A network like SegNet: the decoder puts values back to where the encoder's poolings found them."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.layers.factories import Conv
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
        self.strides = list(strides)
        down, up = [in_channels, *features], [*features[::-1], features[0]]
        self.encoder = nn.ModuleList(two_convolutions(spatial_dims, *pair) for pair in pairwise(down))
        self.decoder = nn.ModuleList(two_convolutions(spatial_dims, *pair) for pair in pairwise(up))
        self.head = Conv["CONV", spatial_dims](features[0], out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, X, Y) images → (B, K, X, Y) logits; sides are multiples of the product of the strides."""
        places = []
        for level, stride in zip(self.encoder, self.strides, strict=True):
            x, place = pooled(level(x), stride)
            places.append(place)
        for level, stride, place in zip(self.decoder, self.strides[::-1], reversed(places), strict=True):
            x = level(unpooled(x, place, stride))
        return self.head(x)


def pooled(x: torch.Tensor, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, C, X, Y) → the largest value of every block, and where in its block it stood: (B, C, X/s, Y/s) each."""
    deep = x.ndim - 2
    for axis in range(deep):
        x = x.unflatten(2 + 2 * axis, (-1, stride))  # (B, C, X/s, s, Y/s, s)
    inner = list(range(3, 3 + 2 * deep, 2))
    values, places = x.movedim(inner, list(range(-deep, 0))).flatten(-deep).max(dim=-1)
    return values, places


def unpooled(x: torch.Tensor, places: torch.Tensor, stride: int) -> torch.Tensor:
    """(B, C, X/s, Y/s) → (B, C, X, Y): every value at its place in its block, and 0 elsewhere."""
    deep = x.ndim - 2
    inside = torch.arange(stride**deep, device=x.device) == places.unsqueeze(-1)
    blocks = (x.unsqueeze(-1) * inside).unflatten(-1, (stride,) * deep)  # (B, C, X/s, Y/s, s, s)
    blocks = blocks.movedim(list(range(-deep, 0)), list(range(3, 3 + 2 * deep, 2)))
    for axis in range(deep):
        blocks = blocks.flatten(2 + axis, 3 + axis)
    return blocks
