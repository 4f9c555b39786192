"""Is a case still as it was checked? A job repeated by hand may meet a file that was changed or put there since."""

from collections.abc import Collection
from pathlib import Path

from crossmod.cohort.table import Cohort
from crossmod.job import UserError
from crossmod.tables import read_own


def refuse_changed(cohort: Cohort, folder: str | Path, cases: Collection[str]) -> None:
    """Look anew at the cases of which a file was touched after the check; files that were not cost a glance.

    Args:
        cohort: the table.
        folder: of the cohort, where its check left ``facts.csv``; without one nothing was checked, and nothing can have
            changed since.
        cases: the names of those that are used.

    Raises:
        UserError: if an image is another one than was checked, or a file has a fault.
    """
    path = Path(folder) / "facts.csv"
    if not path.is_file():
        return
    checked_ns = path.stat().st_mtime_ns
    for case in cohort.cases[cohort.cases["case"].isin(cases)].to_dict("records"):
        files = [cohort.root / case["image"], *([cohort.label_root / case["label"]] if case["label"] else [])]
        if any(_touched_ns(file) >= checked_ns for file in files):
            _compare(cohort, case, path)


def _compare(cohort: Cohort, case: dict, path: Path) -> None:
    from crossmod.cohort.check import refuse_errors
    from crossmod.cohort.inspection import faults_table, inspect_case

    facts, faults = inspect_case(cohort, case)
    refuse_errors(faults_table(faults))
    known = read_own(path).set_index("case")["image_sha256"]
    then, now = known.get(case["case"], "unknown"), facts["image_sha256"]
    if now != then:
        raise UserError(
            f"cohort {cohort.name}, case {case['case']}: {case['image']} is not the scan that was checked (its voxels "
            f"have SHA-256 {now[:12]}…, then {then[:12]}…). Put the old file back, or make the cohort and all that "
            "follows from it anew."
        )


def _touched_ns(path: Path) -> int:
    """When a file, or a file in a folder, was last written, renamed or copied to; 0 where there is none."""
    files = [path, *path.iterdir()] if path.is_dir() else [path]
    return max((max(file.stat().st_mtime_ns, file.stat().st_ctime_ns) for file in files if file.exists()), default=0)
