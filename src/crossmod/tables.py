"""Tables of text: a user's own, however a spreadsheet saved it, and those that the steps write for each other.

Names are text everywhere: ``001`` is not ``1``, and ``NA``, ``None`` and ``1e5`` are names.
"""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from crossmod.job import UserError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "None")
_CURE = "Save it as CSV in UTF-8 (in a spreadsheet: 'CSV UTF-8')"
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OTHER_FILES = {
    b"PK\x03\x04": "an Excel workbook or another ZIP file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a compressed file",
    b"%PDF": "a PDF",
}
# What a spreadsheet would run when it opens the results; +1 and - are names.
_FORMULA = re.compile(r"[=@]|[+-].*[(|!]", re.DOTALL)
_SHORTENED = re.compile(r"\d[.,]\d+E\+\d{2,}", re.ASCII)
_GROUPED = {mark: re.compile(rf"[+-]?[1-9]\d{{0,2}}(\{mark}\d{{3}})+") for mark in ",."}
_MARKED = re.compile(r"[+-]?[\d.,]*[.,][\d.,]*(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_NUMBER = {
    mark: re.compile(rf"[+-]?((\d+\{mark}?\d*|\{mark}\d+)(e[+-]?\d+)?|inf|infinity)", re.IGNORECASE | re.ASCII)
    for mark in ",."
}


def read_own(path: str | Path, text: Collection[str] | None = None) -> pd.DataFrame:
    """A table that a step wrote.

    Args:
        path: CSV file.
        text: columns that stay text, so that only the others are read as numbers, empty where a cell is empty; by
            default all columns stay text.

    Raises:
        UserError: if the file is missing or cannot be read.
    """
    try:
        if text is None:
            return pd.read_csv(path, dtype=str, keep_default_na=False)
        header = pd.read_csv(path, nrows=0).columns
        kinds = {column: str for column in text if column in header}
        empty = {column: [""] for column in header if column not in kinds}
        return pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=empty)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}). Run the step that writes it again.") from error


def read_user(path: Path) -> pd.DataFrame:
    """A user's table: cells between commas, semicolons, tabs or bars, in UTF-8 or in UTF-16 with its mark.

    Returns:
        All cells as text without blanks around them. The index is the line of the file on which a row begins. Rows
        without any entry and columns without a name are left out. ``attrs["separator"]`` is what stood between the
        cells.

    Raises:
        UserError: if the file is missing or is no such table, if a row has more or fewer cells than the header, or if
            two columns have one name.
    """
    rows, separator = _cells(path, _text_of(path))
    (_, header), *body = rows
    header = [" ".join(name.split()) for name in header]
    while not header[-1] and not any("".join(row[len(header) - 1 :]) for _, row in body):
        header = header[:-1]
    _refuse_doubled(path, header)
    body = [(line, _fitted(path, line, row, len(header), separator)) for line, row in body]
    table = pd.DataFrame([row for _, row in body], index=[line for line, _ in body], columns=header, dtype=str)
    # pandas and R write row numbers into a column without a name, which pandas calls so when it reads it again.
    table = table.loc[:, [bool(name) and not re.fullmatch(r"Unnamed: \d+", name) for name in header]]
    table.attrs["separator"] = separator
    return table


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table whose columns have names, each as column → value."""
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def row_of(table: pd.DataFrame, name: str) -> pd.Series:
    """The one row of a table that its index calls by a name.

    Raises:
        KeyError: if there is none.
        UserError: if there are several.
    """
    found = table.loc[name]
    if isinstance(found, pd.DataFrame):
        raise UserError(f"{table.index.name or 'row'} '{name}' occurs {len(found)} times; let it occur once.")
    return found


def unsafe(text: str) -> str:
    """Why a text cannot stand in a table of results; empty if it can."""
    if _FORMULA.match(text):
        return "would be run as a formula by a spreadsheet that opens the results"
    if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp", "Cs") for letter in text):
        return "holds a control character, e.g. a line break"
    return ""


def refuse_unsafe(path: Path, table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse cells of columns that reach the results where :func:`unsafe` says why.

    Raises:
        UserError: naming line and column. The cell itself is not shown.
    """
    for column in columns:
        for line, text in table[column].items():
            why = unsafe(text)
            if why:
                raise UserError(f"{path}, line {line}: the cell of {column!r} {why}. Write it without.")


def refuse_shortened(path: Path, table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse ids such as 1.23457E+11: a spreadsheet has made one of all that begin alike.

    Raises:
        UserError: naming line and column. The cell itself is not shown.
    """
    for column in columns:
        for line, text in table[column].items():
            if _SHORTENED.fullmatch(text):
                raise UserError(
                    f"{path}, line {line}: the cell of {column!r} is a number that a spreadsheet shortened (such as "
                    "1.2E+11), so several may have become one. Format the column as text, enter its numbers again, and "
                    "save it anew."
                )


def folded(text: str) -> str:
    """A name without what readers do not tell apart: capitals, blanks, and how its letters are encoded."""
    return unicodedata.normalize("NFKC", "".join(text.split())).casefold()


def decimal_mark(path: Path, table: pd.DataFrame, columns: Iterable[str], row: Callable[[int], str]) -> str:
    """The decimal mark of a table's numbers: ``.`` or ``,``.

    # ASSUME: one table has one decimal mark, for one program wrote it.

    Args:
        path: of the table, for messages.
        table: from :func:`read_user`.
        columns: those whose cells are numbers.
        row: line → the row in words, for messages.

    Raises:
        UserError: if both marks occur, or if each number could as well be grouped by thousands.
    """
    lines = table.index.tolist()
    cells = [
        (line, name, text)
        for name in columns
        for line, text in zip(lines, table[name], strict=True)
        if _MARKED.fullmatch(text)
    ]
    found = {mark: [cell for cell in cells if mark in cell[2]] for mark in ",."}
    shown = {mark: f"{row(line)} has {name} {text!r}" for mark in ",." for line, name, text in found[mark][:1]}
    if len(shown) == 2:
        both = dict.fromkeys(shown.values())
        raise UserError(
            f"{path}: {', '.join(both)}: with commas and points in the numbers, neither is sure to be the decimal "
            "mark. Write all numbers with the same decimal mark, and no marks between thousands."
        )
    mark = "," if found[","] else "."
    grouped = found[mark] and all(_GROUPED[mark].fullmatch(text) for *_, text in found[mark])
    # ASSUME: between commas a point is a decimal point; no spreadsheet that groups by points separates cells by commas.
    if grouped and (mark == "," or table.attrs["separator"] == ";"):
        raise UserError(
            f"{path}: {shown[mark]}, which may be a thousand or a number with decimals. Write numbers with a decimal "
            "point, and no marks between thousands."
        )
    return mark


def numbers(texts: pd.Series, mark: str) -> tuple[pd.Series, pd.Series]:
    """A column as numbers (empty where it has none), and which cells are neither a number nor missing."""
    missing = texts.isin(MISSING)
    good = texts.map(lambda text: bool(_NUMBER[mark].fullmatch(text))).astype(bool)
    values = [float(text.replace(mark, ".")) if ok else float("nan") for text, ok in zip(texts, good, strict=True)]
    return pd.Series(values, texts.index, dtype=float), ~good & ~missing


def _text_of(path: Path) -> str:
    """The characters of a file that may be a table."""
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; name the table in it.")
        if not path.is_file():
            raise UserError(f"{path}: no such table.")
        data = path.read_bytes()
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{str(path)!r} cannot be read ({error}).") from error
    for start, what in _OTHER_FILES.items():
        if data.startswith(start):
            raise UserError(f"{path} is {what}, not a CSV. {_CURE}.")
    encoding = next((name for start, name in _MARKS.items() if data.startswith(start)), "utf-8-sig")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: the byte 0x{data[error.start]:02X} is not {encoding.removesuffix('-sig').upper()}, "
            f"so its letters cannot be known. {_CURE}."
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(
            f"{path}, line {line}: holds a NUL character; it is no text, or text in another encoding. {_CURE}."
        )
    return text


def _cells(path: Path, text: str) -> tuple[list[tuple[int, list[str]]], str]:
    """Line and cells of every row that has an entry, and the separator."""
    first, _, rest = text.partition("\n")
    # Excel's own first line for readers in other countries.
    said = re.fullmatch(r'"?sep=([,;\t|])"?\r?', first.strip(" "), re.IGNORECASE)
    text, before = (rest, 1) if said else (text, 0)
    rivals = [said[1]] if said else [mark for mark in SEPARATORS if _width(text, mark) > 1] or [","]
    parsed, wrong = {}, None
    for mark in rivals:
        try:
            parsed[mark] = list(_parsed(text, mark, before))
        except csv.Error as error:
            wrong = wrong or error
    if not parsed:
        raise UserError(
            f"{path}: cannot be read as CSV ({wrong}). Mend its quotes, and separate cells by one comma, semicolon or "
            f"tab. {_CURE}."
        ) from wrong
    if not any(parsed.values()):
        raise UserError(f"{path} is empty: a table has a line with the names of its columns, then a line per row.")
    even = {mark: rows for mark, rows in parsed.items() if len({len(row) for _, row in rows}) == 1} or parsed
    widest = max(len(rows[0][1]) for rows in even.values())
    best = [mark for mark, rows in even.items() if len(rows[0][1]) == widest]
    if len(best) > 1:
        names = " or ".join(SEPARATORS[mark] for mark in best)
        raise UserError(f"{path}: its cells may be separated by {names}. Put cells that hold such marks in quotes.")
    rows = parsed[best[0]]
    if len(rows) < 2:
        raise UserError(f"{path} has no rows, only the names of its columns: {', '.join(rows[0][1])}.")
    return rows, best[0]


def _parsed(text: str, separator: str, before: int = 0) -> Iterable[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = before + 1
    for row in reader:
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield line, cells
        line = before + reader.line_num + 1


def _width(text: str, separator: str) -> int:
    """How many cells the header would have."""
    try:
        return len(next(iter(_parsed(text, separator)), (0, []))[1])
    except csv.Error:
        return 2  # It has quotes that need mending, which is told when the whole text is read.


def _refuse_doubled(path: Path, header: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in filter(None, header):
        first = seen.get(folded(name))
        if first is not None:
            both = f"two columns are called {name!r}" if first == name else f"columns {first!r} and {name!r}"
            tail = "" if first == name else " have the same name but for blanks or capitals"
            raise UserError(f"{path}: {both}{tail}. Give each column a name of its own, or remove one.")
        seen[folded(name)] = name


def _fitted(path: Path, line: int, row: list[str], width: int, separator: str) -> list[str]:
    """The cells of a row, as many as the header has."""
    if len(row) < width or any(row[width:]):
        hint = "; a decimal comma between commas needs quotes" if separator == "," and len(row) > width else ""
        raise UserError(
            f"{path}, line {line}: it has {len(row)} cells and the header has {width}, separated by "
            f"{SEPARATORS[separator]}. Give every row as many cells as there are columns{hint}."
        )
    return row[:width]


def refuse(problems: list[str], where: str) -> None:
    """Raise a UserError that lists all problems at once; do nothing if there is none."""
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise UserError(f"{where}: {len(problems)} problem{'s' * (len(problems) > 1)}:\n{lines}")
