"""What each value of a study allows but all of them together do not: pools that are too small, patches that no network
takes.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from crossmod.job import Plain, UserError
from crossmod.models.allowed import target_problem
from crossmod.schema import nearest

STAGES = {"kidney": "image", "parenchyma": "kidney"}
# Names of files that a study writes beside those of its cohorts and sites.
TAKEN = {"cohorts": ("check",), "sites": ("training", "splits", "audit")}
# ASSUME: no field of view is longer than two metres, and no GPU trains on patches of more voxels.
LONGEST_MM, MOST_VOXELS = 2000, 2**25


def faults(study: Plain) -> list[str]:
    """A sentence per fault of a study whose every value is valid by itself, each with its key and the cure."""
    unknown = list(_unknown_cohorts(study))
    if unknown:
        return unknown
    return [*_names(study), *_pools(study), *_parts(study), *_network(study), *_stages(study), *_simulated(study)]


def pool_faults(study: Plain, patients: dict[str, int]) -> list[str]:
    """What the arms ask of cohorts that have fewer patients.

    Args:
        study: the config.
        patients: cohort → labelled patients; cohorts that are not named are not looked at.
    """
    assist, graded = study["arms"]["assist"], study["arms"]["graded"]
    found = []
    have = patients.get(assist["cohort"], math.inf)
    if assist["patients"] > have:
        found.append(
            f"arms.assist.patients: {assist['patients']}, but cohort '{assist['cohort']}' has {have} patients; "
            f"at most {have}"
        )
    parts, most = len(graded["subsets"]), max(graded["amounts"])
    have = patients.get(graded["cohort"], math.inf)
    if most > have // parts:
        found.append(
            f"arms.graded.amounts: {most}, but cohort '{graded['cohort']}' has {have} patients, {have // parts} in "
            f"each of {parts} disjoint subsets; at most {have // parts}"
        )
    left = patients.get(assist["cohort"], math.inf) - assist["patients"]
    if not found and left <= 0:
        found += [
            f"sites.{name}.part: held_out, but arms.assist.patients takes all {assist['patients']} of cohort "
            f"'{site['cohort']}'; train on fewer, or remove the site (~sites.{name})"
            for name, site in study["sites"].items()
            if site["part"] == "held_out" and site["cohort"] == assist["cohort"]
        ]
    return found


def stride_of(model: Plain) -> tuple[int, int, int] | None:
    """By how much a network shrinks its input along each axis, from its argument ``strides``; None where it has none.

    A U-Net joins what it shrank and widened again with what it had before, so every side of its input must be a
    multiple.
    """
    strides = model.get("strides")
    if not isinstance(strides, list) or not strides:
        return None
    each = [stride if isinstance(stride, list) else [stride] * 3 for stride in strides]
    return tuple(math.prod(stride[axis] for stride in each) for axis in range(3))


def _unknown_cohorts(study: Plain) -> Iterator[str]:
    users = {f"arms.{name}": arm for name, arm in study["arms"].items()}
    users |= {f"sites.{name}": site for name, site in study["sites"].items()}
    for key, user in users.items():
        if user["cohort"] not in study["cohorts"]:
            yield f"{key}.cohort: no cohort '{user['cohort']}'{nearest(user['cohort'], study['cohorts'])}"


def _names(study: Plain) -> Iterator[str]:
    """Names become names of files, and titles tell sites apart."""
    for key, taken in TAKEN.items():
        seen: dict[str, str] = {}
        for name in study[key]:
            if name in taken:
                yield f"{key}.{name}: this name is taken by a file of the study's own; choose another"
            if name.casefold() in seen:
                yield f"{key}.{name}: differs from '{seen[name.casefold()]}' by capitals alone; choose another name"
            seen[name.casefold()] = name
    titles = [site["title"] for site in study["sites"].values()]
    for name, site in study["sites"].items():
        if titles.count(site["title"]) > 1:
            yield f"sites.{name}.title: '{site['title']}' is the title of another site too"


def _pools(study: Plain) -> list[str]:
    assist, graded = study["arms"]["assist"]["cohort"], study["arms"]["graded"]["cohort"]
    if assist == graded:
        return [f"arms.graded.cohort: '{graded}' is the cohort of arms.assist too; the two must differ"]
    return pool_faults(study, {name: c["cases"] for name, c in study["cohorts"].items() if c["source"] == "simulated"})


def _parts(study: Plain) -> Iterator[str]:
    """Nobody may train and validate."""
    arms = study["arms"]
    assist, graded, several = arms["assist"]["cohort"], arms["graded"]["cohort"], len(arms["graded"]["subsets"]) > 1
    for name, site in study["sites"].items():
        part, cohort = site["part"], site["cohort"]
        right = {assist: "held_out", graded: "other_half"}.get(cohort, "all")
        if part != right:
            yield f"sites.{name}.part: '{part}' does not fit cohort '{cohort}'; it must be '{right}'"
        elif part == "other_half" and not several:
            yield f"sites.{name}.part: other_half needs two arms.graded.subsets or more; there is one"


def _network(study: Plain) -> Iterator[str]:
    model = study["model"]
    if problem := target_problem(model):
        yield problem
        return
    strides, channels = model.get("strides"), model.get("channels")
    if strides is None:
        return
    flat = (
        [n for item in strides for n in (item if isinstance(item, list) else [item])]
        if isinstance(strides, list)
        else []
    )
    if not flat or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in flat):
        yield f"model.strides: {strides}: a list of whole numbers from 1 (or of three of them each) is needed"
    elif isinstance(channels, list) and len(channels) != len(strides) + 1:
        yield f"model.channels: {len(channels)} levels need {len(channels) - 1} strides, not {len(strides)}"
    else:
        for name, stage in study["stages"].items():
            yield from _patch(f"stages.{name}.patch", stage["patch"], stride_of(model))


def _patch(key: str, patch: list[int], stride: tuple[int, int, int]) -> Iterator[str]:
    fitting = [max(s, s * round(side / s)) for side, s in zip(patch, stride, strict=True)]
    if fitting != patch:
        yield f"{key}: {patch} is no multiple of the network's stride {list(stride)}; the nearest that fits is {fitting}"
    elif fitting == list(stride):
        yield f"{key}: {patch} leaves one voxel at the network's bottom, which cannot be normalised; use a larger patch"


def _stages(study: Plain) -> Iterator[str]:
    given = {name: stage["region"] for name, stage in study["stages"].items()}
    if list(given.items()) != list(STAGES.items()):
        yield f"stages: the cascade is {STAGES} (stage: region, in this order), not {given}"
    for name, stage in study["stages"].items():
        if math.prod(stage["patch"]) > MOST_VOXELS:
            yield f"stages.{name}.patch: {math.prod(stage['patch'])} voxels; at most {MOST_VOXELS}"
        for side, spacing in zip(stage["patch"], stage["spacing_mm"], strict=True):
            if side * spacing > LONGEST_MM:
                yield f"stages.{name}.patch: {side} voxels of {spacing:g} mm are {side * spacing:g} mm; at most {LONGEST_MM}"


def _simulated(study: Plain) -> Iterator[str]:
    """Recipes, populations and protocols, read by the simulator itself."""
    from crossmod.cohort.simulated import planned

    for name, cohort in study["cohorts"].items():
        if cohort["source"] != "simulated":
            continue
        try:
            planned(
                name,
                {key: value for key, value in cohort.items() if value is not None and key not in ("source", "title")},
            )
        except UserError as error:
            yield f"cohorts.{name}: {error}"
        shapes = (cohort["population"] or {}).get("shapes")
        if shapes and not Path(str(shapes)).is_dir():
            yield f"cohorts.{name}.population.shapes: '{shapes}' is no folder"
