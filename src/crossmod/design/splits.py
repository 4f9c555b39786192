"""What the split step needs to know of a study: pools and sets, who is placed on which site, and who labelled what."""

from crossmod.design.arms import Arm, arms, teachers, trainings
from crossmod.design.fields import as_list
from crossmod.design.patients import origin
from crossmod.job import Plain


def split_settings(study: Plain) -> Plain:
    """Pools, sets and seed; see :func:`crossmod.split.draw.draw_training`."""
    pools = {name: {**pool, "patients_of": origin(study, pool["cohort"])} for name, pool in study["pools"].items()}
    sets = {training.set.name: training.set.record() for training in trainings(study).values()}
    return {"pools": pools, "sets": sets, "seed": study["split_seed"]}


def drawn_cohorts(study: Plain) -> list[str]:
    """The cohorts that patients are drawn from to train."""
    return list(dict.fromkeys(origin(study, pool["cohort"]) for pool in study["pools"].values()))


def labelled_places(study: Plain) -> dict[str, Plain]:
    """Derived cohort → the place where its teachers are predicted, as if it were a site.

    The place holds all cases of the cohort with the scans.
    """
    return {
        name: {"cohort": cohort["of"], "part": "all"}
        for name, cohort in study["cohorts"].items()
        if cohort["source"] == "derived"
    }


def teachers_of(study: Plain, cohort: str) -> list[str]:
    """The teachers that label a derived cohort, each once; nobody labels any other cohort."""
    sources = (study["cohorts"][cohort].get("structures") or {}).values()
    return list(dict.fromkeys(source["teacher"] for source in sources if source != "reference"))


def arms_on(study: Plain, place: str) -> list[Arm]:
    """Who is predicted on a site: the arms of the levels that it names, or all; on a derived cohort its teachers."""
    if place in study["sites"]:
        asked = {factor: as_list(levels) for factor, levels in study["sites"][place]["where"].items()}
        return [arm for arm in arms(study) if all(arm.levels[factor] in levels for factor, levels in asked.items())]
    named = teachers_of(study, place)
    return [arm for arm in teachers(study) if arm.name in named]


def site_settings(study: Plain, place: str) -> Plain:
    """A site with the pools that share its patients, and its arms; see :func:`crossmod.split.draw.draw_site`."""
    site = study["sites"].get(place) or labelled_places(study)[place]
    pools = {
        name: pool["cohort"]
        for name, pool in study["pools"].items()
        if origin(study, pool["cohort"]) == origin(study, site["cohort"])
    }
    return {
        "site": {"name": place, "cohort": site["cohort"], "part": site["part"], "pools": pools},
        "arms": [
            {"name": arm.name, "set": arm.set and arm.set.name, "subset": arm.levels.get("subset", "none")}
            for arm in arms_on(study, place)
        ],
    }


def audit_settings(study: Plain) -> Plain:
    """Every arm and teacher with its set and with those who labelled what it learns from.

    See :func:`crossmod.split.audit.audit`.
    """
    derived = {name: origin(study, name) for name in labelled_places(study)}
    labelled_by = {name: [arm.set.name for arm in arms_on(study, name) if arm.set] for name in derived}
    return {
        "arms": [
            {
                **arm.record(),
                "set": arm.set and arm.set.name,
                "teachers": [
                    name
                    for pool in (arm.set.shares if arm.set else ())
                    for name in labelled_by.get(study["pools"][pool]["cohort"], ())
                ],
            }
            for arm in [*arms(study), *teachers(study)]
        ],
        "derived": derived,
    }
