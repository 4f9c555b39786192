"""Patients whose organs are what is bright, and networks that call an organ what is bright."""

import nibabel as nib
import numpy as np
import torch

from crossmod.scans.grid import Grid
from crossmod.scans.scan import Scan

NORMALISATION = {"ct_window_hu": [-200.0, 300.0], "mr_percentiles": [0.5, 99.5]}
KIDNEY = {
    "classes": {"kidney": ["kidney"]},
    "region": "image",
    "keep": {"one_a_side": 2},
    "spacing_mm": [4.0, 4.0, 4.0],
    "patch": [32, 32, 32],
    "overlap": 0.25,
    "margin_mm": 10.0,
}
PARENCHYMA = KIDNEY | {
    "classes": {"parenchyma": ["parenchyma"]},
    "region": "kidney",
    "keep": {"largest": 1},
    "spacing_mm": [3.0, 3.0, 3.0],
    "patch": [16, 16, 16],
}
STAGES = {"kidney": KIDNEY, "parenchyma": PARENCHYMA}


class Bright(torch.nn.Module):
    """Logits that say foreground where the image is brighter than some SD; of several levels, one class for each."""

    def __init__(self, *levels: float) -> None:
        super().__init__()
        self.levels = levels or (1.0,)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, X, Y, Z) → (B, 1 + levels, X, Y, Z): each class is surer than the one below it from its level on."""
        logits = [torch.zeros_like(x)]
        for level in self.levels:
            logits.append(logits[-1] + 20 * (x - level))
        return torch.cat(logits, dim=1)


def patient(codes=("L", "P", "S"), spacing_mm=(2.5, 2.5, 4.0), kidneys=("right", "left")):
    """A CT of a box of soft tissue with two bright balls of 25 mm radius, 55 mm beside the midline; and a speck."""
    shape = tuple(round(extent / s) for extent, s in zip((240, 180, 160), spacing_mm, strict=True))
    lps = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(("L", "P", "S")), shape) @ np.diag(
        [*spacing_mm, 1]
    )
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    mm = index @ lps[:3, :3].T + lps[:3, 3]
    middle = mm.reshape(-1, 3).mean(axis=0)
    rng = np.random.default_rng(0)
    array = rng.normal(40, 5, shape)
    truth = np.zeros(shape, dtype=np.uint8)
    for value, side in enumerate(("right", "left"), start=1):
        offset = np.array([55.0 if side == "right" else -55.0, -10.0, 5.0 * value])
        ball = np.linalg.norm(mm - middle - offset, axis=-1) <= 25
        if side in kidneys:
            array[ball], truth[ball] = 250, value
    array[np.linalg.norm(mm - middle - [0, 60, 0], axis=-1) <= 5] = 250
    edge = (np.abs(mm - middle) > [110, 80, 200]).any(axis=-1)
    array[edge] = -1000
    turn = nib.orientations.ornt_transform(nib.io_orientation(lps), nib.orientations.axcodes2ornt(codes))
    affine = lps @ nib.orientations.inv_ornt_aff(turn, shape)
    oriented = [nib.orientations.apply_orientation(a, turn) for a in (array.astype(np.float32), truth)]
    return Scan(oriented[0], affine), oriented[1]


def dsc(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def blobs(*found: tuple[int, float, float]) -> tuple[np.ndarray, Grid]:
    """Probabilities with cubes of a place along x, a side in mm and a probability.

    The grid has voxels of 4 mm, and its middle is at x = 0.
    """
    grid = Grid((60, 40, 60), np.array([[4.0, 0, 0, -118.0], [0, 4.0, 0, 0], [0, 0, 4.0, 0], [0, 0, 0, 1]]))
    probability = np.full(grid.shape, 0.01, np.float32)
    for number, (x_mm, side_mm, value) in enumerate(found):
        start = round((x_mm + 118.0 - side_mm / 2) / 4.0)
        size = round(side_mm / 4.0)
        z = 2 + 18 * (number % 3)
        probability[start : start + size, 10 : 10 + size, z : z + size] = value
    return probability, grid
