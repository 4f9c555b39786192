"""Recipes coarse enough for quick tests, and patients made with them once."""

from dataclasses import replace

import numpy as np
import pytest

from crossmod.phantom import Patient, Recipe, simulate
from crossmod.phantom.canvas import Pose

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


@pytest.fixture(scope="session")
def still() -> Pose:
    """A pose without turn or warp, in which a millimetre of body is one of the scanner."""
    pose = Pose.draw(np.random.default_rng(0))
    field = pose.warp[0]
    flat = (replace(field, control=np.zeros_like(field.control)),) * 3
    return Pose(np.eye(3), flat, np.zeros_like(pose.least), np.zeros_like(pose.most))
