"""A training job small enough for a test."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from crossmod.design.compose import compose
from crossmod.job import Job

SET = "mrA004"
UNET = {
    "_target_": "crossmod.models.unet.UnfoldingUNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [8, 8, 16, 16],
    "strides": [2, 2, 2],
    "num_res_units": 0,
    "act": ["LEAKYRELU", {"negative_slope": 0.01, "inplace": True}],
    "norm": ["INSTANCE", {"affine": True}],
}
TRAINING = {
    "batch": 2,
    "budget": "steps",
    "foreground": 0.5,
    "boundary": 0.0,
    "off_centre": 0.0,
    "checkpoint_every": 2,
    "balance": "natural",
    "precision": "auto",
    "threads": 1,
    "augmentation": compose([])["training"]["augmentation"],
    "optimiser": {"_target_": "torch.optim.AdamW", "lr": 5e-3, "weight_decay": 1e-4},
    "schedule": {"_target_": "crossmod.train.schedule.WarmupPolynomial", "warmup": 0.05, "power": 0.9},
    "loss": {"_target_": "monai.losses.DiceCELoss", "batch": True},
    "clip_norm": None,
    "average": None,
}
STAGES = {
    "kidney": {
        "learns": "segmentation",
        "classes": {"kidney": ["parenchyma", "sinus", "tumour", "cyst", "kidney"]},
        "region": "image",
        "spacing_mm": [8.0, 8.0, 8.0],
        "patch": [16, 16, 16],
        "jitter_mm": 0.0,
    },
    "parenchyma": {
        "learns": "segmentation",
        "classes": {"parenchyma": ["parenchyma"]},
        "region": "kidney",
        "spacing_mm": [5.0, 5.0, 5.0],
        "patch": [16, 16, 16],
        "jitter_mm": 15.0,
    },
}


@pytest.fixture
def training_job(tiny: Path, mlflow_store: Path):
    """Function (folder, stage, steps) → a training job that writes into the folder.

    Further keywords change the stage's config, or, as ``training`` and ``model``, those.
    """

    def make(folder: Path, stage: str = "kidney", steps: int = 6, **changes: Any) -> Job:
        folder.mkdir(exist_ok=True)
        store = folder.parent / "results" / folder.name / "mlflow"  # where the command line lets a job keep one
        shutil.copytree(mlflow_store, store, dirs_exist_ok=True)
        cases = [f"mr-{number:04d}" for number in range(1, 5)]
        training = {"seed": 0, "sets": {SET: [{"mr": cases}]}, "parts": {}}
        (folder / "training.json").write_text(json.dumps(training))
        training, model = TRAINING | changes.pop("training", {}), changes.pop("model", UNET)
        return Job(
            "train",
            {
                "training": str(folder / "training.json"),
                "prepared": [str(tiny / "prepare/mr")],
                "store": str(store / "store.json"),
                "start": None,
            },
            {
                "weights": str(folder / "model.safetensors"),
                "history": str(folder / "history.csv"),
                "run": str(folder / "run.json"),
                "resume": str(folder / "resume"),
            },
            {
                "set": SET,
                "fold": 0,
                "derived": [],
                "stage": stage,
                "stages": {stage: STAGES[stage] | {"steps": steps} | changes},
                "seed": 0,
                "normalisation": {"ct_window_hu": [-200.0, 300.0], "mr_percentiles": [0.5, 99.5]},
                "tags": {"study": "test", "scale": "smoke", "strategy": "pure"},
                "title": f"{SET} {stage} seed0",
                "model": model,
                "training": training,
            },
        )

    return make
