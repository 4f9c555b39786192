"""Random changes of a patch: drawn from a given generator, applied by MONAI's deterministic transforms."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from crossmod.models.parts import AdjustContrast, Affine, GaussianSmooth


@dataclass(frozen=True)
class Change:
    """One drawn augmentation; calling it turns an (X, Y, Z) image and label into the network's tensors.

    Attributes:
        affine: rotation (radians) and scale factors about the patch centre, or None.
        intensity: changes of the image, applied in order.
        patch: size given to the network.
    """

    affine: Affine | None
    intensity: list[Callable[[torch.Tensor], torch.Tensor]]
    patch: tuple[int, int, int]

    @property
    def moves(self) -> bool:
        """Whether voxels move, so that more than the patch must be read."""
        return self.affine is not None

    def __call__(self, image: np.ndarray, label: np.ndarray) -> dict[str, torch.Tensor]:
        """Apply to an image and its label of the same shape."""
        # (2, X, Y, Z), moved in one go; torch widens half precision several times faster than numpy.
        both = torch.stack([torch.from_numpy(array).float() for array in (image, label)])
        if self.affine is not None:
            both = self.affine(both, spatial_size=self.patch, mode="bilinear")
        x, y = both[:1], both[1:] >= 0.5
        for change in self.intensity:
            x = change(x)
        return {"image": x, "label": y.long()}


class Augment:
    """Draws changes with the probabilities and ranges of the config; nothing is flipped, left stays left."""

    def __init__(self, settings: dict, patch: tuple[int, int, int]) -> None:
        self.settings, self.patch = settings, patch

    def draw(self, rng: np.random.Generator) -> Change:
        """Draw one change. The same number of random values is consumed whichever changes are applied."""
        s = self.settings
        chance = dict(zip(("affine", "noise", "blur", "brightness", "contrast", "gamma"), rng.random(6), strict=True))
        angles = np.radians(rng.uniform(-s["rotation_deg"], s["rotation_deg"], 3))
        scales = rng.uniform(1 - s["scale"], 1 + s["scale"]) * rng.uniform(0.95, 1.05, 3)
        sd, sigma, shift = rng.uniform(0, [s["noise_sd"], s["blur_voxels"], 1.0])
        shift = (2 * shift - 1) * s["brightness_shift"]
        factor = rng.uniform(1 - s["contrast_factor"], 1 + s["contrast_factor"])
        gamma = rng.uniform(*s["gamma_range"])
        noise_seed = int(rng.integers(2**31))

        intensity: list[Callable] = []
        if chance["blur"] < s["blur"]:
            intensity.append(GaussianSmooth(sigma=float(sigma), approx="erf"))
        if chance["gamma"] < s["gamma"]:
            intensity.append(AdjustContrast(float(gamma), retain_stats=True))
        if chance["contrast"] < s["contrast"]:
            intensity.append(lambda x: x * factor)
        if chance["brightness"] < s["brightness"]:
            intensity.append(lambda x: x + shift)
        if chance["noise"] < s["noise"]:
            intensity.append(lambda x: x + sd * torch.randn(x.shape, generator=_generator(noise_seed)))
        affine = None
        if chance["affine"] < s["affine"]:
            affine = Affine(
                rotate_params=angles.tolist(),
                scale_params=scales.tolist(),
                padding_mode="border",
                image_only=True,
            )
        return Change(affine, intensity, self.patch)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
