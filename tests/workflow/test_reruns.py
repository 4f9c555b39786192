"""A change reruns exactly what depends on it: dry runs on the finished smoke study."""

import json

import pytest

pytestmark = pytest.mark.study

AFTER_TABLES = {"notebook": 5, "report": 1, "number_audit": 1}
AFTER_SCORES = {"analyse": 1, "track": 1, **AFTER_TABLES}
AFTER_MASKS = {"evaluate": 39, **AFTER_SCORES}
AFTER_WEIGHTS = {"predict": 39, **AFTER_MASKS}

AFTER_COHORTS = {
    **{"cohort": 3, "check": 1, "prepare": 3, "split": 1, "site": 3, "audit": 1, "train": 26},
    **AFTER_WEIGHTS,
}
AFTER_A_FIGURE = {"notebook": 1, "report": 1, "number_audit": 1}


def test_nothing_changed_runs_nothing(study):
    assert study.would_run() == {}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.optimiser.lr=0.001", {"train": 26, **AFTER_WEIGHTS}),
        ("stages.parenchyma.steps=9", {"train": 13, **AFTER_WEIGHTS}),
        ("stages.kidney.keep.one_a_side=1", AFTER_WEIGHTS),
        ("surface_tolerance_mm=3.0", AFTER_MASKS),
        ("analyse.alpha=0.01", {"analyse": 1, **AFTER_TABLES}),
        ("analyse.good_dsc=0.8", AFTER_TABLES),
        ("factors.strategy.mixed.title=both", AFTER_TABLES),
        ("sites.ct.title=CT", {"analyse": 1, **AFTER_TABLES}),
        (
            "cohorts.ct_external.seed=5",
            {
                **{"cohort": 1, "check": 1, "prepare": 1, "site": 1, "audit": 1},
                **{"predict": 13, **AFTER_MASKS, "evaluate": 13},
            },
        ),
        ("split_seed=1", {"split": 1, "site": 3, "audit": 1, "train": 26, **AFTER_WEIGHTS}),
        ("normalisation.ct_window_hu=[-100.0,300.0]", {"prepare": 3, "train": 26, **AFTER_WEIGHTS}),
    ],
)
def test_a_config_key_reruns_what_depends_on_it(study, override, expected):
    assert study.would_run(f"override={override}") == expected


def test_another_seed_trains_beside_the_first(study):
    expected = {"train": 26, "predict": 39, "evaluate": 39, **AFTER_SCORES}
    assert study.would_run("seeds=[0,1]") == expected


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("src/crossmod/evaluate/metrics.py", "np.percentile(", "np.quantile(", AFTER_MASKS),
        (
            "src/crossmod/train/tasks.py",
            "if len(outputs) == 1:",
            "if 1 == len(outputs):",
            {"train": 26, **AFTER_WEIGHTS},
        ),
        ("src/crossmod/predict/keep.py", "SMALLEST_ORGAN_ML = 5.0", "SMALLEST_ORGAN_ML = 6.0", AFTER_WEIGHTS),
        ("src/crossmod/report/page.html.j2", "</main>", "<hr></main>", {"report": 1, "number_audit": 1}),
        ("notebooks/02_scores.ipynb", "scores_by_arm", "scores_by_arm", AFTER_A_FIGURE),
        ("src/crossmod/models/unet.py", "apply_pad_pool=False", "apply_pad_pool=True", {"train": 26, **AFTER_WEIGHTS}),
        ("src/crossmod/report/forest.py", "markersize=3.6", "markersize=3.7", AFTER_A_FIGURE),
        ("src/crossmod/report/audit.py", "def audit(", "x = 1\n\n\ndef audit(", {"number_audit": 1}),
        ("src/crossmod/cohort/__init__.py", "job.threads)", "1 * job.threads)", AFTER_COHORTS),
        (
            "src/crossmod/cohort/__init__.py",
            "    refuse_errors(faults)",
            "    return refuse_errors(faults)",
            {"check": 1, "report": 1, "number_audit": 1},
        ),
        ("src/crossmod/progress.py", '"""Progress of one job', '"""The progress of one job', {}),
    ],
)
def test_code_reruns_what_uses_it(study, edit, file, old, new, expected):
    if file.endswith(".ipynb"):
        new = old + " "
    edit(file, old, new)
    assert study.would_run() == expected


def test_a_real_site_is_added_without_training_again(study, tmp_path):
    cohort = study.results / "cohort/mr"
    record = json.loads((cohort / "cohort.json").read_text())
    table = tmp_path / "cases.csv"
    table.write_text("case,patient,modality,image,label\nreal-1,anyone,MR,image.nii.gz,label.nii.gz\n")
    for kind in ("images", "labels"):
        source = next(iter(sorted((cohort / kind).iterdir())))
        (tmp_path / f"{kind[:-1]}.nii.gz").write_bytes(source.read_bytes())
    assert record["simulated"]
    values = {"table": table, "title": "mine", "labels": "{1: parenchyma}"}
    ran = study.would_run(
        "study=renal_real", "override=" + " ".join(f"cohorts.mr_real.{k}={v}" for k, v in values.items())
    )
    assert ran == {
        **{"cohort": 1, "check": 1, "prepare": 1, "site": 1, "audit": 1, "predict": 13, "evaluate": 13},
        **AFTER_SCORES,
    }
