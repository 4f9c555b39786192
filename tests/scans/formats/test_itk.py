"""NRRD and MetaImage files: what the header states decides, voxels are checked, other folders are not read."""

import gzip
import itertools
import os
import zlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmod.scans.files import open_scan, read_scan, read_space
from crossmod.scans.scan import ScanError

DOORS = [read_scan, open_scan, read_space]
SHAPE = (5, 6, 7)
VOXELS = np.random.default_rng(7).integers(-900, 900, SHAPE).astype(np.int16)
BYTES = VOXELS.astype("<i2").tobytes(order="F")
FLIP = np.array([-1.0, -1.0, 1.0])  # LPS+ to RAS+
TURNS = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


def nrrd(path, *, packed=False, data=None, body=BYTES, sizes="5 6 7", **fields):
    """Write an NRRD file; fields of the value None are left out."""
    stated = {
        "type": "short",
        "dimension": len(sizes.split()),
        "space": "left-posterior-superior",
        "sizes": sizes,
        "space directions": "(2,0,0) (0,3,0) (0,0,4)",
        "endian": "little",
        "encoding": "gzip" if packed else "raw",
        "space origin": "(10,20,30)",
    } | {key.replace("_", " "): value for key, value in fields.items()}
    header = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in stated.items() if value is not None)
    if data is not None:
        path.write_bytes(f"{header}data file: {data}\n".encode())
    else:
        path.write_bytes(header.encode() + b"\n" + (gzip.compress(body) if packed else body))
    return path


def metaimage(path, *, packed=False, data="LOCAL", body=BYTES, **fields):
    """Write a MetaImage; fields of the value None are left out."""
    stated = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": packed,
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "10 20 30",
        "ElementSpacing": "2 3 4",
        "DimSize": "5 6 7",
        "ElementType": "MET_SHORT",
    } | fields
    header = "".join(f"{key} = {value}\n" for key, value in stated.items() if value is not None)
    body = (zlib.compress(body) if packed else body) if data == "LOCAL" else b""
    path.write_bytes(f"{header}ElementDataFile = {data}\n".encode() + body)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("write", "name"), [(nrrd, "scan.nrrd"), (metaimage, "scan.mha")])
def test_voxels_and_places(tmp_path, write, name, packed):
    scan = read_scan(write(tmp_path / name, packed=packed))
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert scan.array.dtype == np.int16
    np.testing.assert_array_equal(scan.affine, [[-2, 0, 0, -10], [0, -3, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]])


@pytest.mark.parametrize("packed", [False, True])
def test_big_endian_voxels(tmp_path, packed):
    swapped = VOXELS.astype(">i2").tobytes(order="F")
    for path in (
        nrrd(tmp_path / "scan.nrrd", packed=packed, body=swapped, endian="big"),
        metaimage(tmp_path / "scan.mha", packed=packed, body=swapped, BinaryDataByteOrderMSB="True"),
    ):
        np.testing.assert_array_equal(read_scan(path).array, VOXELS)


def test_voxels_written_as_text(tmp_path):
    body = (" ".join(map(str, VOXELS.ravel(order="F"))) + "\n").encode()
    np.testing.assert_array_equal(read_scan(nrrd(tmp_path / "a.nrrd", body=body, encoding="ascii")).array, VOXELS)
    np.testing.assert_array_equal(read_scan(metaimage(tmp_path / "a.mha", body=body, BinaryData="False")).array, VOXELS)


@given(
    turn=st.sampled_from(TURNS), spacing=st.tuples(*[st.floats(0.4, 40)] * 3), suffix=st.sampled_from([".nrrd", ".mha"])
)
@settings(max_examples=25, deadline=None)
def test_any_spacing_and_orientation_comes_back(tmp_path_factory, turn, spacing, suffix):
    image = sitk.GetImageFromArray(VOXELS.transpose(2, 1, 0))
    image.SetSpacing(spacing)
    image.SetDirection(turn.ravel())
    path = tmp_path_factory.mktemp("any") / f"scan{suffix}"
    sitk.WriteImage(image, str(path))
    scan = read_scan(path)
    np.testing.assert_allclose(scan.affine[:3, :3], FLIP[:, None] * turn * spacing, atol=1e-9)
    assert scan.voxel_ml == pytest.approx(np.prod(spacing) / 1000)
    np.testing.assert_array_equal(scan.array, VOXELS)


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize(
    ("words", "signs"),
    [
        ("right-anterior-superior", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("left-posterior-superior", (-1, -1, 1)),
    ],
)
def test_spaces_that_name_right_and_left(tmp_path, words, signs, short, timed):
    space = "".join(word[0] for word in words.split("-")).upper() if short else words
    more = {}
    if timed:
        space += "T" if short else "-time"
        vectors = "(2,0,0,0) (0,3,0,0) (0,0,4,0) (0,0,0,1)"
        more = {"space_directions": vectors, "space_origin": "(10,20,30,0)", "sizes": "5 6 7 1"}
    scan = read_scan(nrrd(tmp_path / "scan.nrrd", space=space, **more))
    np.testing.assert_array_equal(np.diag(scan.affine)[:3], np.multiply(signs, (2, 3, 4)))
    np.testing.assert_array_equal(scan.affine[:3, 3], np.multiply(signs, (10, 20, 30)))
    np.testing.assert_array_equal(scan.array, VOXELS)


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize("space", ["scanner-xyz", "3D-right-handed", "3D-left-handed", None])
def test_spaces_that_do_not_are_refused(read, tmp_path, space):
    with pytest.raises(ScanError, match=r"states no orientation.*would be a guess"):
        read(nrrd(tmp_path / "scan.nrrd", space=space, space_dimension=None if space else 3))
    more = {"space_directions": "(2,0,0,0) (0,3,0,0) (0,0,4,0) none", "space_origin": "(0,0,0,0)"}
    with pytest.raises(ScanError, match=r"states no orientation"):
        read(nrrd(tmp_path / "time.nrrd", space=f"{space or 'scanner-xyz'}-time", sizes="5 6 7 1", **more))


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize("directions", [None, "none (0,3,0) (0,0,4)", "(2,0,0) (0,3,0)"])
def test_an_nrrd_without_voxel_size_is_refused(read, tmp_path, directions):
    with pytest.raises(ScanError, match=r"does not state the voxel size"):
        read(nrrd(tmp_path / "scan.nrrd", space_directions=directions))
    with pytest.raises(ScanError, match=r"does not state the voxel size"):
        read(nrrd(tmp_path / "spacings.nrrd", space_directions=directions, spacings="2 3 4"))


def test_an_nrrd_in_other_units_or_numbers_is_refused(tmp_path):
    scan = read_scan(nrrd(tmp_path / "mm.nrrd", space_units='"mm" "mm" "mm"'))
    np.testing.assert_allclose(scan.spacing_mm, (2, 3, 4))
    for fields, message in [
        ({"space_units": '"m" "m" "m"'}, r"not the millimetre \(space units: m\)"),
        ({"space_directions": "(nan,0,0) (0,3,0) (0,0,4)"}, r"'space directions' does not hold 3 numbers"),
        ({"space_directions": "(2;0,0) (0,3,0) (0,0,4)"}, r"'space directions' does not hold 3 numbers"),
        ({"space_origin": "(x,0,0)"}, r"'space origin' does not hold 3 numbers"),
        ({"space_directions": "(0,0,0) (0,3,0) (0,0,4)"}, r"affine cannot be inverted|cannot be read"),
        ({"space_directions": "(0.01,0,0) (0,3,0) (0,0,4)"}, r"no scan has voxels finer than 0.05"),
        ({"space_directions": "(1000,0,0) (0,3,0) (0,0,4)"}, r"or coarser than 50 mm \(1000×3×4 mm\)"),
        ({"encoding": "zrl"}, r"its encoding, zrl, is unknown"),
    ]:
        with pytest.raises(ScanError, match=message):
            read_scan(nrrd(tmp_path / "scan.nrrd", **fields))


def test_time_that_is_mixed_with_place_is_refused(tmp_path):
    more = {"space": "RAST", "space_origin": "(0,0,0,0)", "sizes": "5 6 7 1"}
    with pytest.raises(ScanError, match=r"mixes time and place"):
        read_scan(nrrd(tmp_path / "t.nrrd", space_directions="(2,0,0,1) (0,3,0,0) (0,0,4,0) (0,0,0,1)", **more))


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"TransformMatrix": None}, r"states no orientation.*AnatomicalOrientation is missing"),
        ({"TransformMatrix": None, "AnatomicalOrientation": "???"}, r"AnatomicalOrientation is \?\?\?"),
        ({"TransformMatrix": None, "AnatomicalOrientation": "RRI"}, r"states no orientation"),
        ({"TransformMatrix": None, "AnatomicalOrientation": "LAI"}, r"contradicts itself about orientation"),
        ({"AnatomicalOrientation": "LAI"}, r"AnatomicalOrientation = LAI, TransformMatrix = 1 0 0 0 1 0 0 0 1"),
        ({"AnatomicalOrientation": "ARI"}, r"contradicts itself about orientation"),
        ({"TransformMatrix": "1 0 0 0 1 0"}, r"'TransformMatrix' does not hold 9 numbers"),
        ({"TransformMatrix": "3 0 0 0 1 0 0 0 1"}, r"axes are no directions"),
        ({"ElementSpacing": None}, r"does not state the voxel size \(neither ElementSpacing nor ElementSize\)"),
        ({"ElementSpacing": "2,0 3,0 4,0"}, r"'ElementSpacing' does not hold 3 numbers \(2,0 3,0 4,0\)"),
        ({"ElementSpacing": "2 3"}, r"'ElementSpacing' does not hold 3 numbers"),
        ({"ElementSpacing": "0 3 4"}, r"'ElementSpacing' is not above 0"),
        ({"ElementSpacing": "nan 3 4"}, r"'ElementSpacing' does not hold 3 numbers"),
        ({"CenterOfRotation": "1 0 0"}, r"turns the grid about another point"),
        ({"DistanceUnits": "cm"}, r"not the millimetre \(DistanceUnits: cm\)"),
        ({"ElementToIntensityFunctionSlope": "2"}, r"scales its voxels"),
        ({"ElementToIntensityFunctionOffset": "-1024"}, r"scales its voxels"),
        ({"HeaderSize": "4"}, r"where its voxels begin"),
        ({"BinaryDataByteOrderMSB": "maybe"}, r"neither True nor False"),
        ({"Note": ""}, r"not 'Key = Value'"),
        ({"NDims": "2"}, r"not one three-dimensional volume"),
    ],
)
def test_metaimages_without_ground_are_refused(read, tmp_path, fields, message):
    with pytest.raises(ScanError, match=message):
        read(metaimage(tmp_path / "scan.mha", **fields))


def test_an_empty_dicom_tag_is_passed_over(tmp_path):
    expected = read_scan(metaimage(tmp_path / "plain.mha"))
    found = read_scan(metaimage(tmp_path / "scan.mha", **{"0010|0010": "", "0008|103e": "Abdomen = 5.0: B30f"}))
    np.testing.assert_array_equal(found.array, expected.array)
    np.testing.assert_array_equal(found.affine, expected.affine)


def test_a_key_twice_is_refused(tmp_path):
    path = metaimage(tmp_path / "scan.mha")
    path.write_bytes(path.read_bytes().replace(b"Offset", b"ElementSpacing = 1 1 1\nOffset"))
    with pytest.raises(ScanError, match=r"states 'ElementSpacing' twice \(1 1 1; 2 3 4\)"):
        read_scan(path)


@pytest.mark.parametrize(
    "fields",
    [
        {"AnatomicalOrientation": "RAI"},
        {"TransformMatrix": None, "AnatomicalOrientation": "RAI"},
        {"AnatomicalOrientation": "???"},
        {"ElementSpacing": None, "ElementSize": "2 3 4"},
        {"TransformMatrix": None, "Rotation": "1 0 0 0 1 0 0 0 1"},
        {"CenterOfRotation": "0 0 0", "HeaderSize": "0"},
    ],
)
def test_metaimages_that_state_enough_are_read(tmp_path, fields):
    scan = read_scan(metaimage(tmp_path / "scan.mha", **fields))
    np.testing.assert_array_equal(np.diag(scan.affine)[:3], (-2, -3, 4))
    np.testing.assert_array_equal(scan.array, VOXELS)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), kind=st.sampled_from([nrrd, metaimage]))
@settings(max_examples=60, deadline=None)
def test_no_single_bit_of_compressed_voxels_changes_one_in_silence(tmp_path_factory, place, bit, kind):
    path = kind(tmp_path_factory.mktemp("bit") / ("scan.nrrd" if kind is nrrd else "scan.mha"), packed=True)
    damaged = bytearray(path.read_bytes())
    start = damaged.index(b"\n\n") + 2 if kind is nrrd else damaged.index(b"LOCAL\n") + 6
    damaged[start + int(place * (len(damaged) - start))] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        found = read_scan(path).array
    except ScanError:
        return
    np.testing.assert_array_equal(found, VOXELS)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("write", "name"), [(nrrd, "scan.nrrd"), (metaimage, "scan.mha")])
def test_a_file_holds_what_its_header_declares_and_no_more(tmp_path, write, name, packed):
    for body in (BYTES[:-1], BYTES + b"\1", BYTES + bytes(1 << 20)):
        with pytest.raises(ScanError, match=r"the file cannot be read \((the header declares|it holds more)"):
            read_scan(write(tmp_path / name, body=body, packed=packed))
    path = write(tmp_path / name, packed=packed)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ScanError, match=r"the file cannot be read"):
        read_scan(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("sizes", ["400 400 400", "90000 90000 90000"])
def test_absurd_sizes_are_refused_before_room_is_made(tmp_path, packed, sizes):
    for path in (
        nrrd(tmp_path / "scan.nrrd", packed=packed, sizes=sizes),
        nrrd(tmp_path / "text.nrrd", encoding="ascii", sizes=sizes),
        metaimage(tmp_path / "scan.mha", packed=packed, DimSize=sizes),
    ):
        with pytest.raises(ScanError, match=r"more voxels than a scan has|header declares (64|128)000000 bytes"):
            read_scan(path)


@pytest.fixture
def detached(tmp_path):
    """A header's folder with voxels in it, and others outside and behind links."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside, inside / "deeper"):
        folder.mkdir()
        (folder / "voxels.raw").write_bytes(BYTES)
    (inside / "link.raw").symlink_to("../outside/voxels.raw")
    (inside / "folder").symlink_to("../outside")
    (inside / "circle.raw").symlink_to("circle.raw")
    (inside / "near.raw").symlink_to("deeper/voxels.raw")
    os.mkfifo(inside / "pipe.raw")
    return inside


def detached_headers(folder, name):
    yield nrrd(folder / "scan.nhdr", data=name)
    yield nrrd(folder / "scan.nrrd", data=name)
    yield metaimage(folder / "scan.mhd", data=name)
    yield metaimage(folder / "scan.mha", data=name)


@pytest.mark.parametrize("name", ["voxels.raw", "./voxels.raw", "deeper/voxels.raw", "near.raw"])
def test_voxels_beside_their_header_are_read(detached, name):
    for path in detached_headers(detached, name):
        np.testing.assert_array_equal(read_scan(path).array, VOXELS)


@pytest.mark.parametrize("read", DOORS)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../outside/voxels.raw", "outside its own folder"),
        ("link.raw", "outside its own folder"),
        ("folder/voxels.raw", "outside its own folder"),
        ("/etc/hostname", "outside its own folder"),
        ("circle.raw", "no file for its voxels"),
        ("pipe.raw", "a file that is not there"),
        ("absent.raw", "a file that is not there"),
        ("x" * 300, "no file for its voxels"),
        ("LIST", "over several files"),
        ("LIST 2", "over several files"),
        ("voxels%03d.raw 1 7 1", "over several files"),
    ],
)
def test_other_files_are_not_read(read, detached, name, message):
    for path in detached_headers(detached, name):
        with pytest.raises(ScanError, match=message):
            read(path)


def test_detached_compressed_voxels_are_checked_too(tmp_path):
    packed = bytearray(zlib.compress(BYTES))
    (tmp_path / "scan.zraw").write_bytes(packed)
    path = metaimage(tmp_path / "scan.mhd", data="scan.zraw", packed=True)
    np.testing.assert_array_equal(read_scan(path).array, VOXELS)
    packed[len(packed) // 2] ^= 8
    (tmp_path / "scan.zraw").write_bytes(packed)
    with pytest.raises(ScanError, match=r"scan\.zraw: the file cannot be read"):
        read_scan(path)


@pytest.mark.parametrize("read", DOORS)
def test_layers_are_refused_as_image_and_as_label_map(read, tmp_path):
    layers = sitk.Compose(*[sitk.GetImageFromArray(np.zeros((3, 4, 5), dtype=np.uint8))] * 2)
    sitk.WriteImage(layers, str(tmp_path / "label.seg.nrrd"), True)
    with pytest.raises(ScanError, match=r"2 numbers per voxel.*label map in several layers.*as one label map"):
        read(tmp_path / "label.seg.nrrd")


@given(place=st.integers(0, 200), value=st.binary(min_size=1, max_size=6), kind=st.sampled_from([nrrd, metaimage]))
@settings(max_examples=80, deadline=None)
def test_damaged_headers_are_read_or_refused(tmp_path_factory, place, value, kind):
    path = kind(tmp_path_factory.mktemp("damaged") / ("scan.nrrd" if kind is nrrd else "scan.mha"))
    damaged = bytearray(path.read_bytes())
    damaged[place : place + len(value)] = value
    path.write_bytes(damaged)
    try:
        assert nib.aff2axcodes(read_scan(path).affine)
    except ScanError as error:
        assert str(error).isprintable()
