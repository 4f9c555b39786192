"""The grid a patient is sampled on: native orientation outside, R-A-S axes in millimetres inside."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from crossmod.phantom.field import Axes
from crossmod.phantom.recipe import Recipe
from crossmod.scans.box import three

# Above these thicknesses (mm) a slice is the mean of three or five thinner ones, sampled at their centres.
_THREE_FROM_MM, _FIVE_FROM_MM = 3.6, 9.0


@dataclass(frozen=True)
class Grid:
    """Sampling points of one scan.

    axes: voxel centres along R, A, S in mm (body frame), ascending; across slices uneven where the patient breathes.
    samples: how many sub-slices make one slice, along world axis `slice_axis`.
    """

    axes: Axes
    spacing_mm: tuple[float, float, float]
    thickness_mm: float
    slice_axis: int
    samples: int
    orientation: str
    origin_mm: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along R, A, S."""
        return three(len(axis) for axis in self.axes)

    @property
    def fine_axes(self) -> Axes:
        """The axes with every slice replaced by its sub-slices."""
        axes = list(self.axes)
        steps = (np.arange(self.samples) - (self.samples - 1) / 2) * (self.thickness_mm / self.samples)
        axes[self.slice_axis] = (axes[self.slice_axis][:, None] + steps).ravel()
        return three(axes)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def centre_slices(self, fine: np.ndarray) -> np.ndarray:
        """The middle sub-slice of every slice."""
        index = [slice(None)] * 3
        index[self.slice_axis] = slice(self.samples // 2, None, self.samples)
        return np.ascontiguousarray(fine[tuple(index)])

    def mean_slices(self, fine: np.ndarray) -> np.ndarray:
        """The mean of the sub-slices of every slice: partial volume through the plane."""
        if self.samples == 1:
            return fine
        index = [slice(None)] * 3
        total = np.zeros(self.shape, dtype=np.float32)
        for sample in range(self.samples):
            index[self.slice_axis] = slice(sample, None, self.samples)
            total += fine[tuple(index)]
        total /= np.float32(self.samples)
        return total

    def native(self, volume: np.ndarray) -> np.ndarray:
        """Reorder an R-A-S volume to the native axes."""
        return np.ascontiguousarray(nib.orientations.apply_orientation(volume, self._turn()))

    @property
    def affine(self) -> np.ndarray:
        """Native voxel indices to world (RAS+) mm, 4x4 float64."""
        ras = np.diag([*self.spacing_mm, 1.0])
        # The middle of an axis, not its first voxel: that slice may have been shifted by a breath.
        first = [
            axis.mean() - step * (len(axis) - 1) / 2 for axis, step in zip(self.axes, self.spacing_mm, strict=True)
        ]
        ras[:3, 3] = [edge + shift for edge, shift in zip(first, self.origin_mm, strict=True)]
        return ras @ nib.orientations.inv_ornt_aff(self._turn(), self.shape)

    def _turn(self) -> np.ndarray:
        codes = nib.orientations.axcodes2ornt
        return nib.orientations.ornt_transform(codes("RAS"), codes(tuple(self.orientation)))


def make_grid(recipe: Recipe, rng: np.random.Generator) -> Grid:
    """Place the field of view around the body (whose origin is between the kidneys) with the usual scatter."""
    scatter = np.clip(rng.normal(size=3), -2, 2) * recipe.position_sd_mm * np.array([1.0, 0.7, 1.5])
    # ASSUME: technologists centre left-right and front-back on the trunk, whose middle lies ~20 mm before the
    # vertebral bodies, and the stack a little above the kidneys, to hold the liver's dome.
    centre = scatter + np.array(recipe.centre_mm)
    table_mm = np.round(rng.uniform([-20, -180, -900], [20, -80, 200]), 1)
    count, step = [0, 0, 0], [0.0, 0.0, 0.0]
    for native, world in enumerate(recipe.ras_axes):
        count[world], step[world] = recipe.shape[native], recipe.spacing_mm[native]
    axes = three(c + (np.arange(n) - (n - 1) / 2) * s for c, n, s in zip(centre, count, step, strict=True))
    axes = _breathed(axes, recipe, rng)
    thickness = recipe.slice_thickness_mm or recipe.spacing_mm[2]
    samples = 1 if thickness < _THREE_FROM_MM else 3 if thickness < _FIVE_FROM_MM else 5
    return Grid(
        axes,
        three(step),
        thickness,
        recipe.ras_axes[2],
        samples,
        recipe.orientation,
        three(table_mm.tolist()),
    )


def _breathed(axes: Axes, recipe: Recipe, rng: np.random.Generator) -> Axes:
    """Slices displaced by breathing between them: the body moves, the scanner does not know.

    ASSUME: displacements are independent, and less than 0.45 of a slice's spacing, so that slices keep their order.
    """
    amount = recipe.mr.breathing_mm if recipe.modality == "MR" else 0.0
    if amount == 0:
        return axes
    across = recipe.ras_axes[2]
    most = 0.45 * recipe.spacing_mm[2]
    moved = list(axes)
    shift = np.clip(rng.normal(0.0, amount, len(axes[across])), -most, most)
    moved[across] = axes[across] + shift - shift.mean()
    return three(moved)
