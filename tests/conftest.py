"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's own folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the project; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no reference material at {folder.name}/ beside the project")
    return folder


@pytest.fixture(scope="session")
def real_data(shared: Path) -> Path:
    """The folder of real scans; tests that need it skip where it is absent."""
    folder = shared / "data"
    if not folder.is_dir():
        pytest.skip("no real scans (shared/data) beside the project")
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small simulated cohorts, ``cohort/ct`` (4) and ``cohort/mr`` (6), prepared in ``prepare/``."""
    from crossmod import cohort, prepare
    from crossmod.job import Job

    folder = tmp_path_factory.mktemp("tiny")
    stages = {
        "kidney": {"structures": ["parenchyma", "sinus", "tumour", "cyst", "kidney"], "spacing_mm": [8.0, 8.0, 8.0]},
        "parenchyma": {"structures": ["parenchyma"], "spacing_mm": [5.0, 5.0, 5.0]},
    }
    normalisation = {"ct_window_hu": [-200.0, 300.0], "mr_percentiles": [0.5, 99.5]}
    for name, modality, cases, seed in (("ct", "CT", 4, 1), ("mr", "MR", 6, 2)):
        recipe = {"modality": modality, "spacing_mm": [4.0, 4.0, 6.0]}
        settings = {"name": name, "source": "simulated", "cases": cases, "seed": seed, "site": "a", "recipe": recipe}
        cohort.run(Job("cohort", {}, {"folder": str(folder / "cohort" / name)}, settings))
        prepare.run(
            Job(
                "prepare",
                {"cohort": str(folder / "cohort" / name)},
                {"folder": str(folder / "prepare" / name)},
                {"stages": stages, "normalisation": normalisation},
            )
        )
    return folder


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with the experiment ``test`` and no runs, to be copied: making one takes seconds."""
    from crossmod.tracking.store import experiment

    folder = tmp_path_factory.mktemp("store") / "mlflow"
    experiment(folder, "test")
    return folder
