"""The code is as docs/house.md draws it: rooms stand on layers, imports run down, and no step knows a study by name."""

import ast
import re
import shutil
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from crossmod.design.compose import compose
from crossmod.design.overview import drawn, sheets

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "crossmod"
FILES = {".".join(("crossmod", *path.relative_to(SRC).with_suffix("").parts)): path for path in SRC.rglob("*.py")}
MODULES = {name.removesuffix(".__init__"): path for name, path in FILES.items()}

STUDIES = re.compile(r"renal|inversion|liver|spine")
# Rooms of anatomy and of the one product, where organs are meant and not studies.
CONCRETE = ("phantom/", "anatomy/", "weights/", "measure.py", "calibration/")
# File, what stands there, and why it may.
ARGUED = [
    ("cli.py", "volumes of the renal parenchyma", "crossmod measure is a product for kidneys"),
    ("cohort/kits23.py", "renal tumour", "what the public data set shows"),
    ("cohort/amos22.py", "renal tumour", "what the public data set lacks"),
    ("cohort/amos22.py", '6: "liver"', "a label of the public data set"),
    ("cohort/amos22.py", "adrenal_gland", "a label of the public data set"),
    ("cohort/chaos.py", "liver", "labels and patients of the public data set"),
    ("cohort/spider.py", "lumbar spine", "what the public data set shows"),
    ("design/simulated.py", 'alone = "spine"', "a key of simulated populations"),
    ("report/style.py", "axes.spines", "the frame of a figure, as matplotlib calls it"),
    ("report/slices.py", "spine", "the frame of a figure, as matplotlib calls it"),
]
# Where a job may hold the key `study`: a tag that is only written down, and the report, which describes a study.
TOLD_THE_STUDY = [
    '"tags": {"study": SHARED["study"], "scale": SCALE},',
    '{"study": {key: design.published(STUDY)[key] for key in DRAWN}},',
    '{"study": design.published(STUDY)},',
    '{"analyse": ANALYSIS, "study": design.published(STUDY)},',
]


def imported(tree: ast.AST, modules: dict[str, Path] = MODULES) -> Iterator[str]:
    """Modules of the house that a syntax tree imports, at its top or inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from (name for name in [inner if inner in modules else node.module] if name in modules)


def room(module: str) -> str:
    """The folder or file right below src/crossmod that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def layers(text: str) -> dict[str, int]:
    """Room → layer, from the rows ``| 3 | `room` | …`` of a page."""
    rows = re.findall(r"^\| *(\d+) *\| *`(\w+)` *\|", text, re.MULTILINE)
    assert len({name for _, name in rows}) == len(rows), "a room stands on the map twice"
    return {name: int(layer) for layer, name in rows}


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module → the other modules of the house that it imports."""
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
    return {name: set(imported(tree)) - {name} for name, tree in trees.items()}


@pytest.fixture(scope="module")
def between_rooms(imports) -> dict[str, set[str]]:
    """Room → the other rooms that any of its files imports."""
    graph: dict[str, set[str]] = {room(name): set() for name in imports}
    for name, others in imports.items():
        graph[room(name)] |= {room(other) for other in others} - {room(name)}
    return graph


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "house.md").read_text(encoding="utf-8")


def test_imports_inside_functions_are_seen_and_a_circle_is_told():
    tree = ast.parse("from a import b\ndef f():\n    import c\n    from a import word\n")
    modules = dict.fromkeys(("a", "a.b", "c"), Path())
    assert list(imported(tree, modules)) == ["a.b", "c", "a"]
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
    assert circle({"a": {"b"}, "b": set()}) == []


def test_no_files_import_each_other_in_a_circle(imports):
    assert sum(map(len, imports.values())) > 300
    assert circle(imports) == []


def test_no_rooms_import_each_other_in_a_circle(between_rooms):
    assert circle(between_rooms) == []


def test_every_room_is_on_the_map_and_nothing_else(page, between_rooms):
    assert set(layers(page)) == set(between_rooms) - {"crossmod"}
    assert between_rooms["crossmod"] == set(), "the package itself imports nothing"


def test_imports_run_down_the_layers(page, between_rooms):
    layer = layers(page)
    upward = [
        f"{name} (layer {layer[name]}) imports {other} (layer {layer[other]})"
        for name, others in between_rooms.items()
        for other in others
        if layer[other] >= layer[name]
    ]
    assert upward == []


def test_no_step_is_told_a_studys_name():
    found = set()
    for path in sorted([*SRC.rglob("*.py"), *SRC.rglob("*.j2")]):
        place = str(path.relative_to(SRC))
        if place.startswith(CONCRETE):
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            if STUDIES.search(line):
                allowed = {entry for entry in ARGUED if entry[0] == place and entry[1] in line}
                assert allowed, f"{place} knows a study: {line.strip()}"
                found |= allowed
    assert found == set(ARGUED), "an exception that nothing needs"


def test_no_job_is_told_its_study_but_tags_and_the_report():
    rules = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
    told = [line.strip() for text in rules for line in text.splitlines() if re.search(r"\"study\":", line)]
    assert told == TOLD_THE_STUDY
    assert not any(re.search(r"(section|of_stages)\([^)]*\"study\"|\*\*STUDY\b", text) for text in rules)


def test_every_file_that_the_map_names_is_there(page):
    """Names with capitals stand for any name, and ``six`` is the study of its example."""
    named = re.findall(r"`((?:src|workflow|conf|tests|docs|notebooks)/[a-z0-9_/.]+)`", page)
    assert len(named) > 20
    assert [path for path in named if "six" not in path and not (ROOT / path).exists()] == []
    assert max(map(len, page.splitlines())) <= 120


def test_the_study_of_the_map_is_valid_and_has_the_arms_that_it_says(page, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf/study/six.yaml").write_text(
        re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0], encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    study = compose(["study=six"])
    told = re.findall(r"```text\n(.*?)```", page, re.DOTALL)[0]
    compared, *_ = sheets(study)
    assert [line.strip() for line in told.splitlines()[1:] if line.strip()] == [
        line.strip() for line in drawn(compared).splitlines()[1:]
    ]
