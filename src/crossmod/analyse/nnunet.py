"""nnU-Net's ``summary.json`` becomes the tidy table of scores that a plan tests."""

import json
import math
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from crossmod.analyse.errors import some
from crossmod.cohort.table import nearest, refuse
from crossmod.job import UserError, whole

COUNTS = ["tp", "fp", "fn", "voxels_reference", "voxels_predicted"]
COLUMNS = ["arm", "case", "patient", "target", "dsc", "iou", *COUNTS]
# Column → what a version of nnU-Net calls it; the first version keeps no TP, FP and FN.
SECOND = {
    **{"dsc": "Dice", "iou": "IoU", "tp": "TP", "fp": "FP", "fn": "FN"},
    **{"voxels_reference": "n_ref", "voxels_predicted": "n_pred"},
}
FIRST = {
    **{"dsc": "Dice", "iou": "Jaccard"},
    **{"voxels_reference": "Total Positives Reference", "voxels_predicted": "Total Positives Test"},
}
BACKGROUND = "0"
_LABEL = re.compile(r"\(?\s*\d+(\s*[,+]\s*\d+)*\s*,?\s*\)?")
_IMAGE = re.compile(r"\.(nii\.gz|nii|nrrd|nhdr|mha|mhd|hdr|img|gipl|png|tiff?|bmp|jpe?g)$", re.IGNORECASE)
_MOST = 2**53  # Above it floats skip integers.
_AGAIN = "Let nnU-Net evaluate again (nnUNetv2_evaluate_folder) and take its file as it is"


def scores_of_summaries(
    summaries: Mapping[str, Path | Sequence[Path]],
    labels: Mapping[str, str] | None = None,
    patient: str | None = None,
) -> pd.DataFrame:
    """One table of the per-case scores of several trainings, evaluated by nnU-Net 2 or 1.

    nnU-Net 1 writes no TP, FP and FN; they follow from Dice = 2 TP / (reference + predicted) without loss.

    Args:
        summaries: arm → its ``summary.json``, or one per fold of a cross-validation, which are joined.
        labels: label or region as nnU-Net writes it (``1``, ``(1, 2)``) → name of the target; others become
            ``label 1`` and ``labels 1+2``.
        patient: regular expression whose one group finds the patient in the name of the case, e.g. ``^(.+)_\\d+$``.

    Returns:
        One row per arm, case and label, arms in the order given. Columns: arm; case (file name of the reference without
        folder and suffix); patient; target; dsc and iou (0 to 1, empty where neither mask has a voxel); tp, fp, fn,
        voxels_reference, voxels_predicted (voxels: a summary knows no spacing, hence no ml). ``attrs["notes"]``:
        sentences on missing cases and targets, empty scores, and references that differ between arms.

    Raises:
        UserError: listing every fault: a file that is absent, no JSON or no summary, values that cannot be, a case
            twice within an arm, a name for an absent label, a pattern that does not fit.
    """
    problems: list[str] = []
    files = _files(summaries, problems)
    rows = [
        {"arm": arm, "file": path, "entry": (place, entry), **row}
        for place, (arm, path) in enumerate(files)
        for entry, row in _rows(path, problems)
    ]
    table = pd.DataFrame(rows, columns=["arm", "file", "entry", "case", "label", "dsc", "iou", *COUNTS])
    problems += _twice(table)
    targets = _targets(table["label"].unique(), labels or {}, problems)
    patients = _patients(table["case"].unique(), patient, problems)
    refuse(problems, "nnU-Net's summaries")
    table = table.assign(target=table["label"].map(targets), patient=table["case"].map(patients))
    table = table.assign(
        arm=pd.Categorical(table["arm"], list(summaries)), label=pd.Categorical(table["label"], targets)
    )
    table = table.sort_values(["arm", "case", "label"], ignore_index=True).astype({"arm": str, "label": str})
    found = table[COLUMNS].astype(dict.fromkeys(COUNTS, "int64"))
    found.attrs["notes"] = [*_gaps(table, sorted(set(table["case"])), list(targets.values())), *_doubts(table)]
    return found


def write_scores(table: pd.DataFrame, path: str | Path) -> None:
    """Write the table of :func:`scores_of_summaries` as CSV, whole or not at all; an earlier one is replaced.

    Raises:
        UserError: if something else lies there, or the table is another one.
    """
    path = Path(path)
    if list(table.columns) != COLUMNS:
        raise UserError(f"Scores have the columns {some(COLUMNS, 20)}; this table has {some(table.columns, 20)}.")
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file, e.g. --out {path / 'scores.csv'}.")
    if path.exists():
        with path.open("rb") as file:
            header = file.readline().rstrip(b"\r\n")
        if header != ",".join(COLUMNS).encode():
            raise UserError(f"{path} exists and holds no earlier table of scores; name another file with --out.")
    with whole(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


def convert_summaries(sources: Sequence[str], out: Path, labels: Sequence[str], patient: str | None) -> pd.DataFrame:
    """Read summaries, write the table of their scores, and print what is in it and what is not.

    Args:
        sources: texts ``ARM=FILE``; an arm named several times is joined from its files.
        out: CSV to write.
        labels: texts ``LABEL=NAME``.
        patient: see :func:`scores_of_summaries`.

    Raises:
        UserError: as :func:`scores_of_summaries` and :func:`write_scores`, or a text lacks its ``=``.
    """
    problems: list[str] = []
    files: dict[str, list[Path]] = {}
    for arm, file in _halves(sources, "ARM=FILE, e.g. mixed=fold_0/validation/summary.json", problems):
        files.setdefault(arm, []).append(Path(file))
    names: dict[str, str] = {}
    for label, name in _halves(labels, "LABEL=NAME, e.g. --label 1=kidney or --label '(1, 2)=both'", problems):
        if label in names:
            problems.append(f"--label {label}= is given twice ({names[label]!r}, {name!r}): one label has one name.")
        names[label] = name
    refuse(problems, "crossmod scores")
    table = scores_of_summaries(files, names, patient)
    write_scores(table, out)
    _show(table, out)
    return table


def _halves(texts: Iterable[str], form: str, problems: list[str]) -> list[tuple[str, str]]:
    """Both sides of the first ``=`` of each text."""
    found = []
    for text in texts:
        left, _, right = (part.strip() for part in text.partition("="))
        if left and right:
            found.append((left, right))
        else:
            problems.append(f"{text!r}: write {form}.")
    return found


def _files(summaries: Mapping[str, Path | Sequence[Path]], problems: list[str]) -> list[tuple[str, Path]]:
    files = []
    for arm, paths in summaries.items():
        paths = [paths] if isinstance(paths, str | Path) else list(paths)
        if not arm.strip() or not paths:
            problems.append(f"Arm {arm!r} needs a name and at least one summary.json.")
        files += [(arm, Path(path)) for path in paths]
    if not summaries:
        problems.append("No summary given: name at least one arm with its summary.json.")
    arms_of: dict[Path, set[str]] = defaultdict(set)
    for arm, path in files:
        arms_of[path.resolve()].add(arm)
    for path, arms in arms_of.items():
        if len(arms) > 1:
            problems.append(f"{path}: the same file stands for arms {some(sorted(arms))}; give each arm its own.")
    return files


def _rows(path: Path, problems: list[str]) -> list[tuple[int, dict[str, Any]]]:
    """The number of the case in its file and the row of each of its labels; what is wrong is added to the problems."""
    try:
        keys, entries = _entries(path)
    except UserError as error:
        problems.append(str(error))
        return []
    rows, wrong = [], defaultdict(list)
    for number, (reference, metrics) in enumerate(entries):
        case = _case(reference)
        found = [(_label(key), values) for key, values in metrics.items()]
        if len({label for label, _ in found}) < len(found):
            wrong["a label twice"].append(f"{case} ({some(metrics, 12)})")
        if not found:
            wrong["a case without any label"].append(case)
        for label, values in found:
            row = _row(values, keys, f"{case} {_default_target(label)}", wrong)
            rows.append((number, {"case": case, "label": label, **row}))
    problems += [f"{path}: {what}: {some(places)}. {_AGAIN}." for what, places in wrong.items()]
    return rows


def _entries(path: Path) -> tuple[dict[str, str], list[tuple[str, dict[str, Any]]]]:
    """The names of the metrics in a file, and the reference file and metrics by label of each case.

    Raises:
        UserError: if it is no summary.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the file, e.g. {path / 'summary.json'}.")
    if not path.is_file():
        raise UserError(f"{path}: no such file. nnU-Net writes summary.json beside the predictions that it evaluates.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}). {_AGAIN}.") from error
    top = content if isinstance(content, dict) else {}
    results = top.get("results")
    if isinstance(top.get("metric_per_case"), list):
        keys, entries, needed = SECOND, top["metric_per_case"], ("metrics", "reference_file")
    elif isinstance(results, dict) and isinstance(results.get("all"), list):
        keys, entries, needed = FIRST, results["all"], ("reference",)
    else:
        has = f"it has {some(top, 12)}" if top else "it has no keys"
        raise UserError(
            f"{path}: no summary of nnU-Net: the key metric_per_case is missing (nnU-Net 1: results.all), as a list; {has}."
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
    if "tp" not in given:
        exact = dsc * (reference + predicted) / 2 if defined else 0.0
        given["tp"] = round(exact)
        given |= {"fp": predicted - given["tp"], "fn": reference - given["tp"]}
        if abs(exact - given["tp"]) > 1e-3 or min(given["fp"], given["fn"]) < 0:
            wrong["Dice does not fit the numbers of voxels (rounded?)"].append(f"{where} ({dsc})")
    return given


def _label(key: str) -> str:
    """``1`` and ``(1,)`` → ``1``, ``(1, 2)`` → ``1+2``; a name, which nnU-Net 1 allows, stays."""
    key = key.strip()
    return "+".join(map(str, sorted(map(int, re.findall(r"\d+", key))))) if _LABEL.fullmatch(key) else key


def _label_order(label: str) -> tuple:
    """Numbers before names, single labels before regions, 2 before 10."""
    numbers = [int(number) for number in label.split("+")] if _LABEL.fullmatch(label) else []
    return (not numbers, len(numbers), numbers, label)


def _default_target(label: str) -> str:
    if not _LABEL.fullmatch(label):
        return label
    return f"labels {label}" if "+" in label else f"label {label}"


def _twice(table: pd.DataFrame) -> list[str]:
    """Cases that an arm has more than once."""
    problems = []
    for arm, rows in table.drop_duplicates("entry").groupby("arm", sort=False):
        again = rows[rows["case"].duplicated(keep=False)]
        if len(again):
            problems.append(
                f"Arm {arm!r} has {some(again['case'].unique())} more than once, in {some(again['file'].unique())}: folds "
                "share no case. Leave a file out, give each training an arm of its own, or, where only the folders of "
                "references differ, give each reference its own file name."
            )
    return problems


def _targets(found: Iterable[str], names: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Label → target; two labels never share one."""
    found = sorted(found, key=_label_order)
    targets = {label: _default_target(label) for label in found}
    given: dict[str, str] = {}
    for key, name in names.items():
        label = _label(key)
        if label in given:
            problems.append(f"Label {key!r} is named twice ({given[label]!r}, {name!r}): one label has one name.")
        given[label] = name.strip()
        if not name.strip():
            problems.append(f"The name of label {key!r} is empty; write e.g. --label '{key}=kidney'.")
        elif found and label not in targets:
            problems.append(f"Label {key!r} (named {name!r}) is in no summary{nearest(label, found)}.")
    targets |= {label: name for label, name in given.items() if label in targets}
    for target in dict.fromkeys(targets.values()):
        sharing = [label for label in found if targets[label] == target]
        if len(sharing) > 1:
            problems.append(f"Labels {some(sharing)} would all be called {target!r}; give each a name of its own.")
    return targets


def _patients(cases: Iterable[str], pattern: str | None, problems: list[str]) -> dict[str, str]:
    """Case → patient."""
    # ASSUME: without a pattern every case is a patient of its own; the scans of one patient would count as independent.
    if pattern is None:
        return {case: case for case in cases}
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        problems.append(f"--patient {pattern!r} is no regular expression ({error}); write e.g. '^(.+)_\\d+$'.")
        return {}
    if compiled.groups != 1:
        problems.append(
            f"--patient {pattern!r} has {compiled.groups} groups; exactly one names the patient, e.g. '^(.+)_\\d+$' "
            "((?:…) groups without naming)."
        )
        return {}
    found = {case: compiled.search(case) for case in cases}
    patients = {case: match[1] for case, match in found.items() if match and match[1]}
    strange = sorted(set(found) - set(patients))
    if strange:
        problems.append(
            f"--patient {pattern!r} finds no patient in {len(strange)} of {len(found)} cases: {some(strange)}."
        )
    return patients


def _gaps(table: pd.DataFrame, cases: list[str], targets: list[str]) -> list[str]:
    """Cases and targets that an arm lacks, and scores that are empty, in sentences."""
    notes = []
    for arm, rows in table.groupby("arm", sort=False):
        for column, names in (("case", cases), ("target", targets)):
            missing = [name for name in names if name not in set(rows[column])]
            if missing:
                notes.append(f"{len(missing)} of {len(names)} {column}s missing in arm {arm}: {some(missing)}.")
        whole_cases = list(dict.fromkeys(rows["case"]))
        for target, part in rows.groupby("target", sort=False):
            missing = [case for case in whole_cases if case not in set(part["case"])]
            if missing:
                notes.append(f"{target} missing in {len(missing)} cases of arm {arm}: {some(missing)}.")
            empty = part.loc[part["dsc"].isna(), "case"]
            if len(empty):
                notes.append(
                    f"Dice undefined for {target} in {len(empty)} of {len(part)} cases of arm {arm}, neither reference nor "
                    f"prediction having a voxel: {some(empty)}."
                )
    return notes


def _doubts(table: pd.DataFrame) -> list[str]:
    """What a test would not show, in sentences: one patient, background, lost false alarms, unlike references."""
    notes, cases = [], table["case"].nunique()
    if table["patient"].nunique() == 1 < cases:
        notes.append(
            f"All {cases} cases belong to patient {table['patient'].iloc[0]}: nothing can be tested. If they are several, "
            "give another --patient, or none where every case is a patient."
        )
    notes += [
        f"{target} is the background; name the targets to be tested in the plan, e.g. where: {{target: [label 1]}}."
        for target in table.loc[table["label"] == BACKGROUND, "target"].unique()
    ]
    for target, part in table.groupby("target", sort=False):
        each = part.assign(empty=part["dsc"].isna()).groupby("case")
        unlike, counts = each["empty"].nunique(), each["voxels_reference"].nunique()
        partly, moved = unlike.index[unlike > 1], counts.index[counts > 1]
        if len(partly):
            notes.append(
                f"Dice of {target} is undefined in some arms only in {len(partly)} cases: {some(partly)}. Paired tests "
                "leave these cases out, and with them the false alarms of the other arms; report these beside the tests."
            )
        if len(moved):
            notes.append(
                f"The reference of {target} differs between arms in {len(moved)} cases: {some(moved)}. Compare the arms "
                "only if these are different scans of one case."
            )
    return notes


def _show(table: pd.DataFrame, out: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    summary = Table(title="Scores")
    for column in ("arm", "cases", "patients", "targets", "undefined"):
        summary.add_column(column, justify="left" if column == "arm" else "right")
    for arm, rows in table.groupby("arm", sort=False):
        counts = [rows[column].nunique() for column in ("case", "patient", "target")]
        summary.add_row(escape(str(arm)), *map(str, counts), str(int(rows["dsc"].isna().sum())))
    console.print(summary)
    for note in table.attrs["notes"]:
        console.print(f"[yellow]note:[/yellow] {escape(note)}", soft_wrap=True, highlight=False)
    command = f"crossmod analyse {shlex.quote(str(out))} --plan plan.yaml --out analysis"
    console.print(f"table: {escape(str(out))}", soft_wrap=True, highlight=False)
    console.print(f"next, with a plan like docs/plan_nnunet.yaml: {escape(command)}", soft_wrap=True, highlight=False)
