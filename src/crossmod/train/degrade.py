"""The degraded image that a network learns to restore: noise, and blocks that are blanked."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

# ASSUME: noise of half an image's SD, and an eighth of the blocks blanked, are hard enough to restore and not too hard;
# the paper behind this pre-training (Chen et al., J Bone Oncol 2024) gives no numbers.
NOISE_SD = 0.5
BLANKED = 0.125
BLOCKS = 8  # along each axis of a patch that has as many voxels


@dataclass(frozen=True)
class Degrade:
    """How images are degraded.

    Attributes:
        noise_sd: SD of the noise, where the body has SD 1.
        blanked: share of the blocks that are set to 0, the mean of the body.
    """

    noise_sd: float = NOISE_SD
    blanked: float = BLANKED

    def __call__(self, image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """(1, X, Y, Z) image → the same, degraded by what is drawn from a generator."""
        shape = tuple(image.shape[1:])
        noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)) * self.noise_sd
        kept = torch.from_numpy(_blocks(rng, shape) >= self.blanked)
        return (image + noise) * kept


def _blocks(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A random number from 0 to 1 for each block of an array, at each of its voxels."""
    sizes = [-(-n // BLOCKS) for n in shape]
    values = rng.random([-(-n // size) for n, size in zip(shape, sizes, strict=True)])
    for axis, size in enumerate(sizes):
        values = values.repeat(size, axis=axis)
    return values[tuple(slice(n) for n in shape)]
