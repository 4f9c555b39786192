"""All cases of a site, one after another; memory is that of one scan."""

from pathlib import Path

import pandas as pd
import torch

from crossmod.cohort.table import Cohort, read_cohort
from crossmod.cohort.unchanged import refuse_changed
from crossmod.job import Job, Plain, read_json, whole, write_json
from crossmod.predict.segmenter import Case, Segmenter, segmenter_of
from crossmod.progress import Progress
from crossmod.scans.files import read_space, write_mask
from crossmod.tables import row_of


def predict_site(job: Job) -> None:
    """Write ``index.csv`` and the native masks of every case; see :func:`crossmod.predict.run` for the job."""
    settings = job.settings
    torch.set_num_threads(settings["threads"])
    placed = read_json(job.inputs["site"])[settings["arm"]]
    cohorts = {cohort.name: cohort for cohort in map(read_cohort, job.inputs["cohorts"])}
    for cohort, place in zip(cohorts.values(), job.inputs["cohorts"], strict=True):
        refuse_changed(cohort, place, list(placed.get(cohort.name, {})))
    segmenter = segmenter_of(job)

    total = sum(len(cases) for cases in placed.values())
    progress = Progress(f"predict {settings['arm']} on {settings['site']}", total, "cases", every_s=20)
    rows = []
    with whole(job.outputs["folder"]) as folder:
        folder.mkdir()
        for name, cases in placed.items():
            for case, folds in cases.items():
                rows.append(_predict_case(cohorts[name], case, folds, segmenter, folder))
                progress.advance()
        columns = ["cohort", "case", "reference", *segmenter.columns]
        pd.DataFrame(rows).reindex(columns=columns).to_csv(folder / "index.csv", index=False, lineterminator="\n")
        if segmenter.known is not None:
            write_json(folder / "known.json", segmenter.known)
        if segmenter.record is not None:
            write_json(folder / "segmenter.json", segmenter.record)


def _predict_case(cohort: Cohort, name: str, folds: list[int], segmenter: Segmenter, folder: Path) -> Plain:
    """Write the masks of one case; its row of the index."""
    files = row_of(cohort.cases.set_index("case"), name)
    case = Case(cohort.name, name, cohort.root / files["image"], files["modality"], folds)
    row = {"cohort": cohort.name, "case": name, "reference": files["label"]}
    space = read_space(case.image)
    for kind, mask in segmenter.masks(case).items():
        row[kind] = f"{name}.{kind}.nii.gz"
        write_mask(folder / row[kind], mask, space.affine, space.codes)
    return row
