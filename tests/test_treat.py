"""A treated scan is the scan on its own grid, and nothing of the user's is written over."""

import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from crossmod.cli import app
from crossmod.job import UserError
from crossmod.prepare.treatments import NAMED, apply, named
from crossmod.scans.files import read_scan
from crossmod.treat import treat_scan

NAME = "inverted_black_rescaled"
OBLIQUE = np.array([[-1.2, 0.1, 0.0, 40.0], [0.1, 1.2, 0.2, -30.0], [0.0, -0.2, 3.0, 12.5], [0, 0, 0, 1.0]])


def voxels(seed: int = 0) -> np.ndarray:
    """An MR of noise: dark air around a bright body."""
    rng = np.random.default_rng(seed)
    array = rng.integers(0, 12, (20, 18, 12))
    array[4:16, 4:14] = rng.integers(150, 1400, (12, 10, 12))
    return array.astype(np.int16)


@pytest.fixture
def scan(tmp_path):
    """A NIfTI with an oblique grid and both codes set."""
    q, _ = np.linalg.qr(OBLIQUE[:3, :3])
    affine = OBLIQUE.copy()
    affine[:3, :3] = q * [1.2, 1.2, 3.0]
    image = nib.Nifti1Image(voxels(), affine)
    image.set_sform(affine, 2)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "knee.t1.nii.gz")
    return tmp_path / "knee.t1.nii.gz"


@pytest.mark.parametrize("treatment", NAMED)
def test_geometry_and_header_stay_and_the_intensities_are_those_of_the_step(scan, treatment):
    treat_scan(scan, treatment, None, "auto")
    before, after = nib.load(scan), nib.load(scan.parent / f"knee.t1.{treatment}.nii.gz")
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_allclose(after.get_qform(), before.get_qform(), atol=1e-6)
    for field in ("sform_code", "qform_code", "xyzt_units", "dim"):
        np.testing.assert_array_equal(after.header[field], before.header[field])
    np.testing.assert_allclose(after.header.get_zooms(), before.header.get_zooms())
    whole = np.float32 if treatment == "inverted_black_rescaled" else np.int16
    assert after.get_data_dtype() == whole
    np.testing.assert_array_equal(np.asanyarray(after.dataobj), apply(named(treatment), voxels()))


def test_the_record_tells_what_was_done(scan):
    record = treat_scan(scan, "inverted_black", None, "auto")
    assert json.loads((scan.parent / "knee.t1.inverted_black.json").read_text()) == record
    assert record["operations"] == named("inverted_black") and record["warnings"] == []
    assert list(record["files"]) == ["knee.t1.inverted_black.nii.gz"]


def test_it_replaces_its_own_and_nothing_of_the_users(scan, tmp_path):
    treat_scan(scan, "inverted", None, "auto")
    treat_scan(scan, "inverted", None, "auto")
    own = scan.parent / "knee.t1.inverted.nii.gz"
    own.write_bytes(b"drawn by hand")
    with pytest.raises(UserError, match=r"not written by `crossmod treat` of this very scan.*--out"):
        treat_scan(scan, "inverted", None, "auto")
    assert own.read_bytes() == b"drawn by hand"
    treat_scan(scan, "inverted", tmp_path / "new", "auto")
    assert (tmp_path / "new" / own.name).is_file()


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_other_formats_become_nifti_on_the_same_grid(tmp_path, ending):
    image = sitk.GetImageFromArray(voxels().transpose(2, 1, 0))
    image.SetSpacing((1.5, 1.5, 4.0))
    image.SetOrigin((10.0, -20.0, 5.0))
    sitk.WriteImage(image, str(tmp_path / f"a.{ending}"))
    treat_scan(tmp_path / f"a.{ending}", "inverted", None, "MR")
    done, given = read_scan(tmp_path / "a.inverted.nii.gz"), read_scan(tmp_path / f"a.{ending}")
    np.testing.assert_allclose(done.affine, given.affine)
    np.testing.assert_array_equal(done.array, apply(named("inverted"), voxels()))


def saved(path, array):
    nib.save(nib.Nifti1Image(array, np.diag([2.0, 2.0, 3.0, 1.0])), path)
    return path


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.full((6, 6, 6), 7, np.int16), "the image is constant"),
        (np.where(np.eye(6)[..., None] > 0, np.nan, voxels()[:6, :6, :6]).astype(np.float32), "36 voxels are NaN"),
        (np.stack([voxels()] * 2, axis=-1), r"not one three-dimensional volume .*One scan per file"),
        (np.pad(np.full((6, 6, 6), 2, np.uint8), 3), "label map"),
    ],
)
def test_what_is_no_scan_is_refused_with_the_cure(tmp_path, array, problem):
    with pytest.raises(UserError, match=problem):
        treat_scan(saved(tmp_path / "a.nii.gz", array), "inverted_black", None, "MR")
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_scan_that_the_clip_empties_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"leaves one value everywhere \(values from -"):
        treat_scan(saved(tmp_path / "a.nii.gz", voxels() - np.int16(3000)), "inverted", None, "MR")


def test_doubts_are_warnings(tmp_path, torso, capsys):
    ct = saved(tmp_path / "ct.nii.gz", torso.ct)
    assert "treating a CT is a mistake" in " ".join(treat_scan(ct, "inverted", None, "auto")["warnings"])
    bright = saved(tmp_path / "bright.nii.gz", voxels().astype(np.int32) * 20)
    (warning,) = treat_scan(bright, "inverted", None, "MR")["warnings"]
    assert "of the voxels lie outside 0 to 3000 and were cut" in warning
    assert "warning:" in capsys.readouterr().out


def test_a_scan_on_another_scale_is_fitted_where_that_is_asked(tmp_path):
    large = saved(tmp_path / "large.nii.gz", voxels().astype(np.float32) * 1000)
    with pytest.raises(UserError, match=r"no contrast to rescale.*say --fit"):
        treat_scan(saved(tmp_path / "flat.nii.gz", np.maximum(voxels(), 1) * np.float32(1e5)), NAME, None, "MR")
    record = treat_scan(large, "inverted_black", None, "MR", fit=True)
    assert record["warnings"] == [] and record["operations"][0] == {"fit": {"below": 3000}}
    done, plain = read_scan(tmp_path / "large.inverted_black.nii.gz").array, apply(named("inverted_black"), voxels())
    assert np.corrcoef(done.ravel(), plain.ravel())[0, 1] > 0.999


def test_a_spike_is_cut_and_stretches_nothing(tmp_path):
    array = voxels().astype(np.float32)
    array[0, 0, 0] = 3000
    plain = saved(tmp_path / "plain.nii.gz", array)
    array[0, 0, 0] = 1e5
    spiked = saved(tmp_path / "spiked.nii.gz", array)
    for path in (plain, spiked):
        treat_scan(path, "inverted_black", None, "MR")
    a, b = (read_scan(tmp_path / f"{name}.inverted_black.nii.gz").array for name in ("plain", "spiked"))
    np.testing.assert_array_equal(a, b)


def test_the_command_and_its_mistakes(scan):
    done = CliRunner().invoke(app, ["treat", str(scan)])
    assert done.exit_code == 0 and "knee.t1.inverted_black.nii.gz" in done.output.replace("\n", "")
    wrong = CliRunner().invoke(app, ["treat", str(scan), "--treatment", "inverted_blak"])
    assert isinstance(wrong.exception, UserError)
    assert str(wrong.exception) == (
        "--treatment: no treatment 'inverted_blak' comes with crossmod; did you mean 'inverted_black'?"
    )
