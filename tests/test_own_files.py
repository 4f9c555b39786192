"""What is written beside a scan is never written over a file of the user's."""

import json
import os

import pytest

from crossmod.job import UserError
from crossmod.own_files import OwnFiles


@pytest.fixture
def scan(tmp_path):
    """A file that stands for a scan, in a folder with blanks and umlauts."""
    folder = tmp_path / "Bilder für alle"
    folder.mkdir()
    (folder / "scan.nii.gz").write_bytes(b"voxels")
    return folder / "scan.nii.gz"


def write(own, content=b"mask"):
    own.refuse()
    return own.write(
        {"total_ml": 1.0}, **dict.fromkeys(("mask", "kidneys", "overlay"), lambda path: path.write_bytes(content))
    )


def test_own_results_of_the_same_scan_are_replaced(scan):
    write(OwnFiles.of(scan, None))
    write(OwnFiles.of(scan, None), b"another mask")
    assert (scan.parent / "scan.kidneys.nii.gz").read_bytes() == b"another mask"
    assert sorted(path.name for path in scan.parent.iterdir()) == [
        *("scan.kidneys.nii.gz", "scan.nii.gz", "scan.parenchyma.json", "scan.parenchyma.nii.gz", "scan.parenchyma.png")
    ]


@pytest.mark.parametrize(
    "name", ["scan.kidneys.nii.gz", "scan.parenchyma.nii.gz", "scan.parenchyma.png", "scan.parenchyma.json"]
)
@pytest.mark.parametrize("before", [False, True])
def test_a_file_of_the_users_own_is_never_overwritten(scan, name, before):
    if before:
        write(OwnFiles.of(scan, None))
    (scan.parent / name).write_bytes(b"drawn by hand")
    with pytest.raises(UserError, match=rf"{name}.*not written by `crossmod measure` of this very scan.*--out"):
        write(OwnFiles.of(scan, None))
    assert (scan.parent / name).read_bytes() == b"drawn by hand"


def test_a_folder_or_link_of_the_name_is_left_alone(scan):
    (scan.parent / "scan.kidneys.nii.gz").mkdir()
    (scan.parent / "scan.parenchyma.png").symlink_to(scan.parent / "nowhere")
    with pytest.raises(UserError, match=r"scan\.kidneys\.nii\.gz, .*scan\.parenchyma\.png: there already"):
        OwnFiles.of(scan, None).refuse()
    assert (scan.parent / "scan.kidneys.nii.gz").is_dir()


def test_an_edited_record_vouches_for_nothing(scan):
    record = write(OwnFiles.of(scan, None))
    (scan.parent / "scan.parenchyma.json").write_text(json.dumps(record | {"total_ml": 2.0}))
    with pytest.raises(UserError, match="there already"):
        OwnFiles.of(scan, None).refuse()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"record": 3}', '{"files": 3, "record": "x", "scan_sha256": 1}']
)
def test_a_broken_record_vouches_for_nothing(scan, text):
    write(OwnFiles.of(scan, None))
    (scan.parent / "scan.parenchyma.json").write_text(text)
    with pytest.raises(UserError, match="there already"):
        OwnFiles.of(scan, None).refuse()


@pytest.mark.parametrize("other", ["scan.nrrd", "scan.nii", "scan.mha"])
def test_scans_of_one_stem_do_not_share_results(scan, other):
    write(OwnFiles.of(scan, None))
    (scan.parent / other).write_bytes(b"other voxels")
    with pytest.raises(UserError, match="there already"):
        OwnFiles.of(scan.parent / other, None).refuse()
    OwnFiles.of(scan.parent / other, scan.parent / "elsewhere").refuse()


def test_names_with_several_dots_stay_apart(tmp_path):
    names = ["a.b.c.nii.gz", "a.b.nii.gz", "a.nii.gz", "a.b.NII.GZ", "1.2.840.mha"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    stems = [OwnFiles.of(tmp_path / name, None).files["kidneys"].name for name in names]
    assert stems == [f"{stem}.kidneys.nii.gz" for stem in ("a.b.c", "a.b", "a", "a.b", "1.2.840")]


def test_a_folder_of_slices_has_its_results_beside_it(tmp_path, monkeypatch):
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").write_bytes(b"slice")
    expected = tmp_path / "series.kidneys.nii.gz"
    assert OwnFiles.of(tmp_path / "series", None).files["kidneys"] == expected
    monkeypatch.chdir(tmp_path / "series")
    assert OwnFiles.of(type(tmp_path)("."), None).files["kidneys"] == expected
    before = OwnFiles.of(tmp_path / "series", None).scan_sha256
    (tmp_path / "series" / ".DS_Store").write_bytes(b"x")
    assert OwnFiles.of(tmp_path / "series", None).scan_sha256 == before
    (tmp_path / "series" / "2.dcm").write_bytes(b"slice")
    assert OwnFiles.of(tmp_path / "series", None).scan_sha256 != before


@pytest.mark.parametrize("inner", ["", "deep/er"])
def test_out_that_is_a_file_is_told_beforehand(scan, inner):
    with pytest.raises(UserError, match="the results cannot be written there .*is a file.*--out"):
        OwnFiles.of(scan, scan / inner).refuse()


def test_a_folder_that_cannot_be_written_is_told_beforehand(scan, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"cannot be written there \(Permission denied\)"):
        OwnFiles.of(scan, scan.parent / "new" / "deeper").refuse()
    assert not (scan.parent / "new").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(scan):
    scan.parent.chmod(0o500)
    try:
        with pytest.raises(UserError, match="cannot be written there"):
            OwnFiles.of(scan, None).refuse()
    finally:
        scan.parent.chmod(0o700)


def test_nothing_half_written_stays(scan):
    own = OwnFiles.of(scan, None)

    def fail(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        own.write({}, mask=lambda path: path.write_bytes(b"mask"), kidneys=fail)
    assert [path.name for path in scan.parent.iterdir()] == ["scan.nii.gz"]
