"""One slice of a scan with the outlines of reference and prediction, as a radiologist would hold it."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from crossmod.report.style import ORANGE, SKY
from crossmod.scans.scan import AnyScan

REFERENCE_COLOUR, PREDICTION_COLOUR = ORANGE, SKY
# ASSUME: the soft-tissue window in which radiologists read the abdomen: level 40 HU, width 400 HU.
CT_WINDOW_HU = (-160.0, 240.0)
MARGIN_MM = 25.0
SCALE_BAR_MM = 50


@dataclass(frozen=True)
class View:
    """One slice as it is drawn, rows from head (or front) downwards, the patient's right on the left.

    Attributes:
        image, reference, prediction: (rows, columns) grey levels and masks; numbers of masks stay as they were.
        spacing_mm: of rows and columns.
        centre_mm: middle of both outlines, down and to the right of the picture's upper left corner.
        size_mm: height and width of both outlines with a margin.
        limits: grey levels drawn black and white.
        marks: what lies at the left and right edge of the picture.
    """

    image: NDArray
    reference: NDArray
    prediction: NDArray
    spacing_mm: tuple[float, float]
    centre_mm: tuple[float, float]
    size_mm: tuple[float, float]
    limits: tuple[float, float]
    marks: tuple[str, str]


def cut(
    image: AnyScan,
    modality: str,
    reference: NDArray,
    prediction: NDArray,
    axis: int | None = None,
    value: int | None = None,
) -> View:
    """The slice that shows most of the reference, or of the prediction where there is no reference.

    Args:
        image: the scan.
        modality: CT is shown in the abdominal window, MR between its 1st and 99.5th percentile.
        reference, prediction: (X, Y, Z) masks on the scan's grid.
        value: what of the masks counts; None: all of them.
        axis: R-A-S axis to look along; None: that of the thickest slices.
    """
    axis = flat_axis(image) if axis is None else axis
    limits = CT_WINDOW_HU
    if modality != "CT":
        limits = tuple(np.percentile(image.array[::2, ::2, ::2], [1, 99.5]).tolist())
    where = _fullest((reference, prediction), axis, value, image.affine)
    planes = [image.array[where], *(_of(mask[where], value) for mask in (reference, prediction))]
    spacing_mm = np.linalg.norm(_ras_affine(image), axis=0)[:3]
    seen, true, found = (_as_ras(plane, image.affine).squeeze(axis) for plane in planes)
    return _view(seen, true, found, axis, spacing_mm, limits)


def draw(axis: Axes, view: View, field_mm: tuple[float, float]) -> None:
    """Image, outlines, scale bar and marks in a field of view (height, width) around the outlines."""
    rows_mm, columns_mm = np.array(view.image.shape) * view.spacing_mm
    extent = (0, columns_mm, rows_mm, 0)
    axis.set_facecolor("black")
    axis.imshow(
        view.image, cmap="gray", vmin=view.limits[0], vmax=view.limits[1], extent=extent, interpolation="bilinear"
    )
    x = (np.arange(view.image.shape[1]) + 0.5) * view.spacing_mm[1]
    y = (np.arange(view.image.shape[0]) + 0.5) * view.spacing_mm[0]
    styles = ((view.reference, REFERENCE_COLOUR, "-"), (view.prediction, PREDICTION_COLOUR, (0, (3, 1))))
    for mask, colour, line in styles:
        if mask.any() and min(mask.shape) > 1:
            axis.contour(x, y, mask.astype(float), [0.5], colors=colour, linewidths=0.9, linestyles=[line])
    for x_place, align, mark in ((0.02, "left", view.marks[0]), (0.98, "right", view.marks[1])):
        axis.text(x_place, 0.98, mark, transform=axis.transAxes, color="white", ha=align, va="top", fontsize=6)
    top, left = np.array(view.centre_mm) - np.array(field_mm) / 2
    bar_x, bar_y = left + 0.04 * field_mm[1], top + 0.96 * field_mm[0]
    axis.plot([bar_x, bar_x + SCALE_BAR_MM], [bar_y, bar_y], color="white", linewidth=1.2)
    axis.set_xlim(left, left + field_mm[1])
    axis.set_ylim(top + field_mm[0], top)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def flat_axis(image: AnyScan) -> int:
    """The R-A-S axis to look along: that of the thickest slices; front to back where voxels are cubes."""
    spacing = np.linalg.norm(_ras_affine(image), axis=0)[:3]
    return 1 if spacing.max() < 1.2 * spacing.min() else int(np.argmax(spacing))


def _ras_affine(image: AnyScan) -> NDArray:
    orientation = nib.io_orientation(image.affine)
    return image.affine @ nib.orientations.inv_ornt_aff(orientation, image.array.shape)


def _as_ras(array: NDArray, affine: NDArray) -> NDArray:
    return nib.orientations.apply_orientation(array, nib.io_orientation(affine))


def _of(mask: NDArray, value: int | None) -> NDArray:
    return mask if value is None else mask == value


def _fullest(masks: tuple[NDArray, ...], axis: int, value: int | None, affine: NDArray) -> tuple[slice, slice, slice]:
    """The slice across an R-A-S axis that shows most of the first mask that shows anything.

    Of several such slices it is the first in R-A-S order.
    """
    orientation = nib.io_orientation(affine)
    across = int(np.flatnonzero(orientation[:, 0] == axis)[0])
    planes = [_plane(across, i) for i in range(masks[0].shape[across])]
    planes = planes if orientation[across, 1] > 0 else planes[::-1]
    # Plane by plane: of the masks of a trunk no copy is made.
    voxels = ([np.count_nonzero(_of(mask[plane], value)) for plane in planes] for mask in masks)
    return planes[int(np.argmax(next(filter(any, voxels), [0])))]


def _plane(across: int, place: int) -> tuple[slice, slice, slice]:
    """The box of one plane of voxels."""
    first, second, third = (slice(place, place + 1) if axis == across else slice(None) for axis in range(3))
    return first, second, third


def _view(
    image: NDArray,
    reference: NDArray,
    prediction: NDArray,
    axis: int,
    spacing_mm: NDArray,
    limits: tuple[float, float],
) -> View:
    """Turn planes across an R-A-S axis as a radiologist holds them, and find the place around both masks."""
    others = [a for a in range(3) if a != axis]
    # Rows run down the picture, so the last axis is flipped; R-A-S grows to the patient's right, which belongs left.
    seen, true, found = (plane.T[::-1, ::-1] for plane in (image, reference, prediction))
    spacing = spacing_mm[others][::-1]
    either = np.argwhere((true > 0) | (found > 0)) * spacing
    low, high = either.min(axis=0), either.max(axis=0) + spacing
    marks = ("A", "P") if axis == 0 else ("R", "L")
    return View(
        image=seen,
        reference=true,
        prediction=found,
        spacing_mm=tuple(spacing.tolist()),
        centre_mm=tuple(((low + high) / 2).tolist()),
        size_mm=tuple((high - low + 2 * MARGIN_MM).tolist()),
        limits=limits,
        marks=marks,
    )
