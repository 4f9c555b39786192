"""What a stage learns of a label map: the value of its class for every voxel, on the stage's grid."""

import numpy as np
from numpy.typing import NDArray

from crossmod.anatomy.structures import values_of
from crossmod.job import Plain
from crossmod.scans.grid import Grid, resample
from crossmod.stages import classes_of


def teaches(names: dict[int, str], stage: Plain) -> bool:
    """Whether a cohort's labels name what a stage needs: at least one structure of each of its classes.

    A cohort that labels only some of several classes would teach that the others are background.
    """
    return all(values_of(names, structures) for structures in classes_of(stage).values())


def label_on_grid(
    labels: NDArray, names: dict[int, str], stage: Plain, affine: NDArray, grid: Grid
) -> NDArray[np.uint8]:
    """The class of every voxel of a stage's grid: (X, Y, Z) uint8, 0 where none is.

    The mask of each class is resampled linearly, and a voxel takes what covers most of it. Between two classes, or a
    class and the background, the later class wins a tie; one class alone therefore ends where its share is one half.

    Args:
        labels: (X, Y, Z) label map. A value that two classes name belongs to the later one.
        names: structure of each value.
        stage: config of the stage.
        affine: of ``labels``, 4×4, RAS+ millimetres.
        grid: of the stage.
    """
    values = [values_of(names, structures) for structures in classes_of(stage).values()]
    label = np.zeros(grid.shape, dtype=np.uint8)
    most, rest = np.zeros(grid.shape, dtype=np.float32), np.ones(grid.shape, dtype=np.float32)
    for number, own in enumerate(values, start=1):
        later = {value for others in values[number:] for value in others}
        mask = np.isin(labels, [value for value in own if value not in later])
        if mask.any():
            share = resample(mask, affine, grid)
            label[share >= most] = number
            np.maximum(most, share, out=most)
            rest -= share
    label[rest > most] = 0
    return label
