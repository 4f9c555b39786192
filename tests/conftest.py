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
