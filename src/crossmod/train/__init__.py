"""Train: arm × stage × seed → weights, with Lightning, tracked in MLflow."""

from crossmod.job import Job


def run(job: Job) -> None:
    """Train one stage of one arm with one seed.

    inputs: ``training`` (JSON), ``prepared`` (folders), ``store`` (MLflow). settings: ``arm`` (record), ``stage`` (name),
    ``stages`` (config of that stage), ``seed``, ``model``, ``training``, ``tags``. outputs: ``weights``, ``history``,
    ``run``; ``resume`` (a folder that is no declared output of the workflow).
    """
    from crossmod.train.loop import train

    train(job)
