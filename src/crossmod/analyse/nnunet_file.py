"""One ``summary.json`` of nnU-Net, of its second or first version: the rows of its cases, and every fault in words."""

import json
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from crossmod.analyse.stats.errors import some
from crossmod.job import UserError

COUNTS = ["tp", "fp", "fn", "voxels_reference", "voxels_predicted"]
# Column → what a version of nnU-Net calls it; the first version keeps no TP, FP and FN.
SECOND = {
    "dsc": "Dice",
    "iou": "IoU",
    "tp": "TP",
    "fp": "FP",
    "fn": "FN",
    "voxels_reference": "n_ref",
    "voxels_predicted": "n_pred",
}
FIRST = {
    "dsc": "Dice",
    "iou": "Jaccard",
    "voxels_reference": "Total Positives Reference",
    "voxels_predicted": "Total Positives Test",
}
LABEL = re.compile(r"\(?\s*\d{1,9}(\s*[,+]\s*\d{1,9})*\s*,?\s*\)?", re.ASCII)
_IMAGE = re.compile(r"\.(nii\.gz|nii|nrrd|nhdr|mha|mhd|hdr|img|gipl|png|tiff?|bmp|jpe?g)$", re.IGNORECASE)
_MOST = 2**53  # Above it floats skip integers.
_AGAIN = "Let nnU-Net evaluate again (nnUNetv2_evaluate_folder) and take its file as it is"


def rows_of(path: Path, problems: list[str]) -> list[tuple[int, dict[str, Any]]]:
    """The number of the case in its file and the row of each of its labels; what is wrong is added to the problems."""
    try:
        keys, entries = _entries(path)
    except UserError as error:
        problems.append(str(error))
        return []
    rows, wrong = [], defaultdict(list)
    for number, (reference, metrics) in enumerate(entries):
        case = _case(reference)
        found = [(label_of(key), values) for key, values in metrics.items()]
        if len({label for label, _ in found}) < len(found):
            wrong["a label twice"].append(f"{case} ({some(metrics, 12)})")
        if not found or "" in metrics:
            wrong["a case without any label" if not found else "a label without a name"].append(case)
        for label, values in found:
            row = _row(values, keys, f"{case} {default_target(label)}", wrong)
            rows.append((number, {"case": case, "label": label, **row}))
    problems += [f"{path}: {what}: {some(places)}. {_AGAIN}." for what, places in wrong.items()]
    return rows


def _entries(path: Path) -> tuple[dict[str, str], list[tuple[str, dict[str, Any]]]]:
    """The names of the metrics in a file, and the reference file and metrics by label of each case.

    Raises:
        UserError: if it is no summary.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; give the file, e.g. {path / 'summary.json'}.")
        if not path.is_file():
            raise UserError(
                f"{path}: no such file. nnU-Net writes summary.json beside the predictions that it evaluates."
            )
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}). {_AGAIN}.") from error
    top = content if isinstance(content, dict) else {}
    needed: tuple[str, ...]
    results = top.get("results")
    if isinstance(top.get("metric_per_case"), list):
        keys, entries, needed = SECOND, top["metric_per_case"], ("metrics", "reference_file")
    elif isinstance(results, dict) and isinstance(results.get("all"), list):
        keys, entries, needed = FIRST, results["all"], ("reference",)
    else:
        has = f"it has {some(top, 12)}" if top else "it has no keys"
        raise UserError(
            f"{path}: no summary of nnU-Net: the key metric_per_case is missing (nnU-Net 1: results.all), as a list; "
            f"{has}."
        )
    if not entries:
        raise UserError(f"{path}: holds no case. {_AGAIN}.")
    gaps = [(number, [key for key in needed if not _has(entry, key)]) for number, entry in enumerate(entries, 1)]
    lacking = [f"{number} ({some(keys_absent)})" for number, keys_absent in gaps if keys_absent]
    if lacking:
        raise UserError(f"{path}: no summary of nnU-Net: keys are missing in case number {some(lacking)}. {_AGAIN}.")
    if keys is SECOND:
        return keys, [(entry["reference_file"], entry["metrics"]) for entry in entries]
    return keys, [(e["reference"], {k: v for k, v in e.items() if k not in ("reference", "test")}) for e in entries]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON in which every key stands once; of two the first would be lost in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice in one object")
    return found


def _has(entry: Any, key: str) -> bool:
    """Whether a case has its metrics, or a reference that names a file."""
    value = entry.get(key) if isinstance(entry, dict) else None
    return isinstance(value, dict) if key == "metrics" else isinstance(value, str) and bool(_case(value))


def _case(reference: str) -> str:
    # ASSUME: a file name is a case, as nnU-Net demands of a data set. Folders may name a hospital and stay out; they
    # are written with either slash, whatever machine reads them.
    return _IMAGE.sub("", re.split(r"[\\/]", reference)[-1])


def _row(values: Any, keys: dict[str, str], where: str, wrong: dict[str, list[str]]) -> dict[str, float]:
    """The columns of one case and label; nothing if a value cannot be, which is noted as wrong."""
    absent = [key for key in keys.values() if not isinstance(values, dict) or key not in values]
    if absent:
        wrong[f"no {some(absent, 12)}"].append(where)
        return {}
    # Strict writers of JSON have no NaN and put null.
    given = {column: math.nan if values[key] is None else values[key] for column, key in keys.items()}
    bad = [c for c, value in given.items() if type(value) not in (int, float) or abs(value) > _MOST]
    if bad:
        wrong["not a number"].append(f"{where} ({some(f'{keys[c]} {given[c]!r}' for c in bad)})")
        return {}
    bad = [c for c in given if c in COUNTS and not (given[c] >= 0 and float(given[c]).is_integer())]
    if bad:
        wrong["not a count of voxels"].append(f"{where} ({some(f'{keys[c]} {given[c]}' for c in bad)})")
    dsc, defined = given["dsc"], not math.isnan(given["dsc"])
    for column in ("dsc", "iou"):
        if defined and not 0 <= given[column] <= 1:
            bad.append(column)
            wrong[f"{keys[column]} outside 0 to 1"].append(f"{where} ({given[column]})")
    if bad:
        return {}
    reference, predicted = given["voxels_reference"], given["voxels_predicted"]
    if not defined and reference + predicted > 0:
        wrong["Dice is empty where there are voxels"].append(where)
    if "tp" in given:
        union = given["tp"] + given["fp"] + given["fn"]
        overlaps = {"dsc": 2 * given["tp"] / (union + given["tp"]), "iou": given["tp"] / union} if union else {}
        counts = (given["tp"] + given["fn"], given["tp"] + given["fp"])
        if counts != (reference, predicted) or any(not abs(given[c] - x) < 1e-3 for c, x in overlaps.items()):
            wrong["Dice, IoU and numbers of voxels do not fit TP, FP and FN"].append(where)
    else:
        exact = dsc * (reference + predicted) / 2 if defined else 0.0
        given["tp"] = round(exact)
        given |= {"fp": predicted - given["tp"], "fn": reference - given["tp"]}
        if abs(exact - given["tp"]) > 1e-3 or min(given["fp"], given["fn"]) < 0:
            wrong["Dice does not fit the numbers of voxels (rounded?)"].append(f"{where} ({dsc})")
    return given


def label_of(key: str) -> str:
    """``1`` and ``(1,)`` → ``1``, ``(1, 2)`` → ``1+2``; a name, which nnU-Net 1 allows, stays."""
    key = key.strip()
    return "+".join(map(str, sorted(map(int, re.findall(r"\d+", key))))) if LABEL.fullmatch(key) else key


def default_target(label: str) -> str:
    """The name of a label that the user gave none: ``label 1``, ``labels 1+2``; one that is a name already stays."""
    if not LABEL.fullmatch(label):
        return label
    return f"labels {label}" if "+" in label else f"label {label}"
