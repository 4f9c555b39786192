"""Random contrasts: monotone curves of the intensities, and bright turned into dark.

They show a network of one modality contrasts that another one may have. Extrema, mean and spread of a patch stay: what
changes is which tissue is brighter than which, and by how much.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

# ASSUME: a curve through four random points between the darkest and the brightest voxel is bent enough; more bends
# would tell tissues apart that no scanner tells apart.
KNOTS = 4
# ASSUME: what is darkest by a hundredth of the range is air or what a window cut, as for the treatment that is named
# inverted_black; every other time it stays dark, for air is dark on CT and on MR.
DARK = 0.01
KEPT_DARK = 0.5


@dataclass(frozen=True)
class Curve:
    """A monotone curve from the darkest to the brightest voxel of a patch.

    Attributes:
        knots: (n + 2,) places from 0 to 1, rising.
        values: (n + 2,) what they become, from 0 to 1, rising.
    """

    knots: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Curve":
        """A curve through random points; the ends stay."""
        knots, values = (np.concatenate([[0.0], np.sort(rng.random(KNOTS)), [1.0]]) for _ in range(2))
        return cls(knots, values)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Bend the intensities of an image (1, X, Y, Z); one without contrast stays as it is."""
        low, high = float(image.min()), float(image.max())
        if not high > low:
            return image
        share = (image.numpy() - low) / (high - low)
        bent = np.interp(share, self.knots, self.values).astype(np.float32)
        return like(torch.from_numpy(bent), image)


@dataclass(frozen=True)
class Invert:
    """Bright into dark between the extrema of a patch.

    Attributes:
        keep_dark: whether the darkest voxels stay as dark as they are.
    """

    keep_dark: bool

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Invert an image (1, X, Y, Z); one without contrast stays as it is."""
        low, high = image.min(), image.max()
        if not bool(high > low):
            return image
        inverted = high - image + low
        if self.keep_dark:
            inverted = torch.where(image <= low + DARK * (high - low), low, inverted)
        return like(inverted, image)


def like(changed: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """A changed image with the mean and the standard deviation that it had; one without spread is left as it was."""
    spread = changed.std()
    if not bool(spread > 0):
        return image
    return (changed - changed.mean()) / spread * image.std() + image.mean()
