import numpy as np
import pytest
from PIL import Image

from crossmod.analyse.stats import agreement
from crossmod.report import cohorts, curves, figures, forest, overlays, volumes
from crossmod.report.style import MM, PAGE_MM, colours_of

DRAW = {
    "dsc": figures.scores_by_arm,
    "hd95": lambda results: figures.scores_by_arm(results, "hd95_mm"),
    "curves": curves.learning_curves,
    "forest": forest.subgroup_forest,
    "bland_altman": volumes.bland_altman,
    "scatter": volumes.volume_scatter,
    "split": cohorts.split_matrix,
    "overlays": lambda results: overlays.overlays(results, "parenchyma_with_tumour"),
}


@pytest.fixture(scope="module")
def pictures(results):
    people = cohorts.cohorts_of(results)
    measured = cohorts.structure_volumes(results, people)
    drawn = {name: draw(results) for name, draw in DRAW.items()}
    return drawn | {"volumes": cohorts.volume_distributions(results, people, measured)}


@pytest.mark.parametrize("name", [*DRAW, "volumes"])
def test_every_figure_is_fit_to_print(name, pictures):
    picture = pictures[name]
    assert "imulated patients" in picture.caption, "the caption says whose numbers these are"
    assert any(character.isdigit() for character in picture.caption), "the caption gives n"
    assert len(picture.alt) > 40 and picture.title
    width_mm = picture.figure.get_size_inches()[0] / MM
    assert width_mm <= PAGE_MM + 1e-6
    texts = [text for axis in picture.figure.axes for text in [*axis.texts, axis.title, axis.xaxis.label]]
    assert all(text.get_fontsize() >= 6 for text in texts if text.get_text())


@pytest.mark.parametrize("name", [name for name in [*DRAW, "volumes"] if name != "overlays"])
def test_axes_are_labelled(name, pictures):
    axes = pictures[name].figure.axes
    bottom = min(axis.get_subplotspec().rowspan.stop for axis in axes[-1:])
    for axis in axes:
        place = axis.get_subplotspec()
        if place.is_last_row() and place.rowspan.stop == bottom:
            assert axis.get_xlabel()
        if place.is_first_col():
            assert axis.get_ylabel()


def test_volumes_and_distances_have_units(pictures):
    labels = {
        name: pictures[name].figure.axes[-1].get_xlabel() for name in ("hd95", "bland_altman", "scatter", "volumes")
    }
    assert "(mm)" in labels["hd95"]
    assert all("(ml)" in labels[name] for name in ("bland_altman", "scatter", "volumes"))


def test_curves_show_the_means_of_the_units(pictures, results):
    units = results.table("units")
    first = units[(units["site"] == "mr") & (units["target"] == "kidney")]
    axis = pictures["curves"].figure.axes[0]
    for strategy in ("pure", "mixed"):
        expected = first[first["strategy"] == strategy].groupby("amount")["dsc"].mean()
        line = next(
            line
            for line in axis.lines
            if line.get_color() == colours_of(results.levels("strategy"))[strategy] and len(line.get_xdata()) == 3
        )
        np.testing.assert_allclose(line.get_ydata(), expected)


def test_dots_are_the_means_of_the_table(pictures, results):
    table = results.table("dsc")
    here = table[(table["site"] == "mr") & (table["target"] == "kidney") & (table["metric"] == "dsc")]
    axis = pictures["dsc"].figure.axes[0]
    dots = [float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots, here["mean"])


def test_an_infinite_distance_is_shown_as_a_median(pictures, results):
    table = results.table("dsc")
    missed = table[(table["metric"] == "hd95_mm") & (table["n_infinite"] > 0) & (table["site"] == "mr")]
    assert missed["target"].tolist().count("kidney") == 1, "the invented CT model misses one MR patient"
    crosses = [line for line in pictures["hd95"].figure.axes[0].lines if line.get_marker() == "x"]
    assert [float(line.get_xdata()[0]) for line in crosses] == [missed[missed["target"] == "kidney"]["median"].item()]


def test_a_study_whose_networks_find_nothing_still_has_its_figure(edit):
    """Every distance is then infinite, as after a few steps of training."""
    picture = figures.scores_by_arm(edit("scores.csv", lambda table: table.assign(hd95_mm=np.inf)), "hd95_mm")
    assert {axis.get_xlim() for axis in picture.figure.axes} == {(0.0, 1.0)}


def test_a_site_without_parenchyma_says_so(pictures, results):
    sites, targets = len(results.sites), len(results.targets)
    panels = np.array(pictures["dsc"].figure.axes).reshape(targets, sites)
    assert [text.get_text() for text in panels[1, -1].texts] == ["no reference"]
    assert not panels[0, -1].texts


def test_limits_of_agreement_are_those_of_the_points(pictures, results):
    scores = results.table("scores")
    cell = scores[
        scores["arm"].isin(results.deployed["arm"])
        & (scores["site"] == "mr")
        & (scores["target"] == "parenchyma_with_tumour")
        & (scores["region"] == "predicted_box")
    ]
    found = agreement(cell["volume_reference_ml"], cell["volume_predicted_ml"], cell["patient"])
    axis = pictures["bland_altman"].figure.axes[0]
    heights = [line.get_ydata()[0] for line in axis.lines if len(line.get_ydata()) == 2]
    for expected in (found.mean_difference, found.loa_low, found.loa_high):
        assert np.isclose(heights, expected).any()
    assert sum(len(line.get_xdata()) for line in axis.lines if line.get_marker() in "o^") == len(cell)


def test_no_case_trains_and_validates_in_one_row(pictures, results):
    matrix = pictures["split"].figure.axes[0].images[0].get_array()
    for row, arm in enumerate(results.arms):
        parts = results.splits["arms"][arm]
        assert (matrix[row] == cohorts.TRAINS).sum() == sum(map(len, parts["training"].values()))
        validating = {case for placed in parts["sites"].values() for cases in placed.values() for case in cases}
        assert (matrix[row] == cohorts.VALIDATES).sum() == len(validating)


def test_files_carry_their_words_and_are_equal_each_time(pictures, results, tmp_path):
    path = pictures["scatter"].save(tmp_path)
    with Image.open(path) as image:
        assert image.text["Description"] == pictures["scatter"].caption
        assert image.text["Comment"] == pictures["scatter"].alt
        assert image.info["dpi"][0] == pytest.approx(300, abs=1)
        assert image.width == pytest.approx(PAGE_MM / 25.4 * 300, abs=2)
    again = volumes.volume_scatter(results).save(tmp_path / "again")
    assert again.read_bytes() == path.read_bytes()


def test_the_forest_shows_the_differences_of_its_subgroups(pictures, results):
    most = results.deployed["amount"].max()
    expected = []
    for table in (results.table("pairwise"), results.table("subgroups")):
        table = table[(table["region"] != "reference_box") & (table["at"] == most)].dropna(subset="ci_low")
        expected += table["mean_difference"].tolist()
    drawn = [
        line.get_xdata()[0]
        for axis in pictures["forest"].figure.axes
        for line in axis.lines
        if line.get_marker() in ("D", "o")
    ]
    assert sorted(drawn) == pytest.approx(sorted(expected)) and len(drawn) > 10


def test_targets_share_a_figure_of_scores_as_far_as_a_page_holds_them(results, monkeypatch):
    assert figures.pages_of_targets(results) == [results.targets]
    assert figures.names_of_scores(results, "hd95_mm") == ["hd95_mm_by_arm"]
    monkeypatch.setattr(figures, "HIGHEST_MM", 60)
    pages = figures.pages_of_targets(results)
    assert pages == [[target] for target in results.targets]
    drawn = [figures.scores_by_arm(results, "dsc", targets) for targets in pages]
    assert [picture.name for picture in drawn] == figures.names_of_scores(results, "dsc")
    assert len({picture.name for picture in drawn}) == len({picture.title for picture in drawn}) == len(pages)
    units = figures.end_to_end(results.table("scores"))
    sites = [units.loc[units["target"] == target, "site"].nunique() for target in results.targets]
    assert [len(picture.figure.axes) for picture in drawn] == sites


def test_a_target_that_other_arms_segment_has_a_figure_of_its_own(results, monkeypatch):
    first, last = results.arms[0], results.targets[-1]
    kept = figures.end_to_end

    def without(table):
        rows = kept(table)
        return rows[(rows["target"] != last) | (rows["arm"] == first)]

    monkeypatch.setattr(figures, "end_to_end", without)
    assert figures.pages_of_targets(results) == [results.targets[:-1], [last]]
    alone = figures.scores_by_arm(results, "dsc", [last]).figure
    assert [label.get_text() for label in alone.axes[0].get_yticklabels()] == [first]
    assert alone.get_size_inches()[1] / MM == pytest.approx(figures.LOWEST_MM), "with room for its axis and legend"
