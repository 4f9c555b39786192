"""Random changes of a patch: drawn from a given generator, applied by MONAI's deterministic transforms."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from crossmod.models.parts import AdjustContrast, Affine, GaussianSmooth
from crossmod.models.thin import thin_axis
from crossmod.train.contrast import KEPT_DARK, Curve, Invert
from crossmod.train.moved_labels import moved_labels


@dataclass(frozen=True)
class Change:
    """One drawn augmentation; calling it turns an (X, Y, Z) image and label into the network's tensors.

    Attributes:
        affine: rotation (radians) and scale factors about the patch centre, or None.
        intensity: changes of the image, applied in order.
        patch: size given to the network.
        thin: the axis along which it is one voxel thick, if any; changes stay within its plane.
    """

    affine: Affine | None
    intensity: list[Callable[[torch.Tensor], torch.Tensor]]
    patch: tuple[int, ...]
    thin: int | None = None

    @property
    def moves(self) -> bool:
        """Whether voxels move, so that more than the patch must be read."""
        return self.affine is not None

    def __call__(self, image: np.ndarray, label: np.ndarray) -> dict[str, torch.Tensor]:
        """Apply to an image and its label of the same shape."""
        if self.affine is None:
            x, y = torch.from_numpy(image).float()[None], torch.from_numpy(label).long()[None]
            x, y = (x, y) if self.thin is None else (x.squeeze(1 + self.thin), y.squeeze(1 + self.thin))
        else:
            x, y = self._moved(self.affine, image, label)
        for change in self.intensity:
            x = change(x)
        if self.thin is not None:
            x, y = x.unsqueeze(1 + self.thin), y.unsqueeze(1 + self.thin)
        return {"image": x, "label": y}

    def _moved(self, affine: Affine, image: np.ndarray, label: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Image and label of the patch's size; each voxel gets the class that covers most of it."""
        classes = [int(value) for value in np.flatnonzero(np.bincount(label.ravel())) if value]
        size = [side for axis, side in enumerate(self.patch) if axis != self.thin]
        if len(classes) > 1:
            x, y = (self._flat(torch.from_numpy(a)) for a in (image, label))
            moved = affine(x.float()[None], spatial_size=size, mode="bilinear")
            return moved, moved_labels(y, _points(affine, size, y))[None]
        # (1 + classes, X, Y, Z), moved in one go; torch widens half precision several times faster than numpy.
        both = [self._flat(torch.from_numpy(a).float()) for a in (image, *(label == value for value in classes))]
        moved = affine(torch.stack(both), spatial_size=size, mode="bilinear")
        return moved[:1], _most(moved[1:], classes)

    def _flat(self, values: torch.Tensor) -> torch.Tensor:
        return values if self.thin is None else values.squeeze(self.thin)


def _points(affine: Affine, size: list[int], values: torch.Tensor) -> torch.Tensor:
    """(D, *size) the place of every moved voxel, in voxels of what is moved."""
    grid, _ = affine.affine_grid(spatial_size=size)
    middle = torch.tensor([(side - 1) / 2 for side in values.shape])
    return grid[: values.ndim] + middle.view(-1, *[1] * values.ndim)


def _most(shares: torch.Tensor, classes: list[int]) -> torch.Tensor:
    """(1, X, Y, Z) the only class where it covers half of a voxel or more; nothing where there is none."""
    if not classes:
        return torch.zeros((1, *shares.shape[1:]), dtype=torch.long)
    return torch.where(1 - shares > shares, 0, classes[0])


class Augment:
    """Draws changes with the probabilities and ranges of the config; nothing is flipped, left stays left."""

    def __init__(self, settings: dict, patch: tuple[int, ...]) -> None:
        self.settings, self.patch, self.thin = settings, patch, thin_axis(patch)

    def draw(self, rng: np.random.Generator) -> Change:
        """Draw one change.

        The same number of random values is consumed whichever changes are applied; curves and inverting draw theirs
        last, and none where both are switched off.
        """
        s = self.settings
        chance = dict(zip(("affine", "noise", "blur", "brightness", "contrast", "gamma"), rng.random(6), strict=True))
        angles = np.radians(rng.uniform(-s["rotation_deg"], s["rotation_deg"], 3))
        scales = rng.uniform(1 - s["scale"], 1 + s["scale"]) * rng.uniform(0.95, 1.05, 3)
        sd, sigma, shift = rng.uniform(0, [s["noise_sd"], s["blur_voxels"], 1.0])
        shift = (2 * shift - 1) * s["brightness_shift"]
        factor = rng.uniform(1 - s["contrast_factor"], 1 + s["contrast_factor"])
        gamma = rng.uniform(*s["gamma_range"])
        noise_seed = int(rng.integers(2**31))
        contrasts = self._contrasts(rng)

        intensity: list[Callable] = []
        if chance["blur"] < s["blur"]:
            intensity.append(GaussianSmooth(sigma=float(sigma), approx="erf"))
        intensity += contrasts
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
            affine = Affine(**self._within(angles, scales), padding_mode="border", image_only=True)
        return Change(affine, intensity, self.patch, self.thin)

    def _contrasts(self, rng: np.random.Generator) -> list[Callable[[torch.Tensor], torch.Tensor]]:
        """A monotone curve and bright into dark, as far as they are switched on and drawn."""
        curve, invert = (self.settings.get(name, 0.0) for name in ("curve", "invert"))
        if not (curve or invert):
            return []
        chance, keeps = rng.random(2), rng.random() < KEPT_DARK
        bend = Curve.draw(rng)
        return [*([bend] if chance[0] < curve else []), *([Invert(keeps)] if chance[1] < invert else [])]

    def _within(self, angles: np.ndarray, scales: np.ndarray) -> dict[str, list[float] | float]:
        """Rotation and scales of the patch: about all axes, or about the one across a thin patch alone."""
        if self.thin is None:
            return {"rotate_params": angles.tolist(), "scale_params": scales.tolist()}
        return {"rotate_params": float(angles[self.thin]), "scale_params": np.delete(scales, self.thin).tolist()}


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
