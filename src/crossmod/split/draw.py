"""Who trains and who validates: drawn by patient, seeded, nested."""

import zlib

import numpy as np

from crossmod.cohort.table import Cohort
from crossmod.job import Plain, UserError

# The part of a pool that trains where the others are held out.
TRAINED = "trained"


def draw_training(pools: Plain, sets: Plain, cohorts: dict[str, Cohort], seed: int) -> Plain:
    """Draw the patients of every pool, and the training cases of every set and fold.

    Smaller amounts are the beginning of larger ones, so 40 ⊂ 80 ⊂ 120, and parts share no patient.

    Args:
        pools: pool → ``cohort`` (whose arrays train), ``patients_of`` (the cohort whose patients it draws; the same
            unless the cohort is derived), ``patients``, ``subsets``, ``amounts``, ``folds``.
        sets: set → pool → ``subset``, ``amount``.
        cohorts: name → cohort, those that patients are drawn from.
        seed: of the shuffling; each cohort has its own stream, so one never changes another.

    Returns:
        ``{"seed", "sets": {set: [{cohort: cases} of each fold]}, "parts": {pool: {part: cases}}}``; cases are names,
        and a set without folds has one entry.

    Raises:
        UserError: if a cohort has too few patients, naming the numbers.
    """
    order = {name: _shuffled_patients(cohorts[name], seed) for name in {pool["patients_of"] for pool in pools.values()}}
    _require_enough(pools, order)
    parts = {name: _parts(pool, order[pool["patients_of"]]) for name, pool in pools.items()}

    def cases(pool: str, patients: list[str]) -> list[str]:
        return _cases_of(cohorts[pools[pool]["patients_of"]], patients)

    def learned(shares: Plain, fold: int) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for pool, share in shares.items():
            patients = _trained(pools[pool], parts[pool], share, fold)
            found.setdefault(pools[pool]["cohort"], []).extend(cases(pool, patients))
        return found

    return {
        "seed": seed,
        "sets": {
            name: [learned(shares, fold) for fold in range(max(pools[pool]["folds"] or 1 for pool in shares))]
            for name, shares in sets.items()
        },
        "parts": {
            pool: {part: cases(pool, patients) for part, patients in found.items()} for pool, found in parts.items()
        },
    }


def draw_site(
    training: Plain, arms: list[Plain], site: Plain, cohort: Cohort
) -> dict[str, dict[str, dict[str, list[int]]]]:
    """The cases of one site that every arm is validated on, and the trainings that each case goes to.

    Args:
        training: what :func:`draw_training` returned.
        arms: of each arm ``name``, ``set`` (None for a program from outside) and ``subset``.
        site: ``name``, ``cohort``, ``part``, and ``pools`` (pool → its cohort): those that draw on the same patients.
        cohort: that cohort.

    Returns:
        Arm → cohort → case → the folds whose training has not seen it; ``[0]`` where there are no folds.

    Raises:
        UserError: if the site would be empty.
    """
    placed = {}
    for arm in arms:
        cases = _site_cases(site, arm, training, cohort)
        if not cases:
            raise UserError(
                f"Site '{site['name']}' has no case for arm '{arm['name']}': cohort '{site['cohort']}' has "
                f"{len(_labelled(cohort))} labelled cases and part is '{site['part']}'. Give the cohort "
                "more patients, train on fewer, or remove the site."
            )
        placed[arm["name"]] = {site["cohort"]: {case: _folds(case, arm, site, training) for case in cases}}
    return placed


def gather(training: Plain, arms: list[Plain], sites: dict[str, Plain]) -> Plain:
    """Everything about who trains and who validates in one record.

    Args:
        training: what :func:`draw_training` returned.
        arms: of each arm ``name`` and ``set``.
        sites: site → what :func:`draw_site` returned.

    Returns:
        ``{"seed", "parts": {pool: {part: cases}}, "arms": {arm: {"training": {cohort: cases}, "sites": {site: {cohort:
        cases}}}}}``. The training cases of an arm with folds are those of all its folds together.
    """
    return {
        "seed": training["seed"],
        "parts": training["parts"],
        "arms": {
            arm["name"]: {
                "training": _of_all_folds(training, arm),
                "sites": {
                    site: {cohort: list(cases) for cohort, cases in placed[arm["name"]].items()}
                    for site, placed in sites.items()
                    if arm["name"] in placed
                },
            }
            for arm in arms
        },
    }


def _parts(pool: Plain, order: list[str]) -> dict[str, list[str]]:
    """A pool's patients by part, in drawn order: the halves, the folds, or those that train."""
    if pool["subsets"]:
        size = len(order) // len(pool["subsets"])
        return {name: order[i * size : (i + 1) * size] for i, name in enumerate(pool["subsets"])}
    if pool["folds"]:
        ends = np.linspace(0, len(order), pool["folds"] + 1).round().astype(int)
        return {str(fold): order[ends[fold] : ends[fold + 1]] for fold in range(pool["folds"])}
    return {TRAINED: order[: pool["patients"]]}


def _trained(pool: Plain, parts: dict[str, list[str]], share: Plain, fold: int) -> list[str]:
    """The patients that a set takes from a pool: the beginning of one part, or all parts but the fold's."""
    if pool["folds"]:
        return [patient for part, patients in parts.items() if part != str(fold) for patient in patients]
    return parts[share["subset"] or TRAINED][: share["amount"]]


def _site_cases(site: Plain, arm: Plain, training: Plain, cohort: Cohort) -> list[str]:
    everyone = _labelled(cohort)
    parts = [training["parts"][pool] for pool in site["pools"]]
    if site["part"] == "held_out":
        trained = {case for each in parts for case in each[TRAINED]}
        return [case for case in everyone if case not in trained]
    if site["part"] == "other_half":
        # An arm that used no graded case may be validated on all of them (both halves).
        return [case for each in parts for name, part in each.items() if name != arm["subset"] for case in part]
    if site["part"] == "out_of_fold" and parts:
        return sorted({case for each in parts for part in each.values() for case in part})
    return everyone


def _folds(case: str, arm: Plain, site: Plain, training: Plain) -> list[int]:
    """The folds of an arm whose training has not seen a case."""
    if arm["set"] is None:
        return [0]
    cohorts = {site["cohort"], *site["pools"].values()}
    folds = training["sets"][arm["set"]]
    if len(folds) == 1:
        return [0]
    return [fold for fold, learned in enumerate(folds) if not any(case in learned.get(name, ()) for name in cohorts)]


def _of_all_folds(training: Plain, arm: Plain) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for learned in training["sets"][arm["set"]] if arm["set"] is not None else ():
        for cohort, cases in learned.items():
            found[cohort] = sorted({*found.get(cohort, ()), *cases})
    return found


def _labelled(cohort: Cohort) -> list[str]:
    return sorted(cohort.cases.loc[cohort.cases["label"].astype(str).str.len() > 0, "case"])


def _shuffled_patients(cohort: Cohort, seed: int) -> list[str]:
    labelled = cohort.cases[cohort.cases["label"].astype(str).str.len() > 0]
    patients = sorted(labelled["patient"].unique())
    rng = np.random.default_rng([seed, zlib.crc32(cohort.name.encode())])
    return [patients[i] for i in rng.permutation(len(patients))]


def _cases_of(cohort: Cohort, patients: list[str]) -> list[str]:
    return sorted(cohort.cases.loc[cohort.cases["patient"].isin(patients), "case"])


def _require_enough(pools: Plain, order: dict[str, list[str]]) -> None:
    faults = []
    for name, pool in pools.items():
        have, cohort = len(order[pool["patients_of"]]), pool["cohort"]
        if (pool["patients"] or 0) > have:
            faults.append(f"pools.{name}.patients is {pool['patients']}, cohort '{cohort}' has {have} patients")
        if (pool["folds"] or 0) > have:
            faults.append(f"pools.{name}.folds is {pool['folds']}, cohort '{cohort}' has {have} patients")
        parts = len(pool["subsets"] or ())
        if parts and have // parts < max(pool["amounts"]):
            faults.append(
                f"pools.{name}.amounts go up to {max(pool['amounts'])} in each of {parts} disjoint subsets, cohort "
                f"'{cohort}' has {have} patients ({have // parts} per subset)"
            )
    if faults:
        raise UserError("The arms cannot be drawn:\n" + "\n".join(f"  {fault}" for fault in faults))
