"""The folder of an analysis: what crossmod wrote is replaced, and nothing of the user's is lost."""

import json

import pytest

from crossmod.analyse.folder import check_folder, write_folder
from crossmod.job import UserError


class Tables:
    def __init__(self, **texts: str) -> None:
        self.texts = texts

    def write(self, folder) -> None:
        (folder / "rows").mkdir()
        for name, text in self.texts.items():
            (folder / f"{name}.csv").write_text(text)
            (folder / f"rows/{name}.csv").write_text(text)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    write_folder(check_folder(folder), Tables(a="1"), {"title": "first"})
    return folder


def test_an_earlier_analysis_is_replaced_whole(out):
    write_folder(check_folder(out), Tables(b="2"), {"title": "second"})
    assert sorted(path.name for path in out.rglob("*.csv")) == ["b.csv", "b.csv"]
    assert json.loads((out / "record.json").read_text())["title"] == "second"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_new_and_empty_folders_are_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "deep/er"):
        write_folder(check_folder(tmp_path / name), Tables(a="1"), {})
        assert (tmp_path / name / "a.csv").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda out: (out / "mine.txt").write_text("mine"),
        lambda out: (out / "rows/mine.csv").write_text("mine"),
        lambda out: (out / "a.csv").write_text("corrected by hand"),
        lambda out: (out / "rows/a.csv").write_text("corrected by hand"),
        lambda out: (out / "folder").mkdir(),
        lambda out: (out / "link").symlink_to(out.parent),
        lambda out: (out / "record.json").write_text("{}"),
        lambda out: (out / "record.json").write_text("[1]"),
        lambda out: (out / "record.json").write_text((out / "record.json").read_text().replace("first", "mine")),
        lambda out: (out / "record.json").unlink(),
    ],
)
def test_whatever_else_is_there_stays(out, change):
    change(out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="holds no earlier analysis, or more than that"):
        check_folder(out)
    with pytest.raises(UserError, match="holds no earlier analysis"):
        write_folder(out, Tables(b="2"), {})
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_record_of_another_program_protects_its_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/record.json").write_text('{"files": {}, "record_sha256": "0"}')
    with pytest.raises(UserError, match=r"record\.json"):
        check_folder(tmp_path / "out")


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    write_folder(check_folder(tmp_path / "out"), Tables(a="1"), {})
    assert (tmp_path / "out").is_symlink() and (tmp_path / "disk/a.csv").exists()


def test_impossible_places_are_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place in (tmp_path / "file/out", tmp_path / ("x" * 300), tmp_path / "a\0b", tmp_path / "loop"):
        with pytest.raises(UserError, match="cannot be written"):
            check_folder(place)
    with pytest.raises(UserError, match="is a file"):
        check_folder(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
