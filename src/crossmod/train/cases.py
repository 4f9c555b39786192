"""The prepared cases that one training learns from."""

import sys
from pathlib import Path

import numpy as np

from crossmod.job import Job, Plain, UserError, read_json
from crossmod.prepare.stored import Prepared, read_prepared
from crossmod.stages import classes_of
from crossmod.tables import read_own


def training_set(job: Job) -> list[Prepared]:
    """The cases of a training job's set and fold, cohorts in order of their names.

    Raises:
        UserError: if the set is unknown, a case cannot teach the stage, or none holds a voxel of what is to be learnt.
    """
    settings, folders = job.settings, {Path(folder).name: Path(folder) for folder in job.inputs["prepared"]}
    cases = [
        case
        for cohort, names in sorted(_drawn(job).items())
        for case in read_prepared(
            folders[cohort], settings["stage"], _there(job, folders[cohort], names), teaching=True
        )
    ]
    _need_foreground(cases, settings)
    return cases


def _there(job: Job, folder: Path, names: list[str]) -> list[str]:
    """The cases that a cohort has: of a derived one those whose labels passed its check, told where some did not."""
    if folder.name not in job.settings["derived"]:
        return names
    prepared = set(read_own(folder / "index.csv")["case"])
    left_out = [name for name in names if name not in prepared]
    if left_out:
        print(
            f"{len(left_out)} of {len(names)} cases are left out of cohort '{folder.name}', the first '{left_out[0]}'",
            file=sys.stderr,
        )
    return [name for name in names if name in prepared]


def _drawn(job: Job) -> dict[str, list[str]]:
    """Cohort → cases of the set, in this fold."""
    name, fold = job.settings["set"], job.settings["fold"] or 0
    sets = read_json(job.inputs["training"])["sets"]
    if name not in sets or fold >= len(sets[name]):
        raise UserError(
            f"{job.inputs['training']}: no set '{name}' with a fold {fold}; there are "
            f"{', '.join(f'{known} ({len(folds)})' for known, folds in sets.items())}. Run the split step again."
        )
    return sets[name][fold]


def _need_foreground(cases: list[Prepared], settings: Plain) -> None:
    """Refuse a set without a voxel of the stage's classes; warn of one that lacks some of them."""
    stage = settings["stages"][settings["stage"]]
    classes = classes_of(stage)
    present = {int(value) for case in cases for value in np.unique(case.label[tuple(case.foreground.T)])}
    where = f"Set '{settings['set']}' has no foreground for"
    if classes and not present:
        structures = sorted({structure for own in classes.values() for structure in own})
        raise UserError(
            f"{where} stage '{settings['stage']}': none of its {len(cases)} cases has a voxel of "
            f"{', '.join(structures)}."
        )
    for value, name in enumerate(classes, start=1):
        if value not in present:
            print(
                f"warning: {where} class '{name}' of stage '{settings['stage']}': the network will never have seen it.",
                file=sys.stderr,
            )
