"""Which patch is drawn when: a pure function of (seed, sample number), so that a resumed run goes on unchanged."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.ndimage import binary_erosion, generate_binary_structure
from torch.utils.data import Dataset, Sampler

from crossmod.job import UserError
from crossmod.models.thin import thin_axis
from crossmod.prepare.stored import Prepared
from crossmod.scans.box import window
from crossmod.scans.grid import filled_spacing_mm
from crossmod.train.augment import Augment, Change
from crossmod.train.degrade import Degrade

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
        stage: config of the stage (region, patch, spacing_mm, jitter_mm, learns, degrade).
        training: config of the training (foreground, boundary, off_centre, balance, augmentation).
        seed: of everything random.

    An item is ``{"image": (1, X, Y, Z) float32, "label": (1, X, Y, Z) int64}``. Where images are to be restored,
    ``image`` is degraded and ``target`` is what it was.

    Raises:
        UserError: if no case has a box, where the stage looks into boxes.
    """

    def __init__(self, cases: Sequence[Prepared], stage: dict, training: dict, seed: int) -> None:
        self.region = stage["region"]
        self.patch = np.array(stage["patch"])
        self.thin = thin_axis(stage["patch"])
        self.spacing_mm, self.jitter_mm = stage["spacing_mm"], stage.get("jitter_mm") or 0.0
        self.foreground, self.boundary = training["foreground"], training["boundary"]
        self.off_centre = training["off_centre"]
        self.cases = [case for case in cases if case.boxes or self.region == "image"]
        if not self.cases:
            raise UserError(
                f"None of the {len(cases)} training cases has a box to look into: their labels have no voxel of stage "
                f"'{self.region}', the region of this one. Train on cohorts that label it, or choose region: image."
            )
        self.schedule = Schedule([case.modality for case in self.cases], seed, training["balance"])
        self.augment = Augment(training["augmentation"], tuple(stage["patch"]))
        self.degrade = Degrade(**stage.get("degrade") or {}) if stage.get("learns") == "reconstruction" else None
        self.seed = seed
        self.edges: dict[int, np.ndarray] = {}

    def prior(self, samples: int) -> float:
        """The share of the first patches that hold foreground, before they are rotated and scaled."""
        held = 0
        for sample in range(samples):
            _, _, case, low, size = self._drawn(sample)
            held += bool(window(case.label, low + (size - self.patch) // 2, self.patch, 0).any())
        return held / samples

    def _drawn(self, sample: int) -> tuple[np.random.Generator, Change, Prepared, np.ndarray, np.ndarray]:
        """Generator, transform and case of a sample, with low corner and size of the window that is read."""
        case = self.cases[self.schedule.case(sample)]
        rng = np.random.default_rng([self.seed, 7, sample])
        transform = self.augment.draw(rng)
        return rng, transform, case, *self._place(case, rng, transform.moves)

    def __getitem__(self, sample: int) -> dict:
        rng, transform, case, low, size = self._drawn(sample)
        image = window(case.image, low, size, case.background)
        label = window(case.label, low, size, 0)
        item = transform(image, label)
        if self.degrade:
            item |= {"image": self.degrade(item["image"], rng), "target": item["image"]}
        return item

    def _place(self, case: Prepared, rng: np.random.Generator, moves: bool) -> tuple[np.ndarray, np.ndarray]:
        """Low corner and size of the window that is read: larger than the patch where voxels move."""
        size = np.ceil(self.patch * AFFINE_MARGIN).astype(int) if moves else self.patch.copy()
        if self.thin is not None:
            size[self.thin] = 1
        return self._centre(case, rng) - size // 2, size

    def _centre(self, case: Prepared, rng: np.random.Generator) -> np.ndarray:
        shape = np.array(case.image.shape)
        if self.region != "image":
            return self._in_box(case, rng)
        drawn = rng.random()
        if drawn < self.foreground and len(case.foreground):
            centre = self._beside(_foreground(case, rng), rng)
        elif drawn < self.foreground + self.boundary and len(edge := self._edge(case)):
            centre = self._beside(edge[rng.integers(len(edge))], rng)
        else:
            centre = np.array([rng.integers(n) for n in shape])
        # The patch stays inside the image where the image is large enough; else it is centred on it.
        half = self.patch // 2
        clamped = np.clip(centre, half, np.maximum(shape - (self.patch - half), half))
        return np.where(shape > self.patch, clamped, shape // 2)

    def _beside(self, voxel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The middle of a patch that holds a voxel: the voxel itself, or one as far beside it as the config lets.

        In a patch little larger than what is learnt, a network would else learn that it lies in the middle.
        """
        if not self.off_centre:
            return voxel
        far = self.off_centre * ((self.patch - 1) // 2)
        return voxel + np.round(rng.uniform(-far, far)).astype(int)

    def _edge(self, case: Prepared) -> np.ndarray:
        """(N, 3) voxels of the foreground with one beside them that is none, in the planes of a thin patch."""
        if id(case) not in self.edges:
            cross = generate_binary_structure(3, 1)
            cross = cross if self.thin is None else cross.take([1], axis=self.thin)
            found = np.asarray(case.label) > 0
            self.edges[id(case)] = np.argwhere(found & ~binary_erosion(found, cross, border_value=1))
        return self.edges[id(case)]

    def _in_box(self, case: Prepared, rng: np.random.Generator) -> np.ndarray:
        """About the middle of a unit's box; a thin patch lies anywhere along it."""
        units = sorted(case.boxes)
        low, high = case.boxes[units[rng.integers(len(units))]]
        jitter = self.jitter_mm / filled_spacing_mm(self.spacing_mm, case.grid.spacing_mm)
        centre = np.round((np.array(low) + np.array(high)) / 2 + rng.uniform(-jitter, jitter)).astype(int)
        if self.thin is not None:
            centre[self.thin] = rng.integers(low[self.thin], high[self.thin])
        return centre


def _foreground(case: Prepared, rng: np.random.Generator) -> np.ndarray:
    """A voxel of the foreground; of several classes that a case has, each is as likely, however small it is."""
    points = case.foreground
    values = case.label[tuple(points.T)]
    present = np.flatnonzero(np.bincount(values))
    if len(present) > 1:
        points = points[values == present[rng.integers(len(present))]]
    return points[rng.integers(len(points))].astype(int)


class Onward(Sampler):
    """Sample numbers of one epoch after another, counted from the optimiser step that has been reached.

    A resumed training therefore draws exactly what an uninterrupted one would, whatever Lightning makes of its
    epochs: resumed at the end of one, version 2.6 runs a shortened epoch and skips the samples of the rest.

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
