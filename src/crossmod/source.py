"""The hash of the source a step uses, so that a change of code reruns what depends on it and nothing else.

Snakemake does not see edits of imported modules. Imports are followed through the syntax tree, at any depth, inside
this package only; comments, docstrings and layout do not count. A package's ``__init__`` holds what several steps use,
so of it only this counts: what importing it runs, and the definitions that are asked for, with those of the same file
that they name.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
TOP, WHOLE = "", "*"  # of a file: what importing it runs, and all of it; any other name is a definition of it

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Asked = tuple[Path, str]


@cache
def source_digest(*entries: str) -> str:
    """Short SHA-256 over the syntax trees of what is asked for and of all it imports from this package.

    Args:
        entries: dotted names of modules, e.g. ``crossmod.train.loop``, or of one definition of a package, e.g.
            ``crossmod.train:run``.

    Raises:
        ModuleNotFoundError: if a module does not exist.
        AttributeError: if a module has no such definition.
    """
    counted: dict[Path, set[int]] = {}
    open_, seen = [asked for entry in entries for asked in _entry(entry)], set()
    while open_:
        asked = open_.pop()
        if asked not in seen:
            seen.add(asked)
            counted.setdefault(asked[0], set()).update(_places(*asked))
            open_ += _imports(*asked)
    digest = hashlib.sha256()
    for path, places in sorted(counted.items()):
        digest.update(f"{path.relative_to(PACKAGE)}\n".encode())
        digest.update("".join(f"{_dump(path, place)}\n" for place in sorted(places)).encode())
    return digest.hexdigest()[:12]


def imports_of_notebook(path: str | Path) -> tuple[str, ...]:
    """Modules of this package that the cells of a notebook import, as entries of :func:`source_digest`.

    Lines of IPython's own (``%matplotlib inline``, ``!ls``) are passed over.
    """
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lines = [line for source in sources for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
    tree = ast.parse("\n".join(lines), str(path))
    return tuple(dict.fromkeys(f"{_name(file)}:{part}" for file, part in _imported(tree.body)))


def targets_in(value: Any) -> tuple[str, ...]:
    """Modules of this package that plain values name as a ``_target_``, at any depth.

    They are imported by name alone.
    """
    if isinstance(value, dict):
        target = value.get("_target_")
        named = target if isinstance(target, str) and target.split(".")[0] == PACKAGE.name else ""
        return (*([named.rpartition(".")[0]] if named else []), *_in_all(value.values()))
    return _in_all(value) if isinstance(value, list | tuple) else ()


def _in_all(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for value in values for name in targets_in(value)))


def _entry(entry: str) -> Iterator[Asked]:
    module, _, name = entry.partition(":")
    path = _file(module)
    if name not in (TOP, WHOLE) and name not in _definitions(path):
        raise AttributeError(f"{module} defines no {name}")
    return _asked(module, name if ":" in entry else WHOLE)


@cache
def _places(path: Path, name: str) -> frozenset[int]:
    """Where in a file's body the statements stand that count for what is asked of it."""
    body, definitions = _tree(path).body, _definitions(path)
    if name == WHOLE:
        return frozenset(range(len(body)))
    places = {place for place, node in enumerate(body) if not isinstance(node, Definition)}
    open_ = [body[place] for place in places]
    open_ += [body[definitions[name]]] if name in definitions else []
    places |= {definitions[name]} if name in definitions else set()
    while open_:
        named = {node.id for node in ast.walk(open_.pop()) if isinstance(node, ast.Name)}
        further = {definitions[other] for other in named if other in definitions} - places
        open_ += [body[place] for place in further]
        places |= further
    return frozenset(places)


@cache
def _imports(path: Path, name: str) -> tuple[Asked, ...]:
    """What the counted statements of a file ask of other files."""
    return tuple(_imported(_tree(path).body[place] for place in _places(path, name)))


def _imported(statements: Iterable[ast.stmt]) -> Iterator[Asked]:
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _asked(alias.name, WHOLE)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from _asked(inner, WHOLE) if _exists(inner) else _asked(node.module, alias.name)


def _asked(module: str, name: str) -> Iterator[Asked]:
    """A part of a module, and what importing the packages above it runs; nothing of other packages."""
    if not _exists(module):
        return
    path, parts = _file(module), module.split(".")
    yield path, name if path.name == "__init__.py" else WHOLE
    yield from ((_file(".".join(parts[:depth])), TOP) for depth in range(1, len(parts)))


def _exists(name: str) -> bool:
    if name.split(".")[0] != PACKAGE.name:
        return False
    try:
        _file(name)
    except ModuleNotFoundError:
        return False
    return True


@cache
def _file(name: str) -> Path:
    base = PACKAGE.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    raise ModuleNotFoundError(f"no module {name} in the package")


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join((PACKAGE.name, *parts)).removesuffix(".__init__")


@cache
def _tree(path: Path) -> ast.Module:
    """The syntax tree of a file, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | Definition) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


def _definitions(path: Path) -> dict[str, int]:
    """Name → place, of the functions and classes of a file."""
    return {node.name: place for place, node in enumerate(_tree(path).body) if isinstance(node, Definition)}


@cache
def _dump(path: Path, place: int) -> str:
    return ast.dump(_tree(path).body[place])
