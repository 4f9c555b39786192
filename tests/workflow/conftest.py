"""The smoke study, run once end to end in a copy of the project, and a way to ask what a change would rerun."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PARTS = (
    "Snakefile",
    "workflow",
    "profiles",
    "conf",
    "src",
    "notebooks",
    "environment.yml",
    "requirements.lock",
    "pyproject.toml",
)


class Project:
    """A copy of the project in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results/renal/smoke"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(folder / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run Snakemake at scale smoke; its output is in ``stdout``."""
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout[-6000:]
        return done

    def would_run(self, *config: str) -> dict[str, int]:
        """Rule → jobs that a dry run announces."""
        text = self.snakemake("-n", "--config", "scale=smoke", *config).stdout
        if "Nothing to be done" in text:
            return {}
        table = text.split("Job stats:")[1].split("total")[0]
        return {
            rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE) if rule != "all"
        }

    def tables(self) -> dict[str, bytes]:
        """Every result table of the study, byte for byte."""
        return {
            str(path.relative_to(self.results)): path.read_bytes()
            for step in ("cohort", "split", "evaluate", "analyse")
            for path in sorted((self.results / step).rglob("*.csv"))
        }


def copied(source: Path, target: Path) -> Project:
    target.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if (source / part).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", ".ipynb_checkpoints")
            shutil.copytree(source / part, target / part, ignore=ignore)
        else:
            shutil.copy2(source / part, target / part)
    return Project(target)


@pytest.fixture(scope="session")
def bare(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project without results."""
    return copied(root, tmp_path_factory.mktemp("bare") / "project")


@pytest.fixture(scope="session")
def study(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with the finished smoke study."""
    project = copied(root, tmp_path_factory.mktemp("smoke") / "project")
    done = project.snakemake("--config", "scale=smoke")
    (project.folder / "said.txt").write_text(done.stdout)
    return project


@pytest.fixture
def again(root: Path, tmp_path: Path) -> Project:
    """The project without results, for one test alone."""
    return copied(root, tmp_path / "project")


@pytest.fixture
def branch(study: Project, tmp_path: Path) -> Project:
    """A copy of the finished smoke study that a test may change."""
    return Project(shutil.copytree(study.folder, tmp_path / "project", symlinks=True))


@pytest.fixture
def edit(study: Project) -> Iterator[Callable[[str, str, str], None]]:
    """Replace text in a file of the copy; undone, with its time stamp, after the test."""
    kept: dict[Path, tuple[str, int]] = {}

    def change(file: str, old: str, new: str) -> None:
        path = study.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} no longer contains {old!r}"
        kept.setdefault(path, (text, path.stat().st_mtime_ns))
        path.write_text(text.replace(old, new), encoding="utf-8")

    yield change
    for path, (text, stamp) in kept.items():
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(stamp, stamp))
