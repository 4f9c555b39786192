"""A synthetic study: score files as the evaluate step writes them, and R's reference results."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossmod.design.compose import compose
from crossmod.job import Job

AMOUNTS = (40, 80, 120)
SITES = ("mr", "ct", "ct_external")
TARGETS = ("kidney", "parenchyma_with_tumour", "parenchyma_without_tumour")
EFFECT = {"ct": -0.05, "pure": 0.0, "mixed": 0.02}


class Reference:
    """Cases of shared/reference/statistics: their data and what R gives."""

    def __init__(self, folder: Path):
        self.folder = folder

    def data(self, case: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / case / "data.csv")

    def expected(self, case: str) -> dict:
        return json.loads((self.folder / case / "expected.json").read_text())


@pytest.fixture(scope="session")
def reference(shared) -> Reference:
    return Reference(shared / "reference" / "statistics")


def arm_records() -> list[dict]:
    records = [{"name": "ct116", "levels": {"strategy": "ct", "amount": 0, "subset": "none"}}]
    for strategy, prefix in (("pure", ""), ("mixed", "ct116+")):
        for subset in "AB":
            for amount in AMOUNTS:
                name = f"{prefix}mr{subset}{amount:03d}"
                records.append({"name": name, "levels": {"strategy": strategy, "amount": amount, "subset": subset}})
    return records


def factors_of(arms: list[dict]) -> list[dict]:
    """The factors of arms with their levels, both in the order in which they come."""
    names = dict.fromkeys(name for arm in arms for name in arm["levels"])
    return [{"name": name, "levels": list(dict.fromkeys(arm["levels"][name] for arm in arms))} for name in names]


@cache
def declared_of_renal() -> dict:
    """What the renal study tests; composing its config takes most of a test's time."""
    return compose([])["analyse"]


def settings(**changes) -> dict:
    declared, arms = declared_of_renal(), arm_records()
    base = {
        "arms": arms,
        "factors": factors_of(arms),
        "contrast": {"factor": "strategy", "a": "mixed", "b": "pure", "beside": []},
        "replicate": "subset",
        "dose": {"factor": "amount", "zero": {"strategy": "ct"}},
        "sites": [{"name": name, "title": name.upper()} for name in SITES],
        "targets": list(TARGETS),
        "metrics": ["dsc", "hd95_mm", "surface_dsc", "ellipsoid_ml"],
        "units": {"kidney": {"structures": ["parenchyma", "tumour"], "apart": "side", "facts": ["tumour"]}},
        "seed": 0,
        **{key: declared[key] for key in ("alpha", "confidence", "correction", "hypotheses")},
    }
    return base | changes


def score_rows(cases: dict[str, int], seeds=(0,), random_state: int = 7) -> pd.DataFrame:
    """Rows of every arm, seed and site; the first half of the MR cases are subset A, the others B."""
    rng = np.random.default_rng(random_state)
    rows = []
    for site, count in cases.items():
        for index in range(count):
            half = "A" if index < count // 2 else "B"
            case = {"site": site, "case": f"{index:03d}", "patient": f"P{index:03d}", "simulated": True}
            case["modality"] = "MR" if site == "mr" else "CT"
            ease = rng.normal(0, 0.01)
            kidneys = [(side, rng.normal(150, 30), rng.normal(1.0, 0.15)) for side in ("right", "left")]
            for arm in arm_records():
                levels = arm["levels"]
                if site == "mr" and levels["subset"] == half:
                    continue  # trained on this half
                gain = EFFECT[levels["strategy"]] + 0.0001 * levels["amount"]
                for seed in seeds:
                    scored = case | {"arm": arm["name"], "seed": seed}
                    rows += unit_rows(scored, kidneys, 0.9 + ease + gain, rng)
    return pd.DataFrame(rows)


def unit_rows(scored: dict, kidneys: list, level: float, rng: np.random.Generator) -> list[dict]:
    tumour_ml = {side: 30.0 * shape * (side == "right") for side, _, shape in kidneys}
    whole_ml = sum(volume_ml for _, volume_ml, _ in kidneys) + sum(tumour_ml.values())
    image = place("kidney", "image", "image", "both", tumour_ml["right"])
    rows = [scored | measures(level, whole_ml, np.nan, rng) | image]
    for side, volume_ml, shape in kidneys:
        tumour = side == "right"
        target = TARGETS[1] if tumour else TARGETS[2]
        for region in ("predicted_box", "reference_box"):
            values = measures(level - 0.02 * tumour, volume_ml, volume_ml * shape, rng)
            rows.append(scored | values | place(target, region, "kidney", side, tumour_ml[side]))
    return rows


def place(target: str, region: str, unit: str, side: str, tumour_ml: float) -> dict:
    unit = {"target": target, "region": region, "unit": unit, "side": side}
    return unit | {"tumour": tumour_ml > 0, "tumour_ml": tumour_ml}


def measures(level: float, volume_ml: float, ellipsoid_ml: float, rng: np.random.Generator) -> dict:
    predicted = volume_ml + rng.normal(0.3, 2)
    return {
        **{"dsc": min(level + rng.normal(0, 0.005), 1.0), "hd95_mm": rng.uniform(1, 6), "surface_dsc": rng.beta(40, 2)},
        **{"volume_reference_ml": volume_ml, "volume_predicted_ml": predicted, "ellipsoid_ml": ellipsoid_ml},
        "volume_difference_ml": predicted - volume_ml,
        "relative_difference_pct": 100 * (predicted - volume_ml) / volume_ml,
    }


class Study:
    """Writes rows as score files and makes the job of the analyse step."""

    def __init__(self, folder: Path):
        self.folder = folder

    rows = staticmethod(score_rows)
    settings = staticmethod(settings)

    def job(self, rows: pd.DataFrame, **changes) -> Job:
        paths = []
        for (arm, seed, site), part in rows.groupby(["arm", "seed", "site"], sort=False):
            path = self.folder / "evaluate" / arm / f"seed{seed}" / f"{site}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            part.to_csv(path, index=False, lineterminator="\n")
            paths.append(str(path))
        outputs = {"folder": str(self.folder / "analyse")}
        return Job("analyse", {"scores": paths}, outputs, settings(**changes))

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / "analyse" / f"{name}.csv")

    def notes(self) -> dict:
        return json.loads((self.folder / "analyse" / "notes.json").read_text())


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(tmp_path)
