"""A step's hash follows its imports, and only them."""

import pytest

from crossmod import source


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "crossmod"
    for name, text in {
        "__init__": "",
        "a/__init__": "def run():\n    import crossmod.b\n",
        "b": "from crossmod.c.one import x\n",
        "c/__init__": "def run():\n    import crossmod.d\n",
        "c/one": "x = 1\n",
        "d": "y = 1\n",
    }.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(source, "PACKAGE", folder)

    def digest():
        for cached in (source.source_digest, source._imports, source._file, source._tree, source._code):
            cached.cache_clear()
        return source.source_digest("crossmod.a")

    yield folder, digest
    digest()


def test_deep_lazy_imports_count(package):
    folder, digest = package
    before = digest()
    (folder / "c/one.py").write_text("x = 2\n")
    assert digest() != before


def test_other_steps_do_not_count(package):
    folder, digest = package
    before = digest()
    (folder / "d.py").write_text("y = 2\n")  # only what another package's own run() imports
    assert digest() == before


def test_comments_docstrings_and_layout_do_not_count(package):
    folder, digest = package
    before = digest()
    (folder / "c/one.py").write_text('"""Said better."""\n\n# Why one?\nx = (1)\n')
    assert digest() == before


def test_unknown_module_is_refused():
    with pytest.raises(ModuleNotFoundError, match="crossmod.nothing"):
        source.source_digest("crossmod.nothing")
