import numpy as np
import pytest

from crossmod.job import UserError
from crossmod.report.overlays import choose, overlays, view
from crossmod.report.results import Results


def test_ranks_follow_the_scores(results):
    scores = results.table("scores")
    for site, ranks in choose(results, "kidney").items():
        here = scores[(scores["target"] == "kidney") & (scores["site"] == site)]
        here = here[here["arm"].isin(results.deployed["arm"])]["dsc"]
        assert ranks["worst"]["dsc"] == here.min()
        assert ranks["best"]["dsc"] == here.max()
        assert ranks["worst"]["dsc"] <= ranks["median"]["dsc"] <= ranks["best"]["dsc"]
        assert (here <= ranks["median"]["dsc"]).mean() >= 0.5


def test_the_right_kidney_is_on_the_left_of_the_picture(results):
    units = results.table("scores")
    units = units[(units["target"] == "parenchyma_with_tumour") & (units["region"] == "predicted_box")]
    for side, is_left in (("right", True), ("left", False)):
        unit = units[(units["side"] == side) & units["arm"].isin(results.deployed["arm"])].iloc[0]
        shown = view(results, unit)
        columns = np.argwhere(shown.reference)[:, 1]
        assert (columns.mean() < shown.image.shape[1] / 2) == is_left
        assert shown.marks == ("R", "L")


def test_outlines_belong_to_the_score(results):
    unit = choose(results, "kidney")["ct"]["best"]
    shown = view(results, unit)
    shared = (shown.reference & shown.prediction).sum()
    dsc = 2 * shared / (shown.reference.sum() + shown.prediction.sum())
    assert dsc == pytest.approx(unit["dsc"], abs=0.1)
    assert shown.limits == (-160.0, 240.0)


def test_a_missed_kidney_is_shown(results):
    scores = results.table("scores")
    missed = scores[(scores["dsc"] == 0) & (scores["target"] == "kidney")].iloc[0]
    shown = view(results, missed)
    assert shown.reference.any() and not shown.prediction.any()


def test_the_real_site_has_kidneys_only(results):
    assert "mr_real" in choose(results, "kidney")
    assert "mr_real" not in choose(results, "parenchyma_with_tumour")


def test_missing_predictions_are_named(edit):
    moved = edit("notes.json", lambda notes: notes)  # a copy without the folder of predictions
    assert isinstance(moved, Results)
    with pytest.raises(UserError, match=r"predict.*index\.csv"):
        overlays(moved, "kidney")
