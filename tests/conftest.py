"""Fixtures shared by all tests."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
pytest_plugins = ["tests.small_scans"]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Among several workers, keep together what shares fixtures: a folder, or a file beside them; the longest first."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        folder, *file = item.path.relative_to(ROOT / "tests").parts
        # The invented studies and `measure` share nothing with the finished study, and are long themselves.
        apart = folder == "workflow" and not {"study", "bare"} & set(item.fixturenames)
        item.add_marker(pytest.mark.xdist_group("/".join([folder, *file]) if apart else folder))
    items.sort(key=lambda item: item.path.parent.name != "workflow")


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C, and so would every process that a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


@dataclass(frozen=True, repr=False)
class Torso:
    """A body of simple shapes, R-A-S, 6 mm.

    It has ``ct`` in HU and ``mr``, (60, 50, 30) voxels each; ``labels`` are 1 right kidney, 2 left kidney, 3 liver and
    4 spleen.
    """

    ct: np.ndarray
    mr: np.ndarray
    labels: np.ndarray
    affine: np.ndarray


@pytest.fixture(scope="session")
def torso() -> Torso:
    """Both flanks, both kidneys and air all around; x grows to the patient's right, the body is 300 mm wide."""
    affine = np.diag([6.0, 6.0, 6.0, 1.0])
    affine[:3, 3] = [-177.0, -147.0, -87.0]
    x, y, z = np.meshgrid(
        *(np.arange(n) * 6.0 + low for n, low in zip((60, 50, 30), affine[:3, 3], strict=True)), indexing="ij"
    )

    def ball(centre_mm: tuple[float, float, float], radii_mm: tuple[float, float, float]) -> np.ndarray:
        return sum(((a - c) / r) ** 2 for a, c, r in zip((x, y, z), centre_mm, radii_mm, strict=True)) <= 1

    skin, muscle = (x / 150) ** 2 + (y / 110) ** 2 <= 1, (x / 125) ** 2 + (y / 88) ** 2 <= 1
    spine = (x / 20) ** 2 + ((y + 45) / 20) ** 2 <= 1
    labels = np.zeros(x.shape, dtype=np.uint8)
    for value, centre, radii in (
        (3, (75, 30, 45), (45, 45, 40)),
        (4, (-95, -10, 45), (22, 40, 38)),
        (1, (62, -35, -15), (24, 22, 48)),
        (2, (-62, -35, -10), (24, 22, 48)),
    ):
        labels[ball(centre, radii)] = value
    noise = np.random.default_rng(5).normal(0, 8, x.shape)
    ct, mr = np.full(x.shape, -1000.0), np.full(x.shape, 4.0)
    parts = (
        (skin, -100, 130),
        (muscle, 50, 45),
        (labels == 3, 90, 70),
        (labels == 4, 95, 90),
        (spine, 100, 60),
        (np.isin(labels, (1, 2)), 230, 210),
    )
    for mask, hu, brightness in parts:
        ct[mask], mr[mask] = hu, brightness
    return Torso((ct + noise).astype(np.float32), np.abs(mr + noise / 4).astype(np.float32), labels, affine)


@pytest.fixture(scope="module")
def bright_networks() -> Iterator[None]:
    """In place of the shipped networks, one that calls kidney what is brightest in a torso, for one module of tests."""
    import torch

    from crossmod.predict.network import TrainedStage
    from crossmod.weights.model import Model

    class Bright(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """(B, 1, X, Y, Z) → (B, 2, X, Y, Z) logits."""
            return torch.cat([torch.zeros_like(x), 20 * (x - 1.3)], dim=1)

    stage = {"spacing_mm": [6.0] * 3, "patch": [16] * 3, "overlap": 0.25, "margin_mm": 10.0}
    stages = {
        "kidney": {**stage, "classes": {"kidney": ["kidney"]}, "region": "image", "keep": {"one_a_side": 2}},
        "parenchyma": {**stage, "classes": {"parenchyma": ["parenchyma"]}, "region": "kidney", "keep": {"largest": 1}},
    }
    normalisation = {"ct_window_hu": [-200.0, 300.0], "mr_percentiles": [0.5, 99.5]}
    weights, models = {stage: (Path("none"),) for stage in stages}, {stage: {} for stage in stages}
    model = Model("bright", weights, stages, models, normalisation, "32-true")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "shipped", classmethod(lambda cls: model))
        patch.setattr(
            TrainedStage, "load", classmethod(lambda cls, path, stage, *_: cls.of(Bright(), stage, "32-true"))
        )
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small simulated cohorts, ``cohort/ct`` (4) and ``cohort/mr`` (6), prepared in ``prepare/``."""
    from crossmod import cohort, prepare
    from crossmod.design.compose import compose
    from crossmod.job import Job

    folder = tmp_path_factory.mktemp("tiny")
    coarse = ("stages.kidney.spacing_mm=[8,8,8]", "stages.parenchyma.spacing_mm=[5,5,5]")
    study = compose(coarse)
    settings = {key: study[key] for key in ("stages", "normalisation")}
    for name, modality, cases, seed in (("ct", "CT", 4, 1), ("mr", "MR", 6, 2)):
        recipe = {"modality": modality, "spacing_mm": [4.0, 4.0, 6.0]}
        drawn = {"name": name, "source": "simulated", "cases": cases, "seed": seed, "site": "a", "recipe": recipe}
        cohort.run(Job("cohort", {}, {"folder": str(folder / "cohort" / name)}, drawn))
        prepare.run(
            Job(
                "prepare",
                {"cohort": str(folder / "cohort" / name)},
                {"folder": str(folder / "prepare" / name)},
                settings,
            )
        )
    return folder


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with the experiment ``test`` and no runs, to be copied: making one takes seconds."""
    from crossmod.runs.store import experiment

    folder = tmp_path_factory.mktemp("store") / "mlflow"
    experiment(folder, "test")
    return folder
