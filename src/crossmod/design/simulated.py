"""What simulated cohorts must say for a study: how to scan them, and label maps with what is asked of them."""

from collections.abc import Iterator
from pathlib import Path

from crossmod.anatomy.structures import values_of
from crossmod.design.trainings import Training
from crossmod.job import Plain, UserError
from crossmod.stages import classes_of


def plan_faults(study: Plain) -> Iterator[str]:
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


def organ_faults(study: Plain, nodes: dict[str, Training]) -> Iterator[str]:
    """Classes and targets of which a simulated cohort shows nothing.

    A class needs one of its structures at least: in every cohort that it is learnt from, and at every site.
    """
    from crossmod.phantom import LABELS, ORGANS, SPINE, labelled, parse_population

    alone = "spine"  # the key whose patients have its structures alone
    cures = {"organs": (LABELS | ORGANS, "set it to true"), alone: (SPINE, "set it to {}, or to what it should say")}
    for name, cohort in study["cohorts"].items():
        if cohort["source"] != "simulated":
            continue
        try:
            shown = labelled(parse_population(cohort["population"] or {}))
        except UserError:  # told by the simulator
            continue
        asked = _asked(study, name, nodes)
        lacking = {key: parts for key, parts in asked.items() if not values_of(shown, parts)}
        for cure, (would_show, action) in cures.items():
            curable = {key: lacking[key] for key in lacking if values_of(would_show, lacking[key])}
            if not curable or shown == would_show:
                continue
            lacking = {key: parts for key, parts in lacking.items() if key not in curable}
            words = ", ".join(dict.fromkeys(part for parts in curable.values() for part in parts))
            key, state, action = (alone, "set", "leave it out") if shown == SPINE else (cure, "not set", action)
            yield (
                f"cohorts.{name}.population.{key}: {state}, so that no label map shows {words}; "
                f"{', '.join(curable)} {'asks' if len(curable) == 1 else 'ask'} for it; {action}"
            )
        for key in [key for key in lacking if key.startswith("stages.")]:
            yield (
                f"{key}: learns from cohort '{name}', and no simulated patient has {' or '.join(lacking[key])} "
                "labelled; name other structures, or other patients"
            )


def _asked(study: Plain, cohort: str, nodes: dict[str, Training]) -> dict[str, list[str]]:
    """Key → the structures that it asks of a cohort: classes learnt from it, classes and targets scored on it."""
    stages, pools = study["stages"], study["pools"]
    learnt = [node.stage for node in nodes.values() if any(pools[p]["cohort"] == cohort for p in node.set.shares)]
    asked = {
        f"stages.{stage}.classes.{name}": parts for stage in learnt for name, parts in classes_of(stages[stage]).items()
    }
    if cohort in [site["cohort"] for site in study["sites"].values()]:
        scored = {f"targets.{name}.structures": target["structures"] for name, target in study["targets"].items()}
        asked |= {key: parts for key, parts in scored.items() if parts}
        for stage in dict.fromkeys(node.stage for node in nodes.values()):
            asked |= {f"stages.{stage}.classes.{name}": parts for name, parts in classes_of(stages[stage]).items()}
    return asked
