"""Rows and groups of a table as the report reads them.

Of what a cell holds pandas' types know nothing; here it becomes text where it is a name, and anything elsewhere.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from crossmod.job import Plain


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """Each row, with its columns as attributes."""
    yield from table.itertuples()


def each(table: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each name that some row has in a column, in the order of the column, and its rows."""
    for name, rows in table.groupby(column, observed=True):
        yield str(name), rows


def record_of(row: pd.Series) -> Plain:
    """A row as a record: column → value."""
    return {str(column): value for column, value in row.to_dict().items()}


def filled(column: pd.Series) -> pd.Series:
    """Which entries are there, and not an empty text; booleans also of a column without rows, whatever its type."""
    return column.notna() & column.ne("")


def highest(table: pd.DataFrame, column: str) -> pd.Series:
    """The row with the largest number in a column, the first of several."""
    label: Any = table[column].idxmax()
    return table.loc[label]


def lowest(table: pd.DataFrame, column: str) -> pd.Series:
    """The row with the smallest number in a column, the first of several."""
    label: Any = table[column].idxmin()
    return table.loc[label]
