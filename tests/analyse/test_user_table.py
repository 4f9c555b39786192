"""Anyone's table of scores: read right, or refused with case, column and cell; never a row in doubt."""

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from crossmod.analyse.command import analyse_table
from crossmod.analyse.plan import AnalysisPlan
from crossmod.analyse.user_table import read_table
from crossmod.cli import app
from crossmod.job import UserError

PLAN = {
    **{"title": "does mixed help", "outcome": "dsc", "subject": ["case"], "cluster": "patient"},
    "levels": {"arm": ["pure", "mixed"]},
    "hypotheses": [
        {"name": "paired", "test": "pairwise", "within": "arm"},
        {
            **{"name": "not-worse", "test": "noninferiority", "within": "arm"},
            **{"a": "mixed", "b": "pure", "margin": 0.01},
        },
    ],
}
SMALL = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def scores() -> pd.DataFrame:
    """Two arms on 24 cases of 12 patients."""
    rng = np.random.default_rng(0)
    pure = 0.9 + 0.03 * rng.standard_normal(24)
    mixed = pure + 0.012 + 0.01 * rng.standard_normal(24)
    rows = [
        (f"{n + 1:03d}", f"MRN{n // 2 + 1:02d}", arm, round(float(values[n]), 4))
        for n in range(24)
        for arm, values in (("pure", pure), ("mixed", mixed))
    ]
    return pd.DataFrame(rows, columns=["case", "patient", "arm", "dsc"])


SCORES = scores()
CSV = SCORES.to_csv(index=False)


def plan_of(**changes) -> dict:
    return PLAN | changes


@pytest.fixture
def read(tmp_path):
    """Read a table, given as text, bytes or frame, by a plan."""

    def read(table=CSV, **changes) -> pd.DataFrame:
        text = table.to_csv(index=False) if isinstance(table, pd.DataFrame) else table
        (tmp_path / "scores.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        return read_table(tmp_path / "scores.csv", AnalysisPlan.model_validate(plan_of(**changes)))

    return read


def cell(value: str, row: int = 3, column: str = "dsc") -> pd.DataFrame:
    table = SCORES.astype(object)
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    "table",
    [
        "﻿" + CSV,
        CSV.encode("utf-16"),
        SCORES.to_csv(index=False, sep=";", decimal=","),
        SCORES.to_csv(index=False, sep="\t", decimal=","),
        SCORES.to_csv(index=False, sep=";"),
        "sep=;\r\n" + SCORES.to_csv(index=False, sep=";", decimal=","),
        SCORES.to_csv(index=False, quoting=1),
        SCORES.to_csv(),
        CSV.replace(",", " , "),
        CSV.replace("\n", "\r\n") + ",,,\r\n",
        CSV.replace("\n", ",\n"),
    ],
    ids=[
        "bom",
        "utf16",
        "decimal-comma",
        "tabs",
        "semicolons",
        "sep=",
        "quotes",
        "index",
        "blanks",
        "empty-rows",
        "tail",
    ],
)
def test_tables_of_spreadsheets_are_read_as_the_plain_one(read, table):
    pd.testing.assert_frame_equal(read(table)[list(SCORES)], read(CSV))


@pytest.mark.parametrize("value", ["#DIV/0!", "-", "−0.01", "91.2%", "n/a", "0.9 0.8", "[/]", "#N/A", "1_0", "1e308"])
def test_a_cell_that_is_no_number_is_named_with_case_arm_and_column(read, value):
    with pytest.raises(UserError) as error:
        read(cell(value))
    for part in ("line 5", "case '002'", "arm 'mixed'", f"dsc {value!r}"):
        assert part in str(error.value)
    assert "MRN" not in str(error.value)


@SMALL
@given(row=st.integers(0, len(SCORES) - 1), value=st.text("abc#/−%[]~", min_size=1, max_size=6))
def test_any_one_cell_that_is_no_number_is_named(read, row, value):
    with pytest.raises(UserError) as error:
        read(cell(value, row))
    for part in (f"line {row + 2} ", f"case '{SCORES.case[row]}'", f"arm '{SCORES.arm[row]}'", f"dsc {value!r}"):
        assert part in str(error.value)


@pytest.mark.parametrize("value", ["0,91", "1.234,5", "1,234.5"])
def test_two_decimal_marks_are_refused_with_case_column_and_cell(read, value):
    with pytest.raises(UserError) as error:
        read(cell(value))
    assert f"line 5 (case '002', arm 'mixed') has dsc {value!r}" in str(error.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("91.2", "fractions and per cent side by side: line 5 .*has '91.2', while line 2"),
        ("-0.3", "lies between 0 and 1.*line 5 .*'-0.3'"),
        ("912", "lies between 0 and 1.*line 5"),
        ("inf", "lies between 0 and 1.*line 5 .*'inf'"),
        ("=1+1", "line 5: the cell of 'dsc' would be run as a formula"),
    ],
)
def test_overlaps_that_cannot_be_are_refused(read, value, message):
    with pytest.raises(UserError, match=message):
        read(cell(value))


def test_per_cent_in_all_rows_is_a_scale_of_its_own(read):
    claim = PLAN["hypotheses"][1] | {"margin": 1}
    assert read(SCORES.assign(dsc=100 * SCORES.dsc), hypotheses=[claim])["dsc"].max() > 90
    with pytest.raises(UserError, match=r"not-worse: margin is 1, and 'dsc' is between 0 and 1.*e\.g\. 0\.01"):
        read(hypotheses=[claim])
    with pytest.raises(UserError, match=r"not-worse: margin is 0.01, and 'dsc' is in per cent.*e\.g\. 1"):
        read(SCORES.assign(dsc=100 * SCORES.dsc))


@pytest.mark.parametrize(
    ("outcome", "less"), [("hd95", True), ("ASSD_mm", True), ("surface distance", True), ("dice", False)]
)
def test_a_claim_knows_which_way_is_better(read, outcome, less):
    table, claim = SCORES.rename(columns={"dsc": outcome}), PLAN["hypotheses"][1] | {"margin": 0.5}
    read(table, outcome=outcome, hypotheses=[claim | {"less_is_better": less}])
    wrong = claim if less else claim | {"less_is_better": True}
    message = f"not-worse: of '{outcome}' {'less' if less else 'more'} is better.*: {str(less).lower()}"
    with pytest.raises(UserError, match=message):
        read(table, outcome=outcome, hypotheses=[wrong])


def test_missing_values_are_empty_and_other_outcomes_may_have_any_range(read):
    assert read(cell(""))["dsc"].isna().sum() == 1
    read(SCORES.assign(dsc=SCORES.dsc - 0.9).rename(columns={"dsc": "dsc_gain"}), outcome="dsc_gain")
    renamed = SCORES.rename(columns={"dsc": "hd95_mm"})
    hypotheses = [PLAN["hypotheses"][0], PLAN["hypotheses"][1] | {"less_is_better": True}]
    read(renamed.assign(hd95_mm=renamed.hd95_mm * 100 - 85), outcome="hd95_mm", hypotheses=hypotheses)


@pytest.mark.parametrize("column", ["patient", "case"])
def test_empty_ids_are_refused_with_their_rows(read, column):
    table = SCORES.copy()
    table.loc[[4, 5], column] = ""
    with pytest.raises(UserError, match=rf"column '{column}' is empty in 2 rows: line 6 .*, line 7") as error:
        read(table)
    assert "MRN" not in str(error.value)


def test_rows_of_means_are_refused(read):
    tail = [{"case": "mean", "patient": "", "arm": arm, "dsc": 0.9} for arm in ("pure", "mixed")]
    with pytest.raises(UserError, match=r"column 'patient' is empty in 2 rows: line 50 \(case 'mean'"):
        read(pd.concat([SCORES, pd.DataFrame(tail)]))
    for name in ("mean", "Total", "std", "Average (n=24)", "MEDIAN", "Overall", "Mittelwert"):
        named = pd.DataFrame([row | {"case": name, "patient": name} for row in tail])
        with pytest.raises(UserError, match="line 50 has case .*looks like a row that sums up the others"):
            read(pd.concat([SCORES, named]))


def test_rows_that_are_not_tested_may_lack_ids(read):
    image = pd.DataFrame([{"case": "001", "patient": "", "arm": "third", "dsc": 0.9}])
    where = [hypothesis | {"where": {"arm": ["pure", "mixed"]}} for hypothesis in PLAN["hypotheses"]]
    read(pd.concat([SCORES, image]), levels={}, hypotheses=where)


def test_doubled_columns_and_rows_are_refused(read):
    with pytest.raises(UserError, match="two columns are called 'dsc'"):
        read(SCORES.assign(x=0.5).to_csv(index=False).replace("dsc,x", "dsc,dsc", 1))
    with pytest.raises(UserError, match="'dsc' and 'Dsc ' have the same name|'dsc' and 'Dsc' have the same name"):
        read(SCORES.assign(x=0.5).to_csv(index=False).replace("dsc,x", "dsc,Dsc ", 1))
    with pytest.raises(UserError, match=r"1 rows repeat an earlier one, the first on line 50 \(as line 6\)"):
        read(pd.concat([SCORES, SCORES.iloc[[4]]]))


@pytest.mark.parametrize("column", ["patient", "case"])
@pytest.mark.parametrize("other", ["ÄX", "äx", "A\u0308x", "Ä x"])
def test_one_name_in_two_writings_is_refused(read, column, other):
    table = SCORES.assign(**{column: "Äx" + SCORES[column]})
    table.loc[3, column] = table.loc[3, column].replace("Äx", other)
    with pytest.raises(UserError, match=f"'{column}' has names that differ only by capitals.*lines [24], 5") as error:
        read(table)
    assert "MRN" not in str(error.value)


@pytest.mark.parametrize("column", ["patient", "case"])
def test_numbers_that_a_spreadsheet_shortened_are_no_names(read, column):
    with pytest.raises(UserError, match=f"line 2: the cell of '{column}' is a number that a spreadsheet shortened"):
        read(SCORES.assign(**{column: "1.23457E+11"}))


def test_names_stay_text_and_patients_are_numbered(read):
    names = {"001": "NA", "002": "1e5", "003": "1.0", "004": "1", "005": "-", "006": "+1", "007": "None"}
    table = read(SCORES.assign(case=SCORES.case.replace(names)))
    assert set(names.values()) <= set(table["case"]) and "008" in set(table["case"])
    assert table["patient"].unique().tolist() == [f"patient-{n:04d}" for n in range(1, 13)]


def test_levels_that_look_like_numbers(read):
    codes = SCORES.assign(arm=SCORES.arm.map({"pure": "01", "mixed": "1"}))
    assert read(codes, levels={}, hypotheses=PLAN["hypotheses"][:1])["arm"].unique().tolist() == ["01", "1"]
    numbers = SCORES.assign(arm=SCORES.arm.map({"pure": "40", "mixed": "120"}))
    first = PLAN["hypotheses"][:1]
    assert read(numbers, levels={"arm": [40, 120]}, hypotheses=first)["arm"].cat.categories.tolist() == [40, 120]
    assert read(numbers, levels={"arm": ["40", "120"]}, hypotheses=first)["arm"].cat.categories.tolist() == [
        "40",
        "120",
    ]
    alike = SCORES.assign(arm=SCORES.arm.map({"pure": "0.5", "mixed": "0.50"}))
    with pytest.raises(UserError, match="column 'arm' has '0.5', '0.50', which are one number"):
        read(alike, levels={}, hypotheses=first)


def test_a_covariate_stays_a_number(read):
    rng = np.random.default_rng(1)
    table = SCORES.assign(age=[f"{value:.1f}" for value in np.repeat(rng.uniform(30, 80, 24), 2)])
    model = [{"name": "m", "test": "mixed_model", "fixed": ["arm", "age"]}]
    assert read(table, hypotheses=model)["age"].dtype == float
    table.loc[3, "age"] = "sixty"
    with pytest.raises(UserError, match=r"line 5 \(case '002', arm 'mixed', age 'sixty'\) has age 'sixty'"):
        read(table, hypotheses=model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": {"arm": ["pure"]}}, "'arm' has levels the plan does not name: 'mixed'"),
        ({"levels": {"arm": [True, False]}}, "The plan names True, False"),
        ({"cluster": "dsc"}, "'dsc' cannot be both a name"),
        ({"outcome": "arm"}, "48 cells of 'arm' are no number that"),
        ({"cluster": "person"}, "no column 'person'; it has case"),
    ],
)
def test_plans_that_do_not_fit_the_table(read, changes, message):
    with pytest.raises(UserError, match=message):
        read(**changes)


def test_the_command_prints_names_as_they_stand_and_no_patient(tmp_path):
    names = {"pure": "[/]", "mixed": "[red]"}
    plan = yaml.safe_load(yaml.safe_dump(PLAN).replace("mixed", "'[red]'").replace("pure", "'[/]'"))
    gone = SCORES.drop(index=SCORES[(SCORES.arm == "mixed") & (SCORES.case != "001")].index)
    gone.assign(arm=gone.arm.map(names)).to_csv(tmp_path / "scores.csv", index=False)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    arguments = [str(tmp_path / "scores.csv"), "--plan", str(tmp_path / "plan.yaml"), "--out", str(tmp_path / "[b]out")]
    done = CliRunner().invoke(app, ["analyse", *arguments])
    assert "Nothing could be tested" in str(done.exception)
    assert "[/]" in done.output and "[red]" in done.output and "[b]out" in done.output
    files = [path.read_text() for path in (tmp_path / "[b]out").rglob("*.csv")]
    assert "MRN" not in done.output + "".join(files)


def test_cases_left_out_are_told(tmp_path):
    cell("").to_csv(tmp_path / "scores.csv", index=False)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    arguments = [str(tmp_path / "scores.csv"), "--plan", str(tmp_path / "plan.yaml"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["analyse", *arguments])
    assert "paired: 1 units or rows without a value are left out" in done.output


@pytest.mark.parametrize("make", [lambda t: "﻿" + CSV, lambda t: SCORES.to_csv(index=False, sep=";", decimal=",")])
def test_the_tests_come_out_the_same(tmp_path, make):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    for name, text in (("plain", CSV), ("other", make(None))):
        (tmp_path / f"{name}.csv").write_text(text)
        analyse_table(tmp_path / f"{name}.csv", tmp_path / "plan.yaml", tmp_path / name)
    row = pd.read_csv(tmp_path / "other/paired.csv").iloc[0]
    assert (row["n"], round(row["mean_difference"], 5)) == (24, -0.01455)
    for path in (tmp_path / "plain").rglob("*.csv"):
        assert path.read_bytes() == (tmp_path / "other" / path.relative_to(tmp_path / "plain")).read_bytes()


def test_a_table_without_a_plan_is_told_what_it_lacks(tmp_path):
    (tmp_path / "scores.csv").write_text(CSV)
    done = CliRunner().invoke(app, ["analyse", str(tmp_path / "scores.csv")])
    assert isinstance(done.exception, UserError) and "name it with --plan" in str(done.exception)
