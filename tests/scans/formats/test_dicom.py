"""DICOM series: geometry decides, faults are named."""

import itertools
import os
import shutil

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossmod.scans.files import read_scan
from crossmod.scans.formats.dicom import read_series, sorted_slices
from crossmod.scans.scan import ScanError

VOLUME = np.random.default_rng(5).integers(-200, 900, (6, 7, 5)).astype(np.int16)


def test_voxels_and_places(tmp_path, write_series):
    write_series(tmp_path / "series", VOLUME)
    scan = read_scan(tmp_path / "series")
    np.testing.assert_array_equal(scan.array, VOLUME)
    assert scan.array.dtype == np.int16
    # LPS (-30, -20, -50) is RAS (30, 20, -50); columns run to the left, rows to the back, slices up.
    expected = np.array([[-2.0, 0, 0, 30], [0, -3.0, 0, 20], [0, 0, 5.0, -50], [0, 0, 0, 1]])
    np.testing.assert_allclose(scan.affine, expected, atol=1e-5)


def test_names_do_not_matter(tmp_path, write_series):
    write_series(tmp_path / "plain", VOLUME)
    write_series(tmp_path / "shuffled", VOLUME, names=["c", "a.dcm", "e", "b.IMA", "d"])
    plain, shuffled = read_series(tmp_path / "plain"), read_series(tmp_path / "shuffled")
    np.testing.assert_array_equal(plain.array, shuffled.array)
    np.testing.assert_allclose(plain.affine, shuffled.affine)


def test_coronal_and_oblique_series(tmp_path, write_series):
    angle = 0.3
    row, column = (np.cos(angle), np.sin(angle), 0.0), (0.0, 0.0, -1.0)
    write_series(tmp_path / "coronal", VOLUME, orientation=(*row, *column))
    scan = read_series(tmp_path / "coronal")
    np.testing.assert_array_equal(scan.array, VOLUME)
    flip = np.array([-1.0, -1.0, 1.0])
    np.testing.assert_allclose(scan.affine[:3, 0], 2.0 * np.array(row) * flip, atol=1e-5)
    np.testing.assert_allclose(scan.affine[:3, 1], 3.0 * np.array(column) * flip, atol=1e-5)
    np.testing.assert_allclose(scan.affine[:3, 2], 5.0 * np.cross(row, column) * flip, atol=1e-5)


def test_rescaling_is_applied(tmp_path, write_series):
    write_series(tmp_path / "ct", VOLUME, modality="CT", slope=1, intercept=-1024)
    np.testing.assert_array_equal(read_series(tmp_path / "ct").array, VOLUME.astype(int) - 1024)
    write_series(tmp_path / "pet", VOLUME, slope=0.25)
    scan = read_series(tmp_path / "pet")
    assert scan.array.dtype == np.float32
    np.testing.assert_allclose(scan.array, VOLUME * 0.25)


def test_other_files_are_passed_over(tmp_path, write_series):
    write_series(tmp_path / "series", VOLUME)
    (tmp_path / "series" / "notes.txt").write_text("seen by nobody")
    (tmp_path / "series" / ".DS_Store").write_bytes(b"\0")
    assert len(sorted_slices(tmp_path / "series")) == 5


def test_slices_with_a_series_number_each_are_one_series(tmp_path, write_series):
    write_series(tmp_path / "anonymised", VOLUME, series="own")
    np.testing.assert_array_equal(read_series(tmp_path / "anonymised").array, VOLUME)


def test_faults_are_named(tmp_path, write_series):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScanError, match=r"no DICOM image in this folder"):
        read_series(tmp_path / "empty")

    write_series(tmp_path / "two", VOLUME)
    write_series(tmp_path / "two", VOLUME[:4], names=[f"x{z}" for z in range(5)])
    with pytest.raises(
        ScanError,
        match=r"2 series in one folder \(5 slices like IMG-0001.dcm and 5 slices like x0.*a folder of its own",
    ):
        read_series(tmp_path / "two")

    write_series(tmp_path / "echoes", VOLUME, series="1.2.3")
    write_series(tmp_path / "echoes", VOLUME, names=[f"x{z}" for z in range(5)], series="1.2.3")
    with pytest.raises(ScanError, match=r"several slices at one place.*5 of 10.*echoes"):
        read_series(tmp_path / "echoes")

    files = write_series(tmp_path / "gap", VOLUME)
    files[2].unlink()
    with pytest.raises(ScanError, match=r"not evenly spaced.*10 mm after.*instead of 5 mm.*missing"):
        read_series(tmp_path / "gap")

    write_series(tmp_path / "one", VOLUME[:, :, :1])
    with pytest.raises(ScanError, match=r"single slice"):
        read_series(tmp_path / "one")

    write_series(tmp_path / "frames", VOLUME, NumberOfFrames=20)
    with pytest.raises(ScanError, match=r"multi-frame.*20 frames.*dcm2niix"):
        read_series(tmp_path / "frames")

    write_series(tmp_path / "nowhere", VOLUME, ImagePositionPatient=None)
    with pytest.raises(ScanError, match=r"does not state where it lies \(no ImagePositionPatient\)"):
        read_series(tmp_path / "nowhere")


TURNS = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
# hypothesis runs its examples in one test, each in a folder of its own.
one_fixture = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(turn=st.sampled_from(TURNS), spacing=st.tuples(*[st.floats(0.4, 40)] * 3))
@one_fixture
def test_any_spacing_and_orientation_comes_back(tmp_path_factory, write_series, turn, spacing):
    folder = tmp_path_factory.mktemp("any") / "series"
    spacing = tuple(round(edge, 4) for edge in spacing)
    write_series(folder, VOLUME, orientation=(*turn[0], *turn[1]), spacing_mm=spacing)
    scan = read_series(folder)
    axes = np.stack([turn[0], turn[1], np.cross(turn[0], turn[1])], axis=1) * spacing
    np.testing.assert_allclose(scan.affine[:3, :3], np.diag([-1, -1, 1]) @ axes, atol=1e-3)
    assert scan.voxel_ml == pytest.approx(np.prod(spacing) / 1000, rel=1e-4)
    np.testing.assert_array_equal(scan.array, VOLUME)


@pytest.mark.parametrize("kind", ["2", "7", "1.1", "12.1", "7.3", "481.1"])
def test_the_voxel_size_is_the_tags_for_every_kind_of_image(tmp_path, write_series, kind):
    write_series(tmp_path / "series", VOLUME, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{kind}")
    for file in (tmp_path / "series").iterdir():
        content = file.read_bytes()
        meta = b"1.2.840.10008.5.1.4.1.1.4\0"  # of the file's own header, by which ITK decides
        kind_uid = f"1.2.840.10008.5.1.4.1.1.{kind}".encode()
        if len(kind_uid) <= len(meta):
            file.write_bytes(content.replace(meta, kind_uid.ljust(len(meta), b"\0"), 1))
    np.testing.assert_allclose(read_series(tmp_path / "series").spacing_mm, (2, 3, 5))


@pytest.mark.parametrize("degrees", [-25, 10, 30])
def test_a_tilted_gantry_is_read_with_its_shear(tmp_path, write_series, degrees):
    tilt = np.radians(degrees)
    files = write_series(tmp_path / "tilted", VOLUME, orientation=(1, 0, 0, 0, np.cos(tilt), np.sin(tilt)))
    move(files, lambda z: [-30.0, -20.0, -50.0 + 5.0 * z])
    scan = read_series(tmp_path / "tilted")
    np.testing.assert_array_equal(scan.array, VOLUME)
    np.testing.assert_allclose(scan.affine[:3, 2], (0, 0, 5), atol=1e-9)
    assert scan.voxel_ml == pytest.approx(2 * 3 * 5 * np.cos(tilt) / 1000)


def move(files, corner):
    for z, file in enumerate(files):
        slice_ = pydicom.dcmread(file)
        slice_.ImagePositionPatient = corner(z)
        slice_.save_as(file)


@given(first=st.integers(1, 9), axis=st.sampled_from([0, 1]), jump=st.floats(0.8, 300), sign=st.sampled_from([1, -1]))
@one_fixture
def test_slices_that_are_shifted_sideways_are_refused(tmp_path_factory, write_series, first, axis, jump, sign):
    folder = tmp_path_factory.mktemp("jump") / "series"
    files = write_series(folder, np.repeat(VOLUME, 2, axis=2), spacing_mm=(2.0, 3.0, 1.0))
    step = np.eye(3)[axis] * sign * round(jump, 3)
    move(files, lambda z: list(np.array([-30.0, -20.0, -50.0 + z]) + step * (z >= first)))
    with pytest.raises(ScanError, match=r"shifted against each other \(the corner of IMG-.*ImagePositionPatient"):
        read_series(folder)


@given(broken=st.sets(st.integers(0, 4), min_size=1, max_size=4))
@one_fixture
def test_slices_of_no_bytes_are_counted_and_named(tmp_path_factory, write_series, broken):
    folder = tmp_path_factory.mktemp("empty") / "series"
    files = write_series(folder, VOLUME)
    for z in broken:
        files[z].write_bytes(b"")
    message = rf"slices that cannot be read \({len(broken)} of 5, the first is {files[min(broken)].name}: 0 bytes\)"
    with pytest.raises(ScanError, match=message):
        read_series(folder)


@pytest.mark.parametrize("name", ["last.dcm", "last.IMA", "last", "CT.1.2.840.4711", "last.dcm.part"])
@pytest.mark.parametrize("content", [b"", bytes(3000), b"\x93\x00" * 200, None])
def test_the_last_slice_is_never_lost_in_silence(tmp_path, write_series, name, content):
    files = write_series(tmp_path / "series", VOLUME)
    whole = files[-1].read_bytes()
    files[-1].unlink()
    (tmp_path / "series" / name).write_bytes(whole[:700] if content is None else content)
    with pytest.raises(ScanError, match=r"cannot be read|does not state where it lies"):
        read_series(tmp_path / "series")


def test_what_is_no_file_is_no_slice(tmp_path, write_series):
    files = write_series(tmp_path / "series", VOLUME)
    for make in (lambda: files[-1].symlink_to("nowhere"), lambda: os.mkfifo(files[-1])):
        files[-1].unlink()
        make()
        with pytest.raises(
            ScanError, match=r"1 of 5, the first is IMG-0005\.dcm: a link that leads nowhere, or no file"
        ):
            read_series(tmp_path / "series")


def test_files_that_are_no_slices_may_lie_among_them(tmp_path, write_series):
    folder = tmp_path / "series"
    files = write_series(folder, VOLUME)
    for name, content in {
        "._IMG-0001.dcm": b"\0\5\x16\7",
        ".DS_Store": b"\0",
        "README": "Größe und Lage".encode(),
        "notes.txt": b"",
        "dose.xml": b"<a/>",
        "view.png": b"\x89PNG",
        "info.json": b"{}",
    }.items():
        (folder / name).write_bytes(content)
    (folder / "previews").mkdir()
    report = shutil.copy(files[0], folder / "report.dcm")
    text = pydicom.dcmread(report)
    text.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"  # a structured report
    for tag in ("Rows", "Columns", "PixelData", "PixelSpacing", "ImagePositionPatient"):
        delattr(text, tag)
    text.save_as(report)
    np.testing.assert_array_equal(read_series(folder).array, VOLUME)


@pytest.mark.parametrize(
    ("written", "damaged", "tag"),
    [
        (b"3.0\\2.0", b"3,0\\2,0", "PixelSpacing"),
        (b"3.0\\2.0", b"nan\\2.0", "PixelSpacing"),
        (b"-50.0", b" nan ", "ImagePositionPatient"),
        (b"-50.0", b"1e999", "ImagePositionPatient"),
        (b"-50.0", b"-50,0", "ImagePositionPatient"),
        (b"0.0\\1.0\\0.0", b"0.0\\1.0\\0,0", "ImageOrientationPatient"),
        (b"-1024.0", b"-1024,0", "RescaleIntercept"),
        (b"1.25", b"1,25", "RescaleSlope"),
        (b"IS\x02\x001 ", b"IS\x02\x001A", "NumberOfFrames"),
    ],
)
def test_a_damaged_tag_is_named(tmp_path, write_series, written, damaged, tag):
    place = (-30.0, -20.0, -50.0)
    files = write_series(tmp_path / "series", VOLUME, slope=1.25, intercept=-1024.0, corner_mm=place, NumberOfFrames=1)
    file = files[0]
    content = file.read_bytes()
    assert content.count(written)
    at = content.rindex(written)
    file.write_bytes(content[:at] + damaged + content[at + len(written) :])
    with pytest.raises(ScanError, match=rf"{file.name}: the tag {tag} cannot be used \({tag} is "):
        read_series(tmp_path / "series")


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"PixelSpacing": [0, 0]}, r"does not state its pixel size \(PixelSpacing is 0"),
        ({"PixelSpacing": [3, 0]}, r"does not state its pixel size"),
        ({"PixelSpacing": None}, r"does not state where it lies \(no PixelSpacing\)"),
        ({"PixelSpacing": [3000, 3000]}, r"no scan has voxels .*3000"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.2, 1, 0]}, r"not at right angles"),
        ({"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]}, r"not at right angles, or not directions"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1]}, r"the tag ImageOrientationPatient cannot be used"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, r"inverted .*PhotometricInterpretation is MONOCHROME1"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, r"palette"),
        ({"RescaleSlope": 0}, r"RescaleSlope is 0"),
        ({"SamplesPerPixel": 3}, r"3 colours"),
    ],
)
def test_tags_without_ground_are_refused(tmp_path, write_series, tags, message):
    write_series(tmp_path / "series", VOLUME, **tags)
    with pytest.raises(ScanError, match=message):
        read_series(tmp_path / "series")


def test_slices_are_rescaled_one_by_one(tmp_path, write_series):
    files = write_series(tmp_path / "series", VOLUME)
    for z, file in enumerate(files):
        one = pydicom.dcmread(file)
        one.RescaleSlope, one.RescaleIntercept = 1 + 0.5 * z, -100 * z
        one.save_as(file)
    scan = read_series(tmp_path / "series")
    np.testing.assert_allclose(scan.array, VOLUME * (1 + 0.5 * np.arange(5)) - 100 * np.arange(5))
    del one.RescaleSlope, one.RescaleIntercept
    one.save_as(file)
    with pytest.raises(ScanError, match=r"neither RescaleSlope nor RescaleIntercept \(1 of 5, the first is IMG-0005"):
        read_series(tmp_path / "series")


def test_the_modality_is_told_and_is_one(tmp_path, write_series):
    files = write_series(tmp_path / "series", VOLUME, modality="CT")
    assert read_series(tmp_path / "series").stated_modality == "CT"
    assert read_series(write_series(tmp_path / "none", VOLUME, modality="")[0].parent).stated_modality == ""
    one = pydicom.dcmread(files[2])
    one.Modality = "MR"
    one.save_as(files[2])
    with pytest.raises(ScanError, match=r"several modalities in one folder \(4 slices of CT and 1 slices of MR\)"):
        read_series(tmp_path / "series")


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_tags_that_differ_by_rounding_are_one_series(tmp_path, write_series):
    files = write_series(tmp_path / "series", VOLUME)
    straight = read_series(tmp_path / "series")
    for z, file in enumerate(files):
        header = pydicom.dcmread(file)
        turned = 0.0004999 if z % 2 else 0.0005001
        header.ImageOrientationPatient = [1, turned, 0, -turned, 1, 0]
        header.PixelSpacing = [3.00004, 2.0] if z % 2 else [3.00006, 2.0]
        header.Modality = "mr"
        header.save_as(file)
    scan = read_series(tmp_path / "series")
    np.testing.assert_array_equal(scan.array, straight.array)
    np.testing.assert_allclose(scan.spacing_mm, straight.spacing_mm, atol=1e-3)
    assert scan.stated_modality == "MR"
    header.PixelSpacing = [3.1, 2.0]
    header.save_as(file)
    with pytest.raises(ScanError, match="2 series in one folder"):
        read_series(tmp_path / "series")


@pytest.mark.parametrize("cut", [1, 40, 80])
def test_pixels_that_are_cut_short_are_refused(tmp_path, write_series, cut):
    files = write_series(tmp_path / "series", VOLUME)
    files[3].write_bytes(files[3].read_bytes()[:-cut])
    with pytest.raises(ScanError, match=r"IMG-0004\.dcm: the pixels of the DICOM file cannot be read"):
        read_series(tmp_path / "series")


@given(place=st.integers(0, 900), value=st.binary(min_size=1, max_size=5))
@one_fixture
def test_damaged_headers_are_read_or_refused(tmp_path_factory, write_series, place, value):
    folder = tmp_path_factory.mktemp("damaged") / "series"
    files = write_series(folder, VOLUME[:, :, :3])
    damaged = bytearray(files[1].read_bytes())
    damaged[place : place + len(value)] = value
    files[1].write_bytes(damaged)
    try:
        assert read_series(folder).array.shape == (6, 7, 3)
    except ScanError as error:
        assert str(error).isprintable()


@pytest.mark.real
def test_a_compressed_series_without_series_number(real_data):
    scan = read_scan(real_data / "totalsegmentator" / "example_ct_dicom")
    assert scan.array.shape == (512, 512, 20)
    np.testing.assert_allclose(scan.spacing_mm, (0.9765625, 0.9765625, 2.0))
    # Hounsfield units: air outside, and liver where the model found it.
    labels = read_scan(real_data / "totalsegmentator" / "example_seg_dicom.nii.gz")
    from crossmod.scans.match import labels_on_image_grid

    liver = scan.array[labels_on_image_grid(labels, scan) == 5]
    assert scan.array.min() == -1024
    assert 60 < np.median(liver) < 160
