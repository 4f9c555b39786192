"""The config is closed: every mistake is named with its full key before anything runs."""

import json
import shutil

import pytest
import yaml

from crossmod.design.compose import compose, shared_part
from crossmod.design.study import Study
from crossmod.job import UserError, canonical

TABLE, TITLE = "cohorts.mr_real.table=cases.csv", "cohorts.mr_real.title=MR of our hospital"
REAL = ["study=renal_real", TABLE, TITLE, "cohorts.mr_real.labels={2: right_kidney, 3: left_kidney}"]


@pytest.fixture
def project(root, tmp_path, monkeypatch):
    """A working folder with a copy of the configuration, which a test may change."""
    shutil.copytree(root / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("scale", ["smoke", "laptop", "full"])
def test_every_scale_composes_to_plain_values(scale):
    study = compose([f"scale={scale}"])
    assert study["scale"] == scale
    assert json.loads(canonical(study)) == study


def test_the_laptop_study_has_the_papers_numbers():
    study = compose([])
    assert {name: cohort["cases"] for name, cohort in study["cohorts"].items()} == {
        "ct": 116 + 65,
        "mr": 240,
        "ct_external": 79,
    }


def test_unknown_keys_are_all_named_with_the_nearest():
    with pytest.raises(UserError) as error:
        compose(["training.bach=4", "stages.kidney.step=3", "seeds=[1]"])
    assert "training.bach: unknown key; did you mean 'training.batch'?" in str(error.value)
    assert "stages.kidney.step: unknown key; did you mean 'stages.kidney.steps'?" in str(error.value)


def test_added_keys_are_refused_too():
    with pytest.raises(UserError, match=r"training\.bach: unknown key; did you mean 'training\.batch'"):
        compose(["+training.bach=4"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.batch=0", "training.batch: .*greater than or equal to 1"),
        ("training.batch=two", "training.batch: .*valid integer"),
        ("training.batch=true", "training.batch: .*valid integer"),
        ("training.batch=4.0", "training.batch: .*valid integer"),
        ("training.batch=2,4", "training.batch: 2,4 is several values"),
        ("training.threads=10000", "training.threads: .*less than or equal to"),
        ("training.clip_norm=nan", "training.clip_norm: .*finite"),
        ("training.clip_norm=true", "training.clip_norm: .*valid number"),
        ("training.optimiser.lr=nan", r"training.optimiser.lr: .*finite number \(given: nan\)"),
        ("training.optimiser.lr=inf", "training.optimiser.lr: .*finite"),
        ("training.optimiser.lr=true", "training.optimiser.lr: True is no number"),
        ("training.optimiser.lr=-1", "training.optimiser.lr: -1 is below 0"),
        ("training.optimiser.weight_decay=-0.1", "training.optimiser.weight_decay: -0.1 is below 0"),
        ("training.optimiser._target_=os.system", "training.optimiser._target_: 'os.system' is not an optimiser"),
        ("cohorts.ct.recipe.spacing_mm=[4,nan,4]", "cohorts.ct.recipe.spacing_mm.1: .*finite"),
        ("training.augmentation.gamma_range=[1.5,0.7]", "gamma_range: the first number must be below the second"),
        ("training.augmentation.gamma_range=[0,1]", "gamma_range.0: .*greater than 0"),
        ("pools.mr.amounts=[80,40]", "amounts must grow"),
        ("pools.mr.subsets=[A,A]", "subsets need names of their own"),
        ("seeds=[1,1]", "seeds: repeated"),
        ("seeds=[-1]", "seeds.0: .*greater than or equal to 0"),
        ("seeds=[true]", "seeds.0: .*valid integer"),
        ("seeds=[]", "seeds: .*at least 1"),
        ("split_seed=-1", "split_seed: .*greater than or equal to 0"),
        ("cohorts.ct.seed=-4", "cohorts.ct.seed: .*greater than or equal to 0"),
        ("cohorts.ct.modality=PET", "cohorts.ct.modality: .*'CT' or 'MR'"),
        ("cohorts.ct.source=folder", "source 'folder' needs table, labels"),
        ("cohorts.ct.table=cases.csv", "source 'simulated' does not read table"),
        ("normalisation.ct_window_hu=[300,-200]", "ct_window_hu: the first number must be below the second"),
        ("normalisation.ct_window_hu=[40,40]", "ct_window_hu: the first number must be below the second"),
        ("normalisation.mr_percentiles=[99.5,0.5]", "mr_percentiles: the first number must be below the second"),
        ("normalisation.mr_percentiles=[-1,99]", "mr_percentiles.0: .*greater than or equal to 0"),
        ("normalisation.mr_percentiles=[0,100.5]", "mr_percentiles.1: .*less than or equal to 100"),
        ("stages.kidney.steps=0", "stages.kidney.steps: .*greater than or equal to 1"),
        ("stages.kidney.spacing_mm=[0.09,1,1]", "spacing_mm.0: .*greater than or equal to 0.1"),
        ("stages.kidney.spacing_mm=[1,1]", "spacing_mm.2: .*required"),
        ("stages.kidney.classes={kidney: [kidny]}", "'kidny' is not a known structure; did you mean 'kidney'"),
        ("stages.kidney.classes={kidney: [cyst,cyst]}", "stages.kidney: classes.kidney: repeated"),
        ("targets={}", "targets: .*at least 1"),
        ("targets.kidney.stage=kidny", "targets.kidney.stage: no stage .* 'kidny'; did you mean 'kidney'"),
        ("targets.kidney.classes=[liver]", "targets.kidney.classes: no class of stage 'kidney' 'liver'; valid: kidney"),
        ("metrics=[dsc,dsc]", "metrics: repeated"),
        ("metrics=[dice]", "metrics.0: Input should be 'dsc'"),
        ("sites={}", "sites: .*at least 1"),
        ("analyse.alpha=0", "analyse.alpha: .*greater than 0"),
        ("analyse.reference_error_ml=4.0", "needs reference_error_source"),
        ("sites.mr.cohort=mri", "sites.mr.cohort: no cohort 'mri'; did you mean 'mr'"),
        ("model._target_=os.system", "not a network"),
        ("adds_to=renal", "this study itself"),
        ("scale=smok", "scale=smok: no such scale; did you mean 'smoke'"),
        ("study=rena", "study=rena: no such study; did you mean 'renal'"),
        ("study=", "study=: no such study; valid: inversion, inversion_real, measure, renal"),
    ],
)
def test_mistakes_name_key_value_and_cure(override, message):
    with pytest.raises(UserError, match=message):
        compose([override])


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:HOME}",
        "'x ${oc.env:HOME} y'",
        "${oc.env:NOTHING,${study}}",
        "${oc.decode:'3'}",
        "${hydra:runtime.cwd}",
        "${oc.create:{a: 1}}",
        "${sites.${study}}",
    ],
)
def test_only_references_to_keys_are_resolved(text, project):
    """Whatever else a resolver knows of the machine must not reach a report."""
    with pytest.raises(UserError, match=r"title: .* calls a function; only a reference .* Write the value itself"):
        compose([f"title={text}"])
    with pytest.raises(UserError, match="calls a function"):
        compose([f"study={text}"])
    file = project / "conf/study/mine.yaml"
    file.write_text(
        f"# @package _global_\ndefaults: [renal]\nstudy: mine\nsites: {{mr: {{title: {json.dumps(text)}}}}}\n"
    )
    with pytest.raises(UserError, match=r"sites\.mr\.title: .* calls a function"):
        compose(["study=mine"])


def test_a_reference_to_another_key_is_followed():
    study = compose(["source=${title}"])
    assert study["source"] == study["title"]
    with pytest.raises(UserError, match="nothing.*not found"):
        compose(["title=${nothing}"])


def test_keys_that_are_null_or_left_out_are_set_without_a_plus():
    with pytest.raises(UserError, match=r"cohorts\.mr: source 'simulated' does not read root"):
        compose(["cohorts.mr.root=/data"])
    study = compose(
        [*REAL, "cohorts.mr_real.root=/my data", "cohorts.ct.recipe.ct.noise_hu=9", "cohorts.ct.randomised=null"]
    )
    assert study["cohorts"]["mr_real"]["root"] == "/my data"
    assert study["cohorts"]["ct"]["recipe"]["ct"] == {"noise_hu": 9}
    with pytest.raises(UserError, match=r"cohorts\.mr\.rot: unknown key; did you mean 'cohorts\.mr\.root'"):
        compose(["cohorts.mr.rot=/data"])
    with pytest.raises(UserError, match=r"cohorts\.mri\.root: unknown key; did you mean 'cohorts\.mr\.root'"):
        compose(["cohorts.mri.root=/data"])
    with pytest.raises(UserError, match=r"model\.chanels: unknown key; did you mean 'model\.channels'"):
        compose(["model.chanels=[8,16]"])


def test_what_must_be_given_is_asked_for_with_an_example_of_each():
    with pytest.raises(UserError) as error:
        compose(["study=renal_real"])
    for key in ("title", "table", "labels"):
        assert f"cohorts.mr_real.{key}: must be given, e.g. cohorts.mr_real.{key}=" in str(error.value)
    assert "override=" in str(error.value)


def test_the_example_is_one_that_works():
    with pytest.raises(UserError) as error:
        compose(["study=renal_real"])
    from crossmod.design.overrides import overrides_from_snakemake

    (line,) = [line for line in str(error.value).splitlines() if "override=" in line]
    entry = "override=" + line.split('override="')[1].removesuffix('"')
    cohort = compose(overrides_from_snakemake({"study": "renal_real", "override": ""}, ["study=renal_real", entry]))[
        "cohorts"
    ]["mr_real"]
    assert (cohort["labels"], cohort["table"]) == ({"2": "right_kidney", "3": "left_kidney"}, "/data/my_mr/cases.csv")


def test_a_real_site_gets_a_study_of_its_own_that_shares_the_rest():
    study, base = compose(REAL), compose([])
    assert (study["study"], study["adds_to"]) == ("renal_real", "renal")
    assert set(study["sites"]) - set(base["sites"]) == {"mr_real"}
    assert study["sites"]["mr_real"]["title"] == "MR of our hospital"
    assert shared_part(study, REAL) == base
    assert shared_part(base, []) is base


def test_what_is_shared_follows_the_overrides_too():
    overrides = [*REAL, "scale=smoke", "training.batch=3"]
    assert shared_part(compose(overrides), overrides) == compose(["scale=smoke", "training.batch=3"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["adds_to=renl"], "study=renl: no such study; did you mean 'renal'"),
        (["adds_to=renal_real", "study=renal"], "adds to a study itself"),
        (["pools.mr.cohort=mr_real"], "pools.mr.cohort: 'mr_real' is no cohort of renal"),
    ],
)
def test_only_a_study_that_trains_can_be_added_to(overrides, message):
    study = compose(REAL) | {"adds_to": "renal"}
    for override in overrides:
        key, value = override.split("=")
        if key == "adds_to":
            study["adds_to"] = value
        elif key == "pools.mr.cohort":
            study["pools"] = study["pools"] | {"mr": study["pools"]["mr"] | {"cohort": value}}
    with pytest.raises(UserError, match=message):
        shared_part(study, REAL)


def test_a_study_file_may_not_take_the_name_of_another(project):
    (project / "conf/study/mine.yaml").write_text("# @package _global_\ndefaults: [renal]\ntitle: mine\n")
    with pytest.raises(UserError, match=r"conf/study/mine\.yaml says study: renal\. Write study: mine"):
        compose(["study=mine"])


CHAOS = """# @package _global_
defaults: [renal_real, _self_]
study: chaos
cohorts: {mr_real: {table: chaos.csv, title: CHAOS, labels: {2: right_kidney, 3: left_kidney}}}
"""
OWN = """# @package _global_
defaults: [chaos, _self_]
study: own
cohorts: {mr_real: {table: own.csv, labels: LABELS, title: TITLE}}
"""


@pytest.mark.parametrize(("scale", "labels"), [("smoke", "{1: kidney}"), ("laptop", "{2: kidney, 4: tumour}")])
def test_a_file_that_inherits_label_meanings_replaces_them(project, scale, labels):
    (project / "conf/study/chaos.yaml").write_text(CHAOS)
    (project / "conf/study/own.yaml").write_text(OWN.replace("LABELS", labels).replace("TITLE", "mine"))
    found = compose(["study=own", f"scale={scale}"])["cohorts"]["mr_real"]
    assert {int(value): name for value, name in found["labels"].items()} == yaml.safe_load(labels)
    assert found["title"] == "mine"
    assert compose(["study=chaos"])["cohorts"]["mr_real"]["labels"] == {"2": "right_kidney", "3": "left_kidney"}


def test_a_file_can_ask_anew_for_what_it_inherits(project):
    (project / "conf/study/chaos.yaml").write_text(CHAOS)
    (project / "conf/study/own.yaml").write_text(OWN.replace("LABELS", "'???'").replace("TITLE", "'???'"))
    with pytest.raises(UserError, match=r"(?s)mr_real\.title: must be given.*mr_real\.labels: must be given"):
        compose(["study=own"])


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("units", {"within": "stratgy"}, "mine: the table of units has no column 'stratgy'; did you mean 'strategy'"),
        ("units", {"compare": "[mixd, pure]"}, "mine: no strategy is called 'mixd'; did you mean 'mixed'"),
        ("units", {"each": "[subset]"}, "mine: the table of units has no column 'subset'"),
        ("gains", {"outcome": "dcs", "within": "site"}, "mine: the table of gains has no column 'dcs'"),
    ],
)
def test_a_hypothesis_that_its_table_cannot_answer_stops_the_study(table, change, message):
    text = ", ".join(
        f"{k}: {v}" for k, v in ({"name": "mine", "test": "pairwise", "within": "strategy"} | change).items()
    )
    with pytest.raises(UserError, match=message):
        compose([f"analyse.hypotheses.{table}=[{{{text}}}]"])
    compose(["analyse.hypotheses.replicates=[{name: mine, test: pairwise, within: strategy, each: [subset]}]"])


def test_aliases_without_end_are_refused(project):
    lines = [f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9 if n else 'x'}]" for n in range(12)]
    (project / "conf/study/bomb.yaml").write_text("\n".join(["# @package _global_", *lines]))
    with pytest.raises(UserError, match=r"bomb\.yaml: its aliases \(\*\) make it too long"):
        compose(["study=bomb"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("{1: parenchyma, 1: tumour}", "gives a key twice"),
        ("{0: kidney}", "a label value is a whole number from 1, not 0"),
        ("{-1: kidney}", "a label value is a whole number from 1, not -1"),
        ("{1.0: kidney}", "a label value is a whole number from 1, not 1.0"),
        ("{true: kidney}", "a label value is a whole number from 1, not True"),
        ("{01: kidney}", "a label value is a whole number from 1, not '01'"),
        ("{1: kidny}", "did you mean 'kidney'"),
        ("{1: liver}", "they name liver; stages and targets ask for parenchyma, sinus, .*one at least is needed"),
        ("{}", "they name nothing; stages and targets ask for"),
        ("[kidney]", "valid dictionary"),
        ("???", "must be given"),
        ("null", "needs labels"),
    ],
)
def test_label_meanings_are_looked_at(labels, message):
    with pytest.raises(UserError, match=message):
        compose([*REAL, f"cohorts.mr_real.labels={labels}"])


def test_schema_describes_what_users_set():
    schema = Study.model_json_schema()
    assert schema["additionalProperties"] is False


def test_a_treatment_that_comes_with_crossmod_is_composed_as_its_operations():
    from crossmod.prepare.treatments import NAMED

    assert compose(["treatments={black: inverted_black}"])["treatments"] == {"black": NAMED["inverted_black"]}


def test_presets_of_programs_fit_the_schema(root):
    import yaml

    from crossmod.design.recipes import Segmenter

    for path in sorted((root / "conf/segmenter").glob("*.yaml")):
        values = yaml.safe_load(path.read_text())
        Segmenter.model_validate(values | ({"labels": {1: "liver"}} if values["labels"] == "???" else {}))
