"""What the machine computes a network with, and how its tensors are laid out for it."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Hardware:
    """How a network is computed on this machine.

    Attributes:
        accelerator: ``gpu`` or ``cpu``.
        precision: by Lightning's name: ``32-true``, ``bf16-mixed`` or ``16-mixed``.
        layout: memory format of its tensors.
    """

    accelerator: str
    precision: str
    layout: torch.memory_format

    def autocast(self) -> contextlib.AbstractContextManager:
        """The same precision for inference outside Lightning."""
        kind = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(self.precision)
        if kind is None:
            return contextlib.nullcontext()
        return torch.autocast("cuda" if self.accelerator == "gpu" else "cpu", kind)

    def lay_out(self, network: torch.nn.Module) -> torch.nn.Module:
        """The same network, its tensors laid out for this machine."""
        if self.accelerator == "cpu" and self.layout == torch.channels_last_3d:
            for module in network.modules():
                if type(module) is torch.nn.InstanceNorm3d:
                    module.__class__ = EvenInstanceNorm
        return network.to(memory_format=self.layout)

    def device(self) -> torch.device:
        """Where tensors live."""
        return torch.device("cuda" if self.accelerator == "gpu" else "cpu")


class EvenInstanceNorm(torch.nn.InstanceNorm3d):
    """Instance norm as a batch norm of each sample by itself: the same numbers, and channels stay last.

    torch's own gives its output back with channels first, and every convolution after it copies the tensor anew.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (B, C, X, Y, Z) over X, Y, Z."""
        weight, bias, eps = self.weight, self.bias, self.eps
        return torch.cat([functional.batch_norm(s, None, None, weight, bias, True, 0.0, eps) for s in x.split(1)])


def hardware_for(network: torch.nn.Module, patch: Sequence[int], precision: str) -> Hardware:
    """Choose how to compute a network: bf16 where GPU or CPU do it natively (AVX512-BF16, AMX), with channels last.

    Where a convolution sees fewer than three voxels along an axis, torch 2.13's bf16 kernels on CPUs read
    beyond their input (gradients differ from run to run, some are NaN): such networks are computed in 32 bit.

    Args:
        network: built of standard layers.
        patch: voxels it is given along each axis.
        precision: one of Lightning's, or ``auto``.
    """
    if torch.cuda.is_available():
        chosen = ("bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed") if precision == "auto" else precision
        return Hardware("gpu", chosen, torch.channels_last_3d)
    strided = [module for module in network.modules() if isinstance(module, torch.nn.Conv3d) and max(module.stride) > 1]
    roomy = min(patch) // 2 ** len(strided) >= 3
    if precision == "auto":
        precision = "bf16-mixed" if roomy and _cpu_computes_bf16() else "32-true"
    return Hardware("cpu", precision, torch.channels_last_3d if roomy else torch.contiguous_format)


def _cpu_computes_bf16() -> bool:
    """Whether the CPU has instructions for bf16; torch has no public name for the question."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)
