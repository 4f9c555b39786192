"""Every key of a closed schema in plain text: what it means, what it may be, and what it is where nothing is said.

The types, bounds and defaults are those of pydantic's own JSON schema of the model. What a key means is its
description, or what the docstring of its model (or of a model above it) says under ``Attributes:``.
"""

import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from crossmod.job import Plain
from crossmod.schema import models_in

NAME, EACH = "NAME", "each"  # stand for a key of the user's own, and for an entry of a list
MOST, LONGEST = 12, 60  # choices that are named one by one; letters of a default
INDENT = "  "


@dataclass(frozen=True)
class Key:
    """One key of a schema.

    Attributes:
        path: from the whole, with ``NAME`` and ``each`` where the user names or counts.
        kind: what it may be, in words; empty for what only groups keys.
        default: in words; empty where a value must be given.
        meaning: in words; empty where nobody wrote any.
    """

    path: tuple[str, ...]
    kind: str = ""
    default: str = ""
    meaning: str = ""


def explained(model: type[BaseModel], width: int = 100) -> str:
    """Every key of a model for a terminal, one below the other, indented by its depth.

    Args:
        model: a closed schema.
        width: columns of the terminal.
    """
    keys = keys_of(model)
    column = max((len(INDENT) * len(key.path) + len(key.path[-1]) for key in keys), default=0)
    return "".join(f"{line}\n" for key in keys for line in _lines(key, column, width))


def undescribed(model: type[BaseModel]) -> list[str]:
    """Dotted keys of a model that say nowhere what they mean; a section's own docstring speaks for it."""
    return [".".join(key.path) for key in keys_of(model) if key.kind and not key.meaning]


def keys_of(model: type[BaseModel]) -> list[Key]:
    """Every key of a model at any depth, each section after its key, in the order of the fields."""
    schema = model.model_json_schema()
    walk = _Walk(schema.get("$defs", {}), {found.__name__: _attributes(found) for found in _reachable(model)})
    return list(walk.section((), schema, walk.notes.get(model.__name__, {})))


class _Walk:
    """A walk through a JSON schema; of a section met again only where it stands is told."""

    def __init__(self, definitions: Plain, notes: dict[str, dict[str, str]]) -> None:
        self.definitions, self.notes = definitions, notes
        self.met: dict[str, str] = {}

    def section(self, path: tuple[str, ...], node: Plain, notes: dict[str, str]) -> Iterator[Key]:
        required = node.get("required", [])
        for name, field in node.get("properties", {}).items():
            here = (*path, name)
            meaning = field.get("description") or notes.get(name) or self._own_meaning(field)
            met = next((self.met[part] for part in self._sections(field) if part in self.met), "")
            kind = self.kind(field) + (f", as in {met}" if met else "")
            yield Key(here, kind, "" if name in required else _default(field), meaning)
            yield from self._inner(here, field)

    def _inner(self, path: tuple[str, ...], node: Plain) -> Iterator[Key]:
        """The keys of the sections that a value is, or holds."""
        if "discriminator" in node:
            yield from self._variants(path, node["discriminator"])
            return
        if "$ref" in node:
            name = _named(node["$ref"])
            if name not in self.met and "properties" in self.definitions[name]:
                self.met[name] = _place(path)
                yield from self.section(path, self.definitions[name], self.notes.get(name, {}))
            return
        for step, part in _parts(node):
            if any(name not in self.met for name in self._sections(part)):
                if step:
                    yield Key((*path, step))
                yield from self._inner((*path, step) if step else path, part)

    def _variants(self, path: tuple[str, ...], discriminator: Plain) -> Iterator[Key]:
        """The keys that all kinds of a section share, then each kind with those of its own."""
        names = {tag: _named(reference) for tag, reference in discriminator["mapping"].items()}
        fields = {tag: self.definitions[name]["properties"] for tag, name in names.items()}
        first, *others = fields.values()
        shared = {key: field for key, field in first.items() if all(other.get(key) == field for other in others)}
        self.met |= dict.fromkeys(names.values(), _place(path))
        for tag, name in names.items():
            node, here = self.definitions[name], (*path, f"{discriminator['propertyName']}: {tag}")
            notes = self.notes.get(name, {})
            if fields[tag] is first:
                yield from self.section(path, {**node, "properties": shared}, notes)
            yield Key(here, meaning=_first(node.get("description", "")))
            own = {k: v for k, v in fields[tag].items() if k not in shared and k != discriminator["propertyName"]}
            yield from self.section(here, {**node, "properties": own}, notes)

    def _sections(self, node: Plain) -> list[str]:
        """Names of the sections that a value is, or holds."""
        if "discriminator" in node:
            return [_named(reference) for reference in node["discriminator"]["mapping"].values()]
        if "$ref" in node:
            name = _named(node["$ref"])
            return [name] if "properties" in self.definitions[name] else []
        return [name for _, part in _parts(node) for name in self._sections(part)]

    def _own_meaning(self, field: Plain) -> str:
        """What the docstring of the one section that a value is, or holds, says in its first sentence."""
        names = [] if "discriminator" in field else self._sections(field)
        return _first(self.definitions[names[0]].get("description", "")) if len(names) == 1 else ""

    def kind(self, node: Plain) -> str:
        """What a value may be, in words."""
        if "$ref" in node:
            inner = self.definitions[_named(node["$ref"])]
            return "section" if "properties" in inner else self.kind(inner)
        if "discriminator" in node:
            return f"section, of one kind by its `{node['discriminator']['propertyName']}`"
        if "const" in node or "enum" in node:
            return _listed([_shown(value) for value in node.get("enum", [node.get("const")])])
        if "anyOf" in node or "oneOf" in node:
            parts = node["anyOf"] if "anyOf" in node else node["oneOf"]
            return " or ".join(dict.fromkeys(self.kind(part) for part in parts))
        return self._plain_kind(node)

    def _plain_kind(self, node: Plain) -> str:
        match node.get("type"):
            case "array":
                return self._list_kind(node)
            case "object":
                inner = [part for step, part in _parts(node) if step == NAME]
                return f"{NAME} → {self.kind(inner[0])}{_count(node, 'Properties')}" if inner else "any keys and values"
            case "integer" | "number" as kind:
                return {"integer": "whole number", "number": "number"}[kind] + _bounds(node)
            case "string":
                return _text(node)
            case "boolean":
                return "true or false"
            case "null":
                return "null"
        return "any value"

    def _list_kind(self, node: Plain) -> str:
        if "prefixItems" in node:
            kinds = [self.kind(part) for part in node["prefixItems"]]
            same = len(set(kinds)) == 1
            return f"[{len(kinds)} times: {kinds[0]}]" if same else f"[{', '.join(kinds)}]"
        return f"list: {self.kind(node.get('items', {}))}{_count(node, 'Items')}"


def _parts(node: Plain) -> list[tuple[str, Plain]]:
    """The values that a value holds or may be, each with the step of its path; no step for an alternative."""
    inner = node.get("additionalProperties")
    own = [*node.get("patternProperties", {}).values(), *([inner] if isinstance(inner, dict) else [])]
    return [
        *(("", part) for key in ("anyOf", "oneOf") for part in node.get(key, [])),
        *((NAME, part) for part in own),
        *([(EACH, node["items"])] if isinstance(node.get("items"), dict) else []),
        *((EACH, part) for part in node.get("prefixItems", [])),
    ]


def _lines(key: Key, column: int, width: int) -> list[str]:
    """A key with what it may be beside it, and what it means below that."""
    head = f"{INDENT * (len(key.path) - 1)}{key.path[-1]}"
    beside = " · ".join(part for part in (key.kind, key.default) if part)
    room = max(width - column, 30)
    right = [*textwrap.wrap(beside, room), *textwrap.wrap(key.meaning, room)] or [""]
    return [f"{left:<{column}}{line}".rstrip() for left, line in zip([head, *[""] * len(right)], right, strict=False)]


def _default(field: Plain) -> str:
    return f"default: {_shown(field['default'])}" if "default" in field else "may be left out"


def _bounds(node: Plain) -> str:
    low, above = node.get("minimum"), node.get("exclusiveMinimum")
    high, below = node.get("maximum"), node.get("exclusiveMaximum")
    words = [
        *([f"from {low:.12g}"] if low is not None else []),
        *([f"above {above:.12g}"] if above is not None else []),
        *([f"to {high:.12g}"] if high is not None else []),
        *([f"below {below:.12g}"] if below is not None else []),
    ]
    return "".join(f" {word}" for word in words)


def _count(node: Plain, what: str) -> str:
    low, high = node.get(f"min{what}"), node.get(f"max{what}")
    words = [*([f"at least {low}"] if low else []), *([f"at most {high}"] if high else [])]
    return f" ({', '.join(words)})" if words else ""


def _text(node: Plain) -> str:
    """A word is what has a pattern that lets no blank in."""
    pattern = node.get("pattern")
    if pattern is None:
        return "text"
    return "word" if not re.search(pattern, "a b") else "text, not empty"


def _listed(choices: list[str]) -> str:
    more = f" | … {len(choices) - MOST} more" if len(choices) > MOST else ""
    return " | ".join(choices[:MOST]) + more


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _place(path: tuple[str, ...]) -> str:
    """The dotted key of the value that a section is, or lies in."""
    return ".".join(path[:-1] if path[-1] in (NAME, EACH) else path)


def _named(reference: str) -> str:
    return reference.rsplit("/", 1)[1]


def _first(docstring: str) -> str:
    """The first paragraph of a docstring, on one line."""
    return _unmarked(docstring.split("\n\n")[0])


def _unmarked(text: str) -> str:
    """Text on one line, without the marks of reStructuredText."""
    return re.sub(r":\w+:`~?([^`]*)`|``([^`]*)``", r"\1\2", " ".join(text.split()))


def _reachable(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and every model in its fields, at any depth."""
    found, open_ = [], [model]
    while open_:
        current = open_.pop()
        if current not in found:
            found.append(current)
            open_ += [inner for field in current.model_fields.values() for inner in models_in(field.annotation)]
    return found


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """Field → what the docstrings of a model and of those above it say of it under ``Attributes:``."""
    notes: dict[str, str] = {}
    for above in reversed(model.__mro__):
        section = re.search(r"^Attributes:\n((?:[ ].*\n?|\n)+)", inspect.cleandoc(above.__doc__ or ""), re.MULTILINE)
        for name, text in re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section[1] if section else "", re.MULTILINE):
            notes[name] = _unmarked(text)
    return notes
