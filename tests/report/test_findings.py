from crossmod.report.findings import findings
from crossmod.report.lead import lead


def texts(results) -> str:
    return " ".join(finding.text for finding in findings(results))


def test_verdicts_are_counted(results):
    table = results.table("pairwise")
    table = table[table["region"] != "reference_box"]
    greater = (table["verdict"] == "greater").sum()
    assert f"In {len(table)} comparisons" in texts(results)
    assert f"greater in {greater}," in texts(results)


def test_a_lower_verdict_is_named_not_hidden(edit):
    def lower(table):
        table.loc[0, ["verdict", "mean_difference"]] = ["lower", -0.0123]
        return table

    text = texts(edit("pairwise.csv", lower))
    assert "significantly lower in 1." in text
    assert "Lower: Internal MR (simulated), kidney, 2 MR patients (−0.0123)." in text
    assert "never significantly lower" not in text


def test_of_many_lower_verdicts_the_largest_are_named_and_the_others_counted(edit):
    def lower(table):
        rows = table.index[table["region"] != "reference_box"]
        table.loc[rows, "verdict"] = "lower"
        table.loc[rows, "mean_difference"] = [-0.001 * place for place in range(1, len(rows) + 1)]
        return table

    text = texts(edit("pairwise.csv", lower))
    assert "Lower, largest differences first: " in text and " more." in text
    named = text.split("largest differences first: ")[1].split("; and ")[0]
    assert len(named.split("; ")) == 6


def test_untested_comparisons_are_counted(edit):
    def forget(table):
        table.loc[:3, "verdict"] = ""
        return table

    assert "4 comparisons could not be tested" in texts(edit("pairwise.csv", forget))


def test_a_mixed_arm_below_the_bar_is_told(edit):
    def spoil(table):
        bad = (table["strategy"] == "mixed") & (table["site"] == "mr") & (table["target"] == "kidney")
        table.loc[bad & (table["metric"] == "dsc"), "mean"] = 0.5
        return table

    assert "kidney: 18 of 24 (short on Internal MR (simulated))" in texts(edit("dsc.csv", spoil))


def test_ct_alone_against_the_deployed(results):
    table = results.table("dsc").query("metric == 'dsc' and target == 'kidney' and site == 'mr'").set_index("arm")
    mixed = table.loc[results.deployed["arm"], "mean"].mean()
    assert f"{table.loc['ct3', 'mean']:.3f} on Internal MR (simulated) (with 6 MR patients {mixed:.3f})" in texts(
        results
    )


def test_annotation_is_judged_where_the_annotated_pool_is(results):
    (annotation,) = [finding for finding in findings(results) if finding.text.startswith("Annotation")]
    assert "Internal MR" in annotation.text and "CT (simulated)" not in annotation.text
    units = results.table("units").query("site == 'mr' and target == 'kidney'")
    assisted = units.query("strategy == 'mixed' and amount == 2")["dsc"].mean()
    assert f"{assisted:.3f} for CT + MR (mixed) with 2 MR patients" in annotation.text


def test_one_seed_is_a_caution(results, edit):
    assert "trained once" in texts(results)
    several = edit("notes.json", lambda notes: notes | {"seeds": {arm: [0, 1, 2] for arm in notes["seeds"]}})
    assert "trained with 3 seeds" in texts(several)


def test_what_is_missing_is_said(edit):
    short = edit("notes.json", lambda notes: notes | {"dropped": 2, "arms_without_scores": ["mrA002"]})
    assert "no scores for mrA002; 2 entries of units left out" in texts(short)


def test_volumes_verdicts_add_up(edit):
    def judge(table):
        table["verdict"] = "not shown"
        table.loc[table["arm"].str.startswith("ct3+") & (table["site"] == "mr"), "verdict"] = "below margin"
        return table

    assert "in 4 of 12 cells" in texts(edit("volumes.csv", judge))


def test_the_first_paragraph_parts_simulated_from_real_scans(results):
    found, most = lead(results), results.deployed["amount"].max()
    table = results.table("pairwise")
    row = table[(table["at"] == most) & (table["target"] == "kidney") & (table["site"] == "mr_real")].iloc[0]
    difference = f"{row['mean_difference']:+.3f}".replace("-", "−")
    assert found.question.endswith("mean nothing.") and f"with {most} MR patients" in found.question
    assert found.answers["Real scans"].startswith(f"Real MR (CHAOS), kidney {difference} (")
    assert "CHAOS" not in found.answers["Simulated scans"] and "Internal MR, kidney" in found.answers["Simulated scans"]


def test_a_site_that_could_not_be_tested_is_told_apart_from_one_that_was_not_compared(edit):
    def forget(table):
        table.loc[table["site"] == "mr", ["a", "b", "at", "mean_difference", "verdict"]] = None
        return table

    text = lead(edit("pairwise.csv", forget)).answers["Simulated scans"]
    assert "not tested" in text and "Internal MR, scored but not part" not in text
