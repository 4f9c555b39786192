"""Does a redesign leave a study as it was? Every result of two checkouts, byte for byte.

    python benchmarks/same_tables.py HEAD~1                       # runs the smoke study there and here, and compares
    python benchmarks/same_tables.py HEAD~1 --then FOLDER         # the results of a study that was run there before

Compared are tables, splits, statistics, histories, weights and masks; not the page, the notebooks and the job records,
which carry times or folders. Of tables, columns that only the new side has are left out; of splits, who trains and who
validates each arm is compared, however the file writes it; of weights the tensors, not the header that describes them;
of the record of the analysis not the hash of its plan. The exit code is 1 if any differs.
"""

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPARED = {
    "tables": ("cohort/**/*.csv", "split/**/*.csv", "evaluate/**/*.csv", "predict/**/index.csv", "analyse/**/*.csv"),
    "splits": ("split/splits.json",),
    "statistics": ("analyse/*.json",),
    "histories": ("train/**/history.csv",),
    "weights": ("train/**/model.safetensors",),
    "masks": ("predict/**/*.nii.gz",),
}


def run(project: Path, study: str, scale: str) -> Path:
    """Run a study with a checkout's own code; the folder of its results."""
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--config", f"study={study}", f"scale={scale}"]
    beside = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PYTHONPATH": str(project / "src"),
        "PATH": os.pathsep.join([beside, os.environ["PATH"]]),
    }
    subprocess.run(command, cwd=project, env=environment, check=True, stdout=subprocess.DEVNULL)
    return project / "results" / study / scale


def files(results: Path, patterns: tuple[str, ...]) -> dict[str, bytes]:
    """Path inside the results → bytes."""
    found = {path for pattern in patterns for path in results.glob(pattern) if not path.name.endswith(".job.json")}
    return {str(path.relative_to(results)): path.read_bytes() for path in sorted(found)}


def said(name: str, content: bytes, columns: list[str] | None = None) -> bytes:
    """What a file says, without what may differ.

    These are the order of JSON's keys, headers of weights, and columns other than those given.
    """
    if name.endswith(".safetensors"):
        return content[8 + int.from_bytes(content[:8], "little") :]
    if name.endswith(".json"):
        value = json.loads(content)
        if name == "split/splits.json":
            value = value["arms"]
        elif name == "analyse/record.json":
            value.pop("plan_sha256", None)
        return json.dumps(value, sort_keys=True).encode()
    if columns is not None:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8")))
        if rows.fieldnames != columns:
            return json.dumps([[row.get(column) for column in columns] for row in rows]).encode()
        return json.dumps([list(row.values()) for row in rows]).encode()
    return content


def differs(name: str, then: bytes | None, now: bytes | None) -> bool:
    """Whether two versions of a file say different things; one that is absent says nothing."""
    if then is None or now is None or then == now:
        return then != now
    columns = None
    if name.endswith(".csv"):
        columns = next(csv.reader(io.StringIO(then.decode("utf-8"))), [])
    return said(name, then, columns) != said(name, now, columns)


def compare(then: Path, now: Path) -> list[str]:
    """Print each kind's verdict; the names of the files that differ, or that only one side has."""
    different = []
    for kind, patterns in COMPARED.items():
        a, b = files(then, patterns), files(now, patterns)
        wrong = sorted(name for name in {*a, *b} if differs(name, a.get(name), b.get(name)))
        print(
            f"{kind}: {len(a.keys() & b.keys()) - len([n for n in wrong if n in a and n in b])} equal, {len(wrong)} not"
        )
        different += wrong
    return different


def main() -> None:
    """Compare the study of a commit with this checkout's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="the commit to compare with")
    parser.add_argument("--study", default="renal")
    parser.add_argument("--scale", default="smoke")
    parser.add_argument("--then", type=Path, help="results that the base made before")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tree = {name: Path(scratch) / name for name in ("then", "now")}
        here = subprocess.run(["git", "stash", "create"], cwd=ROOT, check=True, capture_output=True, text=True)
        commits = {"then": asked.base, "now": here.stdout.strip() or "HEAD"}
        try:
            for name, commit in commits.items():
                subprocess.run(["git", "worktree", "add", "-q", "--detach", tree[name], commit], cwd=ROOT, check=True)
            then = asked.then or run(tree["then"], asked.study, asked.scale)
            different = compare(then, run(tree["now"], asked.study, asked.scale))
        finally:
            for folder in tree.values():
                subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=False)
    for name in different[:40]:
        print(f"  {name}")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
