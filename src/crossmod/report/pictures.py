"""Single pictures outside the report: the worst cases of a training for MLflow, and what was measured on a scan."""

import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from crossmod.anatomy.kidneys import MASK_VALUES, boxes_of
from crossmod.cohort.table import Cohort, read_cohort
from crossmod.evaluate.scores import index_row, masks_of
from crossmod.job import Plain
from crossmod.report.rows import rows_of
from crossmod.report.slices import PREDICTION_COLOUR, REFERENCE_COLOUR, View, cut, draw
from crossmod.report.style import Picture, panels, styled
from crossmod.scans.files import read_scan
from crossmod.scans.scan import AnyScan

FIELD_MM = (110.0, 150.0)  # height and width that a kidney is shown in
LINE_LETTERS = 85  # of a line above a picture: more do not fit its width


def worst_cases(
    rows: pd.DataFrame, stage: str, predictions: list[str], cohorts: list[str], settings: Plain, folder: Path
) -> list[Path]:
    """One picture with the worst unit of every site by DSC, end to end; nothing where none was scored.

    Args:
        rows: scores of one arm and seed, of the targets of one stage.
        stage: its name.
        predictions: folders of the predict step; their names are the sites.
        cohorts: folders of the cohorts.
        settings: ``stages``, ``units`` and ``targets`` of the study.
        folder: to write into.
    """
    scored = rows[(rows["region"] != "reference_box") & rows["dsc"].notna()] if "dsc" in rows else rows[:0]
    if scored.empty:
        return []
    known = {cohort.name: cohort for cohort in map(read_cohort, map(Path, cohorts))}
    folders = {Path(path).name: Path(path) for path in predictions}
    units = scored.sort_values(["dsc", "case", "side"], kind="stable").groupby("site", sort=False).head(1)
    views = {row.site: (row, _view(row, folders[row.site], known, settings)) for row in rows_of(units)}
    return [_worst(views, stage).save(folder)]


@styled
def measured_picture(
    image: AnyScan, modality: str, kidney: np.ndarray, parenchyma: np.ndarray, title: str, note: str
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
        for line, direction in enumerate((2, 1)):
            _draw_plain(axes[line][0], image, modality, direction)
    _legend(figure, "kidney", "parenchyma")
    figure.suptitle("\n".join(lines), fontsize=7)
    return Picture("measured", title, note, title, figure)


@styled
def _worst(views: dict[str, tuple[Any, View]], stage: str) -> Picture:
    figure, axes = panels(1, len(views), 60 * len(views), 65)
    size = np.max([view.size_mm for _, view in views.values()], axis=0)
    for axis, (site, (row, view)) in zip(axes[0], views.items(), strict=True):
        draw(axis, view, tuple(size.tolist()))
        simulated = "simulated" if row.simulated else "real"
        axis.set_title(f"{site}: DSC {row.dsc:.3f}\n{row.case}, {row.side}, {simulated}", fontsize=6)
    _legend(figure, "reference", "prediction")
    title = f"Worst case of every site, {stage}"
    return Picture(f"worst_{stage}", title, title, title, figure)


def _view(row: Any, folder: Path, cohorts: dict[str, Cohort], settings: Plain) -> View:
    cohort = cohorts[index_row(folder, row.case)["cohort"]]
    case = cohort.cases.set_index("case").loc[row.case]
    reference, predicted = masks_of(folder, row._asdict(), cohorts, settings)
    return cut(read_scan(cohort.root / case["image"]), case["modality"], reference, predicted)


def _field_mm(views: list[View]) -> tuple[float, float]:
    """Height and width of one field for all views: the usual one, or as much larger as the largest kidney is."""
    large = max((max(np.array(view.size_mm) / FIELD_MM) for view in views), default=1.0)
    return tuple((np.array(FIELD_MM) * max(1.0, large)).tolist())


def _draw_plain(axis: Axes, image: AnyScan, modality: str, direction: int) -> None:
    """The middle of a scan in which nothing was found."""
    middle = np.zeros(image.array.shape, dtype=bool)
    x, y, z = (slice(n // 2, n // 2 + 1) for n in image.array.shape)
    middle[x, y, z] = True
    view = cut(image, modality, middle, np.zeros_like(middle), direction)
    size = (view.image.shape[0] * view.spacing_mm[0], view.image.shape[1] * view.spacing_mm[1])
    draw(axis, replace(view, reference=np.zeros_like(view.reference)), size)


def _legend(figure: Any, first: str, second: str) -> None:
    handles = [
        Line2D([], [], color=REFERENCE_COLOUR, label=first),
        Line2D([], [], color=PREDICTION_COLOUR, linestyle=(0, (3, 1)), label=second),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=6, frameon=False)
