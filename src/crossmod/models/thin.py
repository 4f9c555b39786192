"""Patches one voxel thick, for networks of two dimensions: the thin axis is taken away before and put back after."""

from collections.abc import Sequence

import torch

from crossmod.job import UserError

Output = torch.Tensor | Sequence[torch.Tensor]


def thin_axis(patch: Sequence[int]) -> int | None:
    """The axis along which a patch is one voxel thick; None for a patch of three dimensions.

    Raises:
        UserError: if it is thin along several axes.
    """
    axes = [axis for axis, side in enumerate(patch) if side == 1]
    if len(axes) > 1:
        raise UserError(f"patch: {list(patch)} is one voxel thick along {len(axes)} axes; one at most can be.")
    return axes[0] if axes else None


def dimensions(network: torch.nn.Module) -> int:
    """Of the images that a network is given: 2 or 3, as its convolutions have them; 3 where it has none."""
    kinds = {type(module): module for module in network.modules()}
    flat = any(issubclass(kind, torch.nn.Conv2d | torch.nn.ConvTranspose2d) for kind in kinds)
    deep = any(issubclass(kind, torch.nn.Conv3d | torch.nn.ConvTranspose3d) for kind in kinds)
    return 2 if flat and not deep else 3


def for_patch(network: torch.nn.Module, patch: Sequence[int]) -> torch.nn.Module:
    """The same network, which takes and gives (B, C, X, Y, Z) whether it has two dimensions or three.

    What it is wrapped in are hooks, so that weights keep their names.

    Args:
        network: of two or three dimensions.
        patch: voxels it is given along each axis.

    Raises:
        UserError: if a network of two dimensions is to be given patches of three.
    """
    axis = thin_axis(patch)
    if dimensions(network) == 3:
        return network
    if axis is None:
        raise UserError(
            f"patch: {list(patch)} has three dimensions and the network two; make one side of the patch 1, or choose "
            "spatial_dims: 3."
        )

    def flatten(_module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (given[0].squeeze(2 + axis), *given[1:])  # (B, 1, X, Y, Z) → (B, 1, X, Y)

    def thicken(_module: torch.nn.Module, _given: tuple[torch.Tensor, ...], output: Output) -> Output:
        if isinstance(output, torch.Tensor):
            return _thicker(output, axis)
        return [_thicker(head, axis) for head in output]

    network.register_forward_pre_hook(flatten)
    network.register_forward_hook(thicken)
    return network


def _thicker(output: torch.Tensor, axis: int) -> torch.Tensor:
    """(…, X, Y) → (…, X, Y, Z); what has no grid stays as it is."""
    return output if output.ndim < 4 else output.unsqueeze(output.ndim - 2 + axis)
