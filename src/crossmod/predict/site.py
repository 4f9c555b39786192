"""All cases of a site, one after another; memory is that of one scan."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from crossmod.cohort.table import read_cohort
from crossmod.cohort.unchanged import refuse_changed
from crossmod.job import Job, read_json, whole
from crossmod.predict.cascade import OnGrid, kidney_boxes, segment_kidneys, segment_parenchyma
from crossmod.predict.network import TrainedStage
from crossmod.prepare.arrays import Prepared, read_prepared
from crossmod.progress import Progress
from crossmod.scans.files import read_space, write_mask
from crossmod.scans.grid import Grid


def predict_site(job: Job) -> None:
    """Write ``index.csv`` and up to three native masks per case; see :func:`crossmod.predict.run` for the job."""
    settings = job.settings
    torch.set_num_threads(settings["threads"])
    stages = {
        name: TrainedStage.load(Path(job.inputs["weights"][name]), stage, settings["model"], settings["precision"])
        for name, stage in ((name, settings["stages"][name]) for name in settings["cascade"])
    }
    placed = read_json(job.inputs["site"])[settings["arm"]["name"]]
    cohorts = {cohort.name: cohort for cohort in map(read_cohort, job.inputs["cohorts"])}
    for cohort, place in zip(cohorts.values(), job.inputs["cohorts"], strict=True):
        refuse_changed(cohort, place, placed.get(cohort.name, []))
    prepared = {Path(folder).name: Path(folder) for folder in job.inputs["prepared"]}

    total = sum(len(cases) for cases in placed.values())
    progress = Progress(f"predict {settings['arm']['name']} on {settings['site']}", total, "cases", every_s=20)
    rows = []
    with whole(job.outputs["folder"]) as folder:
        folder.mkdir()
        for cohort_name, cases in placed.items():
            cohort = cohorts[cohort_name]
            files = cohort.cases.set_index("case")
            arrays = {name: _prepared(prepared[cohort_name], name, cases) for name in stages}
            for case in cases:
                space = read_space(cohort.root / files.loc[case, "image"])
                native = Grid(space.shape, space.affine)
                on_grid = {name: found[case] for name, found in arrays.items() if case in found}
                masks = _segment(on_grid, stages, native)
                row = {"cohort": cohort_name, "case": case, "reference": files.loc[case, "label"]}
                for kind, mask in masks.items():
                    row[kind] = f"{case}.{kind}.nii.gz"
                    write_mask(folder / row[kind], mask, space.affine, space.codes)
                rows.append(row)
                progress.advance()
        columns = ["cohort", "case", "reference", "kidney", "parenchyma", "parenchyma_reference_box"]
        pd.DataFrame(rows).reindex(columns=columns).to_csv(folder / "index.csv", index=False, lineterminator="\n")


def _prepared(folder: Path, stage: str, cases: list[str]) -> dict[str, Prepared]:
    return {case.case: case for case in read_prepared(folder, stage, cases)}


def _segment(arrays: dict[str, Prepared], stages: dict[str, TrainedStage], native: Grid) -> dict[str, np.ndarray]:
    """The cascade end to end, and its second stage on the reference's boxes."""
    first, second = stages
    some = next(iter(arrays.values()))
    scan = OnGrid(
        {name: case.image for name, case in arrays.items()},
        {name: case.grid for name, case in arrays.items()},
        some.background,
    )
    masks = {"kidney": segment_kidneys(scan, first, stages[first], native)}
    predicted = kidney_boxes(masks["kidney"], native, scan.grids[second])
    reference = {side: (np.array(low), np.array(high)) for side, (low, high) in arrays[second].boxes.items()}
    for kind, boxes in (("parenchyma", predicted), ("parenchyma_reference_box", reference)):
        masks[kind] = segment_parenchyma(scan, second, stages[second], native, boxes)
    return masks
