"""The jobs of a run as files beside their logs, so that no shell line carries one."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from crossmod.job import Job


def file_of(log: str | Path) -> Path:
    """Where the job with this log lies: ``train.log`` → ``train.log.json``."""
    return Path(f"{log}.json")


def write(jobs: Iterable[Any]) -> None:
    """Write each job of a run beside its log, in the same words as the record that the job leaves beside its outputs.

    Args:
        jobs: Snakemake's jobs; those of rules without a parameter ``job`` are targets, and have no file.
    """
    for job in jobs:
        text = job.params.get("job")
        if text is not None:
            Job.from_json(text).save(file_of(job.log[0]))
