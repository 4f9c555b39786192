"""Results of an invented study that is nothing like kidneys.

It has two treatments of scans and two classes, but neither dose nor replicate.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from crossmod.analyse.plan import AnalysisPlan, digest_of, families_of, run_plan
from crossmod.cohort.table import write_table
from crossmod.job import Plain, write_json
from crossmod.scans.files import write_mask, write_scan
from crossmod.scans.scan import Scan

CASES = 8
CLASSES = ("liver", "spleen")
ARMS = {"organs": "unprocessed", "organs-inverted": "inverted"}
EACH = {"each": ["site", "target", "region", "setting"], "family_by": ["setting"], "within": "treatment"}
# Named as nobody would expect: the report finds tests by what they test.
HYPOTHESES = [
    {"name": "alpha", "test": "pairwise", "compare": ["inverted", "unprocessed"], **EACH},
    {"name": "beta", "test": "pairwise", "method": "wilcoxon", "compare": ["inverted", "unprocessed"], **EACH},
    {"name": "gamma", "test": "noninferiority", "a": "inverted", "b": "unprocessed", "margin": 0.03, **EACH},
    {"name": "delta", "test": "rm_anova", **EACH, "within": ["treatment"]},
]


def config(base: Plain, hypotheses: list[Plain]) -> Plain:
    """The study's config; what it shares with any other is taken from ``base``."""
    analyse = {key: base["analyse"][key] for key in ("alpha", "confidence", "correction")}
    stage = base["stages"]["kidney"] | {"classes": {name: [name] for name in CLASSES}, "keep": None}
    return base | {
        "study": "inverted",
        "adds_to": None,
        "title": "Does a network for CT segment inverted MR?",
        "source": "nobody",
        "cohorts": {"mr": base["cohorts"]["mr"] | {"cases": CASES, "title": "invented MR"}},
        "pools": {"ct": {"cohort": "mr"}},
        "factors": {
            "treatment": {
                "unprocessed": {"title": "Unprocessed"},
                "inverted": {"title": "Inverted grey levels", "treat": "inverted"},
            }
        },
        "titles": {"treatment": "Treatment"},
        "arms": [{"treatment": "all"}],
        "sites": {"mr": {"cohort": "mr", "part": "all", "title": "MR of a clinic"}},
        "stages": {"organs": stage},
        "units": {},
        "targets": {"organs": {"title": "", "stage": "organs", "unit": "image", "each_class": True}},
        "metrics": ["dsc", "hd95_mm"],
        "treatments": {"inverted": [{"clip": [0, 3000]}, {"invert": {}}]},
        "normalise_as": "CT",
        "analyse": analyse
        | {
            "contrast": {"factor": "treatment", "a": "inverted", "b": "unprocessed", "beside": []},
            "replicate": None,
            "dose": None,
            "good_dsc": None,
            "reference_error_ml": None,
            "reference_error_source": None,
            "hypotheses": {"units": hypotheses} if hypotheses else {},
        },
    }


def write(root: Path, study: Plain) -> None:
    """The tables, splits and cohort that a report reads."""
    _cohort(root / "cohort" / "mr")
    scores = _scores()
    units = _units(scores)
    (root / "analyse").mkdir(parents=True)
    tables = {"scores": scores, "dsc": _summary(scores), "units": units, **_nothing()}
    for name, table in tables.items():
        table.to_csv(root / "analyse" / f"{name}.csv", index=False)
    record = {"plan_sha256": "0" * 64, "correction": "holm", "alpha": 0.05, "families": {}}
    hypotheses = study["analyse"]["hypotheses"].get("units", [])
    if hypotheses:
        plan = AnalysisPlan(title="", outcome="dsc", subject=["subject"], cluster="person", hypotheses=hypotheses)
        tested = run_plan(plan, units, "rows/units")
        tested.write(root / "analyse")
        record |= {"plan_sha256": digest_of([plan]), "families": families_of(tested.tables)}
    write_json(root / "analyse" / "record.json", record)
    write_json(root / "analyse" / "notes.json", _notes())
    cases = {"mr": [f"case{number}" for number in range(CASES)]}
    arms = {arm: {"training": {}, "sites": {"mr": cases}} for arm in ARMS}
    write_json(root / "split" / "splits.json", {"seed": 1, "parts": {"ct": {"all": []}}, "arms": arms})


def _cohort(folder: Path) -> None:
    rng = np.random.default_rng(1)
    rows = []
    (folder / "images").mkdir(parents=True)
    for number in range(CASES):
        image, label = f"images/case{number}.nii.gz", f"images/case{number}.label.nii.gz"
        labels = np.zeros((6, 6, 6), np.uint8)
        labels[1:4, 1 : 3 + number % 3, 1:4], labels[4:, 4:, 4:] = 1, 2
        write_scan(folder / image, Scan(rng.integers(0, 99, labels.shape).astype(np.int16), np.eye(4)))
        write_mask(folder / label, labels, np.eye(4))
        who = {
            "case": f"case{number}",
            "patient": f"p{number}",
            "modality": "MR",
            "site": "clinic",
            "sequence": "fs-t2",
        }
        facts = {"tumour_side": "unknown", "sex": "female", "age": 50 + number}
        rows.append({**who, **facts, "image": image, "label": label})
    cases = pd.DataFrame(rows)
    labels = {1: "liver", 2: "spleen"}
    write_table(folder, name="mr", source="folder", root=".", labels=labels, cases=cases, simulated=False)


def _scores() -> pd.DataFrame:
    """One row per arm, case and class; inverted scans score a little lower."""
    rng = np.random.default_rng(7)
    rows = []
    for arm, treatment in ARMS.items():
        for number in range(CASES):
            for target in CLASSES:
                row = {"arm": arm, "seed": 0, "site": "mr", "case": f"case{number}", "patient": f"p{number}"}
                row |= {"modality": "MR", "simulated": False, "target": target, "region": "image", "unit": "image"}
                row |= {"side": "both", "volume_reference_ml": 9.0 + number, "volume_predicted_ml": 9.5 + number}
                dsc = 0.9 - 0.05 * (treatment == "inverted") + rng.normal(0, 0.02)
                rows.append(row | {"dsc": dsc, "hd95_mm": 10 - 10 * dsc})
    return pd.DataFrame(rows)


def _units(scores: pd.DataFrame) -> pd.DataFrame:
    subject = scores["site"] + "/" + scores["case"] + "/both"
    person = scores["site"] + "/" + scores["patient"]
    return scores.assign(treatment=scores["arm"].map(ARMS), subject=subject, person=person, setting="end to end")


def _summary(scores: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for metric in ("dsc", "hd95_mm"):
        for (arm, target), cell in scores.groupby(["arm", "target"], sort=False):
            values = cell[metric]
            counts = {"n": CASES, "n_patients": CASES, "n_seeds": 1, "n_undefined": 0, "n_infinite": 0}
            found = {"mean": values.mean(), "sd": values.std(), "median": values.median()}
            interval = {"ci_low": values.mean() - 0.01, "ci_high": values.mean() + 0.01, "note": ""}
            labels = {"arm": arm, "treatment": ARMS[arm], "site": "mr", "target": target, "region": "image"}
            rows.append({**labels, "metric": metric, **counts, **found, **interval})
    return pd.DataFrame(rows)


def _nothing() -> dict[str, pd.DataFrame]:
    """The tables that have no rows in this study."""
    volumes = (
        "arm treatment site target region n_units n n_dropped mean_difference ci_low ci_high mean_absolute_difference"
    )
    volumes += " loa_low loa_high pearson_r r_ci_low r_ci_high margin_ml p_below_margin_corrected p_tost_corrected"
    volumes += " verdict note rows"
    columns = {
        "volumes": volumes,
        "reference_error": "site target reference_error_ml margin_ml n_kidneys source",
        "incomplete": "test site target region arm subject patient missing reason",
    }
    return {name: pd.DataFrame(columns=names.split()) for name, names in columns.items()}


def _notes() -> Plain:
    return {
        "alpha": 0.05,
        "correction": "holm",
        "equal": "no significant difference, not equivalence",
        "seeds": {arm: [0] for arm in ARMS},
        "arms_without_scores": [],
        "subsets": {},
        "simulated": {"mr": False},
        "independence": [],
        "reference_error": [],
        "skipped": [],
        "untested": [],
        "dropped": 0,
    }
