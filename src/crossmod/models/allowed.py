"""Which networks a config may name, and with which arguments: data from disk must never run code.

This module loads no library, so that a study's config can be checked in a moment.
"""

import math
import re
from typing import Any

# Networks that map one 3-D image to logits, take plain values, and neither read nor download nor import anything by
# name. FlexibleUNet imports what its `backbone` names, HyenaNDUNETR builds classes from configs, others load weights:
# they stay out.
OF_MONAI = ("AttentionUnet", "BasicUNet", "DynUNet", "HighResNet", "SegResNet", "UNet", "VNet")
NETWORKS = frozenset([*(f"monai.networks.nets.{name}" for name in OF_MONAI), "crossmod.models.unet.UnfoldingUNet"])
# What the two stages need: one image in, two logits out (background, foreground), in three dimensions.
FIXED = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
# ASSUME: no network has a number, a list, a text or a nesting beyond these; the widest of the field have 2048 channels.
LARGEST_NUMBER = 65536
LONGEST_LIST = 64
LONGEST_TEXT = 100
DEEPEST = 4
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def target_problem(model: Any) -> str | None:
    """What is wrong with a network's config; None where it is harmless.

    Args:
        model: ``_target_``, the network's class, and its arguments.

    Returns:
        A sentence that begins with the key at fault and says what is allowed.
    """
    if not isinstance(model, dict):
        return f"model: a network is given as its _target_ and its arguments, not as {_shown(model)}"
    target = model.get("_target_", "")
    if not isinstance(target, str) or target not in NETWORKS:
        names = f"monai.networks.nets.({', '.join(OF_MONAI)}) and crossmod.models.unet.UnfoldingUNet"
        return f"model._target_: {_shown(target)} is not a network that a config may name; only {names} are"
    arguments = {key: value for key, value in model.items() if key != "_target_"}
    return _problem("model", arguments, DEEPEST) or _unfit(arguments)


def _problem(key: str, value: Any, depth: int) -> str | None:
    """The first value that is not plain, by its full key."""
    if depth < 0:
        return f"{key}: arguments are nested more deeply than a network needs"
    if isinstance(value, dict):
        wrong = next((name for name in value if not (isinstance(name, str) and _NAME.fullmatch(name))), None)
        if wrong is not None:
            return f"{key}: {_shown(wrong)} is no name of an argument; nothing nested is built, imported or called"
        parts = [(f"{key}.{name}", item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(f"{key}[{number}]", item) for number, item in enumerate(value)]
    else:
        return _not_plain(key, value)
    if len(parts) > LONGEST_LIST:
        return f"{key}: {len(parts)} values are more than the {LONGEST_LIST} that are allowed"
    return next(filter(None, (_problem(name, item, depth - 1) for name, item in parts)), None)


def _not_plain(key: str, value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT or "${" in value or not value.isprintable():
            return f"{key}: {_shown(value)} is no plain text of at most {LONGEST_TEXT} letters, without ${{...}}"
        return None
    if not isinstance(value, int | float):
        return f"{key}: {_shown(value)} is no plain value; numbers, text, true, false, null, lists and mappings are"
    if not math.isfinite(value) or abs(value) > LARGEST_NUMBER:
        return f"{key}: {_shown(value)} is outside -{LARGEST_NUMBER} to {LARGEST_NUMBER}"
    return None


def _unfit(arguments: dict[str, Any]) -> str | None:
    for name, needed in FIXED.items():
        if name in arguments and (isinstance(arguments[name], bool) or arguments[name] != needed):
            return f"model.{name}: {_shown(arguments[name])} must be {needed}: one image comes in, two logits go out"
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
