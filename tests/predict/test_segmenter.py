"""From a site to masks and an index: folds that have not seen a case, treated scans, and outside commands."""

import json
import shlex
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from crossmod import predict
from crossmod.cohort.table import read_cohort
from crossmod.job import Job, UserError
from crossmod.predict.network import TrainedStage, pooled
from crossmod.scans.files import read_scan
from crossmod.scans.scan import Scan
from crossmod.tables import read_own
from tests.bright import KIDNEY, NORMALISATION, PARENCHYMA

# The grids of the prepared cohorts of the fixture `tiny`.
STAGES = {
    "kidney": KIDNEY | {"spacing_mm": [8.0] * 3, "patch": [16] * 3},
    "parenchyma": PARENCHYMA | {"spacing_mm": [5.0] * 3, "patch": [16] * 3},
}


class Level(torch.nn.Module):
    """Foreground where the image is brighter than a level."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, X, Y, Z) → (B, 2, X, Y, Z)."""
        return torch.cat([torch.zeros_like(x), 4 * (x - self.level)], dim=1)


@pytest.fixture
def run(tiny, tmp_path, monkeypatch):
    """Predict some cases of the CT of `tiny`; a network's file is named by its level. Returns the folder."""
    monkeypatch.setattr(
        TrainedStage,
        "load",
        classmethod(lambda cls, path, stage, *_: cls.of(Level(float(path.name)), stage, "32-true")),
    )

    def call(placed: dict[str, list[int]], levels=("1.0",), cohort="ct", **settings) -> Path:
        number = len(list(tmp_path.glob("site*.json")))
        site = tmp_path / f"site{number}.json"
        site.write_text(json.dumps({"arm": {cohort: placed}}))
        stages = settings.pop("stages", STAGES)
        inputs = {
            "weights": {name: list(levels) for name in stages},
            "site": str(site),
            "cohorts": [str(tiny / "cohort" / cohort)],
            "prepared": [str(tiny / "prepare" / cohort)],
        }
        fixed = {"arm": "arm", "site": cohort, "cascade": list(stages), "stages": stages, "seed": 0}
        fixed |= {"models": {name: {} for name in stages}, "normalisation": NORMALISATION, "precision": "32-true"}
        fixed |= {"threads": 1, "treat": None, "normalise_as": None, "segmenter": None}
        out = tmp_path / f"out{number}"
        predict.run(Job("predict", inputs, {"folder": str(out)}, fixed | settings))
        return out

    return call


@pytest.fixture
def cases(tiny):
    return list(read_cohort(tiny / "cohort/ct").cases["case"])


def masks_of(folder: Path, case: str) -> dict[str, np.ndarray]:
    return {p.name.split(".")[1]: read_scan(p).array for p in sorted(folder.glob(f"{case}.*.nii.gz"))}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_index_names_a_mask_for_every_stage_and_region_in_the_order_of_the_site(run, cases):
    some = [cases[2], cases[0]]
    folder = run({case: [0] for case in some})
    index = read_own(folder / "index.csv")
    kinds = ["kidney", "parenchyma", "parenchyma_reference_box"]
    assert list(index.columns) == ["cohort", "case", "reference", *kinds]
    assert list(index["case"]) == some
    named = {name for kind in kinds for name in index[kind]}
    assert {path.name for path in folder.iterdir()} == named | {"index.csv"}
    assert any(mask.any() for mask in masks_of(folder, some[0]).values())


def test_each_case_is_predicted_by_the_folds_that_have_not_seen_it(run, cases):
    one, two = cases[:2]
    levels = ("0.6", "1.4")
    alone = [run({case: [0] for case in (one, two)}, [level]) for level in levels]
    folds = run({one: [0], two: [1]}, levels)
    for name, content in contents(folds).items():
        if name != "index.csv":
            assert content == contents(alone[0 if name.startswith(one) else 1])[name], name
    assert any(contents(alone[0])[name] != contents(alone[1])[name] for name in contents(folds))


def test_several_folds_are_pooled_as_the_mean_of_their_logits(run, cases):
    """The logit is 4 (x - level): two levels pool to the one between them."""
    case = cases[0]
    both = masks_of(run({case: [0, 1]}, ("0.8", "1.2", "9.0")), case)
    middle = masks_of(run({case: [0]}, ("1.0",)), case)
    for kind, mask in both.items():
        assert (mask != middle[kind]).mean() < 1e-3 < (mask > 0).mean(), kind
    p = np.array([0.2, 0.9])
    assert pooled([p]) is p


@pytest.mark.parametrize(
    ("folds", "problem"),
    [
        ([], "no fold of stage 'kidney' may predict it, for all have seen it"),
        ([0, 2], "fold 2 is to predict it"),
        ([-1], "fold -1"),
    ],
)
def test_a_case_without_an_unbiased_network_is_refused_by_name(run, cases, folds, problem):
    with pytest.raises(UserError, match=f"cohort ct, case {cases[1]}: {problem}"):
        run({cases[0]: [0], cases[1]: folds}, ("1.0", "1.0"))


@pytest.fixture
def treatments(monkeypatch):
    """In place of the real treatments: `scale` times and `add` to every intensity."""

    def treated(scan: Scan, operations: list[dict]) -> Scan:
        array = np.asarray(scan.array, np.float32)
        for operation in operations:
            ((name, given),) = operation.items()
            array = array * given if name == "scale" else array + given
        return Scan(array, scan.affine, scan.codes)

    fake = ModuleType("crossmod.prepare.treatments")
    fake.treated = treated
    monkeypatch.setitem(sys.modules, "crossmod.prepare.treatments", fake)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray], share: float = 1e-3) -> None:
    for kind, mask in a.items():
        assert (mask != b[kind]).mean() < share, kind


def test_a_treatment_that_changes_nothing_gives_the_masks_of_the_prepared_arrays(run, cases, treatments):
    case = cases[0]
    plain = masks_of(run({case: [0]}), case)
    assert all((mask > 0).mean() > 1e-3 for mask in plain.values())
    same(plain, masks_of(run({case: [0]}, treat=[{"scale": 1.0}]), case))


def test_a_treated_scan_is_what_the_networks_see(run, cases, treatments):
    case = cases[0]
    plain = masks_of(run({case: [0]}), case)
    moved = masks_of(run({case: [0]}, treat=[{"add": 60.0}]), case)
    assert any((plain[kind] != mask).mean() > 1e-3 for kind, mask in moved.items())


def test_a_scan_is_normalised_as_what_the_networks_were_trained_for(run, tiny, treatments):
    """An MR turned into the range of a CT, called CT, has the CT's fixed window and not the MR's percentiles."""
    case = read_cohort(tiny / "cohort/mr").cases["case"][0]
    own = run({case: [0]}, cohort="mr")
    assert contents(run({case: [0]}, cohort="mr", normalise_as="MR")) == contents(own)
    as_ct = masks_of(run({case: [0]}, cohort="mr", normalise_as="CT"), case)
    assert any((as_ct[kind] != mask).any() for kind, mask in masks_of(own, case).items())


def test_what_cannot_be_treated_is_told_by_case(run, cases, treatments):
    with pytest.raises(UserError, match=f"cohort ct, case {cases[0]}, treated: The CT scan has no contrast"):
        run({cases[0]: [0]}, treat=[{"scale": 0.0}])


PROGRAM = """
import sys
import nibabel as nib, numpy as np
scan = nib.load(sys.argv[1])
nib.save(nib.Nifti1Image((np.asarray(scan.dataobj) > 100).astype(np.uint8), scan.affine), sys.argv[2])
"""


def outside(tmp_path: Path, **labels: str) -> dict:
    (tmp_path / "tool.py").write_text(PROGRAM)
    names = {key.strip("_"): value for key, value in labels.items()}
    command = shlex.join([sys.executable, str(tmp_path / "tool.py"), "{image}", "{labels}"])
    return {"command": command, "labels": names}


def test_a_command_needs_no_weights_and_says_what_it_knows(run, cases, tmp_path):
    folder = run({cases[0]: []}, levels=(), segmenter=outside(tmp_path, _1="kidney"))
    index = read_own(folder / "index.csv")
    kinds = ["kidney", "parenchyma", "parenchyma_reference_box"]
    assert index[kinds].values.tolist() == [[f"{cases[0]}.kidney.nii.gz", "", ""]]
    assert json.loads((folder / "known.json").read_text()) == {"kidney": ["kidney"]}
    assert set(np.unique(masks_of(folder, cases[0])["kidney"])) == {0, 1, 2}


def test_a_command_is_given_the_treated_scan(run, cases, tmp_path, treatments):
    settings = outside(tmp_path, _1="kidney")
    dark = run({cases[0]: []}, segmenter=settings, treat=[{"add": -5000.0}])
    assert not masks_of(dark, cases[0])["kidney"].any()


def test_a_fault_of_a_command_is_told_by_case_and_leaves_no_folder(run, cases, tmp_path):
    settings = outside(tmp_path, _1="kidney")
    (tmp_path / "tool.py").write_text("raise SystemExit(5)")
    with pytest.raises(UserError, match=f"cohort ct, case {cases[0]}: segmenter: .* ended with code 5"):
        run({cases[0]: []}, segmenter=settings)
    assert not (tmp_path / "out0").exists()
