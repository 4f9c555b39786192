"""A convolution–deconvolution network: an encoder, and a decoder of transposed convolutions with skips or without."""

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv
from torch import nn

from crossmod.models.encoder import Encoder, two_convolutions


class EncoderDecoder(nn.Module):
    """An encoder that pools, and a decoder that widens by transposed convolutions.

    Without skips all that the decoder knows has gone through the bottom, as in the first networks of this kind (Noh et
    al., ICCV 2015); with skips it is a U-Net.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        out_channels: of the logits.
        channels: of each level, the finest first; the last one is the bottom.
        strides: of each pooling, and of the transposed convolution that undoes it.
        skips: whether the decoder also sees the features of the encoder.
        decodes: whether there is a decoder; without it the network gives one logit per output for the whole image.
            A stage fills it in.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        skips: bool = False,
        decodes: bool = True,
    ) -> None:
        super().__init__()
        self.skips, self.decodes = skips, decodes
        self.encoder = Encoder(spatial_dims, in_channels, channels, strides)
        if not decodes:
            self.whole = nn.Linear(channels[-1], out_channels)
            return
        upward = list(zip(channels[:0:-1], channels[-2::-1], strides[::-1], strict=True))
        self.ups = nn.ModuleList(
            Conv["CONVTRANS", spatial_dims](coarse, fine, kernel_size=stride, stride=stride)
            for coarse, fine, stride in upward
        )
        self.decoder = nn.ModuleList(
            two_convolutions(spatial_dims, 2 * fine if skips else fine, fine) for _, fine, _ in upward
        )
        self.head = Conv["CONV", spatial_dims](channels[0], out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, X, Y) images → (B, K, X, Y) logits, or (B, K) without a decoder.

        Sides are multiples of the product of the strides.
        """
        *finer, x = self.encoder(x)
        if not self.decodes:
            return self.whole(x.flatten(2).mean(dim=2))
        for up, convolutions, features in zip(self.ups, self.decoder, reversed(finer), strict=True):
            x = up(x)
            x = convolutions(torch.cat([features, x], dim=1) if self.skips else x)
        return self.head(x)
