"""pyproject.toml, the lock and environment.yml agree, so that pip, uv and conda users run the same versions."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def locked(root):
    lines = [line for line in (root / "requirements.lock").read_text().splitlines() if line.strip()]
    return [Requirement(line) for line in lines]


def test_every_line_of_the_lock_pins_one_version(locked):
    for requirement in locked:
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement


def test_every_package_but_torch_has_its_hashes(root, locked):
    """torch is each machine's own build: what PyPI has of it says nothing."""
    text = (root / "requirements.sha256").read_text()
    hashed = [Requirement(line.rstrip("\\ ")) for line in text.splitlines() if "==" in line]
    assert sorted(map(str, hashed)) == sorted(str(one) for one in locked if one.name != "torch")
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\S)", text.strip()))
    assert "requirements.sha256" in (root / "Makefile").read_text()


def test_the_lock_holds_what_the_project_asks_for(project, locked):
    asked = [Requirement(text) for text in project["project"]["dependencies"] + project["dependency-groups"]["dev"]]
    pinned = {}
    for requirement in locked:
        pinned.setdefault(canonicalize_name(requirement.name), []).append(str(requirement.specifier).removeprefix("=="))
    for requirement in asked:
        versions = pinned.get(canonicalize_name(requirement.name))
        assert versions, f"{requirement.name} is not in requirements.lock: run `make lock`"
        assert all(requirement.specifier.contains(version) for version in versions), (requirement, versions)


# Started as programs, or loaded by another package that finds them.
NOT_IMPORTED = {"ipykernel", "snakemake"}


def test_the_package_declares_what_it_imports_and_no_more(root, project):
    declared = {canonicalize_name(Requirement(text).name) for text in project["project"]["dependencies"]}
    files = (root / "src").rglob("*.py")
    names = {name.split(".")[0] for file in files for name in _imports(file)} - set(sys.stdlib_module_names)
    owners = {name: {canonicalize_name(owner) for owner in packages_distributions().get(name, [])} for name in names}
    undeclared = {name for name, found in owners.items() if name != "crossmod" and not found & declared}
    assert not undeclared, "imported, but only there because another package asks for it"
    unused = declared - NOT_IMPORTED - set().union(*owners.values())
    assert not unused, "declared, but never imported"


def _imports(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


# What would bind those who pass crossmod on, beside pingouin, of which the README tells.
def test_no_further_gpl(locked):
    from importlib.metadata import PackageNotFoundError, metadata

    gpl = set()
    for requirement in locked:
        try:
            about = metadata(requirement.name)
        except PackageNotFoundError:
            continue
        licence = f"{about.get('License-Expression') or about.get('License') or ''}".split("\n")[0]
        if re.search(r"(?<![L])GPL", licence):
            gpl.add(canonicalize_name(requirement.name))
    assert gpl <= {"pingouin", "docutils"}, gpl


def test_nothing_is_installed_beyond_the_lock(root, locked):
    if Path(sys.prefix).resolve() != (root / ".venv").resolve():
        pytest.skip("not the environment that `make env` makes")
    from importlib.metadata import distributions

    known = {canonicalize_name(requirement.name) for requirement in locked}
    installed = {canonicalize_name(found.metadata["Name"]) for found in distributions()}
    extra = {name for name in installed - known if not name.startswith(("nvidia", "cuda", "triton"))}
    assert extra <= {"crossmod", "pip"}, "installed but not pinned"


def test_conda_brings_python_and_pip_the_same_lock(root, project):
    from rattler import MatchSpec, Version, VersionSpec

    environment = yaml.safe_load((root / "environment.yml").read_text())
    specs = [MatchSpec(spec) for spec in environment["dependencies"] if isinstance(spec, str)]
    (python,) = [VersionSpec(str(spec.version)) for spec in specs if str(spec).startswith("python ")]
    lowest = re.search(r"[\d.]+", project["project"]["requires-python"]).group()
    assert python.matches(Version(lowest))
    assert not python.matches(Version("3.10"))
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert "-r requirements.lock" in pip
    assert "-e ." in pip


def test_the_makefile_and_citation_know_the_version(root, project):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert citation["version"] == project["project"]["version"]
    assert citation["license"] == project["project"]["license"]
