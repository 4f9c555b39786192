"""Patches inside a network: a plane is cut into overlapping ones, and what is found in them is put together again."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from crossmod.job import UserError
from crossmod.models.encoder_decoder import EncoderDecoder

# ASSUME: a Gaussian of an eighth of the patch, as in nnU-Net's inference.
SIGMA = 0.125


class Patchwise(nn.Module):
    """One network on every patch of a plane, and a weighted mean where patches overlap.

    The weights of all patches add up to 1 at every pixel (a partition of unity): a network that gives back what it is
    given gives back the plane. A plane of the size of a patch goes through the network as it is.

    Args:
        network: maps (B, C, P, P) to (B, K, P, P), or to (B, K).
        patch_size: P, in pixels.
        patch_stride: pixels from one patch to the next; None: half a patch.
        patch_weights: ``hann`` or ``gaussian``, highest in the middle of a patch.

    Raises:
        UserError: if patches would leave gaps, or nothing has the name of the weights.
    """

    weights: torch.Tensor  # (P, P)

    def __init__(
        self, network: nn.Module, patch_size: int, patch_stride: int | None = None, patch_weights: str = "hann"
    ) -> None:
        super().__init__()
        self.network, self.size, self.stride = network, patch_size, patch_stride or max(1, patch_size // 2)
        if not 1 <= self.stride <= patch_size:
            raise UserError(
                f"model.patch_stride: {self.stride} leaves gaps between patches of {patch_size} pixels; choose at most "
                f"{patch_size}."
            )
        # Follows from the arguments: it is no weight to be stored.
        self.register_buffer("weights", _weights(patch_weights, patch_size), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, X, Y) → (B, K, X, Y); where the network gives no grid, (B, K): the largest value of any patch."""
        size = x.shape[2:]
        if tuple(size) == (self.size, self.size):
            return self.network(x)
        padded = self._padded(x)
        output = self.network(self._cut(padded))  # (B·n, K, P, P)
        if output.ndim == 2:
            return output.unflatten(0, (len(x), -1)).amax(dim=1)
        joined = self._joined(output, len(x), padded.shape[2:])
        low = [(padded.shape[2 + axis] - size[axis]) // 2 for axis in range(2)]
        return joined[:, :, low[0] : low[0] + size[0], low[1] : low[1] + size[1]]

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        """A plane with its edges repeated as far as the last patches reach, on both sides alike."""
        around = []
        for side in reversed(x.shape[2:]):  # torch pads the last axis first
            missing = self.size + self.stride * math.ceil(max(0, side - self.size) / self.stride) - side
            around += [missing // 2, missing - missing // 2]
        return functional.pad(x, around, mode="replicate") if any(around) else x

    def _cut(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, X, Y) → (B·n, C, P, P), the n patches of each plane."""
        patches = x.unfold(2, self.size, self.stride).unfold(3, self.size, self.stride)  # (B, C, n, m, P, P)
        return patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1], self.size, self.size)

    def _joined(self, output: torch.Tensor, batch: int, size: Sequence[int]) -> torch.Tensor:
        """(B·n, K, P, P) → (B, K, X, Y): the sum of weighted values, by the sum of the weights."""
        weighted = (output * self.weights).unflatten(0, (batch, -1)).flatten(2).transpose(1, 2)  # (B, K·P·P, n)
        alone = self.weights.reshape(1, -1, 1).expand(1, -1, weighted.shape[2])  # (1, P·P, n)
        values, total = (
            functional.fold(columns, tuple(size), self.size, stride=self.stride) for columns in (weighted, alone)
        )
        return values / total


class PatchedEncoderDecoder(Patchwise):
    """A convolution–deconvolution network on the overlapping patches of a plane.

    Our reading of Chen et al., J Bone Oncol 2024, who give neither layers nor sizes.
    Arguments are those of :class:`Patchwise` and of :class:`crossmod.models.encoder_decoder.EncoderDecoder`.
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
        patch_size: int = 64,
        patch_stride: int | None = None,
        patch_weights: str = "hann",
    ) -> None:
        network = EncoderDecoder(spatial_dims, in_channels, out_channels, channels, strides, skips, decodes)
        super().__init__(network, patch_size, patch_stride, patch_weights)


def _weights(name: str, size: int) -> torch.Tensor:
    """(P, P) weights of a patch, above 0 everywhere."""
    place = (torch.arange(size, dtype=torch.float64) + 0.5) / size  # of the middle of each pixel, from 0 to 1
    if name == "hann":
        line = torch.sin(math.pi * place) ** 2
    elif name == "gaussian":
        line = torch.exp(-0.5 * ((place - 0.5) / SIGMA) ** 2)
    else:
        raise UserError(f"model.patch_weights: '{name}' is unknown; hann and gaussian are known.")
    return torch.outer(line, line).float()
