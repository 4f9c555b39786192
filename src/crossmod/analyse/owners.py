"""Whose each unit is: the patient is the unit of independence."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossmod.analyse.cells import Cells, subject_names
from crossmod.analyse.errors import IncompleteDesignError, some

if TYPE_CHECKING:
    from crossmod.analyse.plan import AnalysisPlan


def owners_of(cell: pd.DataFrame, plan: "AnalysisPlan", units: Cells) -> np.ndarray | None:
    """The patient of each complete unit; None without clusters. Ids that collide across sites are told apart."""
    if not plan.cluster:
        return None
    factors = list(units.levels)
    names, patients = (subject_names(cell, keys, factors) for keys in (plan.subject, [plan.cluster]))
    owners = patients.groupby(names, sort=False).agg(["first", "nunique"])
    several = owners.index[owners["nunique"] > 1]
    if len(several):
        raise IncompleteDesignError(
            f"{some(several)} belong to more than one {plan.cluster!r}: add the columns to subject that tell them apart."
        )
    return owners["first"].reindex(units.subjects).to_numpy()


def codes_of(owners: np.ndarray | None) -> np.ndarray | None:
    return None if owners is None else pd.factorize(owners)[0]


def means_of_patients(units: Cells, owners: np.ndarray | None) -> Cells:
    """Each patient's mean over their units in every cell: the patient is the unit of independence."""
    if owners is None or len(set(owners)) == len(owners):
        return units
    codes, patients = pd.factorize(owners)
    if len(patients) < 3:
        raise IncompleteDesignError(f"{len(owners)} units of {len(patients)} patients; at least 3 patients are needed.")
    sums = np.zeros((len(patients), *units.values.shape[1:]))
    np.add.at(sums, codes, units.values)
    count = np.bincount(codes).reshape(-1, *([1] * (units.values.ndim - 1)))
    return Cells(sums / count, patients.tolist(), units.levels, units.dropped)


def counts_of(units: Cells, owners: np.ndarray | None) -> dict[str, int]:
    """Complete units, their patients (where the plan knows them), and the units left out."""
    patients = {} if owners is None else {"n_patients": len(set(owners))}
    return {"n_units": len(units.subjects), **patients, "n_dropped": len(units.dropped)}
