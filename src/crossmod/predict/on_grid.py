"""A scan on the grids of the stages: from the prepare step's arrays, or prepared as that step does."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossmod.job import Plain
from crossmod.prepare.arrays import Normalised, normalise
from crossmod.scans.box import Box, box_of_all
from crossmod.scans.grid import Grid
from crossmod.scans.scan import AnyScan


@dataclass(frozen=True)
class OnGrid:
    """A scan made ready for the cascade: one normalised image per stage.

    Attributes:
        images: stage name → (X, Y, Z) array, R-A-S, or what gives parts of it.
        grids: stage name → grid of that array.
        background: value outside the field of view.
    """

    images: "dict[str, np.ndarray | Unsampled]"
    grids: dict[str, Grid]
    background: float

    def whole(self, stage: str) -> NDArray:
        """(X, Y, Z) all of the image of a stage."""
        image = self.images[stage]
        return image if isinstance(image, np.ndarray) else image[box_of_all(image.shape)]


@dataclass(frozen=True)
class Unsampled:
    """A scan on a stage's grid, of which only the boxes that are asked for are resampled: they are a small part of it.

    Attributes:
        scan: with its normalisation.
        grid: of the stage.
    """

    scan: Normalised
    grid: Grid
    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(X, Y, Z) of the whole."""
        return self.grid.shape

    def __getitem__(self, box: Box) -> np.ndarray:
        ends = np.array([part.indices(n)[:2] for part, n in zip(box, self.shape, strict=True)])
        return self.scan.on_grid(self.grid.crop(ends[:, 0], tuple(ends[:, 1] - ends[:, 0])))


def on_grids(scan: AnyScan, modality: str, stages: Plain, normalisation: Plain) -> OnGrid:
    """Orient, normalise and resample a scan for every stage, exactly as the prepare step does.

    Stages that look at the whole image get all of it; the others get it box by box.
    """
    normal = normalise(scan, modality, normalisation)
    grids = {name: normal.grid(stage["spacing_mm"]) for name, stage in stages.items()}
    images = {
        name: normal.on_grid(grids[name]) if stage["region"] == "image" else Unsampled(normal, grids[name])
        for name, stage in stages.items()
    }
    return OnGrid(images, grids, normal.background)
