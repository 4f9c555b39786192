"""Report: tables → figures, notebooks, one HTML page."""

from pathlib import Path

from crossmod.job import Job


def run_notebook(job: Job) -> None:
    """Execute one notebook and keep its figures.

    inputs: ``notebook``, ``results`` (folder of the study at its scale), and whatever else it depends on.
    settings: ``study`` (the config, or those of its sections that figures read).
    outputs: ``notebook`` (executed), ``figures`` (folder of PNG files, 300 dpi).
    """
    from crossmod.report.notebook import execute

    execute(
        source=Path(job.inputs["notebook"]),
        target=Path(job.outputs["notebook"]),
        figures=Path(job.outputs["figures"]),
        parameters={"results": job.inputs["results"], "study": job.settings["study"]},
    )


def run(job: Job) -> None:
    """Write the page of a study, and the CLAIM checklist filled from the run.

    inputs: ``results`` (folder of the study at its scale), ``figures`` (folders of the notebooks, in order), and what
    is read there: the folders ``analyse``, ``split`` and ``cohorts``, and the table ``check``.
    settings: ``study`` (the config).
    outputs: ``page`` (HTML) and, beside it, ``claim`` (Markdown).
    """
    from crossmod.report.page import write_page

    write_page(
        results=Path(job.inputs["results"]),
        figures=[Path(folder) for folder in job.inputs["figures"]],
        study=job.settings["study"],
        page=Path(job.outputs["page"]),
    )


def run_audit(job: Job) -> None:
    """Recompute every number of the page from the rows of the evaluate step.

    inputs: ``page``, ``scores`` (CSV files of the evaluate step).
    settings: ``analyse`` (those of that step), ``study``.
    outputs: ``audit`` (CSV).

    Raises:
        UserError: naming the first number that does not follow from the rows.
    """
    from crossmod.report.audit import audit

    rows = audit(
        page=Path(job.inputs["page"]),
        scores=job.inputs["scores"],
        settings=job.settings["analyse"],
        study=job.settings["study"],
        table=Path(job.outputs["audit"]),
    )
    print(f"audit: {len(rows)} entries of the page follow from the scores")
