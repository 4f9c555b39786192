"""How long a user waits for nothing: the command line's help, and a training job before its first step.

    python benchmarks/startup.py --study results/renal/smoke

The job is the first training of a study that is there, repeated in a folder of its own until it says what it computes
with, which is right before its first step: imports, config, the MLflow run, the network and the prepared cases lie
before. Once by hand, and once as in a workflow, which has a process at hand that has imported everything already.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measured import show, take_turns, told_s, write

from crossmod.running import warm

CROSSMOD = str(Path(sys.executable).parent / "crossmod")
READY = "channels"  # of the log line that tells layout and precision


def help_() -> None:
    """`crossmod --help`."""
    subprocess.run([CROSSMOD, "--help"], check=True, stdout=subprocess.DEVNULL)


def first_training(study: Path) -> Path:
    """Its job file.

    Raises:
        SystemExit: if the study has none.
    """
    jobs = sorted(study.glob("train/*/*/seed*/job.json"))
    if not jobs:
        raise SystemExit(f"{study}: no training; run `make reproduce SCALE=smoke` first")
    return jobs[0]


def until_ready(job_file: Path, root: Path, folder: Path, environment: dict[str, str]) -> None:
    """Start a training and stop it before its first step.

    Raises:
        SystemExit: if it ends by itself.
    """
    job = json.loads(job_file.read_text(encoding="utf-8"))
    job["outputs"] = {name: str(folder / Path(path).name) for name, path in job["outputs"].items()}
    command = [CROSSMOD, "train", json.dumps(job)]
    process = subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.PIPE, text=True)
    said = []
    for line in process.stderr:
        said.append(line)
        if READY in line:
            break
    else:
        raise SystemExit("the training ended early:\n" + "".join(said))
    process.kill()
    process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--study", type=Path, required=True, help="folder of a finished study, e.g. results/renal/smoke"
    )
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    study = options.study.resolve()
    job, root = first_training(study), study.parents[2]
    by_hand = {**os.environ, **dict.fromkeys(warm.THREADS, "1")}
    warm.start("crossmod")
    in_workflow = by_hand | {warm.ADDRESS: os.environ[warm.ADDRESS]}
    with tempfile.TemporaryDirectory() as temporary:
        ready = lambda environment: until_ready(job, root, Path(tempfile.mkdtemp(dir=temporary)), environment)  # noqa: E731
        waits = {
            "crossmod --help": help_,
            "a training before its first step, by hand": lambda: ready(by_hand),
            "the same in a workflow": lambda: ready(in_workflow),
            "(python -c pass)": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
        }
        seconds = take_turns(waits, options.repeats)
    show("Start", ("", "seconds"), [(name, told_s(values)) for name, values in seconds.items()])
    write("startup", {"seconds": seconds})


if __name__ == "__main__":
    main()
