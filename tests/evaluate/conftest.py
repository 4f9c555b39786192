"""A cohort of two tiny patients on disk, predictions for it, and the step that scores them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossmod.evaluate import run
from crossmod.job import Job
from tests import patients

ARM = "ct116"


@pytest.fixture
def write_cohort(tmp_path):
    """Write a cohort folder from label maps; returns its path."""

    def write(name, maps, labels=patients.LABELS, simulated=True, affine=patients.AFFINE) -> Path:
        return patients.write_cohort(tmp_path / "cohort" / name, maps, labels, simulated, affine)

    return write


@pytest.fixture
def write_predictions(tmp_path):
    """Write a folder of predict from rows of masks; returns its path."""

    def write(rows: list[dict], affine=patients.AFFINE) -> Path:
        columns = ("kidney", "parenchyma", "parenchyma_reference_box")
        return patients.write_predictions(tmp_path / "predict", rows, affine, columns)

    return write


@pytest.fixture
def evaluate(tmp_path):
    """Run the step; returns its table."""

    def call(predictions, cohorts, **settings) -> pd.DataFrame:
        out = tmp_path / "evaluate" / "mr.csv"
        settings = {"arm": ARM, "seed": 3, "site": "mr", **patients.RENAL, **settings}
        inputs = {"predictions": str(predictions), "cohorts": [str(c) for c in cohorts]}
        run(Job("evaluate", inputs, {"scores": str(out)}, settings))
        return pd.read_csv(out)

    return call


@pytest.fixture
def maps() -> dict[str, np.ndarray]:
    """One patient with a tumour in the right kidney, one without any."""
    return {"c1": patients.patient(tumour=True), "c2": patients.patient(tumour=False)}
