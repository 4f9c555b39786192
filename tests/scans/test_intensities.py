"""The one look at the voxels: what is no CT in HU, what is no number, and which modality a scan is."""

import contextlib
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crossmod.scans.files import open_scan, write_scan
from crossmod.scans.intensities import assumed_modality, findings, intensities, refuse_errors
from crossmod.scans.scan import Scan, ScanError

few = partial(settings, max_examples=40, deadline=None)


def found(array, modality, stated=""):
    return findings(intensities(np.asarray(array)), modality, stated)


def severities(array, modality, stated=""):
    return {one.severity for one in found(array, modality, stated)}


def guess(array, stated="", asked="auto"):
    scan = Scan(np.asarray(array), np.eye(4), stated_modality=stated)
    return assumed_modality("scan", intensities(scan.array), scan, asked)


def test_a_ct_and_an_mr_have_no_fault(torso):
    assert found(torso.ct, "CT") == [] and found(torso.mr, "MR") == []
    assert found(torso.ct.astype(np.int16), "CT") == [] and found(torso.mr.astype(np.uint16), "MR") == []


@few()
@given(
    at=st.tuples(st.integers(0, 59), st.integers(0, 49), st.integers(0, 29)),
    value=st.sampled_from([np.nan, np.inf, -np.inf]),
    modality=st.sampled_from(["CT", "MR"]),
)
def test_one_voxel_without_a_number_anywhere_is_an_error(torso, at, value, modality):
    array = (torso.ct if modality == "CT" else torso.mr).copy()
    array[at] = value
    (one,) = found(array, modality)
    assert one.severity == "error" and one.value == "1 voxels are NaN or infinite"
    with pytest.raises(ScanError, match="voxels without a number"):
        refuse_errors("scan", [one])
    assert guess(array)[0] in ("CT", "MR")  # auto leaves the refusal to the check


def test_every_voxel_without_a_number_is_an_error():
    assert severities(np.full((4, 4, 4), np.nan), "MR") == {"error"}
    assert severities(np.zeros((4, 4, 4)), "CT") == {"error"}


@few()
@given(shift=st.one_of(st.floats(200, 40000), st.floats(-40000, -300)))
def test_a_shifted_ct_is_refused(torso, shift):
    assert severities(torso.ct + np.float32(shift), "CT") == {"error"} or shift < 0
    assert severities(torso.ct + np.float32(shift), "CT"), "an error, or a warning that much lies far below air"


@few()
@example(scale=0.8, shift=-176.0)  # organs look like fat, and air like air
@given(scale=st.one_of(st.floats(1e-4, 0.8), st.floats(1.4, 100)), shift=st.floats(-300, 300))
def test_a_scaled_ct_is_never_taken_in_silence(torso, scale, shift):
    assert severities((torso.ct + np.float32(shift)) * np.float32(scale), "CT")


NOT_HU = {
    "unit": lambda ct: (np.clip(ct, -160, 240) + 160) / 400,
    "minus one to one": lambda ct: (np.clip(ct, -160, 240) - 40) / 200,
    "bytes": lambda ct: np.rint((np.clip(ct, -160, 240) + 160) * 255 / 400),
    "z-scores": lambda ct: (ct - ct.mean()) / ct.std(),
    "stored": lambda ct: ct + 1024,
    "stored, circle padded": lambda ct: np.where(np.arange(60)[:, None, None] < 12, -2000, ct + 1024),
    "stored, circle padded far": lambda ct: np.where(np.arange(60)[:, None, None] < 12, -3024, ct + 1000),
    "intercept twice": lambda ct: ct - 1024,
    "inverted": lambda ct: -ct,
    "half": lambda ct: ct / 2,
    "without slope": lambda ct: ct * 10,
}


@pytest.mark.parametrize("change", NOT_HU.values(), ids=NOT_HU)
def test_what_is_not_in_hu_is_refused_as_ct_and_asked_about_by_auto(torso, change):
    array = change(torso.ct)
    assert severities(array, "CT") == {"error"}
    try:
        assert guess(array)[0] == "MR"
    except ScanError as error:
        assert "Say --modality CT or --modality MR" in str(error)


def test_a_ct_cut_to_a_window_comes_with_a_warning_and_auto_asks(torso):
    array = np.clip(torso.ct, -160, 240)
    assert severities(array, "CT") == severities(array, "MR") == {"warning"}
    with pytest.raises(ScanError, match="neither file nor values say"):
        guess(array)


def test_a_ct_cut_inside_the_body_is_not_refused(torso):
    assert severities(torso.ct[10:50, 8:42, 5:25], "CT") <= {"warning"}


@pytest.mark.parametrize("padding", [-2000, -3024, -32768])
def test_padding_of_a_round_field_of_view_is_no_fault(torso, padding):
    x, y = np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 50), indexing="ij")
    array = np.where((x**2 + y**2 <= 1)[..., None], torso.ct, padding)
    assert found(array, "CT") == [] and guess(array)[0] == "CT"


def test_an_mr_called_ct_and_a_ct_called_mr_are_refused(torso):
    assert severities(torso.mr, "CT") == severities(torso.mr - 20, "CT") == {"error"}
    assert severities(torso.ct, "MR") == {"error"}


@few()
@given(scale=st.floats(1e-4, 1e5))
def test_an_mr_has_no_unit(torso, scale):
    assert found(torso.mr * np.float32(scale), "MR") == []
    scores = (torso.mr - torso.mr.mean()) / torso.mr.std()
    assert found(scores, "MR") == [] and guess(scores)[0] == "MR"


def test_a_stored_ct_called_mr_comes_with_a_warning(torso):
    assert severities(torso.ct + 1024, "MR") == {"warning"}
    with pytest.raises(ScanError, match="neither file nor values say"):
        guess(torso.ct + 1024)


@few()
@given(scale=st.floats(1e-4, 1e4), shift=st.sampled_from([0, 1024, 8192, 32768]))
def test_a_ct_on_another_scale_is_not_taken_for_an_mr_in_silence(torso, scale, shift):
    array = ((torso.ct + shift) * scale).astype(np.float32)
    assert severities(array, "MR")
    with contextlib.suppress(ScanError):
        assert guess(array)[0] == "CT"


def test_an_mr_with_some_negative_values_is_an_mr(torso):
    mr = torso.mr / torso.mr.max() * 20000
    mr[::7, ::5, ::3] -= 600.0
    assert guess(mr)[0] == "MR" and found(mr, "MR") == []


@pytest.mark.parametrize("value", [1e30, -1e30, 1e9, 2**31 - 1])
def test_a_voxel_that_outshines_an_mr_is_refused(torso, value):
    mr = torso.mr.astype(np.float64)
    mr[3, 4, 5] = value
    (one,) = found(mr.astype(np.float32), "MR")
    assert one.severity == "error" and "far out of the range" in one.problem


@pytest.mark.parametrize("modality", ["auto", "CT", "MR"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_label_map_is_no_scan(torso, modality, dtype):
    array = torso.labels.astype(dtype)
    asked = guess(array)[0] if modality == "auto" else modality
    (one,) = found(array, asked)
    assert one.severity == "error" and one.problem == "this is a label map, not a scan"


@pytest.mark.parametrize("bits", [7, 8])
def test_a_scan_of_few_values_is_no_label_map(torso, bits):
    array = np.clip(torso.mr / torso.mr.max() * 2**bits, 0, 2**bits - 1).astype(np.uint8)
    assert found(array, "MR") == [] and guess(array)[0] == "MR"


def test_what_the_file_says_decides(torso):
    assert guess(torso.mr - 700, "MR") == ("MR", "DICOM tag Modality")
    assert found(torso.mr - 700, "MR", "MR") == []
    assert severities(torso.mr - 700, "MR") == {"warning"}
    assert guess(torso.ct + 1024, "CT") == ("CT", "DICOM tag Modality")
    assert found(np.maximum(torso.ct + 1024, 0), "CT", "CT")[0].cure.startswith("Apply the rescale intercept")
    assert guess(torso.ct)[1].startswith("the values are those of air and tissue in HU")
    assert guess(torso.mr, asked="MR") == ("MR", "given by --modality MR")


@pytest.mark.parametrize(("called", "stated"), [("CT", "MR"), ("MR", "CT")])
def test_a_modality_that_contradicts_the_file_is_refused(torso, called, stated):
    (one,) = found(torso.ct if stated == "CT" else torso.mr, called, stated)
    assert one.severity == "error" and one.value == f"DICOM tag Modality: {stated}" and f"Call it {stated}" in one.cure


@pytest.mark.parametrize("stated", ["PT", "US", "SEG", "RTSTRUCT", "OT", "NM"])
@pytest.mark.parametrize("asked", ["auto", "CT", "MR"])
def test_other_modalities_are_refused_whatever_is_asked(torso, stated, asked):
    with pytest.raises(ScanError, match=f"neither CT nor MR \\(DICOM tag Modality: {stated}\\)"):
        guess(torso.mr, stated, asked)
    assert severities(torso.mr, "MR", stated) == {"error"}


def test_a_scan_on_disk_is_looked_at_plane_by_plane(torso, tmp_path):
    write_scan(tmp_path / "scan.nii.gz", Scan(torso.ct, torso.affine))
    on_disk, read = intensities(open_scan(tmp_path / "scan.nii.gz").array), intensities(torso.ct)
    assert (on_disk.low, on_disk.high, on_disk.without_number) == (read.low, read.high, 0)
    assert sorted(on_disk.sample.tolist()) == sorted(read.sample.tolist())


@pytest.mark.real
def test_no_real_scan_is_refused(real_data):
    from crossmod.scans.files import read_scan

    ct = [
        *real_data.glob("btcv_3mm/ct_*"),
        *real_data.glob("totalsegmentator/example_ct*"),
        *real_data.glob("chaos_ct/*_ct_*"),
    ]
    ct += [*real_data.glob("tptbox/sample_ct/*_ct.nii.gz")]
    mr = [
        *real_data.glob("chaos_t2spir/image_*"),
        *real_data.glob("afirm_t1_t2/*T[12]W*"),
        *real_data.glob("ukat_kidney/*mag*"),
    ]
    mr += [
        *real_data.glob("totalsegmentator/example_mr*"),
        *real_data.glob("spine_vb/*img*"),
        *real_data.glob("tptbox/sample_mri/*w.nii.gz"),
    ]
    warned = set()
    for modality, paths in (("CT", ct), ("MR", mr)):
        for path in paths:
            scan = read_scan(path)
            problems = findings(intensities(scan.array), modality, scan.stated_modality)
            assert "error" not in {one.severity for one in problems}, path
            warned |= {path.parent.name for _ in problems}
    assert warned == {"btcv_3mm", "sample_ct"}, "cut to a window, and cut inside the body"
