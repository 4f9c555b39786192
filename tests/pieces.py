"""Scores of a few units of few voxels, whose means and pooled scores are worked out by hand."""

import pandas as pd

from crossmod.analyse.design import Design

METRICS = ["dsc", "precision", "recall", "accuracy", "f1", "iou", "shared_ml", "extent_ml"]
# Case, its patient, and the volumes in ml of reference, prediction, both, and the slice.
THREE = [("s1", "p1", 10, 10, 9, 100), ("s2", "p1", 10, 5, 5, 100), ("s3", "p2", 80, 90, 70, 200)]
UNITS = {"slice": {"structures": ["tumour"], "apart": "plane", "facts": []}}

# Components, and of every patient the whole image, in which there may be none.
LESIONS = {"lesion": {"structures": ["tumour"], "apart": "component", "facts": [], "match": {"overlap": 0.1}}}


def design(arms=("patches", "whole"), **changes) -> Design:
    given = {
        "arms": [{"name": name, "levels": {"network": name}} for name in arms],
        "factors": [{"name": "network", "levels": list(arms)}],
        "sites": [{"name": "clinic"}],
        "targets": ["slices"],
        "metrics": METRICS,
        "units": UNITS,
    }
    return Design.of(given | changes)


def rows(units, arm: str = "patches", seed: int = 0, unit: str = "slice") -> list[dict]:
    """Rows of the evaluate step, of units as in ``THREE``."""
    return [_row(*one, arm, seed, unit) for one in units]


def table(found: list[dict]) -> pd.DataFrame:
    """Rows as :func:`crossmod.analyse.scores.read_scores` gives them."""
    frame = pd.DataFrame(found)
    frame["subject"], frame["person"] = "clinic/" + frame["case"] + "/both", "clinic/" + frame["patient"]
    if "part" in frame:
        frame["subject"] += ("/" + frame["part"].astype("Int64").astype(str)).where(frame["part"].notna(), "")
    for column in ("arm", "site", "target", "region", "side"):
        frame[column] = pd.Categorical(frame[column], categories=frame[column].unique(), ordered=True)
    return frame


def lesions(patients: dict[str, list[tuple[float, bool]]], arm: str = "patches", seed: int = 0) -> list[dict]:
    """Rows of the evaluate step, of every patient's lesions as (volume in ml, whether it was found).

    A volume of 0 is of a lesion that the model alone has found. Each patient has a row of the whole image as well.
    """
    found = []
    for patient, own in patients.items():
        true = sum(volume for volume, _ in own)
        whole = _row(patient, patient, true, true, true, 100.0, arm, seed, "image")
        found.append(whole | {"target": "image", "part": None, "matched": ""})
        for part, (volume, hit) in enumerate(own, start=1):
            predicted = (volume or 0.3) if hit else 0.0
            row = _row(patient, patient, volume, predicted, min(volume, predicted), 100.0, arm, seed, "lesion")
            found.append(row | {"target": "lesion", "part": part, "matched": str(hit and volume > 0)})
    return found


def _row(case, patient, true, found, shared, extent, arm, seed, unit) -> dict:
    """One unit; of two empty masks a share is undefined, of one it is 0."""
    nothing = true + found == 0

    def share(of: float) -> float:
        return float("nan") if nothing else shared / of if of else 0.0

    dsc = share((true + found) / 2)
    return {
        **{"arm": arm, "seed": seed, "site": "clinic", "case": case, "patient": patient, "modality": "MR"},
        **{"simulated": True, "target": "slices", "region": "image", "unit": unit, "side": "both"},
        **{
            "dsc": dsc,
            "f1": dsc,
            "precision": share(found),
            "recall": share(true),
            "iou": share(true + found - shared),
        },
        **{"accuracy": 1 - (true + found - 2 * shared) / extent, "shared_ml": shared, "extent_ml": extent},
        **{"volume_reference_ml": true, "volume_predicted_ml": found, "volume_difference_ml": found - true},
        "relative_difference_pct": 0.0,
    }
