"""Which patch is drawn when: a pure function of (seed, sample number), so that a resumed run goes on unchanged."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import Dataset, Sampler

from crossmod.prepare.arrays import Prepared
from crossmod.scans.box import window
from crossmod.train.augment import Augment

# Patches are read this much larger than the network sees them, so that rotation and scaling find real voxels.
AFFINE_MARGIN = 1.25


class Schedule:
    """Which case is drawn as the i-th sample.

    ``natural``: every case equally often, in a new order each pass. ``modality``: CT and MR take turns, and every case
    of a modality comes equally often.
    """

    def __init__(self, modalities: Sequence[str], seed: int, balance: str) -> None:
        names = sorted(set(modalities)) if balance == "modality" else ["all"]
        self.groups = [
            np.array([i for i, modality in enumerate(modalities) if name in ("all", modality)]) for name in names
        ]
        self.seed = seed

    def case(self, sample: int) -> int:
        """Number of the case drawn as this sample."""
        which = sample % len(self.groups)
        turn, place = divmod(sample // len(self.groups), len(self.groups[which]))
        order = np.random.default_rng([self.seed, which, turn]).permutation(len(self.groups[which]))
        return int(self.groups[which][order[place]])


class Patches(Dataset):
    """Augmented patches of prepared cases.

    Args:
        cases: prepared cases of one stage.
        stage: config of the stage (region, patch, spacing_mm, jitter_mm).
        training: config of the training (foreground, balance, augmentation).
        seed: of everything random.

    An item is ``{"image": (1, X, Y, Z) float32, "label": (1, X, Y, Z) int64}``.
    """

    def __init__(self, cases: Sequence[Prepared], stage: dict, training: dict, seed: int) -> None:
        self.region = stage["region"]
        self.patch = np.array(stage["patch"])
        self.jitter = stage["jitter_mm"] / np.array(stage["spacing_mm"])
        self.foreground = training["foreground"]
        self.cases = [case for case in cases if case.boxes or self.region == "image"]
        self.schedule = Schedule([case.modality for case in self.cases], seed, training["balance"])
        self.augment = Augment(training["augmentation"], tuple(stage["patch"]))
        self.seed = seed

    def __getitem__(self, sample: int) -> dict:
        case = self.cases[self.schedule.case(sample)]
        rng = np.random.default_rng([self.seed, 7, sample])
        transform = self.augment.draw(rng)
        size = np.ceil(self.patch * AFFINE_MARGIN).astype(int) if transform.moves else self.patch
        low = self._centre(case, rng) - size // 2
        image = window(case.image, low, size, case.background)
        label = window(case.label, low, size, 0)
        return transform(image, label)

    def _centre(self, case: Prepared, rng: np.random.Generator) -> np.ndarray:
        shape = np.array(case.image.shape)
        if self.region == "kidney":
            sides = sorted(case.boxes)
            low, high = case.boxes[sides[rng.integers(len(sides))]]
            jitter = rng.uniform(-self.jitter, self.jitter)
            return np.round((np.array(low) + np.array(high)) / 2 + jitter).astype(int)
        if rng.random() < self.foreground and len(case.foreground):
            centre = case.foreground[rng.integers(len(case.foreground))].astype(int)
        else:
            centre = np.array([rng.integers(n) for n in shape])
        # The patch stays inside the image where the image is large enough; else it is centred on it.
        half = self.patch // 2
        clamped = np.clip(centre, half, np.maximum(shape - (self.patch - half), half))
        return np.where(shape > self.patch, clamped, shape // 2)


class Onward(Sampler):
    """Sample numbers of one epoch after another, counted from the optimiser step that has been reached.

    A resumed training so draws what it would have drawn undisturbed, whatever Lightning makes of its epochs: resumed at
    the end of one, version 2.6 runs a shortened epoch and skips the samples of the rest.

    Args:
        samples_per_epoch: how many.
        batch: samples per step.
        step: gives the number of optimiser steps done.
    """

    def __init__(self, samples_per_epoch: int, batch: int, step: Callable[[], int]) -> None:
        self.samples_per_epoch, self.batch, self.step = samples_per_epoch, batch, step

    def __iter__(self) -> Iterator[int]:
        first = self.step() * self.batch
        return iter(range(first, first + self.samples_per_epoch))

    def __len__(self) -> int:
        return self.samples_per_epoch
