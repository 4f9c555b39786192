"""Track: MLflow watches. One experiment per study, one flat run per training; analyses never read it."""

from crossmod.job import Job


def run(job: Job) -> None:
    """Add scores and pictures of the worst cases to the runs of every training.

    inputs: ``trainings`` (one record per arm and seed: ``runs``, stage → JSON; ``scores``, CSVs, one per site;
    ``predictions``, folders), ``cohorts`` (folders), ``store``. outputs: ``tracked`` (JSON with what was logged).
    """
    from crossmod.track.results import track

    track(job)
