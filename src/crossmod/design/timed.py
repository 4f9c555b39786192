"""Which networks of a study are timed, and on what."""

from collections.abc import Iterator

from crossmod.design.arms import arms
from crossmod.design.references import unknown
from crossmod.job import Plain


def throughput_settings(study: Plain) -> Plain:
    """Settings of the throughput job; see :func:`crossmod.throughput.run`."""
    asked = study["throughput"]
    stage = study["stages"][asked["stage"]]
    return {
        "models": _models(study, asked["stage"]),
        "stage": {key: stage[key] for key in ("learns", "classes", "patch", "overlap")},
        **{key: asked[key] for key in ("slice", "warm_up", "repeats", "threads")},
        "precision": study["training"]["precision"],
    }


def throughput_faults(study: Plain) -> Iterator[str]:
    """What is wrong with the stage that is timed."""
    asked = study["throughput"]
    if asked is None:
        return
    segmenting = [name for name, stage in study["stages"].items() if stage["learns"] == "segmentation"]
    found = list(unknown("throughput.stage", "stage that learns segmentation", asked["stage"], segmenting))
    yield from found
    if not found and 1 not in study["stages"][asked["stage"]]["patch"]:
        yield f"throughput.stage: patches of '{asked['stage']}' have three dimensions; planes alone are timed"


def _models(study: Plain, stage: str) -> Plain:
    """Name → each network that an arm uses for a stage: as `models` calls it, or ``model`` for the study's own."""
    used = [arm.models[stage] for arm in arms(study) if stage in arm.models]
    return {name: model for name, model in {"model": study["model"], **study["models"]}.items() if model in used}
