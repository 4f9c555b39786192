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
    """Write the page of a study.

    inputs: ``results`` (folder of the study at its scale), ``figures`` (folders of the notebooks, in
    order), and the folders ``analyse`` and ``split`` that it reads. settings: ``study`` (the config), ``cascade`` (its
    stages in order, which JSON does not keep). outputs: ``page`` (HTML).
    """
    from crossmod.report.page import write_page

    study = job.settings["study"]
    write_page(
        results=Path(job.inputs["results"]),
        figures=[Path(folder) for folder in job.inputs["figures"]],
        study=study | {"stages": {name: study["stages"][name] for name in job.settings["cascade"]}},
        page=Path(job.outputs["page"]),
    )
