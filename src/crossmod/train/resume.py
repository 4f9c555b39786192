"""The state that a killed training goes on from: kept whole or not at all, and used only where it is undamaged and this
training's own.
"""

import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from crossmod.job import whole

LAST = "last.ckpt"


class LastState(Checkpoint):
    """Keeps the state a killed training goes on from: whole or not at all, at the end of an epoch.

    Inside an epoch Lightning cannot resume a data loader. Its ``ModelCheckpoint`` keeps no last state without a best
    one (``save_last`` with ``save_top_k=0``, Lightning 2.6), and may leave half a file where the folder for temporary
    files lies on another disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the state of network, optimiser, loops and curve."""
        with whole(self.path) as partial:
            trainer.save_checkpoint(partial)


def step_to_resume(path: Path, module: LightningModule, steps: int, callback: str) -> int | None:
    """The step that a state on disk goes on from; None where there is none that can be used.

    A state that is damaged, or of another training, is set aside with a warning: the training then starts again.

    Args:
        path: of the state.
        module: what is trained.
        steps: of the whole training.
        callback: whose state must be there as well.
    """
    if not path.exists():
        return None
    try:
        return _step(_read(path), module, steps, callback)
    except Exception as error:  # what damage leads to has no bounds
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        print(
            f"warning: {path} cannot be resumed from ({reason}). It is kept as {aside.name}, and the training starts "
            "anew.",
            file=sys.stderr,
            flush=True,
        )
        return None


def _read(path: Path) -> dict[str, Any]:
    """A state as plain tensors and values. torch itself compares no checksums; nothing is unpickled but what is
    harmless.
    """
    with zipfile.ZipFile(path) as parts:
        damaged = parts.testzip()
    if damaged:
        raise ValueError(f"its part {damaged} is damaged")
    return torch.load(path, map_location="cpu", weights_only=True)


def _step(state: dict[str, Any], module: LightningModule, steps: int, callback: str) -> int:
    own, found = module.state_dict(), state["state_dict"]
    if {name: tensor.shape for name, tensor in own.items()} != {name: tensor.shape for name, tensor in found.items()}:
        raise ValueError("it is of another network")
    (optimiser,) = state["optimizer_states"]
    if not _fits(optimiser["state"], [parameter.shape for parameter in module.network.parameters()]):
        raise ValueError("its optimiser is of another network")
    step = state["global_step"]
    if not (isinstance(step, int) and 0 < step <= steps):
        raise ValueError(f"its step {step} is none of this training's {steps}")
    if "fit_loop" not in state["loops"] or len(state["lr_schedulers"]) != 1:
        raise ValueError("it is of another version")
    if not all(row["step"] <= step for row in state["callbacks"][callback]["rows"]):
        raise ValueError("its curve goes beyond its step")
    return step


def _fits(state: dict[int, dict[str, Any]], shapes: list[torch.Size]) -> bool:
    """Whether what an optimiser remembers of each parameter has the parameter's shape, or is a count.

    Of parameters that have no gradient it remembers nothing; without momentum, of none.
    """
    return all(
        number < len(shapes) and value.shape in (torch.Size(), shapes[number])
        for number, kept in state.items()
        for value in kept.values()
        if isinstance(value, torch.Tensor)
    )
