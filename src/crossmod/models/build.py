"""A network from its config, and its weights to and from safetensors."""

import contextlib
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.nn.modules.module import register_module_parameter_registration_hook

from crossmod.job import UserError, whole
from crossmod.models.allowed import target_problem

# ASSUME: no 3-D network is larger; the largest that may be named has 62 million parameters in some hundred tensors.
MOST_PARAMETERS = 500_000_000
MOST_TENSORS = 20_000
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}  # that weights are stored in


def build(model: dict[str, Any]) -> torch.nn.Module:
    """The network that ``_target_`` names, with the other keys as its arguments.

    Returns:
        A module that maps (B, 1, X, Y, Z) images to (B, 2, X, Y, Z) logits.

    Raises:
        UserError: if the target is no allowed network, or its arguments are not plain, do not fit or make it too large.
    """
    problem = target_problem(model)
    if problem:
        raise UserError(f"{problem}.")
    network = _network(model["_target_"])
    arguments = {key: value for key, value in model.items() if key != "_target_"}
    try:
        with _of_bounded_size():
            return network(**arguments)
    except UserError:
        raise
    except Exception as error:  # a network checks its arguments in ways of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"model: {model['_target_']} cannot be built of these arguments: {reason[:300]}") from error


def _network(target: str) -> type[torch.nn.Module]:
    """The class of a network; nothing but a class of networks is ever called."""
    import crossmod.models.parts  # noqa: F401  MONAI, the quick way, before the target names it

    module, name = target.rsplit(".", 1)
    found = getattr(importlib.import_module(module), name, None)
    if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
        raise UserError(f"model._target_: {target} is not a network of the MONAI that is installed.")
    return found


@contextlib.contextmanager
def _of_bounded_size() -> Iterator[None]:
    """Stop a network that grows without bounds while it is built, before its memory is touched."""
    size, tensors = 0, 0

    def count(_module: torch.nn.Module, _name: str, parameter: torch.nn.Parameter | None) -> None:
        nonlocal size, tensors
        size, tensors = size + (0 if parameter is None else parameter.numel()), tensors + 1
        if size > MOST_PARAMETERS or tensors > MOST_TENSORS:
            raise UserError(
                f"model: its arguments make a network of more than {MOST_PARAMETERS:,} parameters or {MOST_TENSORS:,} "
                "tensors; use fewer channels or layers."
            )

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


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
        state = load_file(path)
        network.load_state_dict(state)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise UserError(f"{path}: not the weights of this network ({' '.join(str(error).split())[:200]}).") from error
    for name, own in network.state_dict().items():
        kind = state[name].dtype
        # torch rounds or cuts what it is given to the network's own kind without a word.
        if kind != own.dtype and not {kind, own.dtype} <= FLOATS:
            raise UserError(f"{path}: not the weights of this network ({name} holds values of type {kind}).")
        if not torch.isfinite(own).all():
            raise UserError(
                f"{path}: damaged weights: {name} holds numbers that are not finite. Train this network again."
            )
    return network.eval()
