"""Closed schemas, and what is wrong with values that do not fit: every fault, its full key, the nearest valid one."""

import difflib
import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

# Whole numbers are not 4.0, "4" or true; numbers are not "4" or true.
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]


class Closed(BaseModel):
    """A section of a config or plan: no unknown keys, no silent changes of type, no number that is NaN or infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key → value, of every value that is no section; an empty section is a value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def infinite(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Full key and value of every number that is NaN or infinite, where a section takes any keys and values."""
    if isinstance(value, dict | list | tuple):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            yield from infinite(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, value


def nearest(word: str, known: Iterable[Any]) -> str:
    """``; did you mean '…'?``, or the valid words where none comes close."""
    words = {str(item).casefold(): str(item) for item in known}
    matches = difflib.get_close_matches(word.casefold(), words, n=1, cutoff=0.5)
    return f"; did you mean '{words[matches[0]]}'?" if matches else f"; valid: {', '.join(sorted(words.values())[:12])}"


def faults_of(model: type[BaseModel], error: ValidationError, whole: str) -> list[str]:
    """A sentence per fault, each with its full key.

    Args:
        model: what the values were validated against.
        error: of that validation.
        whole: name of the values as a whole, for faults of no single key.
    """
    return [_sentence(model, fault, whole) for fault in error.errors()]


def kind_at(model: type[BaseModel], path: Sequence[str]) -> Any | None:
    """The type of the value at a path of keys, without its bounds and without null.

    Returns:
        ``Any`` where everything goes; None where the schema has no such key.
    """
    kind: Any = model
    for key in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(key)
            kind = None if field is None else _bare(field.annotation)
        elif kind is not Any:
            kind = _bare(get_args(kind)[1]) if get_origin(kind) is dict else None
    return kind


def _bare(annotation: Any) -> Any:
    """A type without its bounds, and without the null it may have."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        if get_origin(annotation) is not Annotated and len(parts) > 1:
            break
        annotation = parts[0]
    return annotation


def _sentence(model: type[BaseModel], fault: Mapping[str, Any], whole: str) -> str:
    parts, models = _walk(model, fault["loc"])
    path = ".".join(parts) or whole
    if fault["type"] == "extra_forbidden":
        above = "".join(f"{part}." for part in parts[:-1])
        return f"{path}: unknown key{nearest(path, [above + name for m in models for name in m.model_fields])}"
    if fault["type"] == "union_tag_invalid":
        key, tags = (fault["ctx"][name].replace("'", "") for name in ("discriminator", "expected_tags"))
        return f"{path}.{key}: '{fault['ctx']['tag']}' is unknown{nearest(fault['ctx']['tag'], tags.split(', '))}"
    if fault["type"] == "union_tag_not_found":
        return f"{path}: {fault['ctx']['discriminator'].replace(chr(39), '')} is missing"
    given = "" if fault["type"] in ("missing", "value_error") else f" (given: {shown(fault['input'])})"
    return f"{path}: {fault['msg'].removeprefix('Value error, ')}{given}"


def is_endless(node: yaml.Node | None) -> bool:
    """Whether YAML with its aliases written out holds itself, or has more than 100 000 parts."""
    known: dict[int, float] = {}

    def parts(node: yaml.Node) -> float:
        if id(node) not in known:
            known[id(node)] = math.inf
            items = [] if isinstance(node, yaml.ScalarNode) else node.value
            inner = [part for item in items for part in (item if isinstance(item, tuple) else (item,))]
            known[id(node)] = 1 + sum(map(parts, inner))
        return known[id(node)]

    return node is not None and parts(node) > 100_000


def shown(value: Any) -> str:
    """A value in a message, of which a long or deep one shows its beginning."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 2, 200, 200
    return short.repr(value)


def _walk(model: type[BaseModel], loc: Sequence[Any]) -> tuple[list[str], list[type[BaseModel]]]:
    """The key as a reader writes it, and the models whose fields are valid where it stands."""
    parts, models = [], [model]
    for place, part in enumerate(loc):
        tagged = [m for m in models if part in _tags(m)]
        if tagged and len(models) > 1:
            models = tagged  # the tag chooses among models; the reader wrote no such key
            continue
        parts.append(str(part))
        fields = [m.model_fields[part] for m in models if part in m.model_fields]
        if fields and place < len(loc) - 1:
            models = [found for field in fields for found in models_in(field.annotation)] or models
    return parts, models


def _tags(model: type[BaseModel]) -> list[Any]:
    return [
        tag
        for f in model.model_fields.values()
        if get_origin(f.annotation) is Literal
        for tag in get_args(f.annotation)
    ]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Models anywhere inside a type, e.g. inside ``dict[str, Cohort]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in models_in(part)]
