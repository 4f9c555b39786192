"""Reading score files: order, ids, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from crossmod.analyse.design import Design
from crossmod.analyse.scores import read_scores
from crossmod.analyse.stats import IncompleteDesignError
from crossmod.job import UserError

CASES = {"mr": 4, "ct": 3}
CT = {"name": "a", "levels": {"strategy": "ct", "amount": 0, "subset": "none"}}


@pytest.fixture
def rows(study) -> pd.DataFrame:
    return study.rows(CASES)


def read(study, rows: pd.DataFrame, **changes) -> pd.DataFrame:
    job = study.job(rows, **changes)
    return read_scores(job.inputs["scores"], Design.of(job.settings))


def test_rows_stand_in_the_order_of_the_design_whatever_the_order_of_files(study, rows):
    job = study.job(rows)
    design = Design.of(job.settings)
    forward = read_scores(job.inputs["scores"], design)
    backward = read_scores(job.inputs["scores"][::-1], design)
    pd.testing.assert_frame_equal(forward, backward)
    assert list(forward["arm"].unique()) == [arm["name"] for arm in design.arms]
    assert list(forward["site"].unique()) == ["mr", "ct"]
    assert len(forward) == len(rows)


def test_ids_stay_text_and_are_told_apart_between_sites(study, rows):
    rows["case"] = rows["case"].replace({"000": "NA"})
    found = read(study, rows)
    assert {"NA", "001"} <= set(found["case"])
    assert {"mr/NA/both", "ct/NA/both"} <= set(found["subject"])


def test_infinite_and_empty_numbers_are_read(study, rows):
    rows.loc[rows.index[0], "hd95_mm"] = np.inf
    rows.loc[rows.index[1], "dsc"] = np.nan
    found = read(study, rows)
    assert np.isinf(found["hd95_mm"]).sum() == 1
    assert found["dsc"].isna().sum() == 1


def test_duplicates_are_refused_with_their_keys(study, rows):
    twice = pd.concat([rows, rows[(rows.arm == "mrA040") & (rows.site == "ct")].head(1)])
    with pytest.raises(IncompleteDesignError, match=r"1 keys .*mrA040/0/ct/000/both/kidney/image"):
        read(study, twice)


@pytest.mark.parametrize(("column", "value"), [("arm", "ct999"), ("site", "mars"), ("target", "liver"), ("side", "up")])
def test_unknown_names_are_refused(study, rows, column, value):
    rows.loc[0, column] = value
    with pytest.raises(UserError, match=f"unknown {column} '{value}'"):
        read(study, rows)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("dsc", "high", "case '000' has dsc 'high'"),
        ("tumour", "maybe", "tumour 'maybe'"),
        ("patient", "", "line 2 lacks one of"),
    ],
)
def test_unreadable_values_are_refused_with_their_place(study, rows, column, value, message):
    rows[column] = rows[column].astype(object)
    rows.loc[0, column] = value
    with pytest.raises(UserError, match=message):
        read(study, rows)


@pytest.mark.parametrize("name", ["volume_reference_ml", "ellipsoid_ml"])
def test_one_unit_has_one_reference(study, rows, name):
    chosen = rows.index[(rows.site == "ct") & (rows.side == "left")][0]
    rows.loc[chosen, name] *= 1.01
    with pytest.raises(UserError, match=f"{name} differs .*ct/000/left"):
        read(study, rows)


def test_absent_files_and_columns_are_named(study, rows, tmp_path):
    design = Design.of(study.settings())
    with pytest.raises(UserError, match=r"gone\.csv: no such score file"):
        read_scores([tmp_path / "gone.csv"], design)
    with pytest.raises(UserError, match="lists no file"):
        read_scores([], design)
    (tmp_path / "odd.csv").write_text("arm,dsc\n")
    with pytest.raises(UserError, match=r"odd\.csv: no column 'site'"):
        read_scores([tmp_path / "odd.csv"], design)
    study.rows({"ct": 1}).head(0).to_csv(tmp_path / "empty.csv", index=False)
    with pytest.raises(UserError, match="nothing was evaluated"):
        read_scores([tmp_path / "empty.csv"], design)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 5}, "settings.alpha is 5"),
        ({"confidence": 95}, "settings.confidence is 95"),
        ({"reference_error_ml": 12.0}, "reference_error_source"),
        ({"reference_error_ml": -1.0, "reference_error_source": "a paper"}, "must be positive"),
        ({"sites": [{"title": "MR"}]}, "'name'"),
        ({"margin": 3}, "margin"),
        ({"arms": [CT, CT]}, "stands twice"),
        ({"arms": [CT, CT | {"name": "b"}]}, "a and b have the same level of every factor"),
        ({"arms": [{"name": "a", "levels": {"strategy": "ct"}}]}, "a has levels of strategy; the factors are"),
        ({"arms": [{"name": "a", "levels": CT["levels"] | {"strategy": "pt"}}]}, "strategy 'pt', which is no level"),
        ({"metrics": ["ellipsoid_ml"]}, "no score of a model"),
        (
            {"contrast": {"factor": "strategie", "a": "mixed", "b": "pure"}},
            "contrast.factor: .* did you mean 'strategy'",
        ),
        ({"contrast": {"factor": "strategy", "a": "mixd", "b": "pure"}}, "contrast.a: .* did you mean 'mixed'"),
        ({"contrast": {"factor": "strategy", "a": "pure", "b": "pure"}}, "contrast: .*different levels"),
        ({"replicate": "subsets"}, "settings.replicate: no factor is called 'subsets'; did you mean 'subset'"),
        ({"dose": {"factor": "strategy"}}, "dose.factor: the level 'ct' of strategy is no number"),
        ({"dose": {"factor": "amount", "zero": {"strategy": "pure"}}}, "dose.zero: 'pure' is compared"),
        (
            {"dose": {"factor": "amount", "zero": {"strategy": "cd"}}},
            "zero.strategy: .* no level 'cd'; did you mean 'ct'",
        ),
        (
            {"factors": [{"name": "site", "levels": ["a"]}], "arms": []},
            "factors.site: tables have a column of this name",
        ),
        ({"replicate": None}, "hypotheses.replicates: there is no such table without analyse.replicate"),
        ({"dose": None}, "hypotheses.curves: there is no such table without analyse.dose"),
        ({"contrast": None, "dose": None}, "hypotheses.gains: there is no such table without analyse.contrast"),
    ],
)
def test_settings_are_checked(study, changes, message):
    with pytest.raises(UserError, match=message):
        Design.of(study.settings(**changes))
