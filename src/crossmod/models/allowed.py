"""Which classes a config may name, and with which arguments: data from disk must never run code.

A config gives a network, an optimiser, a schedule or a loss as ``_target_``, one name of a closed list, and its
arguments as plain values. This module loads no library, so that a study's config can be checked in a moment.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# ASSUME: no network has a number, a list, a text or a nesting beyond these; the widest of the field have 2048 channels.
LARGEST_NUMBER = 65536
LONGEST_LIST = 64
LONGEST_TEXT = 100
DEEPEST = 4
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Allowed:
    """The classes that one key of a config may name.

    Attributes:
        key: of the config.
        what: a class of them is, with its article.
        packages: package → names of its classes.
        unfit: what is wrong with plain arguments, by the full key; None where nothing is.
    """

    key: str
    what: str
    packages: dict[str, tuple[str, ...]]
    unfit: Callable[[str, dict[str, Any]], str | None] = lambda _key, _arguments: None

    @property
    def targets(self) -> frozenset[str]:
        """Full names of the classes."""
        return frozenset(f"{package}.{name}" for package, names in self.packages.items() for name in names)

    @property
    def shown(self) -> str:
        """The names, for a message."""
        return " and ".join(f"{package}.({', '.join(names)})" for package, names in self.packages.items())


def _unfit_network(key: str, arguments: dict[str, Any]) -> str | None:
    """One image comes in, of two or three dimensions; how many channels go out is filled in by the stage."""
    whole = {
        name: value for name, value in arguments.items() if name in ("spatial_dims", "in_channels", "out_channels")
    }
    for name, value in whole.items():
        if isinstance(value, bool) or not isinstance(value, int):
            return f"{key}.{name}: {_shown(value)} is no whole number"
    if whole.get("in_channels", 1) != 1:
        return f"{key}.in_channels: {whole['in_channels']} must be 1: one image comes in"
    if whole.get("spatial_dims", 3) not in (2, 3):
        return f"{key}.spatial_dims: {whole['spatial_dims']} must be 3, or 2 for patches one voxel thick"
    if not 1 <= whole.get("out_channels", 2) <= MOST_OUTPUTS:
        return f"{key}.out_channels: {whole['out_channels']} is outside 1 to {MOST_OUTPUTS}; a stage fills it in"
    return _unfit_patches(key, arguments) if "patch_size" in arguments else None


def _unfit_patches(key: str, arguments: dict[str, Any]) -> str | None:
    """Patches are cut from planes, leave no gap, and can be halved as often as the network does it."""
    size, step, strides = arguments["patch_size"], arguments.get("patch_stride"), arguments.get("strides")
    for name, value in (("patch_size", size), ("patch_stride", 1 if step is None else step)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            return f"{key}.{name}: {_shown(value)} is no whole number from 1"
    if arguments.get("spatial_dims", 3) != 2:
        return f"{key}.spatial_dims: patches of patch_size pixels are cut from planes; choose 2"
    if step is not None and step > size:
        return f"{key}.patch_stride: {step} leaves gaps between patches of {size} pixels; choose at most {size}"
    whole = math.prod(strides) if isinstance(strides, list) and all(type(n) is int for n in strides) else 1
    if whole > 0 and size % whole:
        return f"{key}.patch_size: {size} is no multiple of the network's stride {whole}; choose one"
    return None


def _unfit_optimiser(key: str, arguments: dict[str, Any]) -> str | None:
    """A learning rate is a number, and nothing that an optimiser takes is negative."""
    rate = arguments.get("lr", 1.0)
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        return f"{key}.lr: {_shown(rate)} is no number"
    for name, value in arguments.items():
        if isinstance(value, int | float) and value < 0:
            return f"{key}.{name}: {_shown(value)} is below 0"
    return None


# ASSUME: no stage tells more structures apart; TotalSegmentator has 117, and label arrays hold at most 255.
MOST_OUTPUTS = 256
# Networks that map one image to logits, take plain values, and neither read nor download nor import anything by
# name. FlexibleUNet imports what its `backbone` names, HyenaNDUNETR builds classes from configs, others load weights:
# they stay out.
OF_MONAI = ("AttentionUnet", "BasicUNet", "DynUNet", "HighResNet", "SegResNet", "UNet", "VNet")
NETWORKS = Allowed(
    "model",
    "a network",
    {
        "monai.networks.nets": OF_MONAI,
        "crossmod.models.unet": ("UnfoldingUNet",),
        "crossmod.models.encoder_decoder": ("EncoderDecoder",),
        "crossmod.models.patchwise": ("PatchedEncoderDecoder",),
        "crossmod.models.segnet": ("SegNet",),
        "crossmod.models.fcn": ("FCN",),
    },
    _unfit_network,
)
OPTIMISERS = Allowed("training.optimiser", "an optimiser", {"torch.optim": ("SGD", "AdamW", "Adam")}, _unfit_optimiser)
SCHEDULES = Allowed(
    "training.schedule",
    "a schedule",
    {
        "torch.optim.lr_scheduler": ("PolynomialLR", "CosineAnnealingLR", "StepLR", "OneCycleLR", "ConstantLR"),
        "crossmod.train.schedule": ("WarmupPolynomial", "WarmupCosine"),
    },
)
LOSSES = Allowed(
    "training.loss",
    "a loss",
    {
        "monai.losses": ("DiceCELoss", "DiceLoss", "DiceFocalLoss", "TverskyLoss", "GeneralizedDiceLoss"),
        "torch.nn": ("BCEWithLogitsLoss", "CrossEntropyLoss", "MSELoss", "L1Loss", "SmoothL1Loss"),
        "crossmod.train.balanced": ("BalancedDiceCELoss",),
    },
)


def target_problem(config: Any, allowed: Allowed = NETWORKS, key: str | None = None) -> str | None:
    """What is wrong with a class and its arguments; None where they are harmless.

    Args:
        config: ``_target_``, the name of the class, and its arguments.
        allowed: what it may name.
        key: of the config, where it is not the usual one.

    Returns:
        A sentence that begins with the key at fault and says what is allowed.
    """
    key = key or allowed.key
    if not isinstance(config, dict):
        return f"{key}: {allowed.what} is given as its _target_ and its arguments, not as {_shown(config)}"
    target = config.get("_target_", "")
    if not isinstance(target, str) or target not in allowed.targets:
        return (
            f"{key}._target_: {_shown(target)} is not {allowed.what} that a config may name; only {allowed.shown} are"
        )
    arguments = arguments_of(config)
    return _problem(key, arguments, DEEPEST) or allowed.unfit(key, arguments)


def arguments_of(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a class in a config."""
    return {name: value for name, value in config.items() if name != "_target_"}


def _problem(key: str, value: Any, depth: int) -> str | None:
    """The first value that is not plain, by its full key."""
    if depth < 0:
        return f"{key}: arguments are nested more deeply than any class needs"
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


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
