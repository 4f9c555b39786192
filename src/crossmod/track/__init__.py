"""Track: MLflow watches. One experiment per study, one flat run per training; analyses never read it."""

from crossmod.job import Job


def run(job: Job) -> None:
    """Add scores and pictures of the worst cases to the runs of every training.

    inputs: ``trainings`` (one record per arm and seed: ``arm``, its name; ``runs``, stage → the ``run.json`` of its
    training in each fold; ``scores``, CSVs, one per site; ``predictions``, folders), ``cohorts`` (folders), ``store``.
    settings: ``stages``, ``units`` and ``targets``, ``levels`` (arm → factor → level) of the study.
    outputs: ``tracked`` (JSON with what was logged).
    A training that several arms share gets the metrics of each, named ``{arm}/...``.
    """
    from crossmod.track.results import track

    track(job)
