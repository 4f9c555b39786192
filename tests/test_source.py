"""A step's hash follows its imports, and only them."""

import json

import pytest

from crossmod import source

FILES = {
    "__init__": "",
    "a/__init__": "def run():\n    import crossmod.b\n    return _half()\n\n\ndef _half():\n    return 0.5\n\n\n"
    "def run_check():\n    import crossmod.e\n",
    "b": "from crossmod.c.one import x\n",
    "c/__init__": (
        "from crossmod.f import z\n\n\ndef run():\n    import crossmod.d\n\n\ndef tool():\n    import crossmod.g\n"
    ),
    "c/one": "x = 1\n",
    **{name: "y = 1\n" for name in "defgh"},
    "nets": "class Net:\n    pass\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "crossmod"
    for name, text in FILES.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(source, "PACKAGE", folder)
    yield folder
    _forget()


def _forget():
    for cached in (source.source_digest, source._places, source._imports, source._file, source._tree, source._dump):
        cached.cache_clear()


def digest(*entries):
    _forget()
    return source.source_digest(*entries or ["crossmod.a:run"])


def changes(package, file, old, new, *entries):
    """Whether an edit of a file changes a hash; the edit is undone."""
    before, path = digest(*entries), package / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    after = digest(*entries)
    path.write_text(text)
    return after != before


def test_deep_lazy_imports_count(package):
    assert changes(package, "c/one.py", "1", "2")


def test_other_steps_do_not_count(package):
    assert not changes(package, "d.py", "1", "2"), "only what another package's own run() imports"
    assert not changes(package, "c/__init__.py", "import crossmod.d", "import crossmod.h")


def test_what_importing_a_package_on_the_way_runs_counts(package):
    assert changes(package, "f.py", "1", "2")
    assert changes(package, "c/__init__.py", "from crossmod.f import z", "z = 3")


def test_a_step_s_function_counts_with_what_it_uses_and_its_neighbours_do_not(package):
    assert changes(package, "a/__init__.py", "return _half()", "return 2 * _half()")
    assert changes(package, "a/__init__.py", "return 0.5", "return 0.4")
    assert not changes(package, "a/__init__.py", "import crossmod.e", "import crossmod.h")
    assert not changes(package, "e.py", "1", "2")
    assert changes(package, "e.py", "1", "2", "crossmod.a:run_check")
    assert changes(package, "e.py", "1", "2", "crossmod.a"), "the whole module"


def test_a_definition_taken_from_a_package_is_followed(package):
    (package / "b.py").write_text("from crossmod.c import tool\n")
    assert changes(package, "g.py", "1", "2")
    assert not changes(package, "d.py", "1", "2")


def test_a_package_taken_by_name_counts_whole(package):
    for text in ("import crossmod.c\n", "from crossmod import c\n", "from crossmod.c import *\n"):
        (package / "b.py").write_text(text)
        assert changes(package, "d.py", "1", "2"), text


def test_comments_docstrings_and_layout_do_not_count(package):
    assert not changes(package, "c/one.py", "x = 1\n", '"""Said better."""\n\n# Why one?\nx = (1)\n')
    assert not changes(package, "a/__init__.py", "def run():\n", 'def run():\n    """Said."""\n')


def test_what_does_not_exist_is_refused():
    with pytest.raises(ModuleNotFoundError, match="crossmod.nothing"):
        source.source_digest("crossmod.nothing")
    with pytest.raises(AttributeError, match="crossmod.train defines no walk"):
        source.source_digest("crossmod.train:walk")


def test_a_notebook_s_code_is_what_its_cells_import(package, tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["import crossmod.h"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "from crossmod.c import one"]},
        {"cell_type": "code", "source": "import json\nif one:\n    import crossmod.e as e\n"},
    ]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}))
    entries = source.imports_of_notebook(tmp_path / "n.ipynb")
    for file, counts in {"e.py": True, "c/one.py": True, "f.py": True, "d.py": False, "h.py": False}.items():
        assert changes(package, file, "1" if "1" in (package / file).read_text() else "", "2", *entries) is counts, file


def test_networks_and_optimisers_that_settings_name_are_found():
    settings = {
        "model": {"_target_": "crossmod.nets.Net", "_other": "crossmod.x.Y"},
        "training": [{"loss": {"_target_": "monai.losses.DiceLoss"}}, {"again": {"_target_": "crossmod.nets.Net"}}],
    }
    assert source.targets_in(settings) == ("crossmod.nets",)


def test_every_notebook_sees_the_modules_it_draws_with(root):
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        assert source.source_digest(*source.imports_of_notebook(path))
    third = source.imports_of_notebook(root / "notebooks/03_comparison.ipynb")
    assert "crossmod.report.forest:*" in third


def test_every_step_of_the_command_line_is_an_entry():
    from crossmod.cli import STEPS

    for module, function, _ in STEPS.values():
        assert source.source_digest(f"{module}:{function}")
