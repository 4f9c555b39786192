"""A whole results folder of invented patients and models, made by the project's own later steps."""

import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from crossmod import analyse, evaluate
from crossmod.cohort.table import read_cohort, write_table
from crossmod.design.arms import Arm, arms, factors_of
from crossmod.design.compose import compose
from crossmod.design.splits import audit_settings, site_settings, split_settings
from crossmod.design.targets import targets_of
from crossmod.job import Job, write_json
from crossmod.report.results import Results
from crossmod.scans.files import write_mask, write_scan
from crossmod.scans.scan import Scan
from crossmod.split.draw import draw_site, draw_training, gather

SHAPE = (56, 36, 40)
SPACING_MM = 6.0
LABELS = {
    1: "right_parenchyma",
    2: "left_parenchyma",
    3: "right_sinus",
    4: "left_sinus",
    5: "right_tumour",
    6: "left_tumour",
}
AFFINE = np.diag([SPACING_MM] * 3 + [1.0])
AFFINE[:3, 3] = -SPACING_MM * (np.array(SHAPE) - 1) / 2
POINTS_MM = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1) * SPACING_MM + AFFINE[:3, 3]


def inside(centre_mm, semi_mm) -> np.ndarray:
    """(X, Y, Z) squared distance from the centre of an ellipsoid, 1 at its surface."""
    return (((POINTS_MM - centre_mm) / semi_mm) ** 2).sum(-1)


def draw_patient(rng: np.random.Generator, modality: str) -> tuple[np.ndarray, np.ndarray, dict]:
    """Image, labels and the functions whose level sets they are."""
    labels = np.zeros(SHAPE, np.uint8)
    body = inside((0, 0, 0), (150, 95, 200)) <= 1
    fields = {}
    tumour_side = rng.integers(2)
    for index, sign in enumerate((1, -1)):
        centre = np.array([sign * rng.normal(65, 4), rng.normal(-30, 4), rng.normal(-8 * (index == 0), 6)])
        semi = np.array([28, 25, 55]) * rng.normal(1, 0.07)
        kidney, sinus = inside(centre, semi), inside(centre - (sign * 10, 0, 0), semi * 0.4)
        labels[kidney <= 1] = 1 + index
        labels[sinus <= 1] = 3 + index
        fields[index] = {"kidney": kidney, "sinus": sinus}
        if index == tumour_side:
            tumour = inside(
                centre + np.array([sign * 14, 0, rng.normal(0, 20)]), np.full(3, 16 * np.exp(rng.normal(0, 0.3)))
            )
            labels[tumour <= 1] = 5 + index
            fields[index]["tumour"] = tumour
    values = {"CT": [-1000, 40, 190, 60, 110], "MR": [10, 120, 420, 500, 330]}[modality]
    image = np.where(body, values[1], values[0]).astype(float)
    for value, members in zip(values[2:], ((1, 2), (3, 4), (5, 6)), strict=True):
        image[np.isin(labels, members)] = value
    image = gaussian_filter(image, 0.6) + rng.normal(0, 12 if modality == "CT" else 25, SHAPE)
    return image.astype(np.int16), labels, fields


def guess(fields: dict, rng: np.random.Generator, error: float) -> tuple[np.ndarray, np.ndarray]:
    """Kidney and parenchyma masks (1 right, 2 left) whose outlines are wrong by about ``error`` of a radius."""
    kidney, parenchyma = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    for index, parts in fields.items():
        wobble = gaussian_filter(rng.normal(size=SHAPE), 1.5) * 15 * error + rng.normal(0, 0.3 * error)
        whole = parts["kidney"] * np.exp(wobble) <= 1
        hole = parts["sinus"] * np.exp(wobble) <= 1
        if "tumour" in parts:
            lump = parts["tumour"] * np.exp(wobble) <= 1
            whole, hole = whole | lump, hole | lump
        kidney[whole] = 1 + index
        parenchyma[whole & ~hole] = 1 + index
    return kidney, parenchyma


def write_cohort(folder: Path, name: str, about: dict, seed: int) -> dict:
    """Write images, labels and table; returns what draws predictions."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    rng = np.random.default_rng(seed)
    simulated = about["source"] == "simulated"
    modality = about["recipe"]["modality"]
    rows, fields = [], {}
    for number in range(about["cases"]):
        case = f"{name}{number:03d}"
        image, labels, fields[case] = draw_patient(rng, modality)
        if not simulated:
            labels = np.choose(labels, [0, 2, 3, 2, 3, 2, 3]).astype(np.uint8)
        write_scan(folder / "images" / f"{case}.nii.gz", Scan(image, AFFINE))
        write_mask(folder / "labels" / f"{case}.nii.gz", labels, AFFINE)
        rows.append(
            {
                **{"case": case, "patient": f"p{case}", "modality": modality, "site": about["site"]},
                **{"sequence": {"CT": "nephrographic", "MR": "fs-t2"}[modality], "tumour_side": "unknown"},
                **{"image": f"images/{case}.nii.gz", "label": f"labels/{case}.nii.gz"},
                **{"sex": ("female", "male")[number % 2], "age": 50 + number % 30},
            }
        )
    names = LABELS if simulated else about["labels"]
    write_table(
        folder,
        name=name,
        source=about["source"],
        root=".",
        labels={int(value): structure for value, structure in names.items()},
        cases=pd.DataFrame(rows),
        simulated=simulated,
    )
    return fields


def invented(about: dict) -> dict:
    """A cohort's config; one of real scans stands for three MR of a clinic."""
    if about["source"] == "simulated":
        return about
    return about | {"cases": 3, "site": "clinic", "recipe": {"modality": "MR"}}


def error_of(arm: Arm, modality: str) -> float:
    """How wrong the invented models are: less with more annotation of the right modality."""
    if modality == "CT":
        return 0.05 if arm.levels["strategy"] != "pure" else 0.13
    return {"ct": 0.18, "pure": 0.09, "mixed": 0.06}[arm.levels["strategy"]] + 0.05 / (1 + arm.levels["amount"])


def write_arm(root: Path, study: dict, arm: Arm, placed: dict, fields: dict, seed: int) -> list[str]:
    """Predict and evaluate every site of one arm, and leave the files of its trainings; returns the score files."""
    files = []
    for stage in study["stages"]:
        folder = root / "train" / arm.name / stage / f"seed{seed}"
        folder.mkdir(parents=True)
        for name in ("model.safetensors", "history.csv", "run.json", "job.json"):
            (folder / name).write_text("invented\n")
    trained = {stage: [f"{root}/train/{arm.name}/{stage}/seed{seed}/model.safetensors"] for stage in study["stages"]}
    for number, (site, cohorts) in enumerate(placed.items()):
        folder = root / "predict" / arm.name / f"seed{seed}" / site
        folder.mkdir(parents=True)
        rng = np.random.default_rng([seed, number, arm.levels["amount"], len(arm.name)])
        rows = []
        for cohort, cases in cohorts.items():
            modality = invented(study["cohorts"][cohort])["recipe"]["modality"]
            for case in cases:
                row = {"case": case, "cohort": cohort, "reference": f"labels/{case}.nii.gz"}
                kidney, parenchyma = guess(fields[cohort][case], rng, error_of(arm, modality))
                in_box = guess(fields[cohort][case], rng, 0.9 * error_of(arm, modality))[1]
                if arm.levels["strategy"] == "ct" and case == cases[0] and modality == "MR":
                    kidney, parenchyma = np.zeros_like(kidney), np.zeros_like(parenchyma)  # all is missed
                masks = {"kidney": kidney, "parenchyma": parenchyma, "parenchyma_reference_box": in_box}
                for kind, mask in masks.items():
                    row[kind] = f"{case}.{kind}.nii.gz"
                    write_mask(folder / row[kind], mask, AFFINE)
                rows.append(row)
        pd.DataFrame(rows).to_csv(folder / "index.csv", index=False)
        write_json(folder.with_name(f"{site}.job.json"), {"inputs": {"weights": trained}})
        files.append(str(root / "evaluate" / arm.name / f"seed{seed}" / f"{site}.csv"))
        settings = {"arm": arm.name, "seed": seed, "site": site, "targets": targets_of(study)}
        settings |= {key: study[key] for key in ("stages", "units", "metrics", "surface_tolerance_mm")}
        inputs = {"predictions": str(folder), "cohorts": [str(root / "cohort" / name) for name in cohorts]}
        evaluate.run(Job("evaluate", inputs, {"scores": files[-1]}, settings))
    return files


def write_results(root: Path, study: dict) -> None:
    """Everything the report reads, for every arm, seed and site of a study."""
    fields = {}
    for number, (name, about) in enumerate(study["cohorts"].items()):
        fields[name] = write_cohort(root / "cohort" / name, name, invented(about), number)
    cohorts = {name: read_cohort(root / "cohort" / name) for name in study["cohorts"]}
    drawn = split_settings(study)
    training = draw_training(drawn["pools"], drawn["sets"], cohorts, drawn["seed"])
    placed = {site: site_settings(study, site) for site in study["sites"]}
    sites = {
        site: draw_site(training, settings["arms"], settings["site"], cohorts[settings["site"]["cohort"]])
        for site, settings in placed.items()
    }
    splits = gather(training, audit_settings(study)["arms"], sites)
    write_json(root / "split" / "splits.json", splits)
    files = []
    for arm, seed in product(arms(study), study["seeds"]):
        files += write_arm(root, study, arm, splits["arms"][arm.name]["sites"], fields, seed)
    analyse.run(Job("analyse", {"scores": files}, {"folder": str(root / "analyse")}, analysis(study)))


def analysis(study: dict) -> dict:
    """Settings of the analyse step."""
    compared = arms(study)
    return {
        "arms": [arm.record() for arm in compared],
        "factors": factors_of(compared),
        "sites": [{"name": name, "title": site["title"]} for name, site in study["sites"].items()],
        "targets": list(targets_of(study)),
        "units": study["units"],
        "metrics": study["metrics"],
        **{key: value for key, value in study["analyse"].items() if key != "good_dsc"},
    }


@pytest.fixture(scope="session")
def study() -> dict:
    """The config of the renal study, small, with a fourth site of (supposedly) real scans."""
    return compose(
        [
            "study=renal_real",
            "scale=smoke",
            "cohorts.mr_real.table=cases.csv",
            "cohorts.mr_real.title=Real MR (CHAOS)",
            "cohorts.mr_real.labels={1: liver, 2: right_kidney, 3: left_kidney, 4: spleen}",
        ]
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory, study) -> Path:
    """A results folder; tests must not change it."""
    root = tmp_path_factory.mktemp("study") / "results" / "renal_real" / "smoke"
    write_results(root, study)
    return root


@pytest.fixture(scope="session")
def results(folder, study) -> Results:
    """The same, as the report reads it."""
    return Results(folder, study)


@pytest.fixture
def edit(folder, study, tmp_path):
    """A copy of the tables with one of them changed by a function; returns its results."""

    def change(name: str, by) -> Results:
        root = tmp_path / "results" / "renal_real" / "smoke"
        for step in ("analyse", "split"):
            shutil.copytree(folder / step, root / step, dirs_exist_ok=True)
        path = root / "analyse" / name
        if path.suffix == ".json":
            path.write_text(json.dumps(by(json.loads(path.read_text()))))
        else:
            by(pd.read_csv(path)).to_csv(path, index=False)
        return Results(root, study)

    return change
