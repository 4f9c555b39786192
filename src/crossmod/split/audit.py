"""The leakage audit: no patient, and no image, on both sides of any arm. It fails closed."""

import itertools
from pathlib import Path

import pandas as pd

from crossmod.cohort.table import Cohort
from crossmod.job import Plain, UserError
from crossmod.tables import read_own

COLUMNS = ["arm", "site", "training_cases", "site_cases", "shared_patients", "shared_images"]
Case = tuple[str, str]  # cohort and name
Identity = tuple[str, str]  # patient and image hash


def audit(
    training: Plain, arms: list[Plain], sites: Plain, cohorts: dict[str, Cohort], folders: list[Path], derived: Plain
) -> pd.DataFrame:
    """Count what every arm shares with every site.

    Patients are compared by pseudonym and images by the SHA-256 of their decoded voxels, across cohorts. A case of a
    site is compared with the trainings that it goes to.

    Args:
        training: what :func:`crossmod.split.draw.draw_training` returned.
        arms: of each arm ``name``, ``set``, and ``teachers`` (the sets of those who labelled what it learns from).
        sites: site → what :func:`crossmod.split.draw.draw_site` returned.
        cohorts: name → cohort, those that scans come from.
        folders: the cohorts' folders, each with ``facts.csv``.
        derived: derived cohort → the cohort that its scans come from.

    Returns:
        One row per arm and site: ``arm, site, training_cases, site_cases, shared_patients, shared_images``, and where
        any arm has teachers ``taught_patients``: how many of the site's patients a teacher of its labels has learned
        from.

    Raises:
        UserError: if a case has no recorded patient or image hash; nothing is then assumed to be clean.
    """
    identity = _identities(cohorts, folders)
    rows = []
    for arm, (site, placed) in itertools.product(arms, sorted(sites.items())):
        if arm["name"] not in placed:
            continue
        learned = [_identified(fold, identity, derived) for fold in folds_of(training, arm["set"])]
        validated = _identified(placed[arm["name"]], identity, derived)
        patients, images = _shared(placed[arm["name"]], validated, learned, derived)
        rows.append(
            {
                "arm": arm["name"],
                "site": site,
                "training_cases": len({key for fold in learned for key in fold}),
                "site_cases": len(validated),
                "shared_patients": len(patients),
                "shared_images": len(images),
                "taught_patients": _taught(arm, training, validated, identity, derived),
            }
        )
    columns = [*COLUMNS, *(["taught_patients"] if any(arm["teachers"] for arm in arms) else [])]
    return pd.DataFrame(rows, columns=columns)


def refuse_leaks(table: pd.DataFrame, arms: list[Plain], training: Plain) -> None:
    """Stop the study if anything is shared, or if smaller amounts are not nested in larger ones.

    Args:
        table: what :func:`audit` returned.
        arms: of each arm ``name``, ``set`` and ``levels``.
        training: what :func:`crossmod.split.draw.draw_training` returned.

    Raises:
        UserError: naming every arm and site concerned.
    """
    faults = [
        f"arm '{row.arm}' and site '{row.site}' share {row.shared_patients} patients and {row.shared_images} images"
        for row in table.itertuples()
        if row.shared_patients or row.shared_images
    ]
    ladders: dict[tuple, dict[int, Plain]] = {}
    for arm in arms:
        others = tuple((factor, level) for factor, level in arm["levels"].items() if factor != "amount")
        ladders.setdefault(others, {})[arm["levels"].get("amount", 0)] = arm
    for ladder in ladders.values():
        for small, large in itertools.pairwise(ladder[amount] for amount in sorted(ladder)):
            if not _cases(training, small["set"]) < _cases(training, large["set"]):
                faults.append(f"arm '{small['name']}' is not nested in arm '{large['name']}'")
    if faults:
        raise UserError(
            "The leakage audit failed; nothing was trained:\n" + "\n".join(f"  {fault}" for fault in sorted(faults))
        )


def folds_of(training: Plain, name: str | None) -> list[dict[str, list[str]]]:
    """Cohort → cases that each fold of a set trains on; nothing for a program from outside."""
    return [] if name is None else training["sets"][name]


def _shared(
    placed: Plain, validated: dict[Case, Identity], learned: list[dict[Case, Identity]], derived: Plain
) -> tuple[set[str], set[str]]:
    """Patients and images of a site that a training which segments them has seen."""
    seen = [({patient for patient, _ in fold.values()}, {image for _, image in fold.values()}) for fold in learned]
    patients, images = set(), set()
    for cohort, cases in placed.items():
        for case, folds in cases.items():
            patient, image = validated[derived.get(cohort, cohort), case]
            for known_patients, known_images in [seen[fold] for fold in folds] if seen else []:
                patients |= {patient} & known_patients
                images |= {image} & known_images
    return patients, images


def _taught(
    arm: Plain, training: Plain, validated: dict[Case, Identity], identity: dict[Case, Identity], derived: Plain
) -> int:
    """How many patients of a site a teacher of an arm's labels has learned from."""
    known = {
        patient
        for name in arm["teachers"]
        for fold in folds_of(training, name)
        for patient, _ in _identified(fold, identity, derived).values()
    }
    return len(known & {patient for patient, _ in validated.values()})


def _identified(cases: Plain, identity: dict[Case, Identity], derived: Plain) -> dict[Case, Identity]:
    """(Cohort that the scan comes from, case) → patient and image hash."""
    keys = [(derived.get(cohort, cohort), case) for cohort, names in cases.items() for case in names]
    missing = [key for key in keys if key not in identity]
    if missing:
        raise UserError(
            f"The leakage audit cannot identify {len(missing)} cases, the first {missing[0]}: facts.csv of "
            "their cohort does not list them. Run the cohort step again."
        )
    return {key: identity[key] for key in keys}


def _cases(training: Plain, name: str | None) -> set[Case]:
    return {(cohort, case) for fold in folds_of(training, name) for cohort, cases in fold.items() for case in cases}


def _identities(cohorts: dict[str, Cohort], folders: list[Path]) -> dict[Case, Identity]:
    """(cohort, case) → (patient, image hash).

    Simulated patients of two cohorts are different people by construction.
    """
    found: dict[Case, Identity] = {}
    for cohort, folder in zip(cohorts.values(), folders, strict=True):
        facts = read_own(folder / "facts.csv")
        digests = dict(zip(facts["case"], facts["image_sha256"], strict=True))
        for case, patient in zip(cohort.cases["case"], cohort.cases["patient"], strict=True):
            digest = digests.get(case)
            if digest and patient:
                found[(cohort.name, case)] = (patient, digest)
    return found
