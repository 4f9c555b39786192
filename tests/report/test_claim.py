import copy
import json
import re
import shutil
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest

from crossmod.job import UserError
from crossmod.report.claim import PAPER, SECTIONS, STATUSES, Item, as_markdown, as_table, claim, summary
from crossmod.report.results import Results
from crossmod.report.sections import SECTIONS as SHOWN
from crossmod.report.tables import Table


def by_number(results: Results) -> dict[int, Item]:
    return {item.number: item for item in claim(results)}


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def filled(results) -> dict[int, Item]:
    return by_number(results)


@pytest.fixture
def copied(folder, study, tmp_path):
    """The tables of the study, to be changed; without the sites in ``without``, and with other sources of cohorts."""

    def make(without: tuple[str, ...] = (), sources: dict[str, str] | None = None) -> Results:
        root = tmp_path / "results" / "renal_real" / "smoke"
        for step in ("analyse", "split", "cohort"):
            shutil.copytree(folder / step, root / step, ignore=shutil.ignore_patterns("*.nii.gz"))
        for path in (root / "analyse").glob("*.csv"):
            table = pd.read_csv(path, keep_default_na=False, dtype=str)
            if "site" in table:
                table[~table["site"].isin(without)].to_csv(path, index=False)
        notes = json.loads((root / "analyse" / "notes.json").read_text())
        flags = {site: flag for site, flag in notes["simulated"].items() if site not in without}
        if sources:
            flags = {site: study["sites"][site]["cohort"] not in sources and flag for site, flag in flags.items()}
        skipped = [row for row in notes["skipped"] if row["site"] not in without]
        edit_json(root / "analyse" / "notes.json", simulated=flags, skipped=skipped, subsets={})
        splits = json.loads((root / "split" / "splits.json").read_text())
        for arm in splits["arms"].values():
            arm["sites"] = {site: cases for site, cases in arm["sites"].items() if site not in without}
        (root / "split" / "splits.json").write_text(json.dumps(splits))
        changed = copy.deepcopy(study)
        changed["sites"] = {site: about for site, about in study["sites"].items() if site not in without}
        for cohort, source in (sources or {}).items():
            edit_json(root / "cohort" / cohort / "cohort.json", source=source, simulated=False)
            changed["cohorts"][cohort] |= {"source": source, "title": ""}
        return Results(root, changed)

    return make


def test_all_items_in_the_order_of_the_paper(filled):
    assert list(filled) == list(range(1, 45))
    assert [item.section for item in filled.values()] == [name for name, topics in SECTIONS.items() for _ in topics]
    assert {item.status for item in filled.values()} <= set(STATUSES)
    assert len({item.topic for item in filled.values()}) == 44


def test_every_item_says_something_whole(filled):
    for item in filled.values():
        assert item.text.endswith(".") and len(item.text) > 40, item
        assert not re.search(r"\bNone\b|\bnan\b|[{}]|\.\.|  ", item.text.replace("{pure, mixed}", "both")), item
        assert (item.status == "authors") == (item.where == ""), item


def test_places_exist(filled, folder):
    template = resources.files("crossmod.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    sections = {*re.findall(r'<section id="([a-z]+)"', template), *SHOWN}
    places = {item.where for item in filled.values()} - {""}
    assert {place[1:] for place in places if place.startswith("#")} <= sections
    assert all((folder / place).is_file() for place in places if not place.startswith("#"))


def test_what_must_be_added_is_said(filled):
    for item in filled.values():
        if item.status == "partly":
            assert re.search(r"authors must|run the step", item.text), item
        if item.status == "reported":
            assert "authors" not in item.text, item


def test_a_mixed_run_says_what_holds_of_each(filled):
    for number in (5, 7, 8, 11, 13, 14, 15, 16, 17, 18, 33, 34, 35, 43):
        assert "Simulated patients" in filled[number].text and "Real scans" in filled[number].text, number
        assert filled[number].status in ("partly", "authors"), number
    assert (
        "exact by construction" in filled[14].text and "(mr_real: liver, kidney, spleen): label maps" in filled[14].text
    )
    assert "Simulated patients, except at Real MR (CHAOS)" in filled[37].text


def test_simulated_patients_need_no_consent_and_no_annotators(copied):
    items = by_number(copied(without=("mr_real",)))
    assert {n for n, item in items.items() if item.status == "not applicable"} == {5, 8, 11, 16, 17, 18, 27, 31, 34}
    assert all(items[number].status == "reported" for number in (7, 13, 14, 15, 35, 36))
    assert "Real scans" not in " ".join(item.text for item in items.values())
    assert items[33].status == "partly" and "scanner is simulated too" in items[33].text
    assert "without a clinical claim" in items[6].text and "no statement about practice" in items[41].text


def test_real_patients_leave_more_to_the_authors(copied, folder):
    items = by_number(copied(sources={"ct": "kits23", "mr": "folder", "ct_external": "amos22"}))
    text = " ".join(item.text for item in items.values())
    assert "imulated" not in text and "Scans of a public set" in text and "KiTS23" in items[7].text
    assert all(items[number].status == "authors" for number in (15, 16, 17, 18))
    assert items[8].status == "partly" and "criteria" in items[8].text
    assert "pseudonyms" in items[11].text
    assert "secondary analysis" in items[34].text and items[34].status == "authors"
    assert "recipe" not in items[13].text and "not on record" in items[13].text


def test_only_public_sets_are_a_secondary_analysis(copied):
    sources = {"ct": "kits23", "mr": "chaos", "ct_external": "amos22", "mr_real": "totalsegmentator"}
    items = by_number(copied(sources=sources))
    assert items[34].status == "not applicable" and items[5].status == "reported" == items[33].status
    assert items[7].status == "partly" and "TotalSegmentator" in items[7].text and "licence" in items[7].text


def test_voxel_sizes_of_real_scans_are_those_on_record(copied):
    results = copied()
    facts = pd.DataFrame({"spacing_x_mm": [1.2, 1.4], "spacing_y_mm": [1.2, 1.4], "spacing_z_mm": [7.7, 7.7]})
    facts.to_csv(results.root / "cohort" / "mr_real" / "facts.csv", index=False)
    assert "voxels of 1.2 to 1.4 × 1.2 to 1.4 × 7.7 mm" in by_number(results)[13].text


def test_facts_come_from_the_config(results, study, filled):
    changed = copy.deepcopy(study)
    changed["stages"]["kidney"] |= {"steps": 98765, "overlap": 0.875}
    changed["training"]["optimiser"]["lr"] = 0.0123
    changed["analyse"] |= {"alpha": 0.0321, "correction": "bonferroni", "confidence": 0.87}
    changed["normalisation"]["ct_window_hu"] = [-111.0, 222.0]
    changed["model"]["channels"] = [7, 77]
    changed["seeds"] = [41]
    changed["cohorts"]["ct"] |= {"seed": 5555, "recipe": {"modality": "CT", "ct": {"noise_hu": 23.5}}}
    other = by_number(Results(results.root, changed))
    facts = {
        **{25: "98765 (kidney)", 22: "0.875 (kidney)", 9: "−111 to 222 HU", 24: "seed 41"},
        **{29: "α = 0.0321", 37: "87 % interval", 7: "seed 5555", 13: "noise_hu 23.5"},
    }
    for number, fact in facts.items():
        assert fact in other[number].text and fact not in filled[number].text, number
    assert "0.0123" in other[25].text and "Bonferroni" in other[29].text and "channels (7, 77)" in other[22].text


def test_hypotheses_of_the_config_are_told(results, study):
    changed = copy.deepcopy(study)
    declared = study["analyse"]["hypotheses"]
    changed["analyse"] |= {"hypotheses": {"units": declared["units"][:2], "curves": declared["curves"]}}
    item = by_number(Results(results.root, changed))[4]
    assert item.status == "reported"
    assert "rm_anova, pairwise (on units); savings (on curves); SHA-256" in item.text
    assert f"SHA-256 {results.record['plan_sha256']}." in item.text


def test_no_hypothesis_is_said(results, study):
    changed = copy.deepcopy(study)
    changed["analyse"]["hypotheses"] = {}
    item = by_number(Results(results.root, changed))[4]
    assert item.status == "partly" and "declares no hypothesis" in item.text and "SHA-256" not in item.text


@pytest.mark.parametrize(("shared", "status"), [(0, "reported"), (None, "partly")])
def test_partitions_are_apart_only_where_the_audit_says_so(copied, shared, status):
    results = copied()
    if shared is not None:
        rows = {"arm": ["a", "b"], "site": ["mr", "ct"], "shared_patients": [0, shared], "shared_images": [0, 0]}
        pd.DataFrame(rows).to_csv(results.root / "split" / "audit.csv", index=False)
    item = by_number(results)[20]
    assert item.status == status
    expected = "run the step split" if shared is None else f"2 pairs of training set and site: {shared} shared patients"
    assert expected in item.text


def test_seeds_make_it_robust(copied, filled):
    assert filled[30].status == "partly" and "trained once" in filled[30].text and "trained once" in filled[40].text
    results = copied()
    seeds = {arm: [0, 1, 2] for arm in results.arms}
    edit_json(results.root / "analyse" / "notes.json", seeds=seeds)
    items = by_number(results)
    assert items[30].status == "reported" and "3 seeds" in items[30].text and "trained once" not in items[40].text
    assert "26 networks were trained" in filled[25].text and "networks were" not in items[25].text, (
        "no predictions, no count"
    )


def test_without_external_data_the_authors_must_speak(copied):
    items = by_number(copied(without=("mr_real", "ct_external")))
    assert items[33].status == "authors" and "external data must be added" in items[33].text
    assert items[32].status == "reported"


def test_without_internal_data_the_item_does_not_apply(copied):
    assert by_number(copied(without=("mr", "ct")))[32].status == "not applicable"


def test_what_is_missing_is_counted(copied, filled):
    assert "left out of tests: 0 (" in filled[12].text and "Of 24 cases, 24 have a reference" in filled[10].text
    results = copied()
    path = results.root / "cohort" / "ct_external" / "cases.csv"
    cases = pd.read_csv(path)
    cases.loc[0, ["label", "age"]] = None
    cases.loc[:1, "sex"] = "unknown"
    cases.to_csv(path, index=False)
    notes = {"dropped": 5, "skipped": [{"site": "ct", "target": "kidney"}]}
    edit_json(results.root / "analyse" / "notes.json", **notes)
    items = by_number(results)
    assert "Sex is unknown in 2 and age in 1 of 24" in items[12].text
    assert "left out of tests: 5 (" in items[12].text
    assert "Internal CT (simulated) has no scores of kidney" in items[12].text
    assert "Of 24 cases, 23 have a reference" in items[10].text
    assert "ct_external: 3 patients, 3 cases, 2 with a reference, 3 used" in items[35].text
    assert "1 female (2 unknown)" in items[36].text or "0 female (2 unknown)" in items[36].text


def test_scores_are_those_of_the_tables(results, filled, folder):
    csv = pd.read_csv(folder / "analyse" / "dsc.csv", keep_default_na=False)
    kidney = csv[(csv["metric"] == "dsc") & (csv["target"] == "kidney") & csv["arm"].isin(results.deployed["arm"])]
    assert len(kidney) == 8
    for row in kidney.itertuples():
        expected = f"{row.arm} {float(row.mean):.3f} ({float(row.ci_low):.3f}–{float(row.ci_high):.3f})"
        assert expected in filled[37].text
    volumes = pd.read_csv(folder / "analyse" / "volumes.csv")
    volumes = volumes[volumes["arm"].isin(results.deployed["arm"]) & (volumes["region"] == "predicted_box")]
    for _, here in volumes.groupby("target"):
        assert f"{here['mean_difference'].max():+.1f} ml".replace("-", "−") in filled[38].text


def test_failures_are_those_of_the_scores(results, filled, copied):
    scores = results.table("scores")
    kept = scores[scores["arm"].isin(results.deployed["arm"]) & (scores["region"] != "reference_box")]
    assert f"0 of {len(kept)} scores end to end are a DSC of 0, 0 of them" in filled[39].text
    worst = kept[kept["target"] == "kidney"]["dsc"].min()
    assert f"kidney {worst:.3f} (" in filled[39].text
    changed = copied()
    path = changed.root / "analyse" / "scores.csv"
    table = pd.read_csv(path)
    rows = table.index[table["arm"].isin(results.deployed["arm"]) & (table["region"] == "predicted_box")][:2]
    table.loc[rows, "dsc"] = 0.0
    table.loc[rows[0], "hd95_mm"] = float("inf")
    table.loc[rows[0], "volume_predicted_ml"] = 0.0
    table.to_csv(path, index=False)
    text = by_number(changed)[39].text
    assert f"2 of {len(kept)} scores end to end are a DSC of 0, 1 of them with an empty mask" in text


def test_a_mean_that_is_absent_shows_its_reason(copied, results):
    changed = copied()
    path = changed.root / "analyse" / "dsc.csv"
    table = pd.read_csv(path)
    lost = (table["arm"] == results.deployed["arm"].iloc[0]) & (table["metric"] == "dsc") & (table["site"] == "ct")
    table.loc[lost, ["mean", "ci_low", "ci_high"]] = None
    table["note"] = table["note"].astype(object).where(~lost, "undefined in every unit")
    table.to_csv(path, index=False)
    assert "– (undefined in every unit)" in by_number(changed)[37].text


def test_without_volumes_the_item_does_not_apply(copied):
    results = copied()
    path = results.root / "analyse" / "volumes.csv"
    pd.read_csv(path).iloc[:0].to_csv(path, index=False)
    assert by_number(results)[38].status == "not applicable"


def test_patients_of_each_partition(filled, folder):
    cases = pd.read_csv(folder / "cohort" / "mr" / "cases.csv")
    text = f"validation Internal MR (simulated): 12 patients, {(cases['sex'] == 'female').sum()} female"
    assert text in filled[36].text
    assert "training ct3+mrA006: 9 patients" in filled[36].text and "training ct3+mrB006: 9" in filled[36].text


def test_missing_numbers_are_a_limit(copied):
    results = copied()
    rows = [{"table": name, "where": "mr", "reason": reason} for name, reason in (("a.csv", "x"), ("a.csv", "y"))]
    edit_json(results.root / "analyse" / "notes.json", untested=rows, independence=["kidneys of one patient"])
    text = by_number(results)[40].text
    assert "numbers are missing from a.csv, each" in text and "; kidneys of one patient;" in text


def test_limits_name_small_real_sites_and_the_scale(results, study, filled):
    assert "Real MR (CHAOS) has 3 patients only" in filled[40].text and "scale smoke" in filled[40].text
    larger = by_number(Results(results.root, study | {"scale": "laptop"}))
    assert "scale smoke" not in larger[40].text


def test_the_table_for_the_page(filled):
    items = list(filled.values())
    table = as_table(items)
    assert isinstance(table, Table) and table.columns == ["Item", "Topic", "Status", "Where and what"]
    assert [row[0].text for row in table.rows] == [str(n) for n in range(1, 45)]
    assert all(row[-1].detail == item.where for row, item in zip(table.rows, items, strict=True))
    assert PAPER in table.caption and table.to_frame().shape == (44, 4)


def test_the_summary_counts_every_item_once(filled):
    items = list(filled.values())
    numbers = [int(n) for n in re.findall(r"\d+", summary(items))]
    assert numbers[0] == 44 == sum(numbers[1:])
    assert numbers[1:] == [sum(item.status == status for item in items) for status in STATUSES]


def test_the_file_for_a_submission(filled):
    text = as_markdown(list(filled.values()))
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) == 44 and all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert text.count("\n## ") == len(SECTIONS) and PAPER in text
    assert "[#methods](index.html#methods)" in text and "[split/splits.json](../split/splits.json)" in text


def test_text_cannot_break_the_file():
    item = Item(1, "Section", "Topic", "reported", "a | b <b>*bold*</b>\n[c](d) `e` \\", "")
    row = as_markdown([item]).splitlines()[-1]
    assert r"a \| b \<b>\*bold\*\</b> \[c](d) \`e\` \\" in row


def test_the_same_results_give_the_same_items(results, filled):
    assert claim(Results(results.root, results.study)) == list(filled.values())


def test_without_a_config_it_is_refused(folder):
    with pytest.raises(UserError, match="config of the study"):
        claim(Results(folder))


@pytest.mark.parametrize(
    "lost", ["analyse/notes.json", "analyse/dsc.csv", "split/splits.json", "cohort/mr/cohort.json"]
)
def test_a_missing_file_is_named(copied, lost):
    results = copied()
    (results.root / lost).unlink()
    with pytest.raises(UserError, match=Path(lost).name):
        claim(results)
