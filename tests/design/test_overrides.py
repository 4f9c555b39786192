"""What a user writes reaches the config whole, and a mapping of their own replaces what was there."""

import pytest
import yaml
from hypothesis import given as drawn
from hypothesis import strategies as st

from crossmod.design.compose import compose
from crossmod.design.overrides import applied, overrides_from_snakemake, quoted, split
from crossmod.job import UserError

BASE = compose(
    [
        "study=renal_real",
        "scale=smoke",
        *(f"cohorts.mr_real.{key}=x" for key in ("table", "title")),
        "cohorts.mr_real.labels={1: kidney}",
    ]
)


def real(*overrides: str) -> dict:
    """The cohort of real scans after some overrides."""
    return applied(BASE, overrides)["cohorts"]["mr_real"]


def snakemakes(*entries: str) -> list[str]:
    """Overrides from arguments of ``--config``, read by Snakemake's own parser as well."""
    from snakemake.cli import parse_config

    return overrides_from_snakemake(parse_config(list(entries)), list(entries))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.b=1 c=2", ["a.b=1", "c=2"]),
        ("  a.b=1\n   c=2 ", ["a.b=1", "c=2"]),
        ("t='/data/my MR data/cases.csv' c=2", ["t='/data/my MR data/cases.csv'", "c=2"]),
        ('t="/data/my MR data/cases.csv"', ['t="/data/my MR data/cases.csv"']),
        ("t=/data/my MR data/cases.csv c=2", ["t=/data/my MR data/cases.csv", "c=2"]),
        ("t='a=b c=d' c=2", ["t='a=b c=d'", "c=2"]),
        ("l={1: parenchyma, 2: tumour} s=[0, 1]", ["l={1: parenchyma, 2: tumour}", "s=[0, 1]"]),
        ("l={1: 'a } b=1'} s=1", ["l={1: 'a } b=1'}", "s=1"]),
        ("t=/data/O'Brien/x.csv c=2", ["t=/data/O'Brien/x.csv", "c=2"]),
        (r"t='O\'Brien c=1' c=2", [r"t='O\'Brien c=1'", "c=2"]),
        ("t=/a[1]/x.csv ~sites.ct +model.bias=true", ["t=/a[1]/x.csv", "~sites.ct", "+model.bias=true"]),
        ("", []),
    ],
)
def test_one_text_holds_several(text, parts):
    assert split(text) == parts


@pytest.mark.parametrize("text", ["t='/data/x.csv c=2", "l={1: x c=2", "s=[0, 1"])
def test_what_is_not_closed_is_told(text):
    with pytest.raises(UserError, match="is not closed in"):
        split(text)


PATHS = [
    *(
        "/data/my MR data/cases.csv",
        "/data/Müller/Größe.csv",
        "/data/a=b/cases.csv",
        "/data/a,b.csv",
        "/x #3/cases.csv",
    ),
    *(
        "~/cases.csv",
        "C:/x y/c.csv",
        "/data/(old) [1] {2}/c.csv",
        "/data/O'Brien/c.csv",
        '/data/"q"/c.csv',
        "/a: b/c.csv",
        "/数据/c.csv",
    ),
    *("/data/$x & y;z/c.csv", "/data/back\\slash.csv", "/data/trailing\\"),
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_reaches_the_config_whole(path):
    assert real(f"cohorts.mr_real.table={path}")["table"] == path
    assert real(f"cohorts.mr_real.table={quoted(path)}")["table"] == path


@pytest.mark.parametrize("path", PATHS)
def test_through_snakemake_as_well(path):
    """`crossmod config` and `snakemake --config` treat the same text alike."""
    given = snakemakes(f"override=cohorts.mr_real.table={quoted(path)} training.batch=3")
    assert applied(BASE, given)["cohorts"]["mr_real"]["table"] == path
    assert applied(BASE, given)["training"]["batch"] == 3
    bare = snakemakes(f"override=cohorts.mr_real.table={path}")
    assert real(*bare)["table"] == path


@drawn(
    st.text(st.characters(exclude_categories=("C",), exclude_characters="$"), min_size=1).map(str.strip).filter(bool)
)
def test_any_text_in_quotes_comes_back(text):
    overrides = snakemakes(f"override=cohorts.mr_real.title={quoted(text)} seeds=[7]")
    values = applied(BASE, overrides)
    assert (values["cohorts"]["mr_real"]["title"], values["seeds"]) == (text, [7])


def test_text_keys_hold_text_and_others_what_they_say():
    values = applied(BASE, ["title=true", "source=12", "seeds=[1, 2]", "analyse.alpha=1e-3", "training.threads=2"])
    assert (values["title"], values["source"]) == ("true", "12")
    assert (values["seeds"], values["analyse"]["alpha"], values["training"]["threads"]) == ([1, 2], 1e-3, 2)


def test_umlauts_inside_a_list_are_told_with_the_cure():
    with pytest.raises(UserError, match=r"seeds: \[0, ä\] cannot be read .* put every text in quotes"):
        applied(BASE, ["seeds=[0, ä]"])


@pytest.mark.parametrize(
    "override",
    [
        "cohorts.mr_real.labels={2: parenchyma, 5: tumour}",
        "++cohorts.mr_real.labels={2: parenchyma, 5: tumour}",
        "cohorts.mr_real={labels: {2: parenchyma, 5: tumour}}",
        "cohorts={mr_real: {labels: {2: parenchyma, 5: tumour}}}",
    ],
)
def test_labels_replace_what_the_files_say(override):
    """A label value that is left over would be another structure's volume."""
    assert {int(k): v for k, v in real(override)["labels"].items()} == {2: "parenchyma", 5: "tumour"}
    again = real(override, "cohorts.mr_real.labels={3: kidney}")["labels"]
    assert {int(k): v for k, v in again.items()} == {3: "kidney"}
    assert real(override)["table"] == "x", "the rest of the section stays"


def test_labels_replace_through_snakemake_as_well():
    """`a: b` in one text is YAML to Snakemake; and a single pair is not lost."""
    for entry in (
        "override=cohorts.mr_real.labels={2: parenchyma}",
        "override=training.batch=3 cohorts.mr_real.labels={2: parenchyma}",
        "cohorts={mr_real: {labels: {2: parenchyma}}}",
    ):
        labels = real(*snakemakes(entry))["labels"]
        assert {int(k): v for k, v in labels.items()} == {2: "parenchyma"}


def test_one_label_value_can_be_changed():
    assert real("cohorts.mr_real.labels.1=cyst")["labels"] == {"1": "cyst"}


def test_shares_of_protocols_replace_and_sections_merge():
    measure = compose(["study=measure"])
    assert applied(measure, ["cohorts.ct.protocols={ct-plain: 1.0}"])["cohorts"]["ct"]["protocols"] == {"ct-plain": 1.0}
    values = applied(
        BASE, ["training={batch: 4}", "cohorts.ct.recipe={orientation: RAS}", "stages={kidney: {steps: 3}}"]
    )
    assert values["training"]["batch"] == 4
    assert values["training"]["optimiser"] == BASE["training"]["optimiser"]
    assert values["cohorts"]["ct"]["recipe"]["modality"] == "CT"
    assert values["stages"]["kidney"]["patch"] == BASE["stages"]["kidney"]["patch"]


def test_the_base_is_left_as_it_was():
    before = yaml.safe_dump(BASE)
    applied(BASE, ["cohorts.mr_real.labels={2: cyst}", "~sites.ct", "training.batch=7"])
    assert yaml.safe_dump(BASE) == before


def test_a_section_can_be_removed():
    assert "ct" not in applied(BASE, ["~sites.ct"])["sites"]
    with pytest.raises(UserError, match=r"sites\.cd: unknown key; did you mean 'sites\.ct'"):
        applied(BASE, ["~sites.cd"])


def test_snakemakes_config_becomes_overrides():
    entries = [
        "scale=smoke",
        "study=renal",
        "seeds=[0, 1]",
        "training={batch: 4}",
        "title=Kidneys: a study",
        "override=a.b=1 c=2",
    ]
    assert snakemakes(*entries) == [
        *("scale=smoke", "study=renal"),
        *("seeds=[0, 1]", "training={batch: 4}", "title=Kidneys: a study"),
        *("a.b=1", "c=2"),
    ]


def test_override_may_be_given_more_than_once():
    assert snakemakes("override=a.b=1 c=2", "scale=smoke", "override=d=3") == ["scale=smoke", "a.b=1", "c=2", "d=3"]


def test_a_config_file_becomes_overrides_too():
    config = {
        "override": ["a.b=1"],
        "seeds": [0, 1],
        "title": "Größe: x",
        "training": {"batch": 4, "balance": "natural"},
    }
    assert overrides_from_snakemake(config) == [
        "seeds=[0, 1]",
        "title='Größe: x'",
        "training={batch: 4, balance: natural}",
        "a.b=1",
    ]
