"""Are there enough patients, and does nobody train and validate? What can be said before any is drawn."""

import math
from collections.abc import Iterator

from crossmod.design.references import recipes
from crossmod.job import Plain


def origin(study: Plain, cohort: str) -> str:
    """The cohort whose patients a cohort has: its own, or where it is derived those of another one."""
    return study["cohorts"][cohort].get("of") or cohort


def pool_faults(study: Plain, patients: dict[str, int]) -> list[str]:
    """What pools ask of cohorts that have fewer patients.

    Args:
        study: the config.
        patients: cohort → labelled patients; cohorts that are not named are not looked at.
    """
    found = [
        fault
        for name, pool in study["pools"].items()
        for fault in _too_few(name, pool, patients.get(origin(study, pool["cohort"]), math.inf))
    ]
    for name, pool in study["pools"].items():
        have = patients.get(origin(study, pool["cohort"]), math.inf)
        if not found and pool["patients"] is not None and pool["patients"] >= have:
            found += [
                f"sites.{site}.part: held_out, but pools.{name}.patients takes all {pool['patients']} of cohort "
                f"'{entry['cohort']}'; train on fewer, or remove the site (~sites.{site})"
                for site, entry in study["sites"].items()
                if entry["part"] == "held_out" and origin(study, entry["cohort"]) == origin(study, pool["cohort"])
            ]
    return found


def part_faults(study: Plain) -> list[str]:
    """What lets a patient both train and validate, one sentence per fault.

    Pools share no patient, every site has the part that fits the pool it comes from, and no teacher labels patients
    that it has seen.
    """
    return [*_shared(study), *_sets(study), *_parts(study), *_teachers(study)]


def _too_few(name: str, pool: Plain, have: float) -> Iterator[str]:
    cohort = pool["cohort"]
    if pool["patients"] is not None and pool["patients"] > have:
        yield f"pools.{name}.patients: {pool['patients']}, but cohort '{cohort}' has {have} patients; at most {have}"
    if pool["folds"] is not None and pool["folds"] > have:
        yield f"pools.{name}.folds: {pool['folds']}, but cohort '{cohort}' has {have} patients; at most {have}"
    if pool["subsets"]:
        parts, most = len(pool["subsets"]), max(pool["amounts"])
        if most > have // parts:
            yield (
                f"pools.{name}.amounts: {most}, but cohort '{cohort}' has {have} patients, {have // parts} in each of "
                f"{parts} disjoint subsets; at most {have // parts}"
            )


def _shared(study: Plain) -> Iterator[str]:
    """Two pools of one set may not draw on the same patients."""
    for key, recipe in recipes(study):
        pools = recipe["train"] or list(study["pools"])
        cohorts = [origin(study, study["pools"][pool]["cohort"]) for pool in pools]
        for cohort in sorted({cohort for cohort in cohorts if cohorts.count(cohort) > 1}):
            yield (
                f"{key}.train: {', '.join(pools)} draw on the same patients, of cohort '{cohort}'; the pools of a "
                "set must differ"
            )


def _sets(study: Plain) -> Iterator[str]:
    for key, recipe in recipes(study):
        pools = {name: study["pools"][name] for name in recipe["train"] or study["pools"]}
        graded = [name for name, pool in pools.items() if pool["subsets"]]
        if graded and key.startswith("teachers."):
            yield (
                f"{key}.train: pool '{graded[0]}' is graded and would make several teachers of one name; give it a "
                "pool without amounts"
            )
        if len(graded) > 1:
            yield f"{key}.train: {', '.join(graded)} are all graded; a set has one pool with amounts at most"
        folds = {pool["folds"] for pool in pools.values() if pool["folds"]}
        if len(folds) > 1:
            yield (
                f"{key}.train: its pools have {' and '.join(map(str, sorted(folds)))} folds; they must have equally "
                "many"
            )


def _parts(study: Plain) -> Iterator[str]:
    for name, site in study["sites"].items():
        cohort = origin(study, site["cohort"])
        pools = {key: pool for key, pool in study["pools"].items() if origin(study, pool["cohort"]) == cohort}
        right = {_part(pool) for pool in pools.values()} or {"all"}
        if len(right) > 1:
            yield (
                f"sites.{name}: the pools {', '.join(pools)} divide cohort '{cohort}' in different ways, so nobody "
                "is left out of all"
            )
        elif site["part"] not in right:
            yield (
                f"sites.{name}.part: '{site['part']}' does not fit cohort '{site['cohort']}'; it must be "
                f"'{right.pop()}'"
            )
        elif site["part"] == "other_half" and any(len(pool["subsets"]) < 2 for pool in pools.values()):
            yield f"sites.{name}.part: other_half needs two pools.{next(iter(pools))}.subsets or more; there is one"


def _part(pool: Plain) -> str:
    """The part of a pool's cohort that can be validated on."""
    if pool["subsets"]:
        return "other_half"
    if pool["folds"]:
        return "out_of_fold"
    return "held_out"


def _teachers(study: Plain) -> Iterator[str]:
    """A teacher labels only patients that it has not learned from.

    It has also seen none of the patients that its pupils are tested on.
    """
    tested = {origin(study, site["cohort"]) for site in study["sites"].values() if site["part"] == "all"}
    for name, cohort in study["cohorts"].items():
        for structure, source in (cohort["structures"] or {}).items():
            if not isinstance(source, dict):
                continue
            teacher, key = source["teacher"], f"cohorts.{name}.structures.{structure}.teacher"
            recipe = study["teachers"][teacher]
            learned = [study["pools"][pool] for pool in recipe["train"] or study["pools"]]
            if any(origin(study, pool["cohort"]) == cohort["of"] and not pool["folds"] for pool in learned):
                yield (
                    f"{key}: '{teacher}' learns from cohort '{cohort['of']}' and would label patients that it has "
                    "seen; give its pool folds"
                )
            for pool in learned:
                if origin(study, pool["cohort"]) in tested:
                    yield (
                        f"{key}: '{teacher}' learns from cohort '{pool['cohort']}', on which its pupils are "
                        "validated; validate elsewhere"
                    )
            classes = [study["stages"][stage]["classes"] or {} for stage in recipe["stages"] or study["stages"]]
            if not any(structure in structures for each in classes for structures in each.values()):
                yield f"{key}: no stage of '{teacher}' finds the structure '{structure}'"
