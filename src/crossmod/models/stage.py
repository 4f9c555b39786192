"""A study's network, made to fit one of its stages."""

from typing import Any

import torch

from crossmod.models.build import build
from crossmod.models.thin import for_patch
from crossmod.stages import outputs_of

# Networks that tell whether something is present by their encoder alone: the decoder learns nothing from it.
ENCODING = ("crossmod.models.encoder_decoder.EncoderDecoder", "crossmod.models.patchwise.PatchedEncoderDecoder")


def fitted(model: dict[str, Any], stage: dict[str, Any]) -> dict[str, Any]:
    """A network's config with the number of channels that a stage needs, and with a decoder where it needs one."""
    filled_in: dict[str, Any] = {"out_channels": outputs_of(stage)}
    if model.get("_target_") in ENCODING:
        filled_in["decodes"] = stage.get("learns") != "presence"
    return model | filled_in


def build_for(model: dict[str, Any], stage: dict[str, Any]) -> torch.nn.Module:
    """The network of a stage.

    Args:
        model: ``_target_`` and arguments; ``out_channels`` is filled in.
        stage: its ``classes`` or what it ``learns``, and its ``patch``.

    Returns:
        A module that maps (B, 1, X, Y, Z) images to (B, C, X, Y, Z) logits, whatever its own dimensions are; in
        training perhaps to several of them (:func:`crossmod.models.heads.heads`), and to (B, 1) where an encoder alone
        tells whether something is present.

    Raises:
        UserError: if the network cannot be built, or does not take the stage's patches.
    """
    return for_patch(build(fitted(model, stage)), stage["patch"])
