"""What the machine computes a network with, and how its tensors are laid out for it."""

import contextlib
import copy
import ctypes
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from crossmod.models.thin import dimensions

# A convolution that is given fewer voxels along an axis is not trusted to torch's bf16 kernels on CPUs.
FEWEST_VOXELS = 3
CONVOLUTIONS = (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)
Transposed = torch.nn.ConvTranspose2d | torch.nn.ConvTranspose3d
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


@dataclass(frozen=True)
class Hardware:
    """How a network is computed on this machine.

    Attributes:
        accelerator: ``gpu`` or ``cpu``.
        precision: by Lightning's name: ``32-true``, ``bf16-mixed`` or ``16-mixed``.
        layout: memory format of its tensors.
        why: what decided precision and layout.
    """

    accelerator: str
    precision: str
    layout: torch.memory_format
    why: str

    def autocast(self) -> contextlib.AbstractContextManager:
        """The same precision for inference outside Lightning."""
        kind = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.precision)
        if kind is None:
            return contextlib.nullcontext()
        return torch.autocast("cuda" if self.accelerator == "gpu" else "cpu", kind)

    def lay_out(self, network: torch.nn.Module) -> torch.nn.Module:
        """The same network, its tensors laid out for this machine and slow layers replaced by faster equivalents.

        Weights keep their names.
        """
        if self.accelerator == "cpu":
            keep_memory()
        if self._quickens:
            for module in network.modules():
                module.__class__ = quicker(module)
        move: Callable[..., torch.nn.Module] = network.to  # torch's own types leave this argument out
        return move(memory_format=self.layout)

    def arrange(self, x: torch.Tensor) -> torch.Tensor:
        """A (B, C, X, Y, Z) tensor laid out for the network; a network of two dimensions lays its input out itself."""
        return x if self.layout == torch.channels_last else x.contiguous(memory_format=self.layout)

    def chosen(self, network: torch.nn.Module) -> str:
        """One line for the log: what computes this network, and why."""
        order = "channels last" if self.layout in CHANNELS_LAST.values() else "channels first"
        layers = Counter(_replaced(type(m)) for m in network.modules() if isinstance(m, QUICKER))
        another = "".join(f", {count} {name} computed another way" for name, count in sorted(layers.items()))
        return f"{self.accelerator}, {self.precision}, {order}{another} ({self.why})"

    @property
    def _quickens(self) -> bool:
        return self.accelerator == "cpu" and self.layout in CHANNELS_LAST.values()

    def device(self) -> torch.device:
        """Where tensors live."""
        return torch.device("cuda" if self.accelerator == "gpu" else "cpu")


def keep_memory() -> None:
    """Let glibc keep what one step frees for the next one.

    By default it gives large arrays back at once, and the kernel zeroes their pages again: a sixth of a training
    step of the compact U-Net. Arrays beyond 64 MB still go back, and of the rest all but 256 MB.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 64 << 20)
        mallopt(_M_TRIM_THRESHOLD, 256 << 20)


def quicker(module: torch.nn.Module) -> type[torch.nn.Module]:
    """The class that computes the same on a CPU in less time, where there is one; else the module's own."""
    kind = type(module)
    if kind in EVEN:
        return EVEN[kind]
    if kind is torch.nn.PReLU and module.num_parameters == 1:
        return OneSlope
    if isinstance(module, Transposed) and (module.stride, *_rest(module)) == (module.kernel_size, 0, 0, 1, 1):
        return FOLDED.get(kind, kind)
    return kind


def _rest(module: Transposed) -> tuple[str | int, int, int, int]:
    """Largest padding, output padding and dilation, and groups."""
    return max(module.padding), max(module.output_padding), max(module.dilation), module.groups


def _replaced(kind: type[torch.nn.Module]) -> str:
    """The name of torch's class that one of ours stands for."""
    return next(base.__name__ for base in kind.__mro__ if base.__module__.startswith("torch."))


class _Even(_InstanceNorm):
    """Instance norm as a batch norm of each sample by itself: the same numbers, and channels stay last.

    torch's own returns its output with channels first, and every convolution after it copies the tensor again.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (B, C, X, Y, Z) over X, Y, Z, or (B, C, X, Y) over X, Y."""
        weight, bias, eps = self.weight, self.bias, self.eps
        return torch.cat([functional.batch_norm(s, None, None, weight, bias, True, 0.0, eps) for s in x.split(1)])


class EvenInstanceNorm2d(_Even, torch.nn.InstanceNorm2d):
    """In two dimensions."""


class EvenInstanceNorm3d(_Even, torch.nn.InstanceNorm3d):
    """In three dimensions."""


class _Folded(_ConvTransposeNd):
    """A transposed convolution whose blocks do not overlap, as a pointwise convolution and a shuffle: the same numbers.

    oneDNN's own takes several times as long where channels come last (torch 2.13).
    """

    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """(B, C, X, Y, Z) to (B, C', kX, kY, kZ); one axis less in two dimensions."""
        (batch, _, *grid), block, channels, deep = x.shape, self.kernel_size, self.out_channels, x.ndim - 2
        last = range(2, 2 + deep)
        kernel = self.weight.permute(*last, 1, 0).reshape(-1, self.in_channels, *[1] * deep)
        bias = None if self.bias is None else self.bias.repeat(kernel.shape[0] // channels)
        convolution = functional.conv2d if deep == 2 else functional.conv3d
        folded = convolution(x, kernel, bias).permute(0, *last, 1)  # (B, X, Y, Z, blocks × C')
        # (B, X, Y, Z, kX, kY, kZ, C') → (B, X, kX, Y, kY, Z, kZ, C')
        order = [axis for pair in zip(range(1, 1 + deep), range(1 + deep, 1 + 2 * deep), strict=True) for axis in pair]
        blocks = folded.reshape(batch, *grid, *block, channels).permute(0, *order, 1 + 2 * deep)
        size = [n * k for n, k in zip(grid, block, strict=True)]
        return blocks.reshape(batch, *size, channels).permute(0, 1 + deep, *range(1, 1 + deep))


class FoldedTranspose2d(_Folded, torch.nn.ConvTranspose2d):
    """In two dimensions."""


class FoldedTranspose3d(_Folded, torch.nn.ConvTranspose3d):
    """In three dimensions."""


class OneSlope(torch.nn.PReLU):
    """PReLU with one slope for all channels by the kernels of the leaky ReLU: the same numbers, a fifth of the time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of any shape."""
        return _LeakyReLU.apply(x, self.weight)


Classes = dict[type[torch.nn.Module], type[torch.nn.Module]]
EVEN: Classes = {torch.nn.InstanceNorm2d: EvenInstanceNorm2d, torch.nn.InstanceNorm3d: EvenInstanceNorm3d}
FOLDED: Classes = {torch.nn.ConvTranspose2d: FoldedTranspose2d, torch.nn.ConvTranspose3d: FoldedTranspose3d}
QUICKER = (_Even, _Folded, OneSlope)


class _LeakyReLU(torch.autograd.Function):
    """Leaky ReLU whose slope is learnt."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, slope)
        return functional.leaky_relu(x, float(slope))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, slope = ctx.saved_tensors
        to_x = torch.ops.aten.leaky_relu_backward(gradient, x, float(slope), False)
        return to_x, (gradient * x.clamp(max=0)).sum(dtype=torch.float32).to(slope.dtype).reshape(slope.shape)


def hardware_for(network: torch.nn.Module, patch: Sequence[int], precision: str) -> Hardware:
    """Choose how to compute a network: bf16 where GPU or CPU do it natively (AVX512-BF16, AMX), with channels last.

    Where a convolution sees fewer than three voxels along an axis, torch 2.13's bf16 kernels on CPUs read
    beyond their input (gradients differ from run to run, some are NaN): such networks are computed in 32 bit.

    Args:
        network: built of standard layers; its first convolution tells how many channels it is given.
        patch: voxels it is given along each axis.
        precision: one of Lightning's, or ``auto``.
    """
    asked = precision != "auto"
    last = CHANNELS_LAST[dimensions(network)]
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        precision = precision if asked else "bf16-mixed" if native else "16-mixed"
        why = f"this GPU has {'' if native else 'no '}instructions for bf16"
        return Hardware("gpu", precision, last, "as asked for" if asked else why)
    if _smallest_grid(network, patch) < FEWEST_VOXELS:
        layout, precision = torch.contiguous_format, precision if asked else "32-true"
        size = "×".join(map(str, patch))
        why = f"a convolution sees fewer than {FEWEST_VOXELS} voxels along an axis of a patch {size}"
    else:
        bf16 = _cpu_computes_bf16()
        layout, precision = last, precision if asked else "bf16-mixed" if bf16 else "32-true"
        why = f"this processor has {'' if bf16 else 'no '}instructions for bf16"
    return Hardware("cpu", precision, layout, "as asked for" if asked else why)


@torch.no_grad()
def _smallest_grid(network: torch.nn.Module, patch: Sequence[int]) -> int:
    """Fewest voxels that a convolution wider than one voxel is given along an axis.

    Seen by running a copy of the network once: shapes alone (torch's meta device) would cost a second of imports.
    """
    trial = copy.deepcopy(network).eval()
    convolutions = [m for m in trial.modules() if isinstance(m, CONVOLUTIONS)]
    flat = dimensions(network) == 2
    seen = [min(side for side in patch if not (flat and side == 1))]
    if not convolutions:
        return min(seen)
    for module in convolutions:
        if max(module.kernel_size) > 1:
            module.register_forward_pre_hook(lambda _, given: seen.append(min(given[0].shape[2:])))
    trial(torch.zeros(1, convolutions[0].in_channels, *patch))
    return min(seen)


def _cpu_computes_bf16() -> bool:
    """Whether the CPU has instructions for bf16 and oneDNN may use them; torch has no public name for the question."""
    most = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    if most not in ("ALL", "DEFAULT") and not any(name in most for name in ("BF16", "FP16", "AMX")):
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)
