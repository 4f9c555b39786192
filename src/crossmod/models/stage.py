"""A study's network, made to fit one of its stages."""

from typing import Any

import torch

from crossmod.models.build import build
from crossmod.models.thin import for_patch
from crossmod.stages import outputs_of


def fitted(model: dict[str, Any], stage: dict[str, Any]) -> dict[str, Any]:
    """A network's config with the number of channels that a stage needs."""
    return model | {"out_channels": outputs_of(stage)}


def build_for(model: dict[str, Any], stage: dict[str, Any]) -> torch.nn.Module:
    """The network of a stage.

    Args:
        model: ``_target_`` and arguments; ``out_channels`` is filled in.
        stage: its ``classes`` or what it ``learns``, and its ``patch``.

    Returns:
        A module that maps (B, 1, X, Y, Z) images to (B, C, X, Y, Z) logits, whatever its own dimensions are; in
        training perhaps to several of them (:func:`crossmod.models.heads.heads`).

    Raises:
        UserError: if the network cannot be built, or does not take the stage's patches.
    """
    return for_patch(build(fitted(model, stage)), stage["patch"])
