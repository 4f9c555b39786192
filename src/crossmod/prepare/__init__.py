"""Prepare: scans → oriented, resampled, normalised arrays, once, shared by all trainings."""

from crossmod.job import Job


def run(job: Job) -> None:
    """Prepare one cohort.

    inputs: ``cohort`` (folder). settings: ``stages`` (name → ``spacing_mm``, ``region``, ``keep``, ``learns``, and
    ``classes`` or ``of``; in the order of the cascade), ``normalisation``. outputs: ``folder``.
    """
    from pathlib import Path

    from crossmod.cohort.table import read_cohort
    from crossmod.cohort.unchanged import refuse_changed
    from crossmod.prepare.pool import prepare_cohort

    cohort = read_cohort(Path(job.inputs["cohort"]))
    refuse_changed(cohort, job.inputs["cohort"], cohort.cases["case"])
    prepare_cohort(
        cohort,
        job.settings["stages"],
        job.settings["normalisation"],
        Path(job.outputs["folder"]),
        job.threads,
    )
