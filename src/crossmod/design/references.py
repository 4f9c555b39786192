"""Who names whom: every name in a study's config must be one that the config gives."""

from collections.abc import Iterable, Iterator
from typing import Any

from crossmod.analyse.declared import POOLED
from crossmod.anatomy.structures import split_side
from crossmod.design.fields import FIRST_SEEDS, as_list
from crossmod.design.sets import NOTHING, graded_levels
from crossmod.job import Plain
from crossmod.schema import nearest
from crossmod.stages import IMAGE


def reference_faults(study: Plain) -> list[str]:
    """A sentence per name that nothing has, each with its full key and the nearest valid name."""
    return [
        *_cohorts(study),
        *(fault for key, recipe in recipes(study) for fault in _recipe(study, key, recipe)),
        *_arms(study),
        *_regions(study),
        *_targets(study),
    ]


def recipes(study: Plain) -> Iterator[tuple[str, Plain]]:
    """Full key → recipe of every level and teacher."""
    for factor, levels in study["factors"].items():
        for level, recipe in levels.items():
            yield f"factors.{factor}.{level}", recipe
    for name, recipe in study["teachers"].items():
        yield f"teachers.{name}", recipe


def unknown(key: str, what: str, name: str | int, known: Iterable[str]) -> Iterator[str]:
    """A fault where a name is none of those that are known."""
    known = list(known)
    if name not in known:
        near = nearest(str(name), known) if known else "; there is none"
        yield f"{key}: no {what} '{name}'{near}"


def _cohorts(study: Plain) -> Iterator[str]:
    for section in ("pools", "sites"):
        for name, user in study[section].items():
            yield from unknown(f"{section}.{name}.cohort", "cohort", user["cohort"], study["cohorts"])
    for name, cohort in study["cohorts"].items():
        if cohort["source"] != "derived":
            continue
        key = f"cohorts.{name}"
        yield from unknown(f"{key}.of", "cohort", cohort["of"], study["cohorts"])
        if study["cohorts"].get(cohort["of"], {}).get("source") == "derived":
            yield f"{key}.of: '{cohort['of']}' is derived itself; name the cohort that has the scans"
        for structure, source in cohort["structures"].items():
            if isinstance(source, dict):
                yield from unknown(
                    f"{key}.structures.{structure}.teacher", "teacher", source["teacher"], study["teachers"]
                )
        for structure in cohort["volume_ml"] or {}:
            yield from unknown(f"{key}.volume_ml", "structure", structure, cohort["structures"])


def _recipe(study: Plain, key: str, recipe: Plain) -> Iterator[str]:
    for name in recipe["train"] or ():
        yield from unknown(f"{key}.train", "pool", name, study["pools"])
    segmenting = {name: stage for name, stage in study["stages"].items() if stage["learns"] == "segmentation"}
    for name in recipe["stages"] or ():
        yield from unknown(f"{key}.stages", "stage that learns segmentation", name, segmenting)
    if recipe["model"]:
        yield from unknown(f"{key}.model", "network in models", recipe["model"], study["models"])
    if recipe["treat"]:
        yield from unknown(f"{key}.treat", "treatment", recipe["treat"], study["treatments"])
    if recipe["segmenter"]:
        yield from _program(study, key, recipe)
    start = recipe["start"] or {}
    if start.get("stage"):
        yield from unknown(f"{key}.start.stage", "stage", start["stage"], study["stages"])
    for name in start.get("train") or ():
        yield from unknown(f"{key}.start.train", "pool", name, study["pools"])
    if recipe["start"] and not (start.get("stage") or start.get("train")):
        yield f"{key}.start: says neither stage nor train, so the training would start from itself"


def _program(study: Plain, key: str, recipe: Plain) -> Iterator[str]:
    """A program from outside must find something that the stages of its arms speak of."""
    known = {
        part
        for name in recipe["stages"] or study["stages"]
        for parts in (study["stages"].get(name, {}).get("classes") or {}).values()
        for part in parts
    }
    given = "labels" if recipe["segmenter"]["labels"] else "masks"
    names = recipe["segmenter"][given].values()
    found = [split_side(structure)[1] for structure in names]
    if not known & {*found, *names}:
        yield (
            f"{key}.segmenter.{given}: none of {', '.join(found)} is a structure of any class; valid: "
            f"{', '.join(sorted(known))}"
        )


def _arms(study: Plain) -> Iterator[str]:
    known = {name: list(levels) for name, levels in study["factors"].items()} | graded_levels(study["pools"])
    for place, block in enumerate(study["arms"]):
        first = block.get(FIRST_SEEDS, 1)
        if not isinstance(first, int) or first < 1:
            yield f"arms[{place}].{FIRST_SEEDS}: {first!r} is no number of seeds; give 1 or more, or leave the key out"
        chosen = {
            factor: levels
            for factor, levels in block.items()
            if factor != FIRST_SEEDS and (levels != "all" or factor not in known)
        }
        yield from _levels(f"arms[{place}]", chosen, known)
    none = {factor: [*known[factor], entry] for factor, entry in NOTHING.items() if factor in known}
    for name, site in study["sites"].items():
        yield from _levels(f"sites.{name}.where", site["where"], known | none)
    for factor in study["titles"]:
        yield from unknown("titles", "factor", factor, known)


def _levels(key: str, chosen: Plain, known: dict[str, list[Any]]) -> Iterator[str]:
    """Factors and levels that a block of arms or a site names, and that the study does not have."""
    for factor, levels in chosen.items():
        yield from unknown(key, "factor", factor, known)
        for level in as_list(levels) if known.get(factor) else []:
            yield from unknown(f"{key}.{factor}", "level", level, known[factor])


def _regions(study: Plain) -> Iterator[str]:
    """A stage may look where an earlier one found something; all of a cascade's stages stand in one order."""
    names = list(study["stages"])
    for place, (name, stage) in enumerate(study["stages"].items()):
        earlier = [n for n in names[:place] if study["stages"][n]["learns"] == "segmentation"]
        if stage["region"] == IMAGE or stage["region"] in earlier:
            continue
        key = f"stages.{name}.region"
        if stage["region"] in names[place:]:
            yield (
                f"{key}: '{stage['region']}' comes no earlier than '{name}'; the stage that finds the region stands "
                "above it"
            )
        else:
            yield from unknown(key, "image or earlier stage", stage["region"], [IMAGE, *earlier])


def _targets(study: Plain) -> Iterator[str]:
    segmenting = {name: stage for name, stage in study["stages"].items() if stage["learns"] == "segmentation"}
    for name, target in study["targets"].items():
        key, stages = f"targets.{name}", [target["stage"]] if isinstance(target["stage"], str) else target["stage"]
        for stage in stages:
            yield from unknown(f"{key}.stage", "stage that learns segmentation", stage, segmenting)
            for each in target["classes"] or ():
                if stage in segmenting:
                    yield from unknown(
                        f"{key}.classes", f"class of stage '{stage}'", each, segmenting[stage]["classes"]
                    )
        yield from unknown(f"{key}.unit", "unit", target["unit"], [IMAGE, *study["units"]])
        for fact in target["where"]:
            yield from unknown(f"{key}.where", "fact of a unit", fact, _facts(study))
        if target["each_class"] and (target["classes"] or target["structures"] or target["title"] or len(stages) > 1):
            yield (
                f"{key}: each_class makes one target for each class of one stage, so classes, structures and title "
                "are left out"
            )
    for name, unit in study["units"].items():
        if unit["apart"] in ("side", "component"):
            for fact in unit["facts"]:
                yield from unknown(f"units.{name}.facts", "structure of the unit", fact, unit["structures"])
    if "dsc" not in study["metrics"]:
        yield "metrics: dsc is missing; worst cases and pictures go by it, so add it"
    sections = study["report"]["sections"]
    if "classes" in sections and not any(target["each_class"] for target in study["targets"].values()):
        yield "report.sections: classes is of targets with each_class, and there is none; remove it"
    if "localisation" in sections and "located" not in study["metrics"]:
        yield "report.sections: localisation is of the metric located, which metrics does not list; add it there"
    components = [name for name, unit in study["units"].items() if unit["apart"] == "component"]
    if "lesions" in sections and not any(target["unit"] in components for target in study["targets"].values()):
        yield "report.sections: lesions is of targets whose unit is apart: component, and there is none; remove it"
    if "throughput" in sections and study["throughput"] is None:
        yield "report.sections: throughput is of the key throughput, which times networks; give it, or remove it"
    yield from _pooled(study)
    treats = any((recipe or {}).get("treat") for levels in study["factors"].values() for recipe in levels.values())
    if "treatments" in sections and not treats:
        yield "report.sections: treatments is of levels that treat scans, and there is none; remove it"
    if "ellipsoid_ml" in study["metrics"] and not any(unit["apart"] == "side" for unit in study["units"].values()):
        yield "metrics: ellipsoid_ml is measured of units apart by side, and there is none; remove it"


def _pooled(study: Plain) -> Iterator[str]:
    """What scores are pooled from: both masks share a volume, and a background has one."""
    metrics = study["metrics"]
    if "shared_ml" in metrics:
        if not set(metrics) & set(POOLED):
            yield f"metrics: shared_ml pools none of {', '.join(metrics)}; add one of {', '.join(POOLED)}, or remove it"
        if ("accuracy" in metrics) != ("extent_ml" in metrics):
            yield "metrics: shared_ml pools accuracy by extent_ml; list accuracy and extent_ml both, or neither"
    elif "extent_ml" in metrics:
        yield "metrics: extent_ml is what accuracy is pooled by, together with shared_ml; add shared_ml, or remove it"
    elif "pooled" in study["report"]["sections"]:
        yield "report.sections: pooled is of the metric shared_ml, which metrics does not list; add it there"


def _facts(study: Plain) -> list[str]:
    return list(dict.fromkeys(fact for unit in study["units"].values() for fact in unit["facts"]))
