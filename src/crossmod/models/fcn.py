"""A network like FCN-8s: scores of three coarse levels, widened and added."""

import math
from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv
from torch import nn

from crossmod.job import UserError
from crossmod.models.encoder import Encoder

SCORED = 3  # levels whose scores are added: of FCN-8s those at an eighth, a sixteenth and a thirty-second of the grid


class FCN(nn.Module):
    """A fully convolutional network that adds the scores of its three coarsest levels and widens their sum.

    After Long et al., CVPR 2015, with two convolutions per level; theirs has the layers of VGG-16. With five strides of
    2 the sum stands at an eighth of the grid (FCN-8s). Transposed convolutions begin as interpolations, and learn.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        out_channels: of the logits.
        channels: of each level, the finest first; at least four.
        strides: even numbers, one less than there are levels.

    Raises:
        UserError: if there are too few levels, or a stride is odd.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, channels: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__()
        if len(channels) <= SCORED or any(stride % 2 for stride in strides):
            raise UserError(
                f"model: {len(channels)} levels with strides {list(strides)}: scores of {SCORED} coarse levels need "
                f"more than {SCORED} levels, and even strides."
            )
        self.encoder = Encoder(spatial_dims, in_channels, channels, strides)
        self.scores = nn.ModuleList(
            Conv["CONV", spatial_dims](width, out_channels, kernel_size=1) for width in channels[: -SCORED - 1 : -1]
        )
        steps = [*strides[:-SCORED:-1], math.prod(strides[: 1 - SCORED])]
        self.ups = nn.ModuleList(_widening(spatial_dims, out_channels, stride) for stride in steps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, X, Y) images → (B, K, X, Y) logits; sides are multiples of the product of the strides."""
        coarse = self.encoder(x)[: -SCORED - 1 : -1]  # the coarsest first
        x = self.scores[0](coarse[0])
        for score, up, features in zip(list(self.scores)[1:], self.ups, coarse[1:], strict=False):
            x = up(x) + score(features)
        return self.ups[-1](x)


def _widening(spatial_dims: int, channels: int, stride: int) -> nn.Module:
    """A transposed convolution that at first interpolates each channel linearly."""
    layer = Conv["CONVTRANS", spatial_dims](
        channels, channels, kernel_size=2 * stride, stride=stride, padding=stride // 2, bias=False
    )
    line = 1 - ((torch.arange(2 * stride) + 0.5) / stride - 1).abs()
    kernel = line
    for _ in range(spatial_dims - 1):
        kernel = kernel.unsqueeze(-1) * line
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(channels):
            layer.weight[channel, channel] = kernel
    return layer
