"""A trained stage: probabilities of an array on the stage's grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit, logit

from crossmod.models.build import build, load_weights
from crossmod.models.hardware import Hardware, hardware_for
from crossmod.models.parts import SlidingWindowInferer
from crossmod.scans.box import window

# ASSUME: no training is surer than this; one alone then cannot decide against all others.
LEAST_DOUBT = 1e-6


@dataclass(frozen=True)
class TrainedStage:
    """A stage's network with its config as it was trained.

    Attributes:
        stage: config of the stage.
        network: in evaluation mode.
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
        return cls.of(load_weights(build(model), weights), stage, precision)

    @classmethod
    def of(cls, network: torch.nn.Module, stage: dict[str, Any], precision: str) -> "TrainedStage":
        """A network at hand, laid out for this machine."""
        machine = hardware_for(network, stage["patch"], precision)
        return cls(stage, machine.lay_out(network.eval()).to(machine.device()), machine)

    @cached_property
    def _windows(self) -> SlidingWindowInferer:
        return SlidingWindowInferer(
            self.stage["patch"],
            sw_batch_size=2,
            overlap=self.stage["overlap"],
            mode="gaussian",
            sigma_scale=0.125,
            padding_mode="replicate",
            cache_roi_weight_map=True,
        )

    def probability(self, image: np.ndarray, background: float) -> np.ndarray:
        """Foreground probability: (X, Y, Z) normalised image → (X, Y, Z) float32.

        Overlapping windows of the training patch's size are blended by a Gaussian (nnU-Net's inference). Around an image smaller
        than a patch lies ``background``, on both sides, as in training: a thin slab is mostly that.
        """
        shape = np.array(image.shape)
        size = np.maximum(shape, self.stage["patch"])
        low = (size - shape) // 2
        padded = window(np.asarray(image, dtype=np.float32), -low, size, background)
        inside = tuple(slice(a, a + n) for a, n in zip(low, shape, strict=True))
        return self._blended(padded)[inside]

    def _blended(self, image: np.ndarray) -> np.ndarray:
        """Windows of an image at least as large as a patch."""
        x = torch.from_numpy(image)[None, None].to(self.machine.device())
        x = x.contiguous(memory_format=self.machine.layout)
        with torch.inference_mode(), self.machine.autocast():
            logits = self._windows(x, self.network)
            # Of two classes: the softmax is a sigmoid of the difference.
            return torch.sigmoid((logits[0, 1] - logits[0, 0]).float()).cpu().numpy()


@dataclass(frozen=True)
class Ensemble:
    """Several trainings of one stage: pooled they hang less on a seed, and what each finds alone says how sure they are."""

    members: tuple[TrainedStage, ...]

    @property
    def stage(self) -> dict[str, Any]:
        """Config of the stage, the same for all."""
        return self.members[0].stage

    def probability(self, image: np.ndarray, background: float) -> np.ndarray:
        """Pooled foreground probability; see `TrainedStage.probability`."""
        return pooled([member.probability(image, background) for member in self.members])


def pooled(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """Their logarithmic pool (Genest and Zidek, Statistical Science 1986): the mean of the logits, as a probability.

    Where half of the trainings are sure and half in doubt, the mean of the probabilities wavers about one half.
    """
    if len(probabilities) == 1:
        return probabilities[0]
    logits = [logit(np.clip(p, LEAST_DOUBT, 1 - LEAST_DOUBT)) for p in probabilities]
    return expit(np.mean(logits, axis=0))
