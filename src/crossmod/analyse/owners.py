"""Whose each unit is: the patient is the unit of independence."""

import numpy as np
import pandas as pd

from crossmod.analyse.asked import Asked
from crossmod.analyse.stats.cells import Cells, refuse_duplicates, subject_names
from crossmod.analyse.stats.errors import IncompleteDesignError, some


def owners_of(cell: pd.DataFrame, asked: Asked, units: Cells) -> np.ndarray | None:
    """The patient of each complete unit; None without clusters. Ids that collide across sites are told apart."""
    if not asked.cluster:
        return None
    factors = list(units.levels)
    return (
        _patients(cell, asked.cluster, subject_names(cell, asked.subject, factors), factors)
        .reindex(units.subjects)
        .to_numpy()
    )


def independent_of(rows: pd.DataFrame, asked: Asked) -> pd.Series:
    """Whose each row is: the patient's, or without clusters the subject's.

    Rows of one subject may differ by a factor of the plan, such as the amount of annotation.

    Raises:
        IncompleteDesignError: no rows, rows of one subject alike in every factor, or a subject of several patients.
    """
    if rows.empty:
        raise IncompleteDesignError("No row has a number in every column that is needed.")
    factors = [name for name in asked.factors if name in rows and name not in asked.subject]
    names = subject_names(rows, asked.subject, factors)
    refuse_duplicates(rows, names, factors)
    return names.map(_patients(rows, asked.cluster, names, factors)) if asked.cluster else names


def _patients(rows: pd.DataFrame, cluster: str, names: pd.Series, factors: list[str]) -> pd.Series:
    """Subject → patient (the column ``cluster``), which must be one."""
    patients = subject_names(rows, [cluster], factors)
    owners = patients.groupby(names, sort=False).agg(["first", "nunique"])
    several = owners.index[owners["nunique"] > 1]
    if len(several):
        raise IncompleteDesignError(
            f"{some(several)} belong to more than one {cluster!r}: add the columns to subject that tell them apart."
        )
    return owners["first"]


def codes_of(owners: np.ndarray | None) -> np.ndarray | None:
    """(N,) whole numbers from 0, one per patient, in order of appearance; None where the plan knows no patients."""
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
