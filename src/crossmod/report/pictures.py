"""Single pictures outside the report: the worst cases of a training for MLflow, and what was measured on a scan."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from crossmod.anatomy.kidneys import MASK_VALUES, boxes_of, reference_kidneys
from crossmod.cohort.table import Cohort, read_cohort
from crossmod.report.slices import PREDICTION_COLOUR, REFERENCE_COLOUR, View, cut, draw
from crossmod.report.style import Picture, panels, styled
from crossmod.scans.files import read_scan
from crossmod.scans.match import labels_on_image_grid
from crossmod.scans.scan import Scan
from crossmod.tables import read_own

FIELD_MM = (110.0, 150.0)  # height and width that a kidney is shown in
LINE_LETTERS = 85  # of a line above a picture: more do not fit its width


def worst_cases(rows: pd.DataFrame, predictions: list[str], cohorts: list[str], folder: Path) -> list[Path]:
    """One picture with the worst unit of every site, end to end; nothing where nothing was scored.

    Args:
        rows: scores of one arm, seed and stage.
        predictions: folders of the predict step; their names are the sites.
        cohorts: folders of the cohorts.
        folder: to write into.
    """
    scored = rows[(rows["region"] != "reference_box") & rows["dsc"].notna()]
    if scored.empty:
        return []
    known = {cohort.name: cohort for cohort in map(read_cohort, map(Path, cohorts))}
    folders = {Path(path).name: Path(path) for path in predictions}
    units = scored.sort_values(["dsc", "case", "side"], kind="stable").groupby("site", sort=False).head(1)
    views = {row.site: (row, _view(row, folders[row.site], known)) for row in units.itertuples()}
    return [_worst(views).save(folder)]


@styled
def measured_picture(
    image: Scan, modality: str, kidney: np.ndarray, parenchyma: np.ndarray, title: str, note: str
) -> Picture:
    """Axial and coronal slices through each kidney found, with the outlines of its parenchyma and of the kidney."""
    sides = [side for side, box in zip(MASK_VALUES, boxes_of(kidney), strict=False) if box]
    lines = [part for line in f"{title}\n{note}".splitlines() for part in textwrap.wrap(line, LINE_LETTERS)]
    figure, axes = panels(2, max(1, len(sides)), 120, 94 + 3 * len(lines))
    views = [[cut(image, modality, kidney, parenchyma, axis, MASK_VALUES[side]) for axis in (2, 1)] for side in sides]
    field_mm = _field_mm([view for found in views for view in found])
    for column, found in enumerate(views):
        for row, view in zip(axes, found, strict=True):
            draw(row[column], view, field_mm)
    for axis, side in zip(axes[0], sides, strict=False):
        axis.set_title(f"{side} kidney")
    if not sides:
        for row, axis in enumerate((2, 1)):
            _draw_plain(axes[row][0], image, modality, axis)
    _legend(figure, "kidney", "parenchyma")
    figure.suptitle("\n".join(lines), fontsize=7)
    return Picture("measured", title, note, title, figure)


@styled
def _worst(views: dict[str, tuple[Any, View]]) -> Picture:
    figure, axes = panels(1, len(views), 60 * len(views), 65)
    size = np.max([view.size_mm for _, view in views.values()], axis=0)
    for axis, (site, (row, view)) in zip(axes[0], views.items(), strict=True):
        draw(axis, view, tuple(size.tolist()))
        simulated = "simulated" if row.simulated else "real"
        axis.set_title(f"{site}: DSC {row.dsc:.3f}\n{row.case}, {row.side}, {simulated}", fontsize=6)
    _legend(figure, "reference", "prediction")
    stage = str(next(iter(views.values()))[0].target).split("_")[0]
    title = f"Worst case of every site, {stage}"
    return Picture(f"worst_{stage}", title, title, title, figure)


def _view(row: Any, folder: Path, cohorts: dict[str, Cohort]) -> View:
    index = read_own(folder / "index.csv").set_index("case").loc[row.case]
    cohort = cohorts[index["cohort"]]
    case = cohort.cases.set_index("case").loc[row.case]
    image = read_scan(cohort.root / case["image"])
    kidneys = reference_kidneys(
        labels_on_image_grid(read_scan(cohort.root / case["label"]), image), cohort.labels, image.affine
    )
    if row.target == "kidney":
        reference = np.any([kidney.mask for kidney in kidneys], axis=0)
        return cut(image, case["modality"], reference, read_scan(folder / index["kidney"]).array)
    (kidney,) = [kidney for kidney in kidneys if kidney.side == row.side]
    predicted = read_scan(folder / index["parenchyma"]).array == MASK_VALUES[row.side]
    return cut(image, case["modality"], kidney.parenchyma, predicted)


def _field_mm(views: list[View]) -> tuple[float, float]:
    """Height and width of one field for all views: the usual one, or as much larger as the largest kidney is."""
    large = max((max(np.array(view.size_mm) / FIELD_MM) for view in views), default=1.0)
    return tuple((np.array(FIELD_MM) * max(1.0, large)).tolist())


def _draw_plain(axis: Axes, image: Scan, modality: str, direction: int) -> None:
    """The middle of a scan in which nothing was found."""
    middle = np.zeros(image.array.shape, dtype=bool)
    middle[tuple(slice(n // 2, n // 2 + 1) for n in middle.shape)] = True
    view = cut(image, modality, middle, np.zeros_like(middle), direction)
    size = (view.image.shape[0] * view.spacing_mm[0], view.image.shape[1] * view.spacing_mm[1])
    draw(axis, View(**{**vars(view), "reference": np.zeros_like(view.reference)}), size)


def _legend(figure: Any, first: str, second: str) -> None:
    handles = [
        Line2D([], [], color=REFERENCE_COLOUR, label=first),
        Line2D([], [], color=PREDICTION_COLOUR, linestyle=(0, (3, 1)), label=second),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=6, frameon=False)
