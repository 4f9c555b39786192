"""Who trains and who validates: drawn by patient, seeded, nested."""

import zlib

import numpy as np

from crossmod.cohort.table import Cohort
from crossmod.job import Plain, UserError


def draw_training(arms: Plain, cohorts: dict[str, Cohort], seed: int) -> Plain:
    """Draw the training patients of the assisting pool and of every half and amount of the graded pool.

    Smaller amounts are the beginning of larger ones, so 40 ⊂ 80 ⊂ 120, and halves share no patient.

    Args:
        arms: the section ``arms`` of the study's config.
        cohorts: name → cohort.
        seed: of the shuffling; each cohort has its own stream, so one never changes another.

    Returns:
        ``{"seed", "assist": {cohort: cases}, "subsets": {name: {amount: {cohort: cases}}},
        "halves": {name: cases}, "cohorts": {cohort: patients in order}}``; cases are names.

    Raises:
        UserError: if a cohort has too few patients, naming the numbers.
    """
    assist, graded = arms["assist"], arms["graded"]
    order = {name: _shuffled_patients(cohorts[name], seed) for name in {assist["cohort"], graded["cohort"]}}
    _require_enough(assist, graded, order)

    pool = order[graded["cohort"]]
    size = len(pool) // len(graded["subsets"])
    halves = {name: pool[i * size : (i + 1) * size] for i, name in enumerate(graded["subsets"])}
    graded_cohort = cohorts[graded["cohort"]]
    return {
        "seed": seed,
        "assist": {
            assist["cohort"]: _cases_of(cohorts[assist["cohort"]], order[assist["cohort"]][: assist["patients"]])
        },
        "subsets": {
            name: {
                str(amount): {graded["cohort"]: _cases_of(graded_cohort, patients[:amount])}
                for amount in graded["amounts"]
            }
            for name, patients in halves.items()
        },
        "halves": {name: _cases_of(graded_cohort, patients) for name, patients in halves.items()},
    }


def training_cases(training: Plain, arm: Plain) -> dict[str, list[str]]:
    """The training cases of one arm: cohort → case names."""
    cases: dict[str, list[str]] = {}
    if arm["strategy"] in ("ct", "mixed"):
        cases |= training["assist"]
    if arm["strategy"] in ("pure", "mixed"):
        cases |= training["subsets"][arm["subset"]][str(arm["amount"])]
    return cases


def draw_site(training: Plain, arms: list[Plain], site: Plain, cohort: Cohort) -> dict[str, dict[str, list[str]]]:
    """The cases of one site that every arm is validated on: arm → cohort → cases.

    Args:
        training: what :func:`draw_training` returned.
        arms: arm records (see :meth:`crossmod.design.arms.Arm.record`).
        site: site record with name, cohort and part.
        cohort: that cohort.

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
        placed[arm["name"]] = {site["cohort"]: cases}
    return placed


def gather(training: Plain, arms: list[Plain], sites: dict[str, dict[str, dict[str, list[str]]]]) -> Plain:
    """Everything about who trains and who validates in one record.

    Args:
        training: what :func:`draw_training` returned.
        arms: arm records.
        sites: site → what :func:`draw_site` returned.

    Returns:
        ``{"seed", "subsets": {name: cases}, "arms": {arm: {"training": {cohort: cases}, "sites": {site: {cohort: cases}}}}}``.
    """
    return {
        "seed": training["seed"],
        "subsets": training["halves"],
        "arms": {
            arm["name"]: {
                "training": training_cases(training, arm),
                "sites": {site: placed[arm["name"]] for site, placed in sites.items()},
            }
            for arm in arms
        },
    }


def _site_cases(site: Plain, arm: Plain, training: Plain, cohort: Cohort) -> list[str]:
    everyone = _labelled(cohort)
    if site["part"] == "all":
        return everyone
    if site["part"] == "held_out":
        pool = set(training["assist"].get(site["cohort"], []))
        return [case for case in everyone if case not in pool]
    # other_half: an arm that used no graded case may be validated on all of them (both halves).
    return [case for name, half in training["halves"].items() if name != arm["subset"] for case in half]


def _labelled(cohort: Cohort) -> list[str]:
    return sorted(cohort.cases.loc[cohort.cases["label"].astype(str).str.len() > 0, "case"])


def _shuffled_patients(cohort: Cohort, seed: int) -> list[str]:
    labelled = cohort.cases[cohort.cases["label"].astype(str).str.len() > 0]
    patients = sorted(labelled["patient"].unique())
    rng = np.random.default_rng([seed, zlib.crc32(cohort.name.encode())])
    return [patients[i] for i in rng.permutation(len(patients))]


def _cases_of(cohort: Cohort, patients: list[str]) -> list[str]:
    return sorted(cohort.cases.loc[cohort.cases["patient"].isin(patients), "case"])


def _require_enough(assist: Plain, graded: Plain, order: dict[str, list[str]]) -> None:
    faults = []
    have = len(order[assist["cohort"]])
    if have < assist["patients"]:
        faults.append(f"arms.assist.patients is {assist['patients']}, cohort '{assist['cohort']}' has {have} patients")
    have, parts = len(order[graded["cohort"]]), len(graded["subsets"])
    if have // parts < max(graded["amounts"]):
        faults.append(
            f"arms.graded.amounts go up to {max(graded['amounts'])} in each of {parts} disjoint subsets, cohort "
            f"'{graded['cohort']}' has {have} patients ({have // parts} per subset)"
        )
    if assist["cohort"] == graded["cohort"]:
        faults.append(f"arms.assist and arms.graded draw from the same cohort '{assist['cohort']}'")
    if faults:
        raise UserError("The arms cannot be drawn:\n" + "\n".join(f"  {fault}" for fault in faults))
