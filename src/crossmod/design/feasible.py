"""What each value of a study allows but all of them together do not: every fault, before any job starts."""

from collections.abc import Iterator

from crossmod.analyse.declared import faults_of_hypotheses
from crossmod.analyse.factors import Factors
from crossmod.anatomy.structures import values_of
from crossmod.design.arms import arms, factors_of, teachers, trainings
from crossmod.design.cascades import cascade_faults, change_faults, stage_faults, training_faults
from crossmod.design.fields import as_list
from crossmod.design.patients import part_faults, pool_faults
from crossmod.design.references import reference_faults
from crossmod.design.simulated import organ_faults, plan_faults
from crossmod.design.splits import arms_on
from crossmod.design.targets import targets_of
from crossmod.design.timed import throughput_faults
from crossmod.evaluate.declared import Declared
from crossmod.job import Plain, UserError
from crossmod.stages import classes_of

# Names of files that a study writes beside those of its cohorts and sites.
TAKEN = {"cohorts": ("check",), "sites": ("training", "splits", "audit")}


def faults(study: Plain) -> list[str]:
    """A sentence per fault of a study whose every value is valid by itself, each with its key and the cure."""
    unknown = reference_faults(study)
    if unknown:
        return unknown
    simulated = {name: c["cases"] for name, c in study["cohorts"].items() if c["source"] == "simulated"}
    found = [
        *_names(study),
        *_labels(study),
        *part_faults(study),
        *pool_faults(study, simulated),
        *stage_faults(study),
        *change_faults(study),
        *throughput_faults(study),
    ]
    if not found:
        found += _networks(study)
    return [*found, *plan_faults(study)]


def _networks(study: Plain) -> Iterator[str]:
    try:
        compared, nodes = [*arms(study), *teachers(study)], trainings(study)
    except UserError as error:
        yield str(error)
        return
    yield from cascade_faults(compared, study)
    yield from training_faults(nodes, study)
    yield from organ_faults(study, nodes)
    yield from _validated(study)
    yield from _scored(study)
    yield from _tests(study, factors_of(arms(study)))


def _validated(study: Plain) -> Iterator[str]:
    """Every site validates some arm, and all levels that a hypothesis wants to compare there."""
    placed = {name: arms_on(study, name) for name in study["sites"]}
    for name, found in placed.items():
        if not found:
            yield f"sites.{name}.where: no arm has these levels; `crossmod config --arms` lists the arms"
    for table, hypotheses in study["analyse"]["hypotheses"].items():
        for place, hypothesis in enumerate(hypotheses):
            factor, where = hypothesis.get("within"), hypothesis.get("where", {})
            for site in as_list(where.get("site", [])):
                levels = {arm.levels.get(factor) for arm in placed.get(site, ())}
                absent = [level for level in hypothesis.get("compare", []) if level not in levels]
                if absent and study["sites"].get(site, {}).get("where"):
                    yield (
                        f"analyse.hypotheses.{table}.{place}: {hypothesis['name']}: sites.{site}.where leaves no arm "
                        f"of {factor} {', '.join(map(str, absent))} at this site; leave the site out, or the level"
                    )


def _scored(study: Plain) -> Iterator[str]:
    """Targets, as the evaluate step will read them for the stages of each arm."""
    try:
        targets = targets_of(study)
        for stages in dict.fromkeys(tuple(arm.stages) for arm in arms(study)):
            chosen = {name: study["stages"][name] for name in stages}
            Declared.of({"stages": chosen, "units": study["units"], "targets": targets})
    except UserError as error:
        yield str(error)


def _tests(study: Plain, factors: list[Plain]) -> Iterator[str]:
    """Contrast, replicate, dose and hypotheses, held against the factors that arms have."""
    analyse = study["analyse"]
    roles = {role: analyse[role] for role in ("contrast", "replicate", "dose")}
    varied = Factors({factor["name"]: factor["levels"] for factor in factors}, **roles)
    found = varied.faults("analyse")
    yield from found
    if not found:
        facts = list(dict.fromkeys(fact for unit in study["units"].values() for fact in unit["facts"]))
        parts = any(unit["apart"] != "side" for unit in study["units"].values())
        yield from faults_of_hypotheses(
            analyse["hypotheses"], varied, facts=facts, metrics=study["metrics"], parts=parts
        )


def _names(study: Plain) -> Iterator[str]:
    """Names become names of files, and titles tell sites apart."""
    for key in ("cohorts", "sites", "pools", "stages", "units", "targets", "teachers"):
        seen: dict[str, str] = {}
        for name in study[key]:
            if name in TAKEN.get(key, ()):
                yield f"{key}.{name}: this name is taken by a file of the study's own; choose another"
            if name.casefold() in seen:
                yield f"{key}.{name}: differs from '{seen[name.casefold()]}' by capitals alone; choose another name"
            seen[name.casefold()] = name
    for name, cohort in study["cohorts"].items():
        if cohort["source"] == "derived" and name in study["sites"]:
            yield (
                f"sites.{name}: a derived cohort has this name, and its teachers' predictions would lie in the same "
                "place"
            )
    for name in {"image", *study["stages"]} & set(study["units"]) - set(study["stages"]):
        yield f"units.{name}: this name stands for the whole case; choose another"
    titles = [site["title"] for site in study["sites"].values()]
    for name, site in study["sites"].items():
        if titles.count(site["title"]) > 1:
            yield f"sites.{name}.title: '{site['title']}' is the title of another site too"


def _labels(study: Plain) -> Iterator[str]:
    """Label maps of the user's own hold some structure that the study learns or compares."""
    stages, targets = study["stages"].values(), study["targets"].values()
    asked = [structure for stage in stages for part in classes_of(stage).values() for structure in part]
    asked += [structure for target in targets for structure in target["structures"] or ()]
    for name, cohort in study["cohorts"].items():
        labels = cohort["labels"]
        if labels is not None and not values_of(labels, asked):
            found = ", ".join(labels.values()) or "nothing"
            wanted = ", ".join(dict.fromkeys(asked))
            yield (
                f"cohorts.{name}.labels: they name {found}; stages and targets ask for {wanted}, and one at least is "
                "needed"
            )
