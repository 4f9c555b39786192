"""What the tool says of a scan, with a network that thresholds brightness.

The real ones are tried in tests/workflow/test_measure.py.
"""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from crossmod.anatomy.kidneys import MASK_VALUES
from crossmod.cli import app
from crossmod.job import UserError
from crossmod.measure import Segmented, _doubts, agreement, measure_scan
from crossmod.scans.files import write_scan
from crossmod.scans.scan import Scan

RIGHT = MASK_VALUES["right"]
pytestmark = pytest.mark.usefixtures("bright_networks")


@pytest.fixture(scope="module")
def measure(tmp_path_factory):
    """Write an array as a scan and measure it; returns the record."""
    folder = tmp_path_factory.mktemp("measured scans ä")

    def run(array, affine, modality="auto", name="scan.nii.gz", out=None):
        write_scan(folder / name, Scan(array, affine))
        for file in [] if out else folder.glob(name.split(".")[0] + ".[kp]*"):
            file.unlink()
        return measure_scan(folder / name, out, None, modality, 0, 1)

    return run


def cut_at(torso, array, axis, low, high):
    """A part of the torso between two planes across an axis, and its affine."""
    affine = torso.affine.copy()
    affine[:3, 3] += affine[:3, axis] * low
    return array[tuple(slice(low, high) if a == axis else slice(None) for a in range(3))], affine


@pytest.mark.parametrize(
    ("modality", "reason"), [("CT", "the values are those of air"), ("MR", "no values as low as air")]
)
def test_both_kidneys_of_a_torso(torso, measure, capsys, modality, reason):
    record = measure(torso.ct if modality == "CT" else torso.mr, torso.affine)
    for side, value in (("right", 1), ("left", 2)):
        assert record["volumes_ml"][side] == pytest.approx((torso.labels == value).sum() * 0.216, rel=0.15)
    assert record["total_ml"] == pytest.approx(sum(record["volumes_ml"].values()), abs=0.02)
    assert record["total_of"] == ["right", "left"] and record["sides_certain"] and record["warnings"] == []
    assert record["modality"] == modality and record["modality_reason"].startswith(reason)
    assert f"Read as {modality}: {reason}" in capsys.readouterr().out


def test_the_picture_tells_what_the_json_tells(torso, measure, monkeypatch):
    told = []
    from crossmod.report import pictures

    real = pictures.measured_picture
    monkeypatch.setattr(pictures, "measured_picture", lambda *given: told.append(given[-2:]) or real(*given))
    measure(*cut_at(torso, torso.ct, 0, 0, 30))
    ((title, note),) = told
    assert "right not found" in title and "it is a guess" in note and "Read as CT: the values are those of air" in note


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    code=st.sampled_from(["RAS", "LPS", "SRA", "PIR", "ASL"]),
    half=st.sampled_from(["left", "right"]),
    cut=st.integers(26, 34),
)
def test_any_half_of_the_body_is_called_rightly_or_a_guess(torso, measure, code, half, cut):
    array, affine = cut_at(torso, torso.ct, 0, *((0, cut) if half == "left" else (cut, 60)))
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(code))
    turned = nib.Nifti1Image(array, affine).as_reoriented(turn)
    record = measure(np.asarray(turned.dataobj), turned.affine)
    other = {"left": "right", "right": "left"}[half]
    assert record["volumes_ml"][half] > 50 and record["volumes_ml"][other] is None
    assert f"no {other} kidney was found" in record["warnings"]
    assert record["total_of"] == [half] and record["total_ml"] == record["volumes_ml"][half]
    assert not record["sides_certain"]
    assert any(f"it is a guess that the kidney found is the {half} one" in text for text in record["warnings"])


def test_lost_slices_in_a_kidney_are_told(torso, measure):
    array = torso.ct.copy()
    middle = int(np.argwhere(torso.labels == 2)[:, 2].mean())
    array[:, :, middle : middle + 2] = 0
    assert any("hold one value only: slices may be lost" in text for text in measure(array, torso.affine)["warnings"])


FACES = {
    "lower": (2, 12, 30),
    "upper": (2, 0, 13),
    "back": (1, 18, 50),
    "front": (1, 0, 20),
    "left": (0, 18, 60),
    "right": (0, 0, 40),
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_kidney_cut_by_any_face_comes_with_a_warning(torso, measure, face, modality):
    record = measure(*cut_at(torso, torso.ct if modality == "CT" else torso.mr, *FACES[face]), modality)
    cut = [
        text
        for text in record["warnings"]
        if f"reaches the {face} edge of the scan: part of it may lie outside" in text
    ]
    assert len(cut) == (1 if face in ("left", "right") else 2)


def test_no_kidney_is_not_found_in_every_output(torso, tmp_path):
    array = np.minimum(torso.ct, 50)  # nothing is bright
    write_scan(tmp_path / "scan.nii.gz", Scan(array, torso.affine))
    done = CliRunner().invoke(app, ["measure", str(tmp_path / "scan.nii.gz"), "--threads", "1"])
    assert done.exit_code == 3
    assert done.stdout.count("not found") == 2 and "0.0" not in done.stdout and "both" not in done.stdout
    record = json.loads((tmp_path / "scan.parenchyma.json").read_text())
    assert record["volumes_ml"] == record["kidneys_ml"] == {"right": None, "left": None}
    assert record["total_ml"] is None and record["total_of"] == []
    words = CliRunner().invoke(app, ["measure", "--help"]).stdout.split()
    assert "3 no kidney was found" in " ".join(words)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.tuples(st.integers(0, 59), st.integers(0, 49), st.integers(0, 29)),
    value=st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_a_voxel_without_a_number_gives_no_volume(torso, measure, at, value):
    for array in (torso.ct.copy(), torso.mr.copy()):
        array[at] = value
        for modality in ("auto", "CT", "MR"):
            with pytest.raises(UserError, match=r"voxels without a number \(1 voxels are NaN or infinite\)"):
                measure(array, torso.affine, modality, "broken.nii.gz")


def test_what_is_not_in_hu_gives_no_volume_as_ct(torso, measure):
    for array in (torso.ct + 1024, (np.clip(torso.ct, -160, 240) + 160) / 400, torso.mr):
        with pytest.raises(UserError, match="called CT, but"):
            measure(array, torso.affine, "CT", "broken.nii.gz")
    with pytest.raises(UserError, match="called MR, but the values look like Hounsfield units"):
        measure(torso.ct, torso.affine, "MR", "broken.nii.gz")


def test_warnings_about_voxels_stand_beside_the_volumes(torso, measure):
    record = measure(np.clip(torso.ct, -160, 240), torso.affine, "CT")
    assert any(text.startswith("a CT without air") for text in record["warnings"])


@pytest.mark.parametrize("modality", ["PET", "ct ", "", "CTMR"])
def test_another_modality_is_refused_before_anything_is_read(modality):
    with pytest.raises(UserError, match="expected CT, MR or auto"):
        measure_scan(Path("nowhere.nii.gz"), None, None, modality, 0, 1)


def masks(shift: int = 0) -> tuple[np.ndarray, np.ndarray]:
    kidney, parenchyma = np.zeros((40, 10, 10), np.uint8), np.zeros((40, 10, 10), np.uint8)
    kidney[5:15] = RIGHT
    parenchyma[5 + shift : 15 + shift] = RIGHT
    return kidney, parenchyma


@pytest.mark.parametrize(
    ("volume_ml", "shift", "expected"),
    [
        (150.0, 0, []),
        (150.0, 3, []),
        (49.0, 0, ["right parenchyma of 49 ml is outside the usual 60 to 350 ml"]),
        (150.0, 8, ["only 20% of the right parenchyma lies within the right kidney found"]),
        (400.0, 20, ["400 ml is outside the usual", "only 0% of the right parenchyma"]),
    ],
)
def test_doubts(volume_ml, shift, expected):
    found = _doubts("right", volume_ml, Segmented(*masks(shift), {}))
    assert len(found) == len(expected)
    for text, part in zip(found, expected, strict=True):
        assert part in text


def test_no_kidney_is_said_once():
    empty = np.zeros((4, 4, 4), np.uint8)
    assert _doubts("left", None, Segmented(empty, empty, {})) == ["no left kidney was found"]


def test_a_kidney_without_parenchyma_has_no_volume():
    kidney, _ = masks()
    assert _doubts("right", None, Segmented(kidney, np.zeros_like(kidney), {})) == [
        "no parenchyma was found in the right kidney"
    ]


def test_networks_that_disagree_are_a_warning():
    kidney, parenchyma = masks()
    found = Segmented(kidney, parenchyma, {"right": 0.55, "left": 0.95})
    assert _doubts("right", 150.0, found) == ["the networks agree on the right kidney by a DSC of only 0.55"]
    assert _doubts("right", 150.0, Segmented(kidney, parenchyma, {"right": 0.8})) == []
    assert _doubts("left", None, Segmented(kidney, parenchyma, {"left": 0.6})) == [
        "no left kidney was found",
        "some of the networks did find a left kidney, but they agree by a DSC of only 0.60",
    ]


def test_agreement_is_the_mean_of_all_pairs():
    same, _ = masks()
    moved, empty = np.roll(same, 5, axis=0), np.zeros_like(same)
    assert agreement([same]) == {}
    assert agreement([same, same]) == {"right": 1.0, "left": 1.0}
    assert agreement([same, same, moved]) == {"right": pytest.approx(2 / 3), "left": 1.0}
    assert agreement([same, empty]) == {"right": 0.0, "left": 1.0}
