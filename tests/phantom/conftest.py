"""Recipes coarse enough for quick tests, and patients made with them once."""

import pytest

from crossmod.phantom import Patient, Recipe, simulate

COARSE = {"spacing_mm": (4.0, 4.0, 4.0), "field_of_view_mm": (440.0, 360.0, 280.0), "position_sd_mm": 0.0}


@pytest.fixture(scope="session")
def coarse_ct() -> Recipe:
    """CT of 4 mm."""
    return Recipe(**COARSE)


@pytest.fixture(scope="session")
def coarse_mr() -> Recipe:
    """Fat-suppressed T2 of 4 mm."""
    return Recipe(modality="MR", **COARSE)


@pytest.fixture(scope="session")
def ct_patients(coarse_ct: Recipe) -> list[Patient]:
    """Twenty-four patients, seeds 0 to 23."""
    return [simulate(seed, coarse_ct) for seed in range(24)]


@pytest.fixture(scope="session")
def mr_patients(coarse_mr: Recipe) -> list[Patient]:
    """Eight patients, seeds 0 to 7."""
    return [simulate(seed, coarse_mr) for seed in range(8)]
