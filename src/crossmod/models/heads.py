"""The outputs of a network: one, or one main and several auxiliary ones that only training looks at."""

from collections.abc import Sequence

import torch


def heads(output: torch.Tensor | Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The main output first, then the auxiliary ones, each (B, C, X, Y, Z) or (B, C).

    Networks give them as a list or tuple, or, as MONAI's ``DynUNet`` does in training, stacked: (B, heads, C, X, Y, Z).
    """
    if not isinstance(output, torch.Tensor):
        return list(output)
    return list(output.unbind(1)) if output.ndim == 6 else [output]
