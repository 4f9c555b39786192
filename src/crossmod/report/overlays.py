"""Best, median and worst cases per site: an image slice with the outlines of reference and prediction."""

import pandas as pd
from matplotlib.lines import Line2D

from crossmod.cohort.table import read_cohort
from crossmod.design.targets import targets_of
from crossmod.evaluate.scores import index_row, masks_of
from crossmod.report.results import Results, unit_words
from crossmod.report.rows import each, record_of
from crossmod.report.slices import PREDICTION_COLOUR, REFERENCE_COLOUR, SCALE_BAR_MM, View, cut, draw
from crossmod.report.style import PAGE_MM, NothingToShowError, Picture, panels, styled
from crossmod.report.words import END_TO_END, small
from crossmod.scans.files import read_scan

RANKS = ("worst", "median", "best")
TALLEST_MM = 62.0


@styled
def overlays(results: Results, target: str) -> Picture:
    """Worst, median and best unit of every site for one target, as the deployed models segmented it."""
    chosen = choose(results, target)
    sites = [site for site in results.sites if site in chosen]
    if not sites:
        arms, name = " and ".join(results.deployed["arm"]), results.words.target_small(target)
        raise NothingToShowError(f"No unit of the {name} was scored for {arms}, so there are no examples of it.")
    views = {(s, rank): view(results, row) for s in sites for rank, row in chosen[s].items()}
    # All pictures at one magnification: the field of view is the largest one needed.
    height_mm, width_mm = (max(sizes) for sizes in zip(*(v.size_mm for v in views.values()), strict=True))
    scale = min((PAGE_MM - 8) / (3 * width_mm), TALLEST_MM / height_mm)
    figure, axes = panels(len(sites), 3, 8 + 3 * scale * width_mm, 10 + len(sites) * (8 + scale * height_mm))
    for row, site in enumerate(sites):
        for column, rank in enumerate(RANKS):
            unit = chosen[site][rank]
            draw(axes[row][column], views[site, rank], (height_mm, width_mm))
            which = ", ".join(word for word in (unit["case"], unit_words(unit, unit["unit"])) if word)
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
        title=f"Worst, median and best: {small(results.words.target(target))}",
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
    folder = results.place(f"predict/{unit['arm']}/seed{unit['seed']}/{unit['site']}")
    cohort = read_cohort(results.place(f"cohort/{index_row(folder, unit['case'])['cohort']}"))
    case = cohort.cases.set_index("case").loc[unit["case"]]
    settings = {**results.study, "targets": targets_of(results.study)}
    reference, prediction = masks_of(folder, record_of(unit), {cohort.name: cohort}, settings)
    return cut(read_scan(cohort.root / case["image"]), case["modality"], reference, prediction)


def _units(results: Results, target: str) -> dict[str, pd.DataFrame]:
    """Site → scored units of the deployed models, worst first."""
    scores = results.table("scores")
    kept = (scores["target"] == target) & scores["region"].isin(END_TO_END) & scores["dsc"].notna()
    scores = scores[kept & scores["arm"].isin(results.deployed["arm"])]
    order = ["dsc", "case", "side", "arm", "seed"]
    return {site: here.sort_values(order, kind="stable", ignore_index=True) for site, here in each(scores, "site")}


def _ranges(results: Results, chosen: dict[str, dict[str, pd.Series]]) -> str:
    return "; ".join(
        f"{results.site_title(site)} " + ", ".join(f"{ranks[rank]['dsc']:.3f}" for rank in RANKS)
        for site, ranks in chosen.items()
    )
