"""Split: table of cases → patient-disjoint training arms and validation sites."""

from pathlib import Path

from crossmod.job import Job, write_json


def run(job: Job) -> None:
    """Draw the training cases of every arm.

    inputs: ``cohorts`` (folders). settings: ``arms`` (of the config), ``seed``. outputs: ``training`` (JSON).
    """
    from crossmod.cohort.table import read_cohort
    from crossmod.split.draw import draw_training

    cohorts = {cohort.name: cohort for cohort in map(read_cohort, map(Path, job.inputs["cohorts"]))}
    write_json(job.outputs["training"], draw_training(job.settings["arms"], cohorts, job.settings["seed"]))


def run_audit(job: Job) -> None:
    """List the cases of every site for every arm, and refuse any leak between the two.

    inputs: ``training``, ``cohorts``. settings: ``sites``, ``arms`` (records). outputs: ``splits``, ``audit``.
    """
    import json

    from crossmod.cohort.table import read_cohort
    from crossmod.job import whole
    from crossmod.split.audit import audit, refuse_leaks
    from crossmod.split.draw import draw_sites

    training = json.loads(Path(job.inputs["training"]).read_text(encoding="utf-8"))
    folders = [Path(folder) for folder in job.inputs["cohorts"]]
    cohorts = {cohort.name: cohort for cohort in map(read_cohort, folders)}
    splits = draw_sites(training, job.settings["arms"], job.settings["sites"], cohorts)
    table = audit(splits, cohorts, folders)
    with whole(job.outputs["audit"]) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
    refuse_leaks(table, job.settings["arms"], splits)
    write_json(job.outputs["splits"], splits)
