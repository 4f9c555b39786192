"""Figures of a study of treatments: classes, size, and one patient under every treatment."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from crossmod.report import by_size, chosen, classes, treated
from crossmod.report.figures import scores_by_arm
from crossmod.report.findings import findings
from crossmod.report.lead import lead
from crossmod.report.results import Results
from crossmod.report.rivals import rivals_of
from crossmod.report.sections import sections
from crossmod.report.seen import RIGHT, WRONG, operations_of, seen, subject_of
from crossmod.report.style import MM, PAGE_MM
from crossmod.scans.files import read_scan, write_mask

from . import invented

SIZE = {"name": "epsilon", "test": "size_dependence", "volume": "volume_reference_ml"}
SIZE |= {"each": ["site", "target", "region", "setting", "treatment"]}
INVERTED, PLAIN = "organs-inverted", "organs"
OVERALL = {PLAIN: 0.9, INVERTED: 0.8}  # mean over the classes


def write_masks(root) -> None:
    """Predictions of both arms: one finds everything, the other calls a part of the liver spleen."""
    for arm in invented.ARMS:
        folder = root / "predict" / arm / "seed0" / "mr"
        folder.mkdir(parents=True)
        names = [f"case{number}" for number in range(invented.CASES)]
        for name in names:
            mask = np.asarray(read_scan(root / "cohort" / "mr" / "images" / f"{name}.label.nii.gz").array).copy()
            if arm == PLAIN:
                mask[1][mask[1] == 1] = 2
            write_mask(folder / f"{name}.nii.gz", mask, np.eye(4))
        index = {"case": names, "cohort": "mr", "organs": [f"{name}.nii.gz" for name in names]}
        pd.DataFrame(index).to_csv(folder / "index.csv", index=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory, study) -> Results:
    config = invented.config(study, [*invented.HYPOTHESES, SIZE])
    config |= {"report": {"sections": ["scores", "classes", "comparison", "treatments"], "notebooks": []}}
    root = tmp_path_factory.mktemp("treated") / "results" / "inverted" / "smoke"
    invented.write(root, config)
    write_masks(root)
    cells = [{"arm": arm, "treatment": level, "mean": OVERALL[arm]} for arm, level in invented.ARMS.items()]
    about = {"site": "mr", "region": "image", "group": "organs", "over": "classes", "metric": "dsc", "n": 2, "sd": 0.1}
    about |= {"ci_low": 0.7, "ci_high": 0.95, "note": ""}
    pd.DataFrame([cell | about for cell in cells]).to_csv(root / "analyse" / "classes.csv", index=False)
    return Results(root, config)


@pytest.fixture(scope="module")
def by_class(results):
    (asked,) = classes.shown(results)
    return classes.scores_by_class(results, asked)


@pytest.fixture(scope="module")
def under_treatments(results):
    (asked,) = chosen.shown(results)
    return treated.treatments(results, asked)


def test_every_class_has_a_dot_at_its_mean_for_every_level(by_class, results):
    (axis,) = by_class.figure.axes
    table = results.table("dsc").query("metric == 'dsc'")
    assert [label.get_text() for label in axis.get_yticklabels()] == ["Liver", "Spleen", "All classes"]
    dots = [line for line in axis.lines if line.get_marker() not in ("", "None")]
    expected = {arm: [*table.loc[table["arm"] == arm, "mean"], mean] for arm, mean in OVERALL.items()}
    assert [line.get_xdata() for line in dots] == [pytest.approx(values) for values in expected.values()]
    assert [np.round(line.get_ydata()).tolist() for line in dots] == [[0, 1, 2]] * 2
    legend = [text.get_text() for text in by_class.figure.legends[0].get_texts()]
    assert legend == ["Unprocessed", "Inverted grey levels"]


def test_intervals_of_the_classes_are_those_of_the_table(by_class, results):
    table = results.table("dsc").query("metric == 'dsc' and arm == @INVERTED")
    ends = [tuple(line.get_xdata()) for line in by_class.figure.axes[0].lines if line.get_marker() in ("", "None")]
    assert all((row["ci_low"], row["ci_high"]) in ends for row in table.to_dict("records"))
    assert (0.7, 0.95) in ends, "the mean over classes has its interval over classes"


def test_classes_with_a_figure_of_their_own_are_not_drawn_twice(results):
    assert len(scores_by_arm(results).figure.axes) == 2, "where nothing else is scored they stay"
    some = Results(results.root, results.study)
    some.__dict__["class_groups"] = {"organs": ["liver"]}
    (axis,) = scores_by_arm(some).figure.axes
    assert axis.get_ylabel().startswith("Spleen")


def test_classes_with_a_section_of_their_own_do_not_widen_the_table_of_scores(results):
    found = {section.name: section for section in sections(results)}
    assert not found["scores"].tables, "all targets of this study are classes"
    (table, _) = found["classes"].further["Every class of organs"]
    assert table.columns[1:] == ["Liver", "Spleen"] and len(table.rows) == len(invented.ARMS)


def test_a_hypothesis_that_ran_in_no_cell_leaves_no_table_and_the_page_stands(results, tmp_path):
    root = tmp_path / "results" / "inverted" / "smoke"
    shutil.copytree(results.root, root)
    for name in ("alpha", "beta", "gamma"):
        table = root / "analyse" / f"{name}.csv"
        table.write_text(table.read_text().splitlines()[0] + "\n")
    emptied = Results(root, results.study)
    found = {section.name: section for section in sections(emptied)}
    assert len(found["comparison"].tables) < len(next(s for s in sections(results) if s.name == "comparison").tables)
    assert "not part of this comparison" in " ".join(lead(emptied).answers.values())
    findings(emptied)


def test_marks_of_size_are_the_patients_that_were_tested(results):
    first, second = by_size.shown(results)
    assert (first.name, second.name) == ("size_liver", "size_spleen")
    picture = by_size.score_by_size(results, second)
    table = results.tested(SIZE).query("target == 'spleen'").set_index("treatment")
    scores = results.table("units").query("target == 'spleen'")
    assert len(picture.figure.axes) == 2, "one site, two levels"
    for axis, level in zip(picture.figure.axes, ("unprocessed", "inverted"), strict=True):
        here = scores[scores["treatment"] == level]
        (marks,) = (line for line in axis.lines if line.get_marker() not in ("", "None"))
        assert sorted(marks.get_ydata()) == pytest.approx(sorted(here["dsc"]))
        assert axis.get_xscale() == "log" and "(ml)" in axis.get_xlabel()
        assert axis.texts[0].get_text().replace("−", "-").startswith(f"ρ = {table.loc[level, 'spearman_rho']:.2f}\np ")


def test_the_patient_shown_is_the_middle_one_under_the_level_of_interest(results):
    (asked,) = chosen.shown(results)
    (patient,) = chosen.choose(results, asked)
    scores = results.table("scores").query("arm == @INVERTED").groupby("case")["dsc"].mean().sort_values()
    assert patient.case == scores.index[(invented.CASES - 1) // 2] and patient.site == "mr"
    assert patient.dsc["inverted"] == pytest.approx(scores[patient.case])
    assert list(patient.dsc) == ["unprocessed", "inverted"]


def test_each_treatment_shows_its_own_intensities_in_one_window(under_treatments, results):
    axes = under_treatments.figure.axes
    assert len(axes) == 4, "a slice and a histogram for each of two treatments"
    plain, inverted = (axis.images[0] for axis in axes[:2])
    sums = np.asarray(plain.get_array(), int) + np.asarray(inverted.get_array(), int)
    assert np.unique(sums).size == 1, "the negative: max − x + min"
    assert plain.get_clim() == inverted.get_clim() == tuple(results.study["normalisation"]["ct_window_hu"])
    assert axes[0].get_title().startswith("Unprocessed\nDSC 0.") and "grey levels\nDSC 0." in axes[1].get_title()


def test_histograms_hold_every_voxel_of_body_and_of_air(under_treatments):
    for axis in under_treatments.figure.axes[2:]:
        air, body = (patch.get_data().values for patch in axis.patches if hasattr(patch, "get_data"))
        assert air.sum() == pytest.approx(1) and body.sum() == pytest.approx(1)
        assert re.fullmatch(r"\d+% of body in window", axis.texts[0].get_text())


def test_a_class_taken_for_another_is_wrong(results):
    folders = {arm: results.root / "predict" / arm / "seed0" / "mr" for arm in invented.ARMS}
    subject = subject_of(results, folders[PLAIN], "case0")
    views = {arm: seen(results, subject, arm, folder, "organs").view for arm, folder in folders.items()}
    assert set(np.unique(views[INVERTED].prediction)) <= {0, RIGHT}
    assert ((views[INVERTED].prediction == RIGHT) == (views[INVERTED].reference > 0)).all()
    found, true = views[PLAIN].prediction, views[PLAIN].reference
    assert [(found[true > 0] == code).sum() for code in (RIGHT, WRONG)] == [6, 3], "a third of the liver's slice"
    assert not found[true == 0].any()


def test_an_arm_is_shown_with_the_operations_of_its_level(results):
    assert operations_of(results, INVERTED) == results.study["treatments"]["inverted"]
    assert operations_of(results, PLAIN) == []


@pytest.mark.parametrize("name", ["by_class", "under_treatments"])
def test_captions_say_whose_numbers_these_are(request, name):
    picture = request.getfixturevalue(name)
    assert "Real patients." in picture.caption and re.search(r"\bn\b (= )?\d", picture.caption)
    assert "seed" in picture.caption and len(picture.alt) > 40
    assert picture.figure.get_size_inches()[0] / MM <= PAGE_MM + 1e-6
    texts = [text for axis in picture.figure.axes for text in [*axis.texts, axis.title]]
    assert all(text.get_fontsize() >= 6 for text in texts if text.get_text())


def test_sections_name_the_figures_that_the_notebook_draws(results, root, monkeypatch):
    drawn = set()
    monkeypatch.setattr("crossmod.report.style.publish", lambda picture, folder: drawn.add(picture.name))
    cells = json.loads((root / "notebooks" / "07_treatments.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names = {}
    exec(code[0], names)
    names |= {"results": results.root, "study": results.study}
    for source in code[1:]:
        exec(source, names)
    assert drawn == {"classes_organs", "size_liver", "size_spleen", "treatments_organs"}
    assert drawn <= {figure for section in sections(results) for figure in section.figures}


def test_rivals_differ_in_one_factor_alone(results):
    both = rivals_of(results, "treatment", results.arms)
    assert [list(one.arms.items()) for one in both] == [[("unprocessed", PLAIN), ("inverted", INVERTED)]]
    apart = rivals_of(results, None, results.arms)
    assert [one.name for one in apart] == ["unprocessed", "inverted"]


def test_a_study_without_treatments_has_no_pictures_of_them(results):
    study = results.study | {"factors": {"treatment": {"unprocessed": {}, "inverted": {}}}}
    assert chosen.shown(Results(results.root, study)) == [] == chosen.shown(Results(results.root))
    assert classes.shown(Results(results.root)) == []


def test_the_first_paragraph_tells_real_from_simulated(results):
    table = results.tested(invented.HYPOTHESES[0])
    low, high = table["mean_difference"].min(), table["mean_difference"].max()
    found = lead(results)
    assert found.question.startswith("“Inverted grey levels” against “Unprocessed”")
    assert found.answers["Simulated scans"] == "none was scored."
    told = found.answers["Real scans"].replace("−", "-")
    assert told.startswith("MR of a clinic, 2 classes of organs ") and f"from {low:+.3f} to {high:+.3f} (n 8; " in told
    assert lead(Results(results.root)) is None, "no contrast, nothing to say of it"


def test_the_first_paragraph_says_each_target_with_its_interval(results):
    single = Results(results.root, results.study)
    single.__dict__["class_groups"] = {}
    row = results.tested(invented.HYPOTHESES[0]).query("target == 'liver'").iloc[0]
    interval = f"{row['ci_low']:+.3f} to {row['ci_high']:+.3f}".replace("-", "−")
    assert f"({interval}; n 8)" in lead(single).answers["Real scans"]


def test_a_site_outside_the_comparison_is_named(results):
    more = Results(results.root, results.study)
    more.__dict__["sites"] = ["mr", "ct"]
    more.__dict__["notes"] = results.notes | {"simulated": {"mr": False, "ct": True}}
    assert lead(more).answers["Simulated scans"] == "ct, scored but not part of this comparison."


def test_differences_that_were_not_tested_are_counted(results):
    some = Results(results.root, results.study)
    tested = results.tested
    object.__setattr__(some, "tested", lambda one: tested(one).assign(verdict=["", "lower"]))
    assert "(n 8; significantly lower in 1, not tested in 1)" in lead(some).answers["Real scans"]
