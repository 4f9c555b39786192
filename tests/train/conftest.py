"""A training job small enough for a test."""

import json
import shutil
from pathlib import Path

import pytest

from crossmod.design.compose import compose
from crossmod.job import Job

ARM = {"name": "mrA004", "strategy": "pure", "amount": 4, "subset": "A", "patients": {"mr": 4}}


@pytest.fixture
def training_job(tiny: Path, mlflow_store: Path):
    """Function (folder, stage, steps) → a training job that writes into the folder."""

    def make(folder: Path, stage: str = "kidney", steps: int = 6) -> Job:
        folder.mkdir(exist_ok=True)
        store = folder.parent / "results" / folder.name / "mlflow"  # where the command line lets a job keep one
        shutil.copytree(mlflow_store, store, dirs_exist_ok=True)
        cases = [f"mr-{number:04d}" for number in range(1, 5)]
        training = {"seed": 0, "assist": {}, "halves": {"A": cases}, "subsets": {"A": {"4": {"mr": cases}}}}
        (folder / "training.json").write_text(json.dumps(training))
        study = compose(["scale=smoke", "training.checkpoint_every=2", "model.channels=[8,8,16,16]"])
        config = study["stages"][stage] | {"steps": steps, "patch": [16, 16, 16], "spacing_mm": [8.0, 8.0, 8.0]}
        if stage == "parenchyma":
            config["spacing_mm"] = [5.0, 5.0, 5.0]
        return Job(
            "train",
            {
                "training": str(folder / "training.json"),
                "prepared": [str(tiny / "prepare/mr")],
                "store": str(store / "store.json"),
            },
            {
                "weights": str(folder / "model.safetensors"),
                "history": str(folder / "history.csv"),
                "run": str(folder / "run.json"),
                "resume": str(folder / "resume"),
            },
            {
                "arm": ARM,
                "stage": stage,
                "stages": {stage: config},
                "seed": 0,
                "tags": {"study": "test", "scale": "smoke"},
                **{key: study[key] for key in ("model", "training")},
            },
        )

    return make
