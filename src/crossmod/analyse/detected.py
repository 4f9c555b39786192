"""Which lesions are found and which are missed, by their size, and how many a model invents."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from crossmod.analyse.declared import CELL
from crossmod.analyse.design import Design
from crossmod.analyse.scores import cells_of, found_alone
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.stats.resample import ratio_ci

# Columns after the arm, its levels and the cell.
NUMBERS = [
    "from_ml",
    "below_ml",
    "n",
    "n_patients",
    "n_left_out",
    "found",
    "rate",
    "ci_low",
    "ci_high",
    "n_examined",
    "alone",
    "alone_per_patient",
    "alone_low",
    "alone_high",
    "note",
]


def detected_of(scores: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Lesions found, of all and of each class of size that the study declares (``lesion_sizes_ml``), by arm and cell.

    A lesion is a component of the reference; it is found where a predicted component is matched with it
    (:func:`crossmod.evaluate.lesions.match`). Of several trainings of an arm the share of those that found it counts.

    Returns:
        The arm's level of every factor and the cell; ``from_ml`` and ``below_ml``, the class of reference volumes
        (empty where it is open; of both the row of all lesions); ``n`` lesions of ``n_patients`` patients;
        ``n_left_out`` lesions that some training did not score; ``found`` lesions, a mean over trainings; their
        ``rate`` with its BCa interval that resamples patients. In the row of all lesions, of ``n_examined`` patients,
        those without any lesion included: ``alone`` components that a model has and the reference lacks, a mean over
        trainings, and ``alone_per_patient`` with its interval. ``note`` says why a number is missing.
    """
    arms, rows = design.arm_table().set_index("arm"), []
    sizes = design.lesion_sizes_ml
    invented = found_alone(scores, design)
    # Patients and trainings are those of all rows: one without any lesion, true or invented, has no row of components.
    examined = dict(cells_of(scores[["arm", "site", "person", "seed"]], ["arm", "site"]))
    components = scores[scores["unit"].isin(design.components)]
    for (arm, *cell), found in cells_of(components, ["arm", *CELL]):
        labels = {"arm": arm, **arms.loc[arm].to_dict(), **dict(zip(CELL, cell, strict=True))}
        everyone, alone = examined[arm, cell[0]], invented[found.index]
        people, seeds = everyone["person"].unique(), everyone["seed"].nunique()
        lesions, left_out = _lesions(found[~alone], seeds)
        every, others = _rate(lesions, design), _alone(found[alone], people, seeds, design)
        note = "; ".join(filter(None, (every["note"], others["note"])))
        rows.append(labels | every | {"n_left_out": left_out} | others | {"note": note})
        for low, high in pairwise([np.nan, *sizes, np.nan] if sizes else []):
            volume = lesions["volume_reference_ml"]
            here = lesions[~(volume < low) & ~(volume >= high)]
            rows.append(labels | {"from_ml": low, "below_ml": high} | _rate(here, design))
    table = pd.DataFrame(rows, columns=["arm", *design.factors.names, *CELL, *NUMBERS])
    return table.astype(dict.fromkeys(("n", "n_patients", "n_left_out", "n_examined"), "Int64"))


def _lesions(rows: pd.DataFrame, seeds: int) -> tuple[pd.DataFrame, int]:
    """Volume of each lesion and the share of trainings that found it, and how many some training did not score."""
    told = rows.assign(found=rows["matched"].eq("True").astype(float))
    grouped = told.groupby(["subject", "person"], sort=False)
    lesions = grouped[["volume_reference_ml", "found"]].mean()
    whole = grouped.size() == seeds
    return lesions[whole].reset_index(), int((~whole).sum())


def _rate(lesions: pd.DataFrame, design: Design) -> dict[str, Any]:
    """How many lesions there are, and which share of them is found."""
    row = {"n": len(lesions), "n_patients": lesions["person"].nunique(), "found": lesions["found"].sum(), "note": ""}
    if lesions.empty:
        return row | {"note": "no lesion of this size"}
    rate, low, high, note = _ratio(lesions["found"], lesions["person"], design)
    return row | {"rate": rate, "ci_low": low, "ci_high": high, "note": note}


def _alone(rows: pd.DataFrame, people: np.ndarray, seeds: int, design: Design) -> dict[str, Any]:
    """How many components a model has invented in each patient who was examined."""
    each = rows.groupby("person").size().reindex(people, fill_value=0) / seeds
    rate, low, high, note = _ratio(each, pd.Series(people), design)
    row = {"n_examined": len(people), "alone": each.sum(), "alone_per_patient": rate}
    return row | {"alone_low": low, "alone_high": high, "note": f"invented: {note}" if note else ""}


def _ratio(part: pd.Series, person: pd.Series, design: Design) -> tuple[float, float, float, str]:
    """Sum over count, its interval over patients, and why that is missing."""
    rate = float(part.mean())
    try:
        interval = ratio_ci(part, np.ones(len(part)), person, level=design.confidence, seed=design.seed)
    except (DegenerateDataError, IncompleteDesignError) as error:
        return rate, np.nan, np.nan, f"no interval: {error}"
    return rate, interval.ci_low, interval.ci_high, ""
