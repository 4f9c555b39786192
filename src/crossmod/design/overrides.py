"""What a user changes of a study: texts such as ``training.batch=4`` → values at their places in the config.

Texts are read by Hydra's own grammar. Three things differ from Hydra: a key that may only hold text is text, whatever
letters it has; every key of the schema can be set, also where the files leave it out; and a mapping whose keys are the
user's own (label values, protocols) is replaced by a mapping that is given for it, never merged.
"""

import copy
import re
from collections.abc import Iterable, Sequence
from typing import Any, get_args, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Sweep
from hydra.errors import HydraException

from crossmod.design.study import Study
from crossmod.job import Plain, UserError
from crossmod.schema import Closed, kind_at, nearest

GROUPS = ("study", "scale", "model", "training")
_OVERRIDE = re.compile(r"(?P<mark>\+\+?|~)?(?P<key>[^\s=+~][^=]*?)(?:=(?P<text>.*))?", re.DOTALL)
_START = re.compile(r"\s*(?:(?:\+\+?|~)?[A-Za-z_][\w.@/+-]*=|~[A-Za-z_][\w.+-]*(?:\s|$))", re.ASCII)
# How many keys of a section's path are names that the files give.
NAMED = {name: 2 for name in ("cohorts", "pools", "sites", "stages", "units", "targets", "teachers")} | {"factors": 3}
# Such as ${analyse.alpha}; what has a colon calls a function.
_REFERENCE = re.compile(r"\$\{\.*[A-Za-z_][\w.-]*\}")


def overrides_from_snakemake(config: Plain, entries: Iterable[str] | None = None) -> list[str]:
    """Turn Snakemake's ``--config`` into overrides.

    ``study=NAME scale=smoke`` are overrides as they are, and ``override="training.batch=4 stages.kidney.steps=9"``
    (Snakemake allows no dots in a key) holds several.

    Args:
        config: what Snakemake read from ``--config`` and config files.
        entries: the arguments of ``--config`` as they were given: Snakemake reads them as YAML, which loses quotes and
            takes ``a: b`` for a mapping.

    Raises:
        UserError: if a quote or bracket in ``override`` is not closed.
    """
    pairs = [entry.split("=", 1) for entry in entries or () if "=" in entry]
    given, texts = dict(pairs), [text for key, text in pairs if key == "override"]
    overrides = []
    for key in sorted(config, key=lambda key: key == "override"):  # which comes last, and wins
        text, value = given.get(key), config[key]
        if key == "override":
            # Snakemake keeps the last one alone.
            overrides += [part for each in texts for part in split(each)] or _several(value)
        elif text is None or text.lstrip().startswith(("{", "[")):
            overrides.append(f"{key}={as_text(value)}")
        else:
            overrides.append(f"{key}={text}")
    return overrides


def split(text: str) -> list[str]:
    """Overrides that stand in one text, apart at the blanks before a ``key=``; blanks in quotes and brackets are kept.

    Raises:
        UserError: if a quote or bracket is not closed.
    """
    parts, start, depth, quote = [], 0, 0, ""
    for place, letter in enumerate(text):
        before = text[place - 1] if place else " "
        if quote:
            escaped = (place - len(text[:place].rstrip("\\"))) % 2
            quote = quote if escaped or letter != quote else ""
        elif letter in "'\"" and before in " =[{,:(":
            quote = letter
        elif letter in "[{" and (depth or before in " =,:"):
            depth += 1
        elif letter in "]}" and depth:
            depth -= 1
        elif letter.isspace() and not depth and _START.match(text, place):
            parts.append(text[start:place])
            start = place
    if quote or depth:
        what = f"the quote {quote}" if quote else "a bracket"
        raise UserError(f"override: {what} is not closed in: {text}")
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def is_choice(override: str) -> bool:
    """Whether an override chooses a file of the config, such as ``scale=smoke``."""
    key, given, value = override.partition("=")
    return bool(given) and key in GROUPS and not value.lstrip().startswith("{")


def applied(base: Plain, overrides: Sequence[str]) -> Plain:
    """A copy of composed values with overrides put in, one after the other.

    Raises:
        UserError: listing every unknown key with what was meant, and every value that cannot be read.
    """
    values, faults = copy.deepcopy(base), []
    for override in overrides:
        try:
            _apply(values, override)
        except UserError as error:
            faults.append(f"  {error}")
    if faults:
        raise UserError(
            "These overrides cannot be followed (a text with blanks or = in it is safe in quotes):\n"
            + "\n".join(faults)
        )
    return values


def refuse_resolvers(values: Any, key: str = "") -> None:
    """Refuse every ``${...}`` that is more than a reference to another key: it would bring what the machine knows into
    results.

    Raises:
        UserError: naming key, text and cure.
    """
    if isinstance(values, dict):
        for name, value in values.items():
            refuse_resolvers(name, f"{key}.{name}".lstrip("."))
            refuse_resolvers(value, f"{key}.{name}".lstrip("."))
    elif isinstance(values, list | tuple):
        for place, value in enumerate(values):
            refuse_resolvers(value, f"{key}[{place}]")
    elif isinstance(values, str) and "${" in _REFERENCE.sub("", values):
        raise UserError(
            f"{key}: '{values}' calls a function; only a reference to another key, such as ${{analyse.alpha}}, is "
            "allowed. Write the value itself."
        )


def has_own_keys(path: Sequence[str]) -> bool:
    """Whether a mapping has keys that are the user's own (label values, protocols): another one for it replaces it."""
    kind = kind_at(Study, path)
    if get_origin(kind) is not dict:
        return False
    while get_origin(kind) is dict:
        kind = get_args(kind)[1]
    return not isinstance(kind, type(Closed)) and kind is not Any


def put(values: Plain, path: Sequence[str], value: Any) -> None:
    """Set a value at its place: sections are merged, mappings with keys of the user's own are replaced."""
    *above, last = path
    place = values
    for part in above:
        part = _key(place, part)
        if not isinstance(place.get(part), dict):
            place[part] = {}
        place = place[part]
    last = _key(place, last)
    if value and isinstance(value, dict) and isinstance(place.get(last), dict) and _merges(path, value):
        for name, item in value.items():
            put(values, [*path, str(name)], item)
    else:
        place[last] = value


def as_text(value: Any) -> str:
    """A plain value as Hydra's grammar writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_text(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    return text if re.fullmatch(r"[\w./+-]+", text, re.ASCII) else quoted(text)


def quoted(text: str) -> str:
    """A text in single quotes: the grammar wants quotes, and backslashes before them or at the end, escaped."""
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text) + "'"


def _several(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else split(str(value))


def _apply(values: Plain, override: str) -> None:
    match = _OVERRIDE.fullmatch(override.strip())
    if match is None or (match["text"] is None and match["mark"] != "~"):
        raise UserError(f"'{override}': write key=value, e.g. training.batch=4")
    mark, key, path = match["mark"], match["key"], match["key"].split(".")
    known = _keys(values)
    if key not in known and (mark == "~" or (mark is None and not _settable(path, known))):
        # A key of the schema is at hand even where the files leave it out.
        near = nearest(key, known | _left_out(known))
        further = f"; +{key}=... gives it a further argument" if _is_argument(path, known) else ""
        raise UserError(f"{key}: unknown key{near}{further}")
    if mark == "~":
        _remove(values, path)
    else:
        put(values, path, _value(key, match["text"], kind_at(Study, path)))


def _settable(path: list[str], known: set[str]) -> bool:
    """Whether the schema has a key that the files leave out; what a section is called is the files' to say."""
    depth = NAMED.get(path[0], 0)
    named = len(path) < depth or ".".join(path[:depth]) in known or not depth
    return named and not _is_argument(path, known) and kind_at(Study, path) is not None


def _is_argument(path: list[str], known: set[str]) -> bool:
    """Whether a key is an argument of what a ``_target_`` beside it names."""
    return ".".join([*path[:-1], "_target_"]) in known or path[0] == "model"


def _left_out(known: Iterable[str]) -> set[str]:
    sections = {key: kind_at(Study, key.split(".")) for key in known}
    return {f"{key}.{name}" for key, kind in sections.items() for name in getattr(kind, "model_fields", ())}


def _value(key: str, text: str, kind: Any) -> Any:
    """What a text means for a key of some kind."""
    text = text.strip()
    in_quotes = len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]
    if kind is str and not in_quotes and text not in ("null", "???"):
        return text
    try:
        value = OverridesParser.create().parse_override(f"key={text}").value()
    except HydraException as error:
        if not text.startswith(("[", "{", "'", '"')):
            return text
        problem = str(error).splitlines()[0]
        raise UserError(
            f"{key}: {text} cannot be read ({problem}); put every text in quotes, e.g. '/data/Müller/my scans.csv'"
        ) from error
    if isinstance(value, Sweep):
        raise UserError(f"{key}: {text} is several values; write a list, [{text}], or a text in quotes, '{text}'")
    names = re.findall(r"[{,]\s*['\"]?([\w.+-]+)['\"]?\s*:", text)
    if text.count("{") == 1 and len(names) > len(set(names)):
        raise UserError(f"{key}: {text} gives a key twice")
    return value


def _merges(path: Sequence[str], value: Plain) -> bool:
    return not has_own_keys(path) and "_target_" not in value


def _remove(values: Plain, path: list[str]) -> None:
    for part in path[:-1]:
        values = values[_key(values, part)]
    del values[_key(values, path[-1])]


def _key(values: Plain, part: str) -> Any:
    """The key as the mapping has it: label values are numbers."""
    return next((key for key in values if str(key) == part), part)


def _keys(values: Plain, prefix: str = "") -> set[str]:
    """Every key, dotted."""
    found = set()
    for key, value in values.items():
        found |= {f"{prefix}{key}"} | (_keys(value, f"{prefix}{key}.") if isinstance(value, dict) else set())
    return found
