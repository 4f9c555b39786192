"""Evaluate: mask + reference → one row per case and target."""

from pathlib import Path

from crossmod.job import Job, whole


def run(job: Job) -> None:
    """Score one arm, seed and site.

    inputs: ``predictions`` (folder of predict), ``cohorts`` (folders). settings: ``arm`` (record), ``seed``,
    ``site``, ``targets``, ``surface_tolerance_mm``. outputs: ``scores`` (CSV, columns of
    ``crossmod.evaluate.scores.COLUMNS``; an HD95 of ``inf`` means that one of the masks is empty, an empty
    DSC that both are).
    """
    import pandas as pd

    from crossmod.cohort.table import read_cohort
    from crossmod.cohort.unchanged import refuse_changed
    from crossmod.evaluate.scores import COLUMNS, read_index, score_site
    from crossmod.progress import Progress

    cohorts = {cohort.name: cohort for cohort in map(read_cohort, job.inputs["cohorts"])}
    folder = Path(job.inputs["predictions"])
    index = read_index(folder)
    for cohort, place in zip(cohorts.values(), job.inputs["cohorts"], strict=True):
        refuse_changed(cohort, place, index.loc[index["cohort"] == cohort.name, "case"])
    progress = Progress(f"evaluate {job.settings['arm']['name']} on {job.settings['site']}", len(index), "cases")
    rows = []
    for scores in score_site(folder, cohorts, job.settings):
        rows += scores
        progress.advance()
    with whole(job.outputs["scores"]) as partial:
        pd.DataFrame(rows, columns=COLUMNS).to_csv(partial, index=False, lineterminator="\n")
