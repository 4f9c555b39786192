"""Split: table of cases → patient-disjoint training sets and validation sites."""

from pathlib import Path

from crossmod.job import Job, read_json, write_json


def run(job: Job) -> None:
    """Draw the training cases of every set and fold.

    inputs: ``cohorts`` (folders).
    settings: ``pools``, ``sets``, ``seed``; see :func:`crossmod.split.draw.draw_training`.
    outputs: ``training`` (JSON).
    """
    from crossmod.cohort.table import read_cohort
    from crossmod.split.draw import draw_training

    cohorts = {cohort.name: cohort for cohort in map(read_cohort, map(Path, job.inputs["cohorts"]))}
    settings = job.settings
    write_json(job.outputs["training"], draw_training(settings["pools"], settings["sets"], cohorts, settings["seed"]))


def run_site(job: Job) -> None:
    """List the cases of one site for every arm.

    inputs: ``training``, ``cohort`` (folder). settings: ``site``, ``arms``; see :func:`crossmod.split.draw.draw_site`.
    outputs: ``site`` (JSON).
    """
    from crossmod.cohort.table import read_cohort
    from crossmod.split.draw import draw_site

    training = read_json(job.inputs["training"])
    cohort = read_cohort(Path(job.inputs["cohort"]))
    write_json(
        job.outputs["site"], draw_site(training, job.settings["arms"], job.settings["site"], cohort), sort_keys=False
    )


def run_audit(job: Job) -> None:
    """Gather who trains and who validates, and refuse any leak between the two.

    inputs: ``training``, ``sites`` (name → JSON), ``cohorts``. settings: ``arms``, ``derived``; see
    :func:`crossmod.split.audit.audit`. outputs: ``splits``, ``audit``.
    """
    from crossmod.cohort.table import read_cohort
    from crossmod.job import whole
    from crossmod.split.audit import audit, refuse_leaks
    from crossmod.split.draw import gather

    training, arms = read_json(job.inputs["training"]), job.settings["arms"]
    sites = {name: read_json(path) for name, path in job.inputs["sites"].items()}
    folders = [Path(folder) for folder in job.inputs["cohorts"]]
    cohorts = {cohort.name: cohort for cohort in map(read_cohort, folders)}
    table = audit(training, arms, sites, cohorts, folders, job.settings["derived"])
    with whole(job.outputs["audit"]) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
    refuse_leaks(table, [arm for arm in arms if arm["set"] is not None and arm["levels"]], training)
    write_json(job.outputs["splits"], gather(training, arms, sites))
