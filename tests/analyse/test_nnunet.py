"""nnU-Net's summaries: every case and label becomes a row, every fault is named, no folder gets into the table."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crossmod.analyse.command import analyse_table
from crossmod.analyse.nnunet import COLUMNS, convert_summaries, scores_of_summaries, write_scores
from crossmod.analyse.stats import noninferiority
from crossmod.job import UserError

VOXELS = 10_000


def metrics(tp: int, fp: int, fn: int) -> dict:
    """As nnunetv2.evaluation.evaluate_predictions.compute_metrics: undefined where neither mask has a voxel."""
    union = tp + fp + fn
    return {
        "Dice": 2 * tp / (2 * tp + fp + fn) if union else math.nan,
        "IoU": tp / union if union else math.nan,
        **{"FP": fp, "TP": tp, "FN": fn, "TN": VOXELS - union, "n_pred": fp + tp, "n_ref": fn + tp},
    }


def mean_of(every: list[dict]) -> dict:
    return {key: float(np.nanmean([m[key] for m in every])) for key in metrics(1, 0, 0)}


def summary(cases: dict[str, dict[str, tuple[int, int, int]]], folder: str = "/data/St. Elsewhere/labelsTr") -> dict:
    """A file of nnU-Net 2, from case → label → (tp, fp, fn)."""
    per_case = [
        {
            "reference_file": f"{folder}/{case}.nii.gz",
            "prediction_file": f"/results/fold_0/validation/{case}.nii.gz",
            "metrics": {label: metrics(*counts) for label, counts in labels.items()},
        }
        for case, labels in cases.items()
    ]
    labels = {label for case in cases.values() for label in case}
    every = {label: [c["metrics"][label] for c in per_case if label in c["metrics"]] for label in labels}
    mean = {label: mean_of(of_label) for label, of_label in every.items()}
    return {"metric_per_case": per_case, "mean": mean, "foreground_mean": mean_of(list(mean.values()))}


def first_version(content: dict) -> dict:
    """The same scores as nnU-Net 1 writes them, the background among them."""

    def renamed(m: dict) -> dict:
        counts = {"Total Positives Reference": m["n_ref"], "Total Positives Test": m["n_pred"]}
        return {"Accuracy": (m["TP"] + m["TN"]) / VOXELS, "Dice": m["Dice"], "Jaccard": m["IoU"], **counts}

    every = []
    for case in content["metric_per_case"]:
        whole = next(iter(case["metrics"].values()))
        background = metrics(whole["TN"], whole["FN"], whole["FP"])
        labels = {label: renamed(m) for label, m in {"0": background, **case["metrics"]}.items()}
        every.append({**labels, "test": case["prediction_file"], "reference": case["reference_file"]})
    described = {"name": "", "description": "", "timestamp": "2020-01-01 00:00:00", "task": "", "author": "Fabian"}
    return described | {"results": {"all": every, "mean": {}}, "id": "0123456789ab"}


@pytest.fixture
def save(tmp_path):
    """Writes a file as nnU-Net's save_json does: sorted keys, four spaces, bare NaN."""

    def save(name: str, content) -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content, sort_keys=True, indent=4))
        return path

    return save


TWO = {
    "case_002": {"1": (80, 10, 20), "2": (0, 0, 0), "(1, 2)": (80, 10, 20)},
    "case_001": {"1": (90, 0, 10), "2": (5, 5, 0), "(1, 2)": (100, 0, 5)},
}
MORE = {"case_003": {"1": (70, 5, 5), "2": (0, 4, 0), "(1, 2)": (74, 5, 5)}}


def test_every_case_and_label_is_a_row(save):
    path = save("summary.json", summary(TWO))
    assert "NaN" in path.read_text() and path.read_text().index("foreground_mean") < path.read_text().index(
        "metric_per"
    )
    table = scores_of_summaries({"mixed": path})
    assert list(table.columns) == COLUMNS
    assert table["case"].tolist() == ["case_001"] * 3 + ["case_002"] * 3
    assert table["target"].tolist() == ["label 1", "label 2", "labels 1+2"] * 2
    assert table["patient"].equals(table["case"].rename("patient"))
    row = table.iloc[0]
    assert (row.tp, row.fp, row.fn, row.voxels_reference, row.voxels_predicted) == (90, 0, 10, 100, 90)
    assert row.dsc == 180 / 190 and row.iou == 0.9
    assert table.loc[4, ["dsc", "iou"]].isna().all() and table.loc[4, "voxels_reference"] == 0
    assert table[["dsc", "iou"]].isna().sum().tolist() == [1, 1]
    assert table.attrs["notes"] == [
        "Dice undefined for label 2 in 1 of 2 cases of arm mixed, neither reference nor prediction having a voxel: "
        "case_002."
    ]


def test_both_versions_of_nnunet_give_the_same_rows(save):
    content = summary(TWO | MORE)
    second = scores_of_summaries({"a": save("second.json", content)})
    first = scores_of_summaries({"a": save("first.json", first_version(content))})
    assert first["target"].unique().tolist() == ["label 0", "label 1", "label 2", "labels 1+2"]
    assert any(note.startswith("label 0 is the background") for note in first.attrs["notes"])
    foreground = first[first["target"] != "label 0"].reset_index(drop=True)
    pd.testing.assert_frame_equal(foreground, second)


def test_folds_are_joined_and_arms_keep_their_order(save):
    folds = [save("fold_1.json", summary(MORE)), save("fold_0.json", summary(TWO))]
    whole = save("all.json", summary(TWO | MORE))
    table = scores_of_summaries({"z": folds, "a": whole})
    assert table["arm"].unique().tolist() == ["z", "a"]
    parts = [part.drop(columns="arm").reset_index(drop=True) for _, part in table.groupby("arm")]
    pd.testing.assert_frame_equal(*parts)


def test_labels_are_ordered_as_numbers_and_named(save):
    labels = {"10": (9, 1, 1), "2": (8, 1, 1), "(2, 10)": (17, 2, 2), "(3,)": (4, 1, 1)}
    path = save("summary.json", summary({"a": labels}))
    found = scores_of_summaries({"x": path}, {"(2,10)": "both", " 10 ": "tumour"})["target"].tolist()
    assert found == ["label 2", "label 3", "tumour", "both"]


@pytest.mark.parametrize(
    ("file", "case"),
    [
        ("/clinic/Miller/case_01.nii.gz", "case_01"),
        (r"C:\Users\Miller\case_01.NII", "case_01"),
        ("case.v2.nrrd", "case.v2"),
        ("x/slice.png", "slice"),
        ("x/slice.tif", "slice"),
        ("x/001.mha", "001"),
        ("x/unsuffixed", "unsuffixed"),
    ],
)
def test_no_folder_gets_into_the_table(save, file, case):
    content = summary({"x": {"1": (1, 1, 1)}})
    content["metric_per_case"][0]["reference_file"] = file
    table = scores_of_summaries({"a": save("summary.json", content)})
    assert table["case"].tolist() == [case]
    assert "Miller" not in table.to_csv() + str(table.attrs)


def test_patients_are_found_in_the_names_of_cases(save):
    path = save("summary.json", summary({name: {"1": (9, 1, 1)} for name in ("p7_left_1", "p7_left_2", "p8_1")}))
    assert scores_of_summaries({"a": path}, patient=r"^(.+)_\d+$")["patient"].tolist() == ["p7_left", "p7_left", "p8"]
    assert scores_of_summaries({"a": path}, patient=r"^(p\d+)(?:_left)?_")["patient"].tolist() == ["p7", "p7", "p8"]
    (note,) = scores_of_summaries({"a": path}, patient="^(p)").attrs["notes"]
    assert note.startswith("All 3 cases belong to one patient: nothing can be tested.")


def test_null_stands_for_undefined(save):
    text = json.dumps(summary(TWO)).replace("NaN", "null")
    assert scores_of_summaries({"a": save("summary.json", text)})["dsc"].isna().sum() == 1


def test_what_arms_lack_is_told(save):
    other = {"case_002": {"1": (80, 10, 25), "2": (0, 3, 0)}, "case_009": {"1": (1, 0, 0), "2": (1, 0, 0)}}
    table = scores_of_summaries({"a": save("a.json", summary(TWO)), "b": save("b.json", summary(other))})
    assert len(table) == 6 + 4
    assert table.attrs["notes"] == [
        "1 of 3 cases missing in arm a: case_009.",
        "Dice undefined for label 2 in 1 of 2 cases of arm a, neither reference nor prediction having a voxel: "
        "case_002.",
        "1 of 3 cases missing in arm b: case_001.",
        "1 of 3 targets missing in arm b: labels 1+2.",
        "The reference of label 1 differs between arms in 1 cases: case_002. Compare the arms only if these are "
        "different scans of one case.",
        "Dice of label 2 is undefined in some arms only in 1 cases: case_002. Paired tests leave these cases out, and "
        "with them the false alarms of the other arms; report these beside the tests.",
    ]


def test_a_label_that_some_cases_lack_is_told(save):
    cases = {"a": {"1": (1, 0, 0), "2": (1, 0, 0)}, "b": {"1": (1, 0, 0)}}
    assert scores_of_summaries({"x": save("s.json", summary(cases))}).attrs["notes"] == [
        "label 2 missing in 1 cases of arm x: b."
    ]


def changed(**values) -> dict:
    content = summary(TWO)
    content["metric_per_case"][0]["metrics"]["1"] |= values
    return content


def without(key: str) -> dict:
    content = summary(TWO)
    del content["metric_per_case"][1]["metrics"]["2"][key]
    return content


def entry(change: dict) -> dict:
    content = summary(TWO)
    content["metric_per_case"][1] |= change
    return content


def rounded() -> dict:
    content = first_version(summary(TWO))
    content["results"]["all"][0]["1"]["Dice"] = 0.84
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"summary.json: not JSON \(Expecting.*nnUNetv2_evaluate_folder"),
        ("", "not JSON"),
        ("[1]", "no summary of nnU-Net: the key metric_per_case is missing.*it has no keys"),
        ({"mean": {}, "foreground_mean": {}}, "metric_per_case is missing.*results.all.*it has foreground_mean, mean"),
        ({"metric_per_case": {}}, "metric_per_case is missing"),
        ({"results": []}, "metric_per_case is missing.*it has results"),
        ({"metric_per_case": []}, "holds no case"),
        ({"metric_per_case": [1]}, r"case number 1 \(metrics, reference_file\)"),
        ({"results": {"all": [{"1": {"Dice": 1.0}}]}}, r"keys are missing in case number 1 \(reference\)"),
        (entry({"reference_file": None}), r"case number 2 \(reference_file\)"),
        (entry({"reference_file": "/data/.nii.gz"}), r"case number 2 \(reference_file\)"),
        (entry({"metrics": []}), r"case number 2 \(metrics\)"),
        (entry({"metrics": {}}), "a case without any label: case_001"),
        (entry({"metrics": {"1": 0.9}}), "no Dice, IoU, TP, FP, FN, n_ref, n_pred: case_001 label 1"),
        (
            entry({"metrics": {"1": metrics(1, 1, 1), "(1,)": metrics(1, 1, 1)}}),
            r"a label twice: case_001 \(\(1,\), 1\)",
        ),
        (without("IoU"), "no IoU: case_001 label 2"),
        (changed(Dice=1.2), r"Dice outside 0 to 1: case_002 label 1 \(1.2\)"),
        (changed(Dice=-0.1), r"Dice outside 0 to 1: case_002 label 1 \(-0.1\)"),
        (changed(IoU=7), "IoU outside 0 to 1: case_002"),
        (changed(IoU=math.nan), "IoU outside 0 to 1: case_002"),
        (changed(Dice=math.inf), "not a number: case_002 label 1 .Dice inf"),
        (changed(Dice="0.9"), "not a number: case_002 label 1 .Dice '0.9'"),
        (changed(Dice=True), "not a number: case_002 label 1 .Dice True"),
        (changed(TP=10**400), "not a number: case_002 label 1 .TP 1000"),
        (changed(TP=1.5), "not a count of voxels: case_002 label 1 .TP 1.5"),
        (changed(FN=-1), "not a count of voxels: case_002 label 1 .FN -1"),
        (changed(n_ref=math.nan), "not a count of voxels: case_002 label 1 .n_ref nan"),
        (changed(Dice=math.nan), "Dice is empty where there are voxels: case_002 label 1"),
        (rounded(), r"Dice does not fit the numbers of voxels .*: case_002 label 1 \(0.84\)"),
    ],
)
def test_files_that_are_no_summary_are_refused(save, content, message):
    with pytest.raises(UserError, match=message):
        scores_of_summaries({"a": save("summary.json", content)})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"3": "x"}, "Label '3' .named 'x'. is in no summary; valid: 1, 1\\+2, 2"),
        ({"(1, 3)": "x"}, "Label '\\(1, 3\\)' .* did you mean '1\\+2'"),
        ({"1": " "}, "The name of label '1' is empty"),
        ({"1": "x", "(1,)": "y"}, "Label '\\(1,\\)' is named twice \\('x', 'y'\\)"),
        ({"1": "x", "2": "x"}, "Labels 1, 2 would all be called 'x'"),
        ({"1": "label 2"}, "Labels 1, 2 would all be called 'label 2'"),
    ],
)
def test_names_that_do_not_fit_are_refused(save, labels, message):
    with pytest.raises(UserError, match=message):
        scores_of_summaries({"a": save("summary.json", summary(TWO))}, labels)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is no regular expression"),
        (r"^.+_\d+$", "has 0 groups; exactly one"),
        (r"^(.+)_(\d+)$", "has 2 groups; exactly one"),
        (r"^(.+)_001$", "finds no patient in 1 of 2 cases: case_002"),
        (r"case(x?)", "finds no patient in 2 of 2 cases"),
        (r"case(x)?", "finds no patient in 2 of 2 cases"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(save, pattern, message):
    with pytest.raises(UserError, match=message):
        scores_of_summaries({"a": save("summary.json", summary(TWO))}, patient=pattern)


def test_a_case_twice_within_an_arm_is_refused(save):
    one, two = save("fold_0.json", summary(TWO)), save("fold_1.json", summary({"case_001": {"3": (1, 1, 1)}} | MORE))
    with pytest.raises(UserError, match=r"Arm 'a' has case_001 more than once, in .*fold_0.json, .*fold_1.json: folds"):
        scores_of_summaries({"a": [one, two]})
    with pytest.raises(UserError, match=r"has case_001, case_002 more than once|has case_002, case_001 more than once"):
        scores_of_summaries({"a": [one, one]})
    content = summary(TWO)
    for place, case in enumerate(content["metric_per_case"]):
        case["reference_file"] = f"/data/patient_{place}/mask.nii.gz"
    with pytest.raises(UserError, match="has mask more than once.*each reference its own file name"):
        scores_of_summaries({"a": save("same.json", content)})


def test_one_file_for_two_arms_and_no_file_are_refused(save, tmp_path):
    path = save("summary.json", summary(TWO))
    with pytest.raises(UserError, match="the same file stands for arms a, b"):
        scores_of_summaries({"a": path, "b": tmp_path / "." / "summary.json"})
    with pytest.raises(UserError, match="No summary given"):
        scores_of_summaries({})
    with pytest.raises(UserError, match="Arm 'b' needs a name and at least one"):
        scores_of_summaries({"a": path, "b": []})
    with pytest.raises(UserError, match="is a folder; give the file, e.g. .*summary.json"):
        scores_of_summaries({"a": tmp_path})


def test_all_faults_are_told_at_once(save, tmp_path):
    files = {"a": [save("a.json", changed(Dice=2)), tmp_path / "none.json"], "b": save("b.json", "{")}
    with pytest.raises(UserError) as caught:
        scores_of_summaries(files, {"7": "x"}, "case")
    text = str(caught.value)
    for part in ("5 problems", "Dice outside", "none.json: no such file", "b.json: not JSON", "Label '7'", "0 groups"):
        assert part in text
    assert "Label '1'" not in text


def test_the_csv_is_whole_and_replaces_nothing(save, tmp_path):
    table = scores_of_summaries({"a": save("summary.json", summary(TWO))})
    path = tmp_path / "new/scores.csv"
    write_scores(table, path)
    data = path.read_bytes()
    assert b"\r" not in data and data.startswith(b"arm,case,patient,target,dsc,iou,tp,fp,fn,voxels_reference,voxels_")
    assert b"a,case_002,case_002,label 2,,,0,0,0,0,0\n" in data
    pd.testing.assert_frame_equal(pd.read_csv(path), table)
    write_scores(table, path)
    assert path.read_bytes() == data
    # A row that somebody corrected by hand is not lost either.
    mine = data.replace(b"case_002", b"case_003", 1)
    path.write_bytes(mine)
    with pytest.raises(UserError, match="exists and holds something else"):
        write_scores(table, path)
    assert path.read_bytes() == mine
    with pytest.raises(UserError, match="is a folder; name a file"):
        write_scores(table, tmp_path)
    with pytest.raises(UserError, match="this table has case"):
        write_scores(table[["case"]], tmp_path / "other.csv")
    assert [file.name for file in path.parent.iterdir()] == ["scores.csv"]


@pytest.fixture
def trainings(save) -> dict[str, list[Path]]:
    """Two arms on 14 kidneys of 7 patients, two folds each; the mixed arm is a little better, one tumour is absent."""
    rng = np.random.default_rng(5)
    arms: dict[str, list[dict]] = {"pure": [{}, {}], "mixed": [{}, {}]}
    for patient in range(7):
        for kidney in range(2):
            size, ease = int(rng.uniform(2000, 4000)), rng.normal(0, 20)
            lesion = 0 if (patient, kidney) == (3, 1) else int(rng.uniform(50, 200))
            for arm, folds in arms.items():
                loss = int(150 + ease + rng.normal(0, 8) - 15 * (arm == "mixed"))
                small = int(lesion * rng.uniform(0.1, 0.3))
                labels = {"(1, 2)": (size - loss, loss, loss), "2": (lesion - small, small, small)}
                folds[patient % 2][f"p{patient}_{kidney}"] = labels
    return {
        arm: [save(f"{arm}_{i}.json", summary(fold)) for i, fold in enumerate(folds)] for arm, folds in arms.items()
    }


def test_from_summaries_to_tests(root, trainings, tmp_path, capsys):
    sources = [f"{arm}={path}" for arm, paths in trainings.items() for path in paths]
    out = tmp_path / "my scores.csv"
    table = convert_summaries(sources, out, ["(1, 2)=kidney", "2=tumour"], r"^(p\d)_\d$")
    printed = " ".join(capsys.readouterr().out.split())
    assert "pure │ 14 │ 7 │ 2 │ 1" in printed and "mixed │ 14 │ 7 │ 2 │ 1" in printed
    assert "note: Dice undefined for tumour in 1 of 14 cases of arm mixed" in printed
    assert f"crossmod analyse '{out}' --plan plan.yaml --out analysis" in printed

    found = analyse_table(out, root / "docs/plan_nnunet.yaml", tmp_path / "analysis")
    for name, rows in found.items():
        assert rows["note"].eq("").all(), name
        assert rows["target"].tolist() == ["tumour", "kidney"]
    kidney = table[table["target"] == "kidney"]
    wide = kidney.pivot(index=["case", "patient"], columns="arm", values="dsc")
    alone = noninferiority(wide["mixed"] - wide["pure"], 0.01, wide.index.get_level_values("patient"))
    row = found["mixed-not-worse"].iloc[1]
    assert (row["n"], row["n_clusters"]) == (14, 7)
    assert (row["estimate"], row["p"]) == pytest.approx((alone.estimate, alone.p))
    assert abs(found["ranks"]["mean_difference"].iloc[1]) == pytest.approx(alone.estimate)
    assert found["mixed-not-worse"]["n_dropped"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("sources", "labels", "message"),
    [
        (["summary.json"], [], "'summary.json': write ARM=FILE, e.g."),
        (["=summary.json"], [], "write ARM=FILE"),
        (["a="], [], "write ARM=FILE"),
        (["a=summary.json"], ["kidney"], "'kidney': write LABEL=NAME"),
        (["a=summary.json"], ["1="], "'1=': write LABEL=NAME"),
        (["a=summary.json"], ["1=x", "1=y"], "--label 1= is given twice"),
        (["summary.json"], ["kidney"], "2 problems"),
        ([], [], "No summary given"),
    ],
)
def test_the_command_refuses_what_it_cannot_read(tmp_path, sources, labels, message):
    with pytest.raises(UserError, match=message):
        convert_summaries(sources, tmp_path / "scores.csv", labels, None)
    assert not (tmp_path / "scores.csv").exists()


def test_names_with_brackets_are_printed_as_they_are(save, tmp_path, capsys):
    path = save("summary.json", summary(TWO))
    convert_summaries([f"[bold]x={path}"], tmp_path / "scores.csv", ["2=[red]"], None)
    printed = capsys.readouterr().out
    assert "[bold]x" in printed and "undefined for [red] in" in printed
