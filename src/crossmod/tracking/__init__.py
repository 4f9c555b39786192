"""Track: MLflow watches. One experiment per study, one flat run per training; analyses never read it."""

from crossmod.job import Job


def run_store(job: Job) -> None:
    """Create the database and the study's experiment, where they do not exist yet; trainings do the same by themselves.

    settings: ``study``. outputs: ``store`` (JSON beside the database).
    """
    from pathlib import Path

    from crossmod.job import write_json
    from crossmod.tracking.store import experiment

    _, found = experiment(Path(job.outputs["store"]).parent, job.settings["study"])
    write_json(job.outputs["store"], {"experiment": job.settings["study"], "experiment_id": found})


def run(job: Job) -> None:
    """Add scores and pictures of the worst cases to the runs of every training.

    inputs: ``trainings`` (one record per arm and seed: ``runs``, stage → JSON; ``scores``, CSVs, one per site;
    ``predictions``, folders), ``cohorts`` (folders), ``store``. outputs: ``tracked`` (JSON with what was logged).
    """
    from crossmod.tracking.results import track

    track(job)
