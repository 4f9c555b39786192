"""Train: set × stage × seed → weights, with Lightning, tracked in MLflow."""

import warnings

from crossmod.job import Job

# Lightning and MONAI are chatty about matters of other users; it must be said before they are imported.
warnings.filterwarnings("ignore", module="lightning|monai|torch|pydantic")


def run(job: Job) -> None:
    """Train one stage on one set with one seed.

    inputs: ``training`` (JSON), ``prepared`` (folders), ``store`` (MLflow), ``start`` (weights to start from, or null).
    settings: ``set``, ``fold`` (or null), ``stage`` (name), ``stages`` (config of that stage), ``seed``, ``model``,
    ``training``, ``normalisation``, ``derived`` (cohorts that may lack cases of the set), ``tags`` (for MLflow),
    ``title`` (of the run). outputs: ``weights``, ``history``, ``run``; ``resume`` (a folder that is no declared output
    of the workflow).
    """
    from crossmod.train.loop import train

    train(job)
