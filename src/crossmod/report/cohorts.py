"""Cohorts and splits: who the patients are, and which of them train or validate each arm."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from crossmod.anatomy.structures import split_side
from crossmod.cohort.table import Cohort, read_cohort
from crossmod.report.results import Results
from crossmod.report.style import (
    BLUE,
    GREEN,
    ORANGE,
    PAGE_MM,
    PURPLE,
    SKY,
    VERMILION,
    NothingToShowError,
    Picture,
    panels,
    styled,
)
from crossmod.report.words import as_words, capital
from crossmod.scans.files import read_scan

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY)
TRAINS, VALIDATES = 1, 2
COLUMNS, FEW_STRUCTURES = 2, 8  # panels of volumes side by side


def cohorts_of(results: Results) -> list[Cohort]:
    """The cohorts that train or validate an arm, in the order of the study's config."""
    used = {
        name
        for arm in results.splits["arms"].values()
        for part in (arm["training"], *arm["sites"].values())
        for name in part
    }
    order = [*results.study.get("cohorts", {}), *sorted(used)]
    return [read_cohort(results.place(f"cohort/{name}")) for name in dict.fromkeys(order) if name in used]


def cohort_table(cohorts: list[Cohort]) -> pd.DataFrame:
    """One row per cohort, modality and sequence: patients, cases, cases with labels, sex, age, provenance."""
    rows = []
    for cohort in cohorts:
        for (modality, sequence), cases in cohort.cases.groupby(["modality", "sequence"], sort=False):
            age = cases["age"].dropna()
            quartiles = (
                f"{age.median():.0f} ({age.quantile(0.25):.0f}–{age.quantile(0.75):.0f})" if len(age) else "unknown"
            )
            rows.append(
                {
                    "cohort": cohort.name,
                    "patients are": "simulated" if cohort.simulated else "real",
                    "modality": modality,
                    "sequence": sequence,
                    "patients": cases["patient"].nunique(),
                    "cases": len(cases),
                    "labelled": int((cases["label"] != "").sum()),
                    "female": int((cases["sex"] == "female").sum()),
                    "age, median (quartiles)": quartiles,
                }
            )
    return pd.DataFrame(rows)


def arm_table(results: Results) -> pd.DataFrame:
    """One row per arm: training cases per cohort, and cases per validation site."""
    rows = []
    for arm in results.design.to_dict("records"):
        placed = results.splits["arms"][arm["arm"]]
        row = {"arm": arm["arm"]} | {
            results.words.factor(factor): results.words.level(factor, arm[factor]) for factor in results.factors
        }
        row |= {f"training: {cohort}": len(cases) for cohort, cases in placed["training"].items()}
        row |= {
            f"site: {site}": sum(map(len, placed["sites"][site].values()))
            for site in results.sites
            if site in placed["sites"]
        }
        rows.append(row)
    table = pd.DataFrame(rows)
    first = ["arm", *map(results.words.factor, results.factors)]
    counts = sorted(
        (str(name) for name in table if name not in first), key=lambda name: not name.startswith("training")
    )
    return table[first + counts].fillna(0).astype({name: int for name in counts})


def structure_volumes(results: Results, cohorts: list[Cohort]) -> pd.DataFrame:
    """Volume of every labelled structure that the study segments, measured on the label maps.

    Returns:
        One row per case and structure that is present: cohort, case, side (``right``, ``left`` or ``both``),
        structure, volume_ml.
    """
    wanted, rows = _segmented(results), []
    for cohort in cohorts:
        labelled = cohort.cases[cohort.cases["label"] != ""]
        for case, label in zip(labelled["case"], labelled["label"], strict=True):
            scan = read_scan(cohort.root / label)
            voxel_ml = scan.voxel_ml
            counts = np.bincount(np.asarray(scan.array).ravel().astype(np.int64), minlength=max(cohort.labels) + 1)
            for value, name in cohort.labels.items():
                side, structure = split_side(name)
                if counts[value] and (not wanted or structure in wanted):
                    rows.append((cohort.name, case, side or "both", structure, counts[value] * voxel_ml))
    return pd.DataFrame(rows, columns=["cohort", "case", "side", "structure", "volume_ml"])


def _segmented(results: Results) -> set[str]:
    """The structures of all classes and units; none where the config is not known."""
    stages, units = (results.study.get(section) or {} for section in ("stages", "units"))
    classes = [structures for stage in stages.values() for structures in (stage.get("classes") or {}).values()]
    units_of = [[*unit["structures"], *(unit.get("facts") or [])] for unit in units.values()]
    return {split_side(name)[1] for structures in [*classes, *units_of] for name in structures}


def _shown_structures(results: Results, volumes: pd.DataFrame) -> dict[str, bool]:
    """Structures that have a panel → whether its axis is logarithmic: classes of one structure, then facts of units.

    All structures that were measured, where no class is one of them.
    """
    stages, units = (results.study.get(section) or {} for section in ("stages", "units"))
    measured = list(dict.fromkeys(volumes["structure"]))
    facts = [fact for unit in units.values() for fact in unit.get("facts") or []]
    classes = [name for stage in stages.values() for name in stage.get("classes") or {} if name in measured]
    shown = {name: False for name in classes if name not in facts} | {name: True for name in facts if name in measured}
    return shown or dict.fromkeys(measured, False)


@styled
def volume_distributions(results: Results, cohorts: list[Cohort], volumes: pd.DataFrame) -> Picture:
    """Volumes of the structures that a study segments, in every cohort; quartile boxes over all points.

    Raises:
        NothingToShowError: if no label map holds any of them.
    """
    shown = _shown_structures(results, volumes)
    if not shown:
        raise NothingToShowError(
            "No label map holds a structure that this study segments, so there are no volumes to show."
        )
    # Of many structures the panels are small, so that all of them fit a page.
    columns, cohort_mm = (COLUMNS, 11) if len(shown) <= FEW_STRUCTURES else (2 * COLUMNS, 5)
    lines = -(-len(shown) // columns)
    height_mm = lines * (16 + cohort_mm * len(cohorts))
    figure, axes = panels(lines, min(columns, len(shown)), PAGE_MM, height_mm, sharey=True)
    places, medians = [axis for line in axes for axis in line], []
    for axis, (structure, log) in zip(places, shown.items(), strict=False):
        for place, (cohort, colour) in enumerate(zip(cohorts, COLOURS * len(cohorts), strict=False)):
            here = volumes[(volumes["cohort"] == cohort.name) & (volumes["structure"] == structure)]["volume_ml"]
            _strip(axis, here, place, colour)
            if len(here):
                medians.append(f"{cohort.name} {as_words(structure)} {here.median():.0f} ml (n = {len(here)})")
        axis.set_xlabel(f"{capital(as_words(structure))} volume (ml)")
        if log:
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
        else:
            axis.set_xlim(left=0)
    for axis in places[len(shown) :]:
        axis.remove()
    names = [f"{cohort.name} (simulated)" if cohort.simulated else cohort.name for cohort in cohorts]
    for line in axes:
        line[0].set_yticks(range(len(cohorts)), names)
        line[0].set_ylim(len(cohorts) - 0.5, -0.5)
        line[0].set_ylabel("Cohort")
    return Picture(
        name="cohort_volumes",
        title="Reference volumes of the cohorts",
        caption="One dot per structure, and per side of a paired one, measured on the label maps; boxes: median and "
        f"quartiles. Medians: {'; '.join(medians)}. {results.provenance}",
        alt="Distributions of reference volumes. Medians: " + "; ".join(medians) + ".",
        figure=figure,
    )


def _strip(axis: Axes, values: pd.Series, place: int, colour: str) -> None:
    if values.empty:
        return
    spread = np.random.default_rng(place).uniform(-0.26, 0.26, len(values))
    axis.plot(values, place + spread, ".", color=colour, alpha=0.45, markersize=2.2, markeredgewidth=0)
    first, median, third = np.percentile(values, [25, 50, 75])
    axis.barh(place, third - first, left=first, height=0.62, color=colour, alpha=0.22, linewidth=0)
    axis.plot([median, median], [place - 0.31, place + 0.31], color=colour, linewidth=1.6)


@styled
def split_matrix(results: Results) -> Picture:
    """Arms × cases: who trains and who validates; a case never does both in one row."""
    columns = _ordered_cases(results)
    place = {key: number for number, key in enumerate(columns)}
    matrix = np.zeros((len(results.arms), len(columns)), dtype=np.uint8)
    for row, arm in enumerate(results.arms):
        parts = results.splits["arms"][arm]
        for placed in parts["sites"].values():
            matrix[row, [place[cohort, case] for cohort, cases in placed.items() for case in cases]] = VALIDATES
        training = [place[cohort, case] for cohort, cases in parts["training"].items() for case in cases]
        matrix[row, training] = TRAINS
    figure, ((axis,),) = panels(1, 1, PAGE_MM, 24 + 4.2 * len(results.arms))
    axis.imshow(
        matrix, cmap=ListedColormap(["#F1F1F1", BLUE, ORANGE]), vmin=0, vmax=2, aspect="auto", interpolation="nearest"
    )
    axis.grid(visible=False)
    axis.set_yticks(range(len(results.arms)), results.arms)
    axis.set_ylabel("Training set")
    axis.set_xlabel("Cases, by cohort")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    _mark_groups(axis, results, columns)
    handles = [
        Patch(color=BLUE, label="trains"),
        Patch(color=ORANGE, label="validates"),
        Patch(color="#E8E8E8", label="unused"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return Picture(
        name="split_matrix",
        title="Who trains and who validates each arm",
        caption=f"One row per {results.words.arm}, one column per case ({len(columns)} in all), patients of one part "
        f"of a pool side by side. Splits are by patient, seed {results.splits['seed']}. {results.provenance}",
        alt=f"Matrix of {len(results.arms)} {results.words.arm}s against {len(columns)} cases; no case both trains and "
        "validates one arm.",
        figure=figure,
    )


def _ordered_cases(results: Results) -> list[tuple[str, str]]:
    """(cohort, case), cohort by cohort; in each the cases of most arms first, so that nesting shows as steps."""
    used: dict[tuple[str, str], int] = {}
    for parts in results.splits["arms"].values():
        for cohort, cases in parts["training"].items():
            for case in cases:
                used[cohort, case] = used.get((cohort, case), 0) + 1
        for placed in parts["sites"].values():
            for cohort, cases in placed.items():
                for case in cases:
                    used.setdefault((cohort, case), 0)
    cohorts = list(dict.fromkeys([*results.study.get("cohorts", {}), *sorted(cohort for cohort, _ in used)]))
    part = {key: number for number, keys in enumerate(results.parts.values()) for key in keys}
    return sorted(used, key=lambda key: (cohorts.index(key[0]), part.get(key, len(results.parts)), -used[key], key[1]))


def _mark_groups(axis: Axes, results: Results, columns: list[tuple[str, str]]) -> None:
    """Name each cohort, or each part of one, above its columns."""
    part = {key: name for name, keys in results.parts.items() for key in keys}
    labels = [f"{cohort} {part[cohort, case]}" if (cohort, case) in part else cohort for cohort, case in columns]
    starts = [0] + [i for i in range(1, len(labels)) if labels[i] != labels[i - 1]]
    for start, end in zip(starts, [*starts[1:], len(labels)], strict=True):
        if start:
            axis.axvline(start - 0.5, color="white", linewidth=1.5)
        axis.text(
            (start + end - 1) / 2, -0.8, f"{labels[start]}\n(n = {end - start})", ha="center", va="bottom", fontsize=6.5
        )
