"""Can the networks of a study be built, trained and put one behind another?"""

import math
from collections.abc import Iterator

from pydantic import ValidationError

from crossmod.design.arms import Arm
from crossmod.design.networks import Training as Settings
from crossmod.design.references import recipes
from crossmod.design.trainings import Training, changed
from crossmod.job import Plain
from crossmod.models.allowed import LOSSES, OPTIMISERS, SCHEDULES, target_problem
from crossmod.schema import faults_of
from crossmod.stages import keep_problem

# ASSUME: no field of view is longer than two metres, and no GPU trains on patches of more voxels.
LONGEST_MM, MOST_VOXELS = 2000, 2**25


def stage_faults(study: Plain) -> Iterator[str]:
    """Stages that are impossible by themselves."""
    for name, stage in study["stages"].items():
        key, patch = f"stages.{name}", stage["patch"]
        if math.prod(patch) > MOST_VOXELS:
            yield f"{key}.patch: {math.prod(patch)} voxels; at most {MOST_VOXELS}"
        for side, spacing in zip(patch, stage["spacing_mm"], strict=True):
            if spacing is not None and side * spacing > LONGEST_MM:
                yield f"{key}.patch: {side} voxels of {spacing:g} mm are {side * spacing:g} mm; at most {LONGEST_MM}"
        if patch.count(1) > 1:
            yield f"{key}.patch: {patch} is thin along several axes; one at most has a single voxel (a 2-D network)"
        if study["training"]["budget"] == "passes" and stage["passes"] is None:
            yield f"{key}.passes: training.budget is passes, so every stage says how often each case is seen"
        if problem := keep_problem(study["stages"], name):
            yield f"{key}.keep: {problem}"


def cascade_faults(arms: list[Arm], study: Plain) -> Iterator[str]:
    """Arms whose stages do not follow each other, or lack one that a target or a region needs."""
    told = set()
    for arm in arms:
        for place, name in enumerate(arm.stages):
            region = study["stages"][name]["region"]
            if region != "image" and region not in arm.stages[:place] and (name, region) not in told:
                told.add((name, region))
                yield (
                    f"arm '{arm.name}': stage '{name}' looks where '{region}' found something, which is no earlier "
                    "stage of the arm"
                )


def change_faults(study: Plain) -> Iterator[str]:
    """What a level or teacher changes of the training, and may not."""
    for key, recipe in recipes(study):
        try:
            Settings.model_validate(changed(study["training"], recipe["training"] or {}))
        except ValidationError as error:
            yield from (f"{key}.training.{fault}" for fault in faults_of(Settings, error, "training"))


def training_faults(trainings: dict[str, Training], study: Plain) -> Iterator[str]:
    """Networks that may not be named or do not fit their patches, and settings out of range; each told once."""
    told: set[str] = set()
    for training in trainings.values():
        for fault in [*_builders(training), *_network(study, training)]:
            if fault not in told:
                told.add(fault)
                yield fault


def _builders(training: Training) -> list[str]:
    """What is wrong with loss, optimiser and schedule."""
    parts = (("loss", LOSSES), ("optimiser", OPTIMISERS), ("schedule", SCHEDULES))
    return [problem for key, allowed in parts if (problem := target_problem(training.settings[key], allowed))]


def _network(study: Plain, training: Training) -> Iterator[str]:
    model, stage = training.model, study["stages"][training.stage]
    key = next(
        (f"models.{name}" for name, other in study["models"].items() if other["_target_"] == model["_target_"]), "model"
    )
    if problem := target_problem(model):
        yield problem.replace("model", key, 1)
        return
    thin = 1 in stage["patch"]
    if model.get("spatial_dims", 3) != (2 if thin else 3):
        yield (
            f"stages.{training.stage}.patch: {stage['patch']} needs a network of {2 if thin else 3} dimensions, and "
            f"{key} has {model.get('spatial_dims', 3)}"
        )
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
        yield f"{key}.strides: {strides}: a list of whole numbers from 1 (or of three of them each) is needed"
    elif isinstance(channels, list) and len(channels) != len(strides) + 1:
        yield f"{key}.channels: {len(channels)} levels need {len(channels) - 1} strides, not {len(strides)}"
    elif "patch_size" in model:
        if min(side for side in stage["patch"] if side > 1) < model["patch_size"]:
            yield (
                f"stages.{training.stage}.patch: {stage['patch']} is smaller than the {model['patch_size']} pixels of "
                f"{key}.patch_size; use a larger patch or a smaller patch_size"
            )
    else:
        patch, stride = [side for side in stage["patch"] if side > 1] if thin else stage["patch"], stride_of(model)
        if stride is not None:  # None only where there are no strides
            yield from _patch(f"stages.{training.stage}.patch", patch, stride)


def stride_of(model: Plain) -> tuple[int, ...] | None:
    """By how much a network shrinks its input along each axis, from its argument ``strides``; None where it has none.

    A U-Net joins what it shrank and widened again with what it had before, so every side of its input must be a
    multiple.
    """
    strides, axes = model.get("strides"), model.get("spatial_dims", 3)
    if not isinstance(strides, list) or not strides:
        return None
    each = [stride if isinstance(stride, list) else [stride] * axes for stride in strides]
    return tuple(math.prod(stride[axis] for stride in each) for axis in range(axes))


def _patch(key: str, patch: list[int], stride: tuple[int, ...]) -> Iterator[str]:
    fitting = [max(s, s * round(side / s)) for side, s in zip(patch, stride, strict=True)]
    if fitting != patch:
        yield (
            f"{key}: {patch} is no multiple of the network's stride {list(stride)}; the nearest that fits is {fitting}"
        )
    elif fitting == list(stride):
        yield f"{key}: {patch} leaves one voxel at the network's bottom, which cannot be normalised; use a larger patch"
