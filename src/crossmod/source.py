"""The hash of the source a step uses, so that a change of code reruns what depends on it and nothing else.

Snakemake does not see edits of imported modules. Imports are followed through the syntax tree, at any depth, inside this
package only; comments, docstrings and layout do not count.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


@cache
def source_digest(*modules: str) -> str:
    """Short SHA-256 over the syntax trees of modules and of all package modules they import.

    Args:
        modules: dotted names, e.g. ``crossmod.train``.

    Raises:
        ModuleNotFoundError: if a module does not exist.
    """
    files: set[Path] = set()
    for module in modules:
        _follow(_file(module), files)
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(PACKAGE)}\n{_code(path)}\n".encode())
    return digest.hexdigest()[:12]


def _follow(path: Path, files: set[Path]) -> None:
    if path in files:
        return
    files.add(path)
    first = len(files) == 1
    for name in _imports(path, everywhere=first or path.name != "__init__.py"):
        _follow(_file(name), files)


@cache
def _imports(path: Path, everywhere: bool) -> tuple[str, ...]:
    """Package modules that a file imports; of an ``__init__`` on the way, only what importing it loads."""
    tree = _tree(path)
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    names: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(name for name in names if name.split(".")[0] == PACKAGE.name and _exists(name))


def _exists(name: str) -> bool:
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


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _code(path: Path) -> str:
    tree = _tree(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
