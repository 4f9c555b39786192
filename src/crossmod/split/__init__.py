"""Split: table of cases → patient-disjoint training arms and validation sites."""

from pathlib import Path

from crossmod.job import Job, read_json, write_json


def run(job: Job) -> None:
    """Draw the training cases of every arm.

    inputs: ``cohorts`` (folders). settings: ``arms`` (of the config), ``seed``. outputs: ``training`` (JSON).
    """
    from crossmod.cohort.table import read_cohort
    from crossmod.split.draw import draw_training

    cohorts = {cohort.name: cohort for cohort in map(read_cohort, map(Path, job.inputs["cohorts"]))}
    write_json(job.outputs["training"], draw_training(job.settings["arms"], cohorts, job.settings["seed"]))


def run_site(job: Job) -> None:
    """List the cases of one site for every arm.

    inputs: ``training``, ``cohort`` (folder). settings: ``site`` (record), ``arms`` (records). outputs: ``site`` (JSON).
    """
    from crossmod.cohort.table import read_cohort
    from crossmod.split.draw import draw_site

    training = read_json(job.inputs["training"])
    cohort = read_cohort(Path(job.inputs["cohort"]))
    write_json(job.outputs["site"], draw_site(training, job.settings["arms"], job.settings["site"], cohort))


def run_audit(job: Job) -> None:
    """Gather who trains and who validates, and refuse any leak between the two.

    inputs: ``training``, ``sites`` (name → JSON), ``cohorts``. settings: ``arms`` (records). outputs: ``splits``,
    ``audit``.
    """
    from crossmod.cohort.table import read_cohort
    from crossmod.job import whole
    from crossmod.split.audit import audit, refuse_leaks
    from crossmod.split.draw import gather

    sites = {name: read_json(path) for name, path in job.inputs["sites"].items()}
    splits = gather(read_json(job.inputs["training"]), job.settings["arms"], sites)
    folders = [Path(folder) for folder in job.inputs["cohorts"]]
    cohorts = {cohort.name: cohort for cohort in map(read_cohort, folders)}
    table = audit(splits, cohorts, folders)
    with whole(job.outputs["audit"]) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
    refuse_leaks(table, job.settings["arms"], splits)
    write_json(job.outputs["splits"], splits)
