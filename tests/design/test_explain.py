"""Every key of a schema is told with its meaning, type, bounds and default, whatever it is made of."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field
from typer.testing import CliRunner

from crossmod.cli import app
from crossmod.design.explain import Key, explained, keys_of, undescribed
from crossmod.design.study import Study
from crossmod.schema import Closed, Number, Whole

Name = Annotated[str, Field(pattern=r"^\w+$")]


class Grid(Closed):
    """A grid of voxels."""

    spacing_mm: tuple[Number, Number] = Field(description="right and front")
    box: tuple[Whole, Number] | None = Field(None, description="mixed")


class Base(Closed):
    """What both say.

    Attributes:
        name: of the test,
            and of its file.
    """

    name: Name


class One(Base):
    """Is it ``one``?

    More of it.
    """

    test: Literal["one"]
    margin: Annotated[float, Field(gt=0)] | None = None


class Two(Base):
    """Is it two?"""

    test: Literal["two"]
    levels: list[Any] = Field(default_factory=list, description="of the factor")


Test = Annotated[One | Two, Field(discriminator="test")]


class Everything(Closed):
    title: Annotated[str, Field(pattern=r"\S")] = Field(description="for readers")
    kind: Literal["a", "b"] | None = Field("b", description="which")
    share: Number = Field(0.5, ge=0, lt=1, description="of patches")
    count: Annotated[Whole, Field(ge=1)] = Field(le=9, description="how many")
    many: Literal[tuple(f"n{number}" for number in range(30))] = Field("n0", description="chosen")  # type: ignore[valid-type]
    grids: dict[Name, Grid] = Field(min_length=1)
    again: Grid
    free: dict[str, Any] = Field(default_factory=dict)
    tests: list[Test] = Field(min_length=1, description="what is tested")
    further: list[Test] = Field(default_factory=list, description="what else is tested")
    condition: bool = Field(alias="if", description="only then")


@pytest.fixture(scope="module")
def keys():
    return {".".join(key.path): key for key in keys_of(Everything)}


@pytest.mark.parametrize(
    ("path", "kind", "default"),
    [
        ("title", "text, not empty", ""),
        ("kind", "a | b or null", "default: b"),
        ("share", "number from 0 below 1", "default: 0.5"),
        ("count", "whole number from 1 to 9", ""),
        ("grids", "NAME → section (at least 1)", ""),
        ("grids.NAME.spacing_mm", "[2 times: number]", ""),
        ("grids.NAME.box", "[whole number, number] or null", "default: null"),
        ("again", "section, as in grids", ""),
        ("free", "any keys and values", "may be left out"),
        ("tests", "list: section, of one kind by its `test` (at least 1)", ""),
        ("tests.each.name", "word", ""),
        ("tests.each.test: one.margin", "number above 0 or null", "default: null"),
        ("tests.each.test: two.levels", "list: any value", "may be left out"),
        ("further", "list: section, of one kind by its `test`, as in tests", "may be left out"),
        ("if", "true or false", ""),
    ],
)
def test_a_key_says_what_it_may_be(keys, path, kind, default):
    assert (keys[path].kind, keys[path].default) == (kind, default)


def test_a_section_is_told_once(keys):
    assert not any(path.startswith(("again.", "further.")) for path in keys)
    assert "tests.each.test: one.name" not in keys, "what all kinds share stands before them"


def test_meanings_come_from_descriptions_and_docstrings(keys):
    assert keys["grids.NAME.spacing_mm"].meaning == "right and front"
    assert keys["grids"].meaning == keys["again"].meaning == "A grid of voxels."
    assert keys["tests.each.name"].meaning == "of the test, and of its file."
    assert keys["tests.each.test: one"] == Key(("tests", "each", "test: one"), meaning="Is it one?")


def test_long_lists_of_choices_are_shortened(keys):
    assert keys["many"].kind.startswith("n0 | n1 | ")
    assert keys["many"].kind.endswith("| n11 | … 18 more")


def test_keys_that_nobody_described_are_named():
    assert undescribed(Everything) == ["free", "tests.each.test: one.margin"]


def test_the_text_is_aligned_indented_and_no_wider_than_the_terminal():
    lines = explained(Everything, width=60).splitlines()
    assert max(map(len, lines)) <= 60
    column = lines[0].index("text, not empty")
    assert lines[1] == " " * column + "for readers"
    (spacing,) = [line for line in lines if "spacing_mm" in line]
    assert spacing.startswith("    spacing_mm") and spacing.index("[2 times") == column


def test_a_user_reads_the_schema_of_a_study():
    said = CliRunner().invoke(app, ["config", "--schema"])
    assert said.exit_code == 0, said.output
    for key in Study.model_fields:
        assert f"\n{key} " in f"\n{said.output}"


def test_every_key_of_a_study_says_what_it_means():
    assert undescribed(Study) == []
