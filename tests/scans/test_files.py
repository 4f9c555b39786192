"""Scans in and out."""

import errno
import itertools
import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmod.job import UserError
from crossmod.scans.files import open_scan, read_scan, read_space, write_mask, write_scan
from crossmod.scans.scan import Scan, ScanError, Unread, planes

ORIENTATIONS = [
    "".join(axes)
    for order in itertools.permutations("RAS")
    for axes in itertools.product(*[{"R": "RL", "A": "AP", "S": "SI"}[axis] for axis in order])
]


@given(
    codes=st.sampled_from(ORIENTATIONS),
    spacing=st.tuples(*[st.floats(0.4, 8.0)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    angle=st.floats(-0.5, 0.5),
)
@settings(max_examples=25, deadline=None)
def test_every_orientation_comes_back(tmp_path_factory, codes, spacing, origin, angle):
    path = tmp_path_factory.mktemp("scan") / "mask.nii.gz"
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    axes = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(codes), (4, 5, 6))[:3, :3]
    affine[:3, :3] = turn @ np.linalg.inv(axes) @ np.diag(spacing)
    affine[:3, 3] = origin
    mask = np.random.default_rng(3).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    write_mask(path, mask, affine)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.array, mask)
    np.testing.assert_allclose(scan.affine, affine, atol=1e-4)
    # Another library places the same voxel at the same point (LPS).
    other = sitk.ReadImage(str(path))
    point = np.array(other.TransformIndexToPhysicalPoint((3, 1, 4))) * (-1, -1, 1)
    np.testing.assert_allclose(affine @ [3, 1, 4, 1], [*point, 1], atol=1e-3)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
def test_formats_agree_about_voxels_and_places(tmp_path, suffix):
    image = sitk.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((10.0, 20.0, 30.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    scan = read_scan(tmp_path / f"scan{suffix}")
    assert scan.array.shape == (5, 4, 3)
    assert scan.array[4, 1, 2] == image.GetPixel((4, 1, 2))
    point = image.TransformIndexToPhysicalPoint((4, 1, 2))
    np.testing.assert_allclose(scan.affine @ [4, 1, 2, 1], [-point[0], -point[1], point[2], 1], atol=1e-5)
    space = read_space(tmp_path / f"scan{suffix}")
    assert (space.shape, space.codes) == (scan.array.shape, scan.codes)
    np.testing.assert_array_equal(space.affine, scan.affine)


def test_writing_twice_gives_the_same_bytes(tmp_path, affine, kidneys):
    write_mask(tmp_path / "a.nii.gz", kidneys, affine)
    write_mask(tmp_path / "b.nii.gz", kidneys, affine)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("codes", [(1, 0), (2, 1), (0, 1), (4, 4)])
def test_a_mask_keeps_the_codes_of_its_scan(tmp_path, affine, kidneys, codes):
    write_mask(tmp_path / "mask.nii.gz", kidneys, affine, codes)
    scan = read_scan(tmp_path / "mask.nii.gz")
    assert scan.codes == codes
    np.testing.assert_allclose(scan.affine, affine, atol=1e-4)


def test_the_rescale_slope_is_honoured(tmp_path, affine):
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), affine)
    image.header.set_slope_inter(2.0, -1024.0)
    nib.save(image, tmp_path / "scaled.nii.gz")
    scan = read_scan(tmp_path / "scaled.nii.gz")
    assert scan.array.dtype == np.float32
    np.testing.assert_allclose(scan.array.ravel(), 2.0 * np.arange(24) - 1024.0)


def test_big_endian_becomes_native(tmp_path, affine):
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), affine)
    nib.save(
        image.__class__(image.get_fdata().astype(">i2"), affine, image.header.as_byteswapped(">")), tmp_path / "b.nii"
    )
    assert read_scan(tmp_path / "b.nii").array.dtype == np.dtype("int16")
    assert read_scan(tmp_path / "b.nii").array.dtype.isnative


def test_a_fourth_axis_of_one_is_dropped(tmp_path, save):
    save(tmp_path / "four.nii.gz", np.zeros((4, 5, 6, 1), dtype=np.uint8))
    assert read_scan(tmp_path / "four.nii.gz").array.shape == read_space(tmp_path / "four.nii.gz").shape == (4, 5, 6)


@pytest.mark.parametrize("read", [read_scan, open_scan, read_space])
def test_real_time_series_are_refused(read, tmp_path, save):
    save(tmp_path / "four.nii.gz", np.zeros((4, 5, 6, 2), dtype=np.uint8))
    with pytest.raises(ScanError, match=r"4×5×6×2 voxels.*One scan per file"):
        read(tmp_path / "four.nii.gz")


@pytest.mark.parametrize("read", [read_scan, open_scan, read_space])
def test_colour_is_refused(read, tmp_path, affine):
    colour = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colour, affine), tmp_path / "colour.nii.gz")
    with pytest.raises(ScanError, match=r"not a grey-level image"):
        read(tmp_path / "colour.nii.gz")
    vector = sitk.GetImageFromArray(np.zeros((3, 3, 3, 3), dtype=np.uint8), isVector=True)
    sitk.WriteImage(vector, str(tmp_path / "colour.mha"))
    with pytest.raises(ScanError, match=r"not a grey-level image"):
        read(tmp_path / "colour.mha")


@pytest.mark.parametrize("read", [read_scan, open_scan, read_space])
def test_a_header_without_orientation_is_refused(read, tmp_path, affine):
    image = nib.Nifti1Image(np.zeros((3, 3, 3), dtype=np.uint8), None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, tmp_path / "nowhere.nii.gz")
    with pytest.raises(ScanError, match=r"states no orientation.*sform_code and qform_code are 0.*would be a guess"):
        read(tmp_path / "nowhere.nii.gz")
    header = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nspacings: 1 1 1\nencoding: raw\n\n"
    (tmp_path / "nowhere.nrrd").write_bytes(header + bytes(8))
    with pytest.raises(ScanError, match=r"states no orientation"):
        read(tmp_path / "nowhere.nrrd")


@pytest.mark.parametrize("read", [read_scan, open_scan, read_space])
def test_contradicting_orientations_are_refused(read, tmp_path, affine):
    image = nib.Nifti1Image(np.zeros((3, 3, 3), dtype=np.uint8), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine @ np.diag([-1.0, 1, 1, 1]), 1)
    nib.save(image, tmp_path / "both.nii.gz")
    with pytest.raises(ScanError, match=r"sform says RAS, qform says LAS"):
        read(tmp_path / "both.nii.gz")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha"])
@pytest.mark.parametrize(("kind", "slope"), [(">i2", None), ("<i2", 2.0), ("<f8", None), ("u1", None)])
def test_voxels_on_disk_are_those_in_memory(tmp_path, affine, suffix, kind, slope, monkeypatch):
    monkeypatch.setattr("crossmod.scans.scan.AT_ONCE_VOXELS", 40)  # two planes
    path = tmp_path / f"scan{suffix}"
    array = np.random.default_rng(0).integers(0, 200, (4, 5, 6, 1)).astype(kind)
    if suffix == ".mha":
        sitk.WriteImage(sitk.GetImageFromArray(array[..., 0].astype(kind.lstrip("<>"))), str(path))
    else:
        header = nib.Nifti1Header(endianness=">" if kind.startswith(">") else "<")
        image = nib.Nifti1Image(array, affine, header, dtype=array.dtype)
        image.header.set_slope_inter(slope, 0 if slope else None)
        nib.save(image, path)
    there, here = open_scan(path), read_scan(path)
    assert isinstance(there.array, Unread) is (suffix != ".mha")
    assert (there.array.shape, there.codes) == (here.array.shape, here.codes)
    np.testing.assert_array_equal(there.affine, here.affine)
    boxes = [(slice(1, 3), slice(0, 4, 2), slice(2, 5)), (slice(None), slice(-2, None), slice(None, None, 2))]
    boxes.append((slice(None), slice(1, 1), slice(6, 9)))
    for box in boxes:
        np.testing.assert_array_equal(there.array[box], here.array[box])
    box = boxes[0]
    for found, wanted in ((there.array[box], here.array[box]), (np.asarray(there.array), here.array)):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    for array in (there.array, here.array):
        across, read = planes(array)
        np.testing.assert_array_equal(np.stack(list(read), axis=across), here.array)


def test_what_was_unpacked_ends_with_the_scan(tmp_path, save, ct, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    scan = open_scan(save(tmp_path / "ct.nii.gz", ct))
    assert not list((tmp_path / "temporary").iterdir()), "it has no name"
    np.testing.assert_array_equal(np.asarray(scan.array), ct)


def test_without_room_to_unpack_voxels_are_in_memory(tmp_path, save, ct, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    scan = open_scan(save(tmp_path / "ct.nii.gz", ct))
    np.testing.assert_array_equal(scan.array, ct)
    assert isinstance(scan.array, np.ndarray)


@pytest.mark.parametrize("read", [read_scan, open_scan])
def test_broken_and_missing_files_say_so(read, tmp_path, save, ct):
    whole = save(tmp_path / "ct.nii.gz", ct).read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ScanError, match=r"cut\.nii\.gz: the file cannot be read.*cut short"):
        read(tmp_path / "cut.nii.gz")
    nib.save(nib.load(tmp_path / "ct.nii.gz"), tmp_path / "ct.nii")
    (tmp_path / "cut.nii").write_bytes((tmp_path / "ct.nii").read_bytes()[:-100])
    with pytest.raises(ScanError, match=r"cut\.nii: the file cannot be read.*cut short"):
        read(tmp_path / "cut.nii")
    (tmp_path / "text.nrrd").write_text("no scan")
    with pytest.raises(ScanError, match=r"text\.nrrd: the file cannot be read"):
        read(tmp_path / "text.nrrd")
    with pytest.raises(ScanError, match=r"no such file"):
        read(tmp_path / "absent.nii.gz")
    (tmp_path / "scan.jpg").write_bytes(b"x")
    with pytest.raises(ScanError, match=r"unknown kind of file \(\.jpg\).*\.nrrd"):
        read(tmp_path / "scan.jpg")


DOORS = [read_scan, open_scan, read_space]


@pytest.mark.parametrize("read", DOORS)
def test_paths_that_are_no_files_are_refused_and_do_not_hang(read, tmp_path):
    os.mkfifo(tmp_path / "pipe.nii.gz")
    (tmp_path / "device.nrrd").symlink_to("/dev/zero")
    (tmp_path / "circle.nii").symlink_to("circle.nii")
    (tmp_path / "nowhere.nii").symlink_to("absent.nii")
    (tmp_path / "folder.nii.gz").mkdir()
    for name, message in {
        "pipe.nii.gz": r"not a file \(a pipe, socket or device\)",
        "device.nrrd": r"not a file",
        "circle.nii": r"the file cannot be reached \(Too many levels of symbolic links\)",
        "nowhere.nii": r"no such file",
        "folder.nii.gz": r"no DICOM image in this folder",
        f"{'x' * 300}.nii": r"the file cannot be reached \(File name too long\)",
        "nul\0.nii": r"the file cannot be reached",
        "folder.nii.gz/scan.nii": r"no such file",
    }.items():
        with pytest.raises(ScanError, match=message):
            read(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("read", DOORS)
def test_a_file_that_may_not_be_read_says_so(read, tmp_path, save, ct):
    path = save(tmp_path / "ct.nii.gz", ct)
    path.chmod(0)
    with pytest.raises(ScanError, match=r"cannot be read.*Permission denied"):
        read(path)


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize(
    "suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img", ".mgh", ".dcm"]
)
@pytest.mark.parametrize("content", [b"", b"\0", bytes(4000), b"\x1f\x8b", b"NRRD0004\n", b"\xff[/red]\x1b[31m" * 99])
def test_files_that_are_no_scans_are_refused(read, tmp_path, suffix, content):
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(content)
    with pytest.raises(ScanError, match=r"cannot be read|unknown kind of file|states no orientation") as refusal:
        read(path)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(
    ("edges", "shape", "message"),
    [
        ((0.01, 1, 1), (9, 9, 9), r"finer than 0\.05 or coarser than 50 mm \(0\.01×1×1 mm"),
        ((1, 1, 1000), (9, 9, 9), r"coarser than 50 mm \(1×1×1000 mm"),
        ((1, 1, 1), (1, 1, 1), r"measures less than 2 mm or more than 3 m \(1×1×1 voxels of 1×1×1 mm"),
        ((1, 1, 40), (3, 3, 80), r"more than 3 m \(3×3×80 voxels of 1×1×40 mm"),
    ],
)
def test_sizes_that_no_scan_has_are_refused(read, tmp_path, suffix, edges, shape, message):
    image = sitk.GetImageFromArray(np.zeros(shape[::-1], dtype=np.uint8))
    image.SetSpacing([float(edge) for edge in edges])
    sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    with pytest.raises(ScanError, match=message):
        read(tmp_path / f"scan{suffix}")


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_a_grid_that_is_nearly_flat_is_refused(read, tmp_path, suffix):
    sheared = np.eye(3)
    sheared[1, 2] = 1.5
    if suffix == ".nrrd":
        header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nspace: RAS\nencoding: raw\n"
        header += "space directions: (1,0,0) (0,1,0) (0,1.5,1)\n\n"
        (tmp_path / "scan.nrrd").write_bytes(header.encode() + bytes(64))
    else:
        affine = np.eye(4)
        affine[:3, :3] = sheared
        nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), dtype=np.uint8), affine), tmp_path / "scan.nii.gz")
    with pytest.raises(ScanError, match=r"two axes of the grid meet at less than 45°"):
        read(tmp_path / f"scan{suffix}")


@pytest.mark.parametrize("read", [read_scan, open_scan, read_space])
def test_an_affine_without_inverse_is_refused(read, tmp_path, affine):
    flat = affine.copy()
    flat[2, 2] = 0
    image = nib.Nifti1Image(np.zeros((3, 3, 3), dtype=np.uint8), None)
    image.header.set_sform(flat, code=1)
    nib.save(image, tmp_path / "flat.nii.gz")
    with pytest.raises(ScanError, match=r"affine cannot be inverted"):
        read(tmp_path / "flat.nii.gz")


def test_masks_hold_small_whole_numbers_only(tmp_path, affine):
    for array in (np.full((2, 2, 2), 0.5), np.full((2, 2, 2), 256), np.full((2, 2, 2), -1)):
        with pytest.raises(UserError, match=r"whole numbers from 0 to 255"):
            write_mask(tmp_path / "mask.nii.gz", array, affine)
    with pytest.raises(UserError, match=r"\.nii\.gz"):
        write_mask(tmp_path / "mask.png", np.zeros((2, 2, 2), dtype=bool), affine)
    with pytest.raises(UserError, match=r"three-dimensional"):
        write_scan(tmp_path / "mask.nii.gz", Scan(np.zeros((2, 2), dtype=np.uint8), affine))
