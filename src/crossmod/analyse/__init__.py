"""Analyse: rows of scores → tests, intervals and agreement, for a study's own tables and for anyone's."""

from crossmod.job import Job


def run(job: Job) -> None:
    """Test what the rows of every arm and site say; see :func:`crossmod.analyse.study.run` for the job."""
    from crossmod.analyse.study import run as run_study

    run_study(job)
