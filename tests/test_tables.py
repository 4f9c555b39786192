"""Tables of text: read as they were saved, or refused with line and cell."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossmod.job import UserError
from crossmod.tables import decimal_mark, numbers, read_own, read_user, unsafe

HERE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ODD = ["001", "NA", "None", "nan", "1e5", "TRUE", "+1", "-", "1.0", "1", "", '"', "a,b;c\td|e", " x ", "ä", "=1"]


def saved(rows: list[list[str]], separator: str = ",") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=separator).writerows(rows)
    return file.getvalue()


@pytest.fixture
def table(tmp_path):
    """Write text or bytes as a table; returns its path."""

    def write(content: str | bytes):
        path = tmp_path / "table.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@HERE
@given(names=st.lists(st.text() | st.sampled_from(ODD), min_size=1, max_size=5), separator=st.sampled_from(",;\t|"))
def test_any_name_is_read_unchanged_or_refused_and_goes_on_through_our_own_tables(tmp_path, names, separator):
    path = tmp_path / "t.csv"
    rows = [["case", "patient"], *([name, "x"] for name in names)]
    try:
        path.write_bytes(saved(rows, separator).encode())
        found = read_user(path)
    except (UserError, UnicodeEncodeError) as error:
        assert "\0" in "".join(names) or isinstance(error, UnicodeEncodeError)
        return
    # The csv module reads every end of a line within quotes as it stands; blanks around a name are no part of it.
    assert found["case"].tolist() == [name.strip() for name in names]
    safe = found[[not unsafe(name) for name in found["case"]]]
    safe.to_csv(path, index=False, lineterminator="\n")
    assert read_own(path)["case"].tolist() == safe["case"].tolist()


@HERE
@given(
    values=st.lists(st.floats(0.0001, 0.9999).map(lambda x: round(x, 4)), min_size=2, max_size=6),
    separator=st.sampled_from(",;\t|"),
    mark=st.sampled_from(",."),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_separator_mark_and_encoding_give_equal_numbers(tmp_path, values, separator, mark, encoding, end):
    texts = [f"{value:.4f}".replace(".", mark) for value in values]
    lines = saved([["case", "dsc"], *([f"{n:03d}ä", text] for n, text in enumerate(texts))], separator).split("\r\n")
    (tmp_path / "t.csv").write_bytes(end.join(lines).encode(encoding))
    found = read_user(tmp_path / "t.csv")
    chosen = decimal_mark(tmp_path / "t.csv", found, ["dsc"], str)
    read, wrong = numbers(found["dsc"], chosen)
    assert chosen == mark and not wrong.any()
    np.testing.assert_array_equal(read, values)
    assert found["case"].tolist() == [f"{n:03d}ä" for n in range(len(values))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("sep=;", "is empty"),
        ("case,dsc\n", "has no rows, only the names of its columns: case, dsc"),
        ("case,dsc\n1,2,3\n", "line 2: it has 3 cells and the header has 2, separated by commas"),
        ("case,dsc\n1,0,9\n2,0,8\n", "line 2: it has 3 cells.*a decimal comma between commas needs quotes"),
        ("case;dsc\n1;2\n\n3\n", "line 4: it has 1 cells and the header has 2, separated by semicolons"),
        ("dsc,dsc\n1,2\n", "two columns are called 'dsc'"),
        ("dsc,DSC \n1,2\n", "columns 'dsc' and 'DSC' have the same name but for blanks or capitals"),
        ("dsc kidney,dsckidney\n1,2\n", "have the same name"),
        ('case,dsc\n"1,2\n3,4\n', "cannot be read as CSV"),
        (b"PK\x03\x04rest", "is an Excel workbook or another ZIP file, not a CSV"),
        (b"\x1f\x8brest", "is a compressed file"),
        (b"case,dsc\nM\xfcller,1\n", "line 2: the byte 0xFC is not UTF-8.*CSV UTF-8"),
        (b"case,dsc\na\0,1\n", "line 2: holds a NUL character"),
        ("case,dsc\na,1\n".encode("utf-16-le"), "holds a NUL character"),
        (b"\xff\xfec", "is not UTF-16"),
        ("a;b,c\n1;2,3\n", "may be separated by commas or semicolons"),
    ],
)
def test_what_is_no_table_is_refused_with_the_cure(table, content, message):
    with pytest.raises(UserError, match=message):
        read_user(table(content))


def test_what_cannot_be_opened_is_refused(tmp_path):
    for path, message in ((tmp_path, "is a folder"), (tmp_path / "x", "no such table")):
        with pytest.raises(UserError, match=message):
            read_user(path)
    for name in ("a\0b", "x" * 300):
        with pytest.raises(UserError, match="cannot be read|no such table"):
            read_user(tmp_path / name)
    with pytest.raises(UserError, match="Run the step that writes it again"):
        read_own(tmp_path / "x")


def test_rows_keep_their_lines_and_index_columns_do_no_harm(table):
    found = read_user(table(",case,dsc,Unnamed: 0,\r\n0,001 ,0.5,7,\r\n,,,,\r\n1, NA,0.6,8,\r\n\r\n"))
    assert list(found.columns) == ["case", "dsc"]
    assert found["case"].to_dict() == {2: "001", 4: "NA"}


def test_separators_within_quotes_and_in_excels_first_line(table):
    assert read_user(table('case;note\n1;"a;b"\n'))["note"].tolist() == ["a;b"]
    assert read_user(table("sep=;\r\ncase,x;dsc\r\n1;0,5\r\n")).columns.tolist() == ["case,x", "dsc"]


@pytest.mark.parametrize(
    ("cells", "separator", "mark"),
    [
        (["0,5", "1"], ";", ","),
        (["1,25", "1,234"], ";", ","),
        (["0.5", "123.456"], ";", "."),
        (["123.456", "234.567"], ",", "."),
        (["5", "7"], ";", "."),
        (["1,5e-3", "2"], ";", ","),
        (["0,5", "0.5"], ";", "line 2 has dsc '0,5', line 3 has dsc '0.5'"),
        (["1.234,5", "7"], ";", "line 2 has dsc '1.234,5'"),
        (["1,234.5", "7"], ",", "line 2 has dsc '1,234.5'"),
        (["1,234", "950"], ",", "may be a thousand"),
        (["1,234", "950"], ";", "may be a thousand"),
        (["1.234", "950"], ";", "may be a thousand"),
        (["1,234,567", "950"], ";", "may be a thousand"),
    ],
)
def test_the_decimal_mark_is_known_or_asked_for(table, cells, separator, mark):
    path = table(saved([["case", "dsc"], *([str(n), cell] for n, cell in enumerate(cells))], separator))
    found = read_user(path)
    if len(mark) == 1:
        assert decimal_mark(path, found, ["dsc"], str) == mark
        return
    with pytest.raises(UserError, match=mark):
        decimal_mark(path, found, ["dsc"], lambda line: f"line {line}")


def test_numbers_are_told_from_all_else():
    good = pd.Series(["0.5", ".5", "5.", "-1e-3", "+2", "inf", "", "NA"])
    bad = pd.Series(["#DIV/0!", "-", "−0.01", "91.2%", "n/a", "1_0", "١", "0x1", "1 2", "0,5", "=1"])
    values, wrong = numbers(good, ".")
    assert not wrong.any() and values[:5].tolist() == [0.5, 0.5, 5.0, -0.001, 2.0] and values[6:].isna().all()
    assert numbers(bad, ".")[1].all()


def test_formulas_are_told_from_names():
    assert all(unsafe(text) for text in ("=cmd|' /C calc'!A0", "@SUM(A1)", "+cmd|x", "-2+3+cmd|x!A0", "a\nb", "a\tb"))
    assert not any(unsafe(text) for text in ("+1", "-", "-0.5", "[red]", "[/]", "NA", "a=b", "ä|b"))


def test_our_own_tables_keep_names_and_read_numbers_elsewhere(tmp_path):
    (tmp_path / "t.csv").write_text("case,dsc,n,note\n001,0.5,1,NA\nNA,,2,\n")
    found = read_own(tmp_path / "t.csv", ["case", "note", "absent"])
    assert found["case"].tolist() == ["001", "NA"] and found["note"].tolist() == ["NA", ""]
    assert found["dsc"].isna().tolist() == [False, True] and found["n"].sum() == 3
