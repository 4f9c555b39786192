"""Best, median and worst cases per site: an image slice with the outlines of reference and prediction."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from crossmod.cohort.grids import labels_on_image_grid
from crossmod.cohort.images import Scan, read_scan
from crossmod.cohort.kidneys import MASK_VALUES, reference_kidneys
from crossmod.cohort.table import Cohort, read_cohort
from crossmod.job import UserError
from crossmod.report.results import END_TO_END, TARGETS, Results
from crossmod.report.style import ORANGE, PAGE_MM, SKY, Picture, panels, styled

RANKS = ("worst", "median", "best")
REFERENCE_COLOUR, PREDICTION_COLOUR = ORANGE, SKY
# ASSUME: the soft-tissue window in which radiologists read the abdomen: level 40 HU, width 400 HU.
CT_WINDOW_HU = (-160.0, 240.0)
MARGIN_MM = 25.0
SCALE_BAR_MM = 50
TALLEST_MM = 62.0


@dataclass(frozen=True)
class View:
    """One slice as it is drawn, rows from head (or front) downwards, the patient's right on the left.

    Attributes:
        image, reference, prediction: (rows, columns) grey levels and masks.
        spacing_mm: of rows and columns.
        centre_mm: middle of both outlines, down and to the right of the picture's upper left corner.
        size_mm: height and width of both outlines with a margin.
        limits: grey levels drawn black and white.
        marks: what lies at the left and right edge of the picture.
    """

    image: NDArray
    reference: NDArray[np.bool_]
    prediction: NDArray[np.bool_]
    spacing_mm: tuple[float, float]
    centre_mm: tuple[float, float]
    size_mm: tuple[float, float]
    limits: tuple[float, float]
    marks: tuple[str, str]


@styled
def overlays(results: Results, target: str) -> Picture:
    """Worst, median and best unit of every site for one target, as the deployed models segmented it."""
    chosen = choose(results, target)
    sites = [site for site in results.sites if site in chosen]
    if not sites:
        raise UserError(f"No unit of target '{target}' was scored for {', '.join(results.deployed['arm'])}.")
    views = {(s, rank): view(results, row) for s in sites for rank, row in chosen[s].items()}
    # All pictures at one magnification: the field of view is the largest one needed.
    height_mm, width_mm = (max(sizes) for sizes in zip(*(v.size_mm for v in views.values()), strict=True))
    scale = min((PAGE_MM - 8) / (3 * width_mm), TALLEST_MM / height_mm)
    figure, axes = panels(len(sites), 3, 8 + 3 * scale * width_mm, 10 + len(sites) * (8 + scale * height_mm))
    for row, site in enumerate(sites):
        for column, rank in enumerate(RANKS):
            unit = chosen[site][rank]
            _draw(axes[row][column], views[site, rank], (height_mm, width_mm))
            which = unit["case"] if unit["side"] == "both" else f"{unit['case']}, {unit['side']} kidney"
            axes[row][column].set_title(f"{rank}: DSC {unit['dsc']:.3f}\n{which}", fontweight="normal", fontsize=6.5)
        axes[row][0].set_ylabel(results.site_title(site), fontweight="bold")
    handles = [
        Line2D([], [], color=REFERENCE_COLOUR, label="reference"),
        Line2D([], [], color=PREDICTION_COLOUR, linestyle=(0, (3, 1)), label="prediction"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    units = sum(len(rows) for rows in _units(results, target).values())
    return Picture(
        name=f"overlays_{target}",
        title=f"Worst, median and best: {TARGETS[target].lower()}",
        caption=f"By DSC among {units} scored units of the models {' and '.join(results.deployed['arm'])}, end to "
        f"end; the slice with the most reference. Bar: {SCALE_BAR_MM} mm. CT at level 40, width 400 HU; MR from its "
        f"1st to its 99.5th percentile. {results.provenance}",
        alt=f"Slices with outlines of reference and prediction. DSC worst to best: {_ranges(results, chosen)}.",
        figure=figure,
    )


def choose(results: Results, target: str) -> dict[str, dict[str, pd.Series]]:
    """Site → rank → the row of ``scores.csv`` of that unit. Ties go to the first case by name."""
    chosen = {}
    for site, units in _units(results, target).items():
        places = {"worst": 0, "median": (len(units) - 1) // 2, "best": len(units) - 1}
        chosen[site] = {rank: units.iloc[place] for rank, place in places.items()}
    return chosen


def view(results: Results, unit: pd.Series) -> View:
    """The slice of a scored unit that shows most of its reference.

    Args:
        results: of the study.
        unit: a row of ``scores.csv``.

    Raises:
        UserError: if the prediction or the case is gone.
    """
    folder = results.root / "predict" / unit["arm"] / f"seed{unit['seed']}" / unit["site"]
    row = _index_row(folder, unit["case"])
    cohort = read_cohort(results.root / "cohort" / row["cohort"])
    case = cohort.cases.set_index("case").loc[unit["case"]]
    image = read_scan(cohort.root / case["image"])
    labels = labels_on_image_grid(read_scan(cohort.root / case["label"]), image)
    predicted = read_scan(folder / row["kidney" if unit["target"] == "kidney" else "parenchyma"]).array
    reference, prediction = _masks(unit, labels, predicted, cohort, image)
    axis = _flat_axis(image)
    scans = [_as_ras(array, image.affine) for array in (image.array, reference, prediction)]
    return _slice(*scans, axis, np.linalg.norm(_ras_affine(image), axis=0)[:3], case["modality"])


def _units(results: Results, target: str) -> dict[str, pd.DataFrame]:
    """Site → scored units of the deployed models, worst first."""
    scores = results.table("scores")
    kept = (scores["target"] == target) & scores["region"].isin(END_TO_END) & scores["dsc"].notna()
    scores = scores[kept & scores["arm"].isin(results.deployed["arm"])]
    order = ["dsc", "case", "side", "arm", "seed"]
    return {
        site: here.sort_values(order, kind="stable", ignore_index=True)
        for site, here in scores.groupby("site", observed=True)
    }


def _index_row(folder: Path, case: str) -> pd.Series:
    path = folder / "index.csv"
    if not path.is_file():
        raise UserError(f"{path}: no such table of predictions; run the predict step first.")
    index = pd.read_csv(path, dtype=str, keep_default_na=False).set_index("case")
    if case not in index.index:
        raise UserError(f"{path}: does not list case '{case}'; predict and evaluate this site anew.")
    return index.loc[case]


def _masks(unit: pd.Series, labels: NDArray, predicted: NDArray, cohort: Cohort, image: Scan):
    """(X, Y, Z) reference and predicted mask of a unit: both kidneys, or one kidney's parenchyma."""
    kidneys = reference_kidneys(labels, cohort.labels, image.affine)
    if unit["target"] == "kidney":
        return np.any([kidney.mask for kidney in kidneys], axis=0), predicted > 0
    (kidney,) = [kidney for kidney in kidneys if kidney.side == unit["side"]]
    return kidney.parenchyma, predicted == MASK_VALUES[kidney.side]


def _flat_axis(image: Scan) -> int:
    """The R-A-S axis to look along: that of the thickest slices; front to back where voxels are cubes."""
    spacing = np.linalg.norm(_ras_affine(image), axis=0)[:3]
    return 1 if spacing.max() < 1.2 * spacing.min() else int(np.argmax(spacing))


def _ras_affine(image: Scan) -> NDArray:
    orientation = nib.io_orientation(image.affine)
    return image.affine @ nib.orientations.inv_ornt_aff(orientation, image.array.shape)


def _as_ras(array: NDArray, affine: NDArray) -> NDArray:
    return nib.orientations.apply_orientation(array, nib.io_orientation(affine))


def _slice(
    image: NDArray, reference: NDArray, prediction: NDArray, axis: int, spacing_mm: NDArray, modality: str
) -> View:
    """Cut arrays in R-A-S order across ``axis`` and crop them around both masks."""
    others = tuple(a for a in range(3) if a != axis)
    shown = reference if reference.any() else prediction
    place = int(np.argmax(shown.sum(axis=others)))
    limits = CT_WINDOW_HU
    if modality != "CT":
        limits = tuple(np.percentile(image[::2, ::2, ::2], [1, 99.5]).tolist())
    planes = [np.take(array, place, axis=axis) for array in (image, reference, prediction)]
    # Rows run down the picture, so the last axis is flipped; R-A-S grows to the patient's right, which belongs left.
    planes = [plane.T[::-1, ::-1] for plane in planes]
    spacing = spacing_mm[list(others)][::-1]
    either = np.argwhere(planes[1] | planes[2]) * spacing
    low, high = either.min(axis=0), either.max(axis=0) + spacing
    marks = ("A", "P") if axis == 0 else ("R", "L")
    return View(
        *planes,
        spacing_mm=tuple(spacing.tolist()),
        centre_mm=tuple(((low + high) / 2).tolist()),
        size_mm=tuple((high - low + 2 * MARGIN_MM).tolist()),
        limits=limits,
        marks=marks,
    )


def _draw(axis: Axes, view: View, field_mm: tuple[float, float]) -> None:
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


def _ranges(results: Results, chosen: dict[str, dict[str, pd.Series]]) -> str:
    return "; ".join(
        f"{results.site_title(site)} " + ", ".join(f"{ranks[rank]['dsc']:.3f}" for rank in RANKS)
        for site, ranks in chosen.items()
    )
