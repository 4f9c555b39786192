"""A network from its config, and its weights to and from safetensors."""

import contextlib
import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.nn.modules.module import register_module_parameter_registration_hook

from crossmod.job import UserError, whole
from crossmod.models.allowed import NETWORKS, Allowed, arguments_of, target_problem

# ASSUME: no 3-D network is larger; the largest that may be named has 62 million parameters in some hundred tensors.
MOST_PARAMETERS = 500_000_000
MOST_TENSORS = 20_000
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}  # that weights are stored in


def build(model: dict[str, Any]) -> torch.nn.Module:
    """The network that ``_target_`` names, with the other keys as its arguments.

    Returns:
        A module that maps (B, 1, X, Y, Z) images, or (B, 1, X, Y) ones, to (B, C, X, Y, Z) logits.

    Raises:
        UserError: if the target is no allowed network, or its arguments are not plain, do not fit or make it too large.
    """
    with _of_bounded_size():
        return made(model, NETWORKS, torch.nn.Module)


def made(config: dict[str, Any], allowed: Allowed, kind: type, *given: Any, **filled_in: Any) -> Any:
    """An object of the class that ``_target_`` names, with the other keys as its arguments.

    Args:
        config: ``_target_`` and arguments.
        allowed: what it may name.
        kind: of the class; nothing but a class of that kind is ever called.
        given: further arguments that are not the config's, before its own.
        filled_in: further arguments by name; the config's own come first.

    Raises:
        UserError: if the target is not allowed, or its arguments are not plain or do not fit.
    """
    problem = target_problem(config, allowed)
    if problem:
        raise UserError(f"{problem}.")
    found = _named(config["_target_"], allowed, kind)
    try:
        return found(*given, **filled_in | arguments_of(config))
    except UserError:
        raise
    except Exception as error:  # a class checks its arguments in ways of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{allowed.key}: {config['_target_']} cannot be built of these arguments: {reason[:300]}"
        ) from error


def _named(target: str, allowed: Allowed, kind: type) -> type:
    import crossmod.models.parts  # noqa: F401  MONAI, the quick way, before the target names it

    module, name = target.rsplit(".", 1)
    found = getattr(importlib.import_module(module), name, None)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise UserError(f"{allowed.key}._target_: {target} is not {allowed.what} of the libraries that are installed.")
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
    own = network.state_dict()
    state = {name: own[name].detach().cpu().contiguous() for name in dict.fromkeys(_first_names(own).values())}
    with whole(path) as partial:
        # One key: several would be written in an order that differs from run to run.
        save_file(state, partial, metadata={"crossmod": json.dumps(facts, sort_keys=True)})


def load_weights(network: torch.nn.Module, path: str | Path) -> torch.nn.Module:
    """Load safetensors into a network of the same shape and put it into evaluation mode.

    Raises:
        UserError: if the file is missing, damaged or of another network.
    """
    state = _read(path, network)
    _load(network, state, path)
    _refuse_damaged(network, state, path)
    return network.eval()


@dataclass(frozen=True)
class Start:
    """What became of a network that started from the weights of another.

    Attributes:
        loaded: names of its tensors that were loaded.
        new: names of those that were left as they were drawn, as the file has none of their name and shape.
        unused: names of the file's tensors that found no place.
    """

    loaded: list[str]
    new: list[str]
    unused: list[str]


def start_from(network: torch.nn.Module, path: str | Path) -> Start:
    """Load those tensors of a safetensors file that have the name and shape of one of the network's own.

    Raises:
        UserError: if the file is missing or damaged, or no kernel in it fits: biases fit by chance.
    """
    state, own = _read(path, network), network.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    if not any(tensor.ndim > 1 for tensor in fitting.values()):
        raise UserError(
            f"{path}: no kernel of these weights fits the network, by name and shape. Start from a training of "
            "the same kind of network, or from none."
        )
    _load(network, own | fitting, path)
    _refuse_damaged(network, fitting, path)
    return Start(list(fitting), [name for name in own if name not in fitting], sorted(set(state) - set(fitting)))


def _first_names(state: dict[str, torch.Tensor]) -> dict[str, str]:
    """Name → the first name of the same tensor. MONAI's DynUNet knows its blocks by two names, and files hold them
    once.
    """
    first: dict[tuple[int, torch.Size], str] = {}
    return {
        name: first.setdefault((tensor.data_ptr(), tensor.shape), name) if tensor.numel() else name
        for name, tensor in state.items()
    }


def _read(path: str | Path, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Name → tensor of a file, under all names that the network has for it."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such weights.")
    try:
        state = load_file(path)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise _foreign(path, error) from error
    names = _first_names(network.state_dict())
    return {name: state[first] for name, first in names.items() if first in state} | state


def _load(network: torch.nn.Module, state: dict[str, torch.Tensor], path: str | Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise _foreign(path, error) from error


def _foreign(path: str | Path, error: Exception) -> UserError:
    return UserError(f"{path}: not the weights of this network ({' '.join(str(error).split())[:200]}).")


def _refuse_damaged(network: torch.nn.Module, loaded: dict[str, torch.Tensor], path: str | Path) -> None:
    own = network.state_dict()
    for name, tensor in loaded.items():
        # torch rounds or cuts what it is given to the network's own kind without a word.
        if tensor.dtype != own[name].dtype and not {tensor.dtype, own[name].dtype} <= FLOATS:
            raise UserError(f"{path}: not the weights of this network ({name} holds values of type {tensor.dtype}).")
        if not torch.isfinite(own[name]).all():
            raise UserError(
                f"{path}: damaged weights: {name} holds numbers that are not finite. Train this network again."
            )
