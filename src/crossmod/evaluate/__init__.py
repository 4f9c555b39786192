"""Evaluate: mask + reference → one row per case, target and unit."""

from pathlib import Path

from crossmod.job import Job, whole


def run(job: Job) -> None:
    """Score one arm, seed and site.

    inputs: ``predictions`` (folder of predict), ``cohorts`` (folders). settings: ``arm`` (name), ``seed``,
    ``site``, ``stages`` (those of the arm), ``units``, ``targets``, ``metrics``, ``surface_tolerance_mm``. outputs:
    ``scores`` (CSV, columns of :class:`crossmod.evaluate.scores.Asked`; an HD95 of ``inf`` means that one of the masks
    is empty, an empty DSC that both are).
    """
    import pandas as pd

    from crossmod.cohort.table import read_cohort
    from crossmod.cohort.unchanged import refuse_changed
    from crossmod.evaluate.scores import Asked, read_index, score_site
    from crossmod.progress import Progress

    asked = Asked.of(job.settings)
    cohorts = {cohort.name: cohort for cohort in map(read_cohort, job.inputs["cohorts"])}
    folder = Path(job.inputs["predictions"])
    index = read_index(folder, asked.declared)
    for cohort, place in zip(cohorts.values(), job.inputs["cohorts"], strict=True):
        refuse_changed(cohort, place, index.loc[index["cohort"] == cohort.name, "case"])
    progress = Progress(f"evaluate {job.settings['arm']} on {job.settings['site']}", len(index), "cases")
    rows = []
    for scores in score_site(folder, cohorts, job.settings):
        rows += scores
        progress.advance()
    table = pd.DataFrame(rows, columns=asked.columns)
    if "part" in table:
        table["part"] = table["part"].astype("Int64")  # a whole number, or empty
    with whole(job.outputs["scores"]) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
