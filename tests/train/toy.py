"""A prepared cohort of three small cases: bright and dark discs in some of the planes across the first axis."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.train.conftest import TRAINING

UNET2D = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [8, 16],
    "strides": [2],
    "num_res_units": 1,
    "norm": ["BATCH", {"affine": True}],
}
THIN = {
    "learns": "segmentation",
    "classes": {"bright": ["liver"], "dark": ["spleen"]},
    "region": "image",
    "spacing_mm": [None, 1.0, 1.0],
    "patch": [1, 16, 16],
}
STILL = TRAINING["augmentation"] | dict.fromkeys(["affine", "noise", "blur", "brightness", "contrast", "gamma"], 0.0)
QUICK = {
    "batch": 4,
    "augmentation": STILL,
    "precision": "32-true",
    "optimiser": {"_target_": "torch.optim.Adam", "lr": 0.01},
}


def prepared(folder: Path, stage: str) -> Path:
    """Write the cohort; the discs lie where its labels say."""
    folder.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    for number in range(3):
        rng = np.random.default_rng(number)
        image, label = rng.normal(0, 0.1, (6, 24, 24)), np.zeros((6, 24, 24), dtype=np.uint8)
        y, z = np.meshgrid(np.arange(24), np.arange(24), indexing="ij")
        for plane in (1, 2, 3):
            for value, brightness, centre in ((1, 2.0, (8, 8 + number)), (2, -2.0, (15, 14 - number))):
                disc = (y - centre[0]) ** 2 + (z - centre[1]) ** 2 <= 9
                image[plane][disc], label[plane][disc] = brightness, value
        stem = f"case{number}.{stage}"
        np.save(folder / f"{stem}.image.npy", image.astype(np.float16))
        np.save(folder / f"{stem}.label.npy", label)
        np.save(folder / f"{stem}.foreground.npy", np.argwhere(label).astype(np.int16))
        rows.append({"case": f"case{number}", "modality": "MR", "stage": stage, "stem": stem, "boxes": "{}"})
        rows[-1] |= {"affine": json.dumps(np.diag([4.0, 1.0, 1.0, 1.0]).tolist()), "teaches": True, "background": 0.0}
    pd.DataFrame(rows).to_csv(folder / "index.csv", index=False)
    return folder
