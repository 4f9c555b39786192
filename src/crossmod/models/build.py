"""A network from its config, and its weights to and from safetensors."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from crossmod.job import UserError, whole

# Only these may be named by a config that comes from disk: a _target_ is code that runs.
ALLOWED = ("monai.networks.nets.", "crossmod.models.")


def build(model: dict[str, Any]) -> torch.nn.Module:
    """Instantiate the network that ``_target_`` names.

    Returns:
        A module that maps (B, C, D, H, W) images to (B, classes, D, H, W) logits.

    Raises:
        UserError: if the target is outside the allowed packages, or its arguments do not fit.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    import crossmod.models.parts  # noqa: F401  MONAI, the quick way, before the target names it

    target = str(model.get("_target_", ""))
    if not target.startswith(ALLOWED):
        raise UserError(f"model._target_ '{target}': only {' and '.join(ALLOWED)} are allowed.")
    try:
        return instantiate(model, _convert_="all")
    except InstantiationException as error:
        raise UserError(f"model: {error}") from error


def save_weights(network: torch.nn.Module, path: str | Path, facts: dict[str, Any]) -> None:
    """Store weights as safetensors, whole or not at all, with facts as JSON in the file's header."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with whole(path) as partial:
        # One key: several would be written in an order that differs from run to run.
        save_file(state, partial, metadata={"crossmod": json.dumps(facts, sort_keys=True)})


def load_weights(network: torch.nn.Module, path: str | Path) -> torch.nn.Module:
    """Load safetensors into a network of the same shape and put it into evaluation mode.

    Raises:
        UserError: if the file is missing, damaged or of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such weights.")
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: not the weights of this network ({str(error).splitlines()[0]}).") from error
    return network.eval()
