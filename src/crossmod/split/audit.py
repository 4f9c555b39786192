"""The leakage audit: no patient, and no image, on both sides of any arm. It fails closed."""

import itertools
from pathlib import Path

import pandas as pd

from crossmod.cohort.table import Cohort
from crossmod.job import Plain, UserError
from crossmod.tables import read_own


def audit(splits: Plain, cohorts: dict[str, Cohort], folders: list[Path]) -> pd.DataFrame:
    """Count what every arm shares with every site.

    Patients are compared by pseudonym and images by the SHA-256 of their decoded voxels, across cohorts.

    Args:
        splits: what :func:`crossmod.split.draw.gather` returned.
        cohorts: name → cohort.
        folders: the cohorts' folders, each with ``facts.csv``.

    Returns:
        One row per arm and site: ``arm, site, training_cases, site_cases, shared_patients, shared_images``.

    Raises:
        UserError: if a case has no recorded patient or image hash; nothing is then assumed to be clean.
    """
    identity = _identities(cohorts, folders)
    rows = []
    for arm, parts in splits["arms"].items():
        training = [(cohort, case) for cohort, cases in parts["training"].items() for case in cases]
        for site, placed in parts["sites"].items():
            validation = [(cohort, case) for cohort, cases in placed.items() for case in cases]
            missing = [key for key in training + validation if key not in identity]
            if missing:
                raise UserError(
                    f"The leakage audit cannot identify {len(missing)} cases, the first {missing[0]}: facts.csv of "
                    "their cohort does not list them. Run the cohort step again."
                )
            patients = {identity[key][0] for key in training} & {identity[key][0] for key in validation}
            images = {identity[key][1] for key in training} & {identity[key][1] for key in validation}
            rows.append((arm, site, len(training), len(validation), len(patients), len(images)))
    columns = ["arm", "site", "training_cases", "site_cases", "shared_patients", "shared_images"]
    return pd.DataFrame(rows, columns=columns)


def refuse_leaks(table: pd.DataFrame, arms: list[Plain], splits: Plain) -> None:
    """Stop the study if anything is shared, or if smaller amounts are not nested in larger ones.

    Raises:
        UserError: naming every arm and site concerned.
    """
    faults = [
        f"arm '{row.arm}' and site '{row.site}' share {row.shared_patients} patients and {row.shared_images} images"
        for row in table.itertuples()
        if row.shared_patients or row.shared_images
    ]
    for strategy, subset in {(arm["strategy"], arm["subset"]) for arm in arms}:
        ladder = [a for a in arms if (a["strategy"], a["subset"]) == (strategy, subset)]
        ladder.sort(key=lambda arm: arm["amount"])
        for small, large in itertools.pairwise(ladder):
            if not _cases(splits, small["name"]) < _cases(splits, large["name"]):
                faults.append(f"arm '{small['name']}' is not nested in arm '{large['name']}'")
    if faults:
        raise UserError(
            "The leakage audit failed; nothing was trained:\n" + "\n".join(f"  {fault}" for fault in sorted(faults))
        )


def _cases(splits: Plain, arm: str) -> set[tuple[str, str]]:
    parts = splits["arms"][arm]["training"]
    return {(cohort, case) for cohort, cases in parts.items() for case in cases}


def _identities(cohorts: dict[str, Cohort], folders: list[Path]) -> dict[tuple[str, str], tuple[str, str]]:
    """(cohort, case) → (patient, image hash). Simulated patients of two cohorts are different people by construction."""
    found = {}
    for cohort, folder in zip(cohorts.values(), folders, strict=True):
        facts = read_own(folder / "facts.csv")
        digests = dict(zip(facts["case"], facts["image_sha256"], strict=True))
        for row in cohort.cases.itertuples():
            digest = digests.get(row.case)
            if digest and row.patient:
                found[(cohort.name, row.case)] = (row.patient, digest)
    return found
