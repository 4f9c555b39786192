"""Cohort: a simulator, a public data set or a folder of scans → a checked table of cases."""

from importlib import import_module
from pathlib import Path

from crossmod.job import Job, Part, UserError, whole

SOURCES = ("simulated", "folder", "kits23", "amos22", "chaos", "totalsegmentator", "spider", "derived")


def run(job: Job) -> None:
    """Write the folder of one cohort, whole or not at all, and look at every case in it.

    inputs: none, but of a derived cohort ``cohort`` (folder) and ``predictions`` (teacher → folder).
    outputs: ``folder``.
    settings: ``name``, ``source`` (one of ``SOURCES``), and those of the source (see ``write_cohort`` of its module).

    Raises:
        UserError: if the source is unknown, or cannot be made into a table of cases.
    """
    from crossmod.cohort.check import write_check
    from crossmod.cohort.table import read_cohort
    from crossmod.schema import nearest

    name, source = job.settings["name"], job.settings["source"]
    settings = Part({k: v for k, v in job.settings.items() if v is not None and k not in ("name", "source")})
    if source not in SOURCES:
        raise UserError(f"Cohort '{name}': no source '{source}'{nearest(str(source), SOURCES)}")
    module = import_module(f"crossmod.cohort.{source}")
    with whole(job.outputs["folder"]) as folder:
        Path(folder).mkdir()
        module.write_cohort(name, folder, Part({**settings, **job.inputs}), job.threads)
        write_check(folder, read_cohort(folder), job.threads)


def run_check(job: Job) -> None:
    """Check several cohorts together: list every fault in one table, tell the warnings, then stop if any is an error.

    inputs: ``cohorts`` (folders). outputs: ``check`` (CSV). settings: ``training`` (names of cohorts that networks
    learn from; without it any may be).

    Raises:
        UserError: listing every error.
    """
    from crossmod.cohort.check import check_cohorts, refuse_errors, tell_warnings

    folders = [Path(folder) for folder in job.inputs["cohorts"]]
    faults = check_cohorts(folders, job.settings.get("training"))
    with whole(job.outputs["check"]) as partial:
        faults.to_csv(partial, index=False, lineterminator="\n")
    tell_warnings(faults, Path(job.outputs["check"]))
    refuse_errors(faults)
