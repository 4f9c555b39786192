"""A record vouches for its files, and for itself."""

import json

import pytest

from crossmod.job import as_text, file_digest
from crossmod.sealed import SEAL, sealed, unsealed


@pytest.fixture
def record(tmp_path):
    """A sealed record beside the one file that it tells of."""
    (tmp_path / "a.csv").write_text("1\n")
    path = tmp_path / "record.json"
    path.write_text(as_text(sealed({"title": "t"}, {"a.csv": tmp_path / "a.csv"})))
    return path


def test_a_record_is_read_as_it_was_sealed(record):
    assert unsealed(record) == {"title": "t", "files": {"a.csv": file_digest(record.with_name("a.csv"))}}


@pytest.mark.parametrize("change", [{"title": "u"}, {"files": {}}, {"files": 3}, {SEAL: "0"}, {"more": 1}])
def test_an_edited_record_vouches_for_nothing(record, change):
    record.write_text(as_text(json.loads(record.read_text()) | change))
    assert unsealed(record) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "[" * 100_000])
def test_what_is_no_record_vouches_for_nothing(record, text):
    record.write_text(text)
    assert unsealed(record) is None
    assert unsealed(record.with_name("none.json")) is None
