"""nnU-Net's ``summary.json`` becomes the tidy table of scores that a plan tests."""

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from crossmod.analyse.nnunet_file import COUNTS, LABEL, default_target, label_of, rows_of
from crossmod.analyse.stats.errors import some
from crossmod.job import UserError, whole
from crossmod.schema import nearest
from crossmod.tables import refuse, unsafe

COLUMNS = ["arm", "case", "patient", "target", "dsc", "iou", *COUNTS]
BACKGROUND = "0"


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
        for entry, row in rows_of(path, problems)
    ]
    table = pd.DataFrame(rows, columns=["arm", "file", "entry", "case", "label", "dsc", "iou", *COUNTS])
    problems += _twice(table)
    targets = _targets(table["label"].unique(), labels or {}, problems)
    patients = _patients(table["case"].unique(), patient, problems)
    names = [*summaries, *table["case"].unique(), *targets.values(), *patients.values()]
    problems += [f"{name!r} {unsafe(name)}. Rename it." for name in dict.fromkeys(names) if unsafe(name)]
    refuse(problems, "nnU-Net's summaries")
    table = table.assign(target=table["label"].map(targets), patient=table["case"].map(patients))
    table = table.assign(
        arm=pd.Categorical(table["arm"], list(summaries)), label=pd.Categorical(table["label"], list(targets))
    )
    table = table.sort_values(["arm", "case", "label"], ignore_index=True).astype({"arm": str, "label": str})
    found = table[COLUMNS].astype(dict.fromkeys(COUNTS, "int64"))
    found.attrs["notes"] = [*_gaps(table, sorted(set(table["case"])), list(targets.values())), *_doubts(table)]
    return found


def write_scores(table: pd.DataFrame, path: str | Path) -> None:
    """Write the table of :func:`scores_of_summaries` as CSV, whole or not at all; no file is replaced.

    Raises:
        UserError: if something else lies there, or the table is another one.
    """
    path = Path(path)
    if list(table.columns) != COLUMNS:
        raise UserError(f"Scores have the columns {some(COLUMNS, 20)}; this table has {some(table.columns, 20)}.")
    text = table.to_csv(index=False, lineterminator="\n")
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; name a file, e.g. --out {path / 'scores.csv'}.")
        if os.path.lexists(path):
            if path.is_file() and path.read_bytes() == text.encode():
                return
            raise UserError(f"{path} exists and holds something else; name another file with --out, or remove it.")
        with whole(path) as partial:
            partial.write_text(text, encoding="utf-8", newline="")
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{str(path)!r} cannot be written ({error}); name another file with --out.") from error


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
        arms_of[_resolved(path, problems)].add(arm)
    for path, arms in arms_of.items():
        if len(arms) > 1:
            problems.append(f"{path}: the same file stands for arms {some(sorted(arms))}; give each arm its own.")
    return files


def _resolved(path: Path, problems: list[str]) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        problems.append(f"{str(path)!r}: no file can be called so ({error}).")
        return path


def _label_order(label: str) -> tuple:
    """Numbers before names, single labels before regions, 2 before 10."""
    numbers = [int(number) for number in label.split("+")] if LABEL.fullmatch(label) else []
    return (not numbers, len(numbers), numbers, label)


def _twice(table: pd.DataFrame) -> list[str]:
    """Cases that an arm has more than once."""
    problems = []
    for arm, rows in table.drop_duplicates("entry").groupby("arm", sort=False):
        again = rows[rows["case"].duplicated(keep=False)]
        if len(again):
            problems.append(
                f"Arm {arm!r} has {some(again['case'].unique())} more than once, in {some(again['file'].unique())}: "
                "folds share no case. Leave a file out, give each training an arm of its own, or, where only the "
                "folders of references differ, give each reference its own file name."
            )
    return problems


def _targets(found: Iterable[str], names: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Label → target; two labels never share one."""
    found = sorted(found, key=_label_order)
    targets = {label: default_target(label) for label in found}
    given: dict[str, str] = {}
    for key, name in names.items():
        label = label_of(key)
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
                    f"Dice undefined for {target} in {len(empty)} of {len(part)} cases of arm {arm}, neither reference "
                    f"nor prediction having a voxel: {some(empty)}."
                )
    return notes


def _doubts(table: pd.DataFrame) -> list[str]:
    """What a test would not show, in sentences: one patient, background, lost false alarms, unlike references."""
    notes, cases = [], table["case"].nunique()
    if table["patient"].nunique() == 1 < cases:
        notes.append(
            f"All {cases} cases belong to one patient: nothing can be tested. If they are several, "
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
                "leave these cases out, and with them the false alarms of the other arms; report these beside the "
                "tests."
            )
        if len(moved):
            notes.append(
                f"The reference of {target} differs between arms in {len(moved)} cases: {some(moved)}. Compare the "
                "arms only if these are different scans of one case."
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
