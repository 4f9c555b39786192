"""What crossmod takes from MONAI, imported without the packages MONAI would load for others."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

# MONAI loads all of itself at once, and with it every optional package it finds. These are of no use to a network, a
# loss or a window, and cost a job more than a second of its start.
UNUSED = ("matplotlib", "mlflow", "pydicom", "sklearn")


@contextlib.contextmanager
def absent(*names: str) -> Iterator[None]:
    """As if some packages were not installed: what MONAI calls optional it then does without."""
    hidden = [name for name in names if name not in sys.modules]
    nothing: dict[str, Any] = dict.fromkeys(hidden)  # Python's own sign that a module is not to be imported
    sys.modules.update(nothing)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with absent(*UNUSED):
    from monai.data import set_track_meta
    from monai.inferers import SlidingWindowInferer
    from monai.losses import DiceCELoss
    from monai.transforms import AdjustContrast, Affine, GaussianSmooth

# Geometry is kept by crossmod itself; MONAI's tensors that carry it would cost more than the transforms do.
set_track_meta(False)

__all__ = ["AdjustContrast", "Affine", "DiceCELoss", "GaussianSmooth", "SlidingWindowInferer"]
