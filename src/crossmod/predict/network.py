"""A trained stage: probabilities of an array on the stage's grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit, logit, softmax

from crossmod.job import UserError
from crossmod.models.build import load_weights
from crossmod.models.hardware import Hardware, hardware_for
from crossmod.models.heads import heads
from crossmod.models.norms import without_norms
from crossmod.models.parts import SlidingWindowInferer
from crossmod.models.patchwise import Patchwise
from crossmod.models.stage import build_for
from crossmod.scans.box import box_between, window

# ASSUME: no training is surer than this; one alone then cannot decide against all others.
LEAST_DOUBT = 1e-6
# Windows that are computed together: a patch one voxel thick has few voxels, and pays for each call.
WINDOWS, THIN_WINDOWS = 2, 16
WHOLE = -1  # side of a window as long as the image, as MONAI calls it


@dataclass(frozen=True)
class TrainedStage:
    """A stage's network with its config as it was trained.

    Attributes:
        stage: config of the stage; ``classes``, ``patch`` and ``overlap`` are read here.
        network: in evaluation mode; (B, 1, X, Y, Z) images → (B, K+1, X, Y, Z) logits of the background and K classes.
        machine: how it is computed.
    """

    stage: dict[str, Any]
    network: torch.nn.Module
    machine: Hardware

    @classmethod
    def load(cls, weights: Path, stage: dict[str, Any], model: dict[str, Any], precision: str) -> "TrainedStage":
        """Build the network and load its weights.

        Raises:
            UserError: if the weights are missing or do not fit.
        """
        return cls.of(load_weights(build_for(model, stage), weights), stage, precision)

    @classmethod
    def of(cls, network: torch.nn.Module, stage: dict[str, Any], precision: str) -> "TrainedStage":
        """A network at hand, laid out for this machine."""
        machine = hardware_for(network, stage["patch"], precision)
        return cls(stage, machine.lay_out(without_norms(network.eval())).to(machine.device()), machine)

    @cached_property
    def _windows(self) -> SlidingWindowInferer:
        patch = self.stage["patch"]
        if isinstance(self.network, Patchwise):
            # It cuts its patches itself: windows are whole planes, one at a time.
            return SlidingWindowInferer([1 if voxels == 1 else WHOLE for voxels in patch], overlap=0.0)
        return SlidingWindowInferer(
            patch,
            sw_batch_size=THIN_WINDOWS if min(patch) == 1 else WINDOWS,
            # Windows one voxel thick cannot overlap along that axis.
            overlap=[0.0 if voxels == 1 else self.stage["overlap"] for voxels in patch],
            mode="gaussian",
            sigma_scale=0.125,
            padding_mode="replicate",
            cache_roi_weight_map=True,
        )

    def probability(self, image: np.ndarray, background: float) -> np.ndarray:
        """Probabilities of the classes: (X, Y, Z) normalised image → float32.

        Overlapping windows of the training patch's size are blended by a Gaussian (nnU-Net's inference); a network that
        cuts planes into patches itself is given whole planes. Around an image smaller than a patch lies ``background``,
        on both sides, as in training: a thin slab is mostly that.

        Returns:
            (X, Y, Z) of a stage with one class; (K+1, X, Y, Z) of one with K classes, the background first.

        Raises:
            UserError: if the network tells another number of classes apart.
        """
        shape = np.array(image.shape)
        size = np.maximum(shape, self.stage["patch"])
        low = (size - shape) // 2
        padded = window(np.asarray(image, dtype=np.float32), -low, size, background)
        x, y, z = box_between(low, low + shape)
        return self._blended(padded)[..., x, y, z]

    def _blended(self, image: np.ndarray) -> np.ndarray:
        """Windows of an image at least as large as a patch."""
        x = self.machine.arrange(torch.from_numpy(image)[None, None].to(self.machine.device()))
        with torch.inference_mode(), self.machine.autocast():
            logits = self._windows(x, lambda part: heads(self.network(part))[0])[0]  # (K+1, X, Y, Z)
            self._refuse_other_classes(len(logits) - 1)
            if len(logits) == 2:
                # Of two classes the softmax is a sigmoid of the difference.
                return torch.sigmoid((logits[1] - logits[0]).float()).cpu().numpy()
            return torch.softmax(logits.float(), dim=0).cpu().numpy()

    def _refuse_other_classes(self, found: int) -> None:
        classes = self.stage["classes"]
        if found != len(classes):
            raise UserError(
                f"The network tells {found} classes from the background, and its stage has {len(classes)} "
                f"({', '.join(classes)}): set the model's out_channels to {len(classes) + 1}, and train it again."
            )


@dataclass(frozen=True)
class Ensemble:
    """Several trainings of one stage.

    Pooled, they depend less on a seed or a fold; apart, they show how sure they are.
    """

    members: tuple[TrainedStage, ...]

    @property
    def stage(self) -> dict[str, Any]:
        """Config of the stage, the same for all."""
        return self.members[0].stage

    def probability(self, image: np.ndarray, background: float) -> np.ndarray:
        """Pooled probabilities; see :meth:`TrainedStage.probability`."""
        return pooled([member.probability(image, background) for member in self.members])


def pooled(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """Their logarithmic pool (Genest and Zidek, Statistical Science 1986): the mean of the logits, as a probability.

    Of several classes it is the mean of the log-probabilities, renormalised. Where half of the trainings are sure and
    half in doubt, the mean of the probabilities wavers about one half.

    Args:
        probabilities: one array per training: (X, Y, Z) of one class, or (K+1, X, Y, Z) of several.

    Returns:
        An array of the same shape; of a single training its own.
    """
    if len(probabilities) == 1:
        return probabilities[0]
    if probabilities[0].ndim == 4:
        return softmax(np.mean([np.log(np.maximum(p, LEAST_DOUBT)) for p in probabilities], axis=0), axis=0)
    logits = [logit(np.clip(p, LEAST_DOUBT, 1 - LEAST_DOUBT)) for p in probabilities]
    return np.asarray(expit(np.mean(logits, axis=0)))
