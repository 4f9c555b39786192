"""What a plan may call its hypotheses and levels."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from crossmod.schema import shown

# A file is called so.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]


def levels_of(values: Any) -> list[Any]:
    """One value of a plan, or a list of values, as a list.

    Raises:
        ValueError: a value is neither text nor a finite number, or stands twice.
    """
    found = values if isinstance(values, list) else [values]
    for value in found:
        if not isinstance(value, str | int | float) or value != value or value in (float("inf"), -float("inf")):
            raise ValueError(f"{shown(value)} is neither text nor a number; quote it where it is a name")
    twice = [value for place, value in enumerate(found) if value in found[:place]]
    if twice:
        raise ValueError(f"{twice[0]!r} is given twice")
    return found


def doubled_files(names: list[str]) -> list[str]:
    """Names that stand twice, capitals aside: some disks would take them for one file."""
    folded = [name.casefold() for name in names]
    return sorted({name for name, one in zip(names, folded, strict=True) if folded.count(one) > 1})


def _checked(values: Any) -> Any:
    levels_of(values)
    return values


Levels = Annotated[Any, AfterValidator(_checked)]
