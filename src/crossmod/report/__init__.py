"""Report: tables → figures, notebooks, one HTML page."""

from pathlib import Path

from crossmod.job import Job


def run_notebook(job: Job) -> None:
    """Execute one notebook and keep its figures.

    inputs: ``notebook``, ``results`` (folder of the study at its scale), and whatever else it depends on.
    settings: ``study`` (the config, or those of its sections ``sites``, ``cohorts``, ``arms`` and
    ``analyse``; gives sites their titles). outputs: ``notebook`` (executed), ``figures`` (folder of PNG
    files, 300 dpi).
    """
    from crossmod.report.notebook import execute

    execute(
        source=Path(job.inputs["notebook"]),
        target=Path(job.outputs["notebook"]),
        figures=Path(job.outputs["figures"]),
        parameters={"results": job.inputs["results"], "study": job.settings.get("study", {})},
    )


def run(job: Job) -> None:
    """Write the page of a study, and the CLAIM checklist filled from the run.

    inputs: ``results`` (folder of the study at its scale), ``figures`` (folders of the notebooks, in
    order), and what it reads there: the folders ``analyse``, ``split`` and ``cohorts``, and the table ``check``. settings:
    ``study`` (the config), ``cascade`` (its stages in order, which JSON does not keep). outputs: ``page`` (HTML) and, beside
    it, ``claim`` (Markdown).
    """
    from crossmod.report.page import write_page

    write_page(
        results=Path(job.inputs["results"]),
        figures=[Path(folder) for folder in job.inputs["figures"]],
        study=_in_order(job.settings),
        page=Path(job.outputs["page"]),
    )


def run_audit(job: Job) -> None:
    """Recompute every number of the page from the rows of the evaluate step.

    inputs: ``page``, ``scores`` (CSV files of the evaluate step). settings: ``analyse`` (those of that step), ``study``,
    ``cascade``. outputs: ``audit`` (CSV).

    Raises:
        UserError: naming the first number that does not follow from the rows.
    """
    from crossmod.report.audit import audit

    rows = audit(
        page=Path(job.inputs["page"]),
        scores=job.inputs["scores"],
        settings=job.settings["analyse"],
        study=_in_order(job.settings),
        table=Path(job.outputs["audit"]),
    )
    print(f"audit: {len(rows)} entries of the page follow from the scores")


def _in_order(settings: dict) -> dict:
    """The config with its stages in the order of the cascade, which JSON does not keep."""
    study = settings["study"]
    return study | {"stages": {name: study["stages"][name] for name in settings["cascade"]}}
