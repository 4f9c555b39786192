"""NIfTI files: taken by their content, read to the end, refused where they contradict themselves."""

import gzip
import itertools
import struct

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmod.scans.files import open_scan, read_scan, read_space
from crossmod.scans.scan import ScanError, Unread

DOORS = [read_scan, open_scan, read_space]
SHAPE = (6, 7, 8)
ORIENTATIONS = [
    "".join(axes)
    for order in itertools.permutations("RAS")
    for axes in itertools.product(*[{"R": "RL", "A": "AP", "S": "SI"}[axis] for axis in order])
]


def voxels() -> np.ndarray:
    return np.random.default_rng(6).integers(0, 900, SHAPE).astype(np.int16)


@pytest.fixture
def write(tmp_path, affine):
    """Write an image with an sform, a qform, their codes and a unit; further fields of the header as they are given."""

    def make(sform=affine, qform=affine, codes=(1, 1), unit="mm", name="scan.nii.gz", **fields):
        image = nib.Nifti1Image(voxels(), affine)
        image.set_qform(qform, codes[1])
        image.set_sform(sform, codes[0])
        image.header.set_xyzt_units(unit)
        raw = bytearray(image.to_bytes())
        for offset, form, *values in fields.values():
            struct.pack_into(form, raw, offset, *values)
        path = tmp_path / name
        path.write_bytes(gzip.compress(bytes(raw)) if name.endswith(".gz") else bytes(raw))
        return path

    return make


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1, 2)])
@pytest.mark.parametrize("factor", [1.12, 0.9, 1.002])
def test_two_voxel_sizes_are_refused(read, write, affine, axis, factor):
    larger = affine.copy()
    larger[:3, axis] *= factor
    with pytest.raises(ScanError, match=r"about the voxel size \(sform says .*qform and pixdim say 8×8×10\)"):
        read(write(sform=larger, codes=(4, 1)))


@given(axis=st.sampled_from([0, 1, 2]), voxels=st.floats(0.11, 500), sign=st.sampled_from([-1, 1]))
@settings(max_examples=20, deadline=None)
def test_any_shift_between_the_two_is_refused(tmp_path_factory, axis, voxels, sign):
    affine = np.diag([0.8, 1.0, 5.0, 1.0])
    shifted = affine.copy()
    shifted[axis, 3] += sign * voxels * 0.8
    image = nib.Nifti1Image(np.zeros(SHAPE, dtype=np.uint8), affine)
    image.set_qform(affine, 1)
    image.set_sform(shifted, 2)
    path = tmp_path_factory.mktemp("shift") / "scan.nii"
    nib.save(image, path)
    with pytest.raises(ScanError, match=r"about the place \(the first voxel lies at \(.*\) by the sform"):
        read_space(path)


@given(axis=st.sampled_from([0, 1, 2]), degrees=st.floats(0.3, 20))
@settings(max_examples=15, deadline=None)
def test_any_turn_between_the_two_is_refused(tmp_path_factory, axis, degrees):
    affine, turn = np.diag([0.8, 1.0, 5.0, 1.0]), np.eye(4)
    a, b = [i for i in range(3) if i != axis]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn[[a, a, b, b], [a, b, a, b]] = cos, -sin, sin, cos
    image = nib.Nifti1Image(np.zeros(SHAPE, dtype=np.uint8), affine)
    image.set_qform(affine, 1)
    image.set_sform(turn @ affine, 1)
    path = tmp_path_factory.mktemp("turn") / "scan.nii"
    nib.save(image, path)
    with pytest.raises(ScanError, match=r"about orientation \(the axes of sform and qform differ by up to"):
        read_space(path)


@pytest.mark.parametrize("read", DOORS)
def test_rounding_between_the_two_is_none(read, write, affine):
    near = affine.copy()
    near[:3, 3] += 0.01
    near[:3, :3] *= 1.0002
    scan = read(write(sform=near))
    np.testing.assert_allclose(scan.affine, near, rtol=1e-6)


@pytest.mark.parametrize("degrees", [-30, 12, 30])
def test_a_tilted_gantry_is_read_by_its_sform(write, affine, degrees):
    tilted = affine.copy()
    tilted[1, 2] = affine[2, 2] * np.tan(np.radians(degrees))
    scan = read_scan(write(sform=tilted, qform=tilted))
    np.testing.assert_allclose(scan.affine, tilted, rtol=1e-6)
    assert scan.voxel_ml == pytest.approx(0.64)
    # Others write the distance between the planes into qform and pixdim.
    np.testing.assert_allclose(read_scan(write(sform=tilted, qform=affine)).affine, tilted, rtol=1e-6)


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("edge", [0.0, np.nan, 2.5])
def test_a_missing_or_other_pixdim_is_refused(read, write, codes, edge):
    if codes == (0, 1) and edge == 2.5:
        pytest.skip("the qform takes its edges from pixdim")
    path = write(codes=codes, pixdim=(76 + 8, "<f", edge))
    with pytest.raises(ScanError, match=r"does not state the voxel size \(pixdim says|about the voxel size \("):
        read(path)


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-3), ("micron", 1e3), ("unknown", 1.0)])
def test_units_become_millimetres(read, write, affine, unit, factor):
    other = np.diag([factor] * 3 + [1.0]) @ affine
    scan = read(write(sform=other, qform=other, unit=unit))
    np.testing.assert_allclose(scan.affine, affine, rtol=1e-5)


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize(("unit", "named"), [("meter", "metre"), ("micron", "micrometre")])
def test_a_unit_that_makes_impossible_voxels_is_named(read, write, unit, named):
    with pytest.raises(ScanError, match=rf"no scan has voxels .*converted from the header's unit, {named}"):
        read(write(unit=unit))


@pytest.mark.parametrize("read", DOORS)
def test_fields_that_nifti_does_not_know_are_refused(read, write):
    with pytest.raises(ScanError, match=r"unit of length is unknown to NIfTI \(xyzt_units is 5\)"):
        read(write(xyzt=(123, "<b", 5)))
    with pytest.raises(ScanError, match=r"codes are not NIfTI's.*sform_code and qform_code are 9 and 1"):
        read(write(code=(254, "<h", 9)))
    with pytest.raises(ScanError, match=r"affine cannot be inverted \(.*nan"):
        read(write(codes=(1, 0), row=(280, "<f", np.nan)))


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize("name", ["plain.nii.gz", "packed.nii"])
def test_the_content_decides_and_not_the_name(read, tmp_path, write, name):
    raw = write(name="scan.nii").read_bytes()
    path = tmp_path / name
    path.write_bytes(raw if name.startswith("plain") else gzip.compress(raw))
    scan, wanted = read(path), read_scan(tmp_path / "scan.nii")
    np.testing.assert_array_equal(scan.affine, wanted.affine)
    if read is not read_space:
        np.testing.assert_array_equal(np.asarray(scan.array), wanted.array)
        assert isinstance(scan.array, Unread) is (read is open_scan)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_no_single_bit_changes_a_voxel_in_silence(tmp_path_factory, place, bit):
    path = tmp_path_factory.mktemp("bit") / "scan.nii.gz"
    nib.save(nib.Nifti1Image(voxels(), np.diag([1.0, 2.0, 3.0, 1.0])), path)
    damaged = bytearray(path.read_bytes())
    damaged[int(place * len(damaged))] ^= 1 << bit
    path.write_bytes(damaged)
    for read in (read_scan, open_scan):
        try:
            found = np.asarray(read(path).array)
        except ScanError:
            continue
        np.testing.assert_array_equal(found, voxels())


@pytest.mark.parametrize("read", [read_scan, open_scan])
def test_a_file_holds_what_its_header_declares_and_no_more(read, tmp_path, write):
    raw = write(name="scan.nii").read_bytes()
    packed = gzip.compress(raw)
    for name, content in {
        "short.nii": raw[:-1],
        "long.nii": raw + b"\1",
        "short.nii.gz": gzip.compress(raw[:-1]),
        "long.nii.gz": gzip.compress(raw + b"\1"),
        "cut.nii.gz": packed[:-2],
        "trail.nii.gz": packed + b"garbage",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ScanError, match=rf"{name}: the file cannot be read"):
            read(tmp_path / name)


@pytest.mark.parametrize("read", [read_scan, open_scan])
def test_a_bomb_stops_at_the_size_that_its_header_declares(read, tmp_path, write, monkeypatch):
    raw = write(name="scan.nii").read_bytes()
    with gzip.open(tmp_path / "bomb.nii.gz", "wb", compresslevel=1) as bomb:
        bomb.write(raw)
        for _ in range(64):
            bomb.write(bytes(1 << 20))
    read_bytes = 0
    plain = gzip.GzipFile.read

    def counted(self, size=-1):
        nonlocal read_bytes
        block = plain(self, size)
        read_bytes += len(block)
        return block

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    with pytest.raises(ScanError, match=r"it holds more bytes than its header declares"):
        read(tmp_path / "bomb.nii.gz")
    assert read_bytes < 4 << 20


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("sizes", [(32767, 32767, 32767), (200, 200, 250)])
def test_absurd_sizes_are_refused_before_room_is_made(read, write, name, sizes):
    path = write(name=name, dim=(42, "<3h", *sizes))
    with pytest.raises(ScanError, match=r"more voxels than a scan has \(|the header declares 20000352 bytes"):
        read(path)


@given(codes=st.sampled_from(ORIENTATIONS), spacing=st.tuples(*[st.floats(0.4, 40)] * 3))
@settings(max_examples=25, deadline=None)
def test_any_spacing_and_orientation_gives_its_voxel_volume(tmp_path_factory, codes, spacing):
    axes = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(codes), SHAPE)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.inv(axes) @ np.diag(spacing)
    image = nib.Nifti1Image(voxels(), affine)
    image.set_qform(affine, 1)
    path = tmp_path_factory.mktemp("any") / "scan.nii"
    nib.save(image, path)
    for read in (read_scan, open_scan):
        scan = read(path)
        assert "".join(nib.aff2axcodes(scan.affine)) == codes
        np.testing.assert_allclose(scan.spacing_mm, spacing, rtol=1e-5)
        assert scan.voxel_ml == pytest.approx(np.prod(spacing) / 1000, rel=1e-5)
