import pytest

from crossmod.design.arms import arms
from crossmod.job import UserError
from crossmod.report.results import Results


def test_orders_are_those_of_the_design(results, study):
    assert results.arms == [arm.name for arm in arms(study)]
    assert results.sites == list(study["sites"])
    assert results.targets == list(study["targets"])
    assert results.table("scores")["arm"].cat.categories.tolist() == results.arms


def test_without_config_the_tables_give_the_order(folder, results):
    bare = Results(folder)
    assert (bare.arms, bare.sites, bare.targets) == (results.arms, results.sites, results.targets)
    assert bare.site_title("ct_external") == "ct external (simulated)"


def test_deployed_are_the_mixed_arms_with_most_patients(results):
    assert results.deployed["strategy"].unique().tolist() == ["mixed"]
    assert results.deployed["subset"].tolist() == ["A", "B"]
    assert results.deployed["amount"].unique().tolist() == [6]


def test_simulated_says_so(results, edit):
    assert results.site_title("mr") == "Internal MR (simulated)"
    assert results.site_title("mr_real") == "Real MR (CHAOS)"
    assert results.site_name("mr") == "Internal MR (simulated)"
    assert results.simulated and results.provenance == "Simulated patients, except at Real MR (CHAOS)."
    every = edit("notes.json", lambda notes: notes | {"simulated": dict.fromkeys(notes["simulated"], True)})
    assert every.provenance == "All patients are simulated."
    assert every.site_name("mr") == "Internal MR"
    none = edit("notes.json", lambda notes: notes | {"simulated": dict.fromkeys(notes["simulated"], False)})
    assert not none.simulated and none.provenance == "Real patients."


def test_a_missing_table_names_its_step(tmp_path):
    with pytest.raises(UserError, match="run the step 'analyse'"):
        _ = Results(tmp_path).arms


def test_ids_stay_text(edit):
    def rename(table):
        return table.assign(case=["007" if case == "mr000" else "NA" for case in table["case"]])

    cases = set(edit("scores.csv", rename).table("scores")["case"])
    assert cases == {"007", "NA"}


def test_what_another_study_shares_is_found_there_and_linked(tmp_path):
    """Sites that are added have their own results; the rest lies in the folder of the study they are added to."""
    from crossmod.report.provenance import link

    own, other = tmp_path / "renal_real/smoke", tmp_path / "renal/smoke"
    for folder, names in (
        (own, ["analyse/dsc.csv", "split/splits.json"]),
        (other, ["evaluate/a b.csv", "split/splits.json"]),
    ):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    found = Results(own, {"adds_to": "renal"})
    assert found.place("split/splits.json") == own / "split/splits.json"
    assert found.place("evaluate/a b.csv") == other / "evaluate/a b.csv"
    assert link(found, "analyse/dsc.csv", "").href == "../analyse/dsc.csv"
    assert link(found, "evaluate/a b.csv", "").href == "../../../renal/smoke/evaluate/a%20b.csv"
    assert link(found, "evaluate/gone.csv", "").href == ""
    assert Results(own, {"adds_to": None}).place("evaluate/a b.csv") == own / "evaluate/a b.csv"


def test_hidden_files_of_other_programs_are_not_linked(tmp_path):
    """Snakemake leaves a note in every folder that a job makes; a job that is repeated by hand leaves none."""
    from crossmod.report.provenance import steps

    (tmp_path / "analyse").mkdir()
    for name in (".snakemake_timestamp", "dsc.csv"):
        (tmp_path / "analyse" / name).touch()
    names = [link.text for link in steps(Results(tmp_path, {"adds_to": None, "cohorts": {}}))]
    assert names[-1] == "dsc.csv"
    assert ".snakemake_timestamp" not in names
