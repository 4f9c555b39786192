"""Values that are each allowed but not together stop before anything runs."""

import pytest

from crossmod.design.cascades import stride_of
from crossmod.design.compose import compose
from crossmod.job import UserError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "pools.mr.amounts=[40,121]",
            r"pools.mr.amounts: 121, but cohort 'mr' has 240 patients, 120 in each of 2 .* at most 120",
        ),
        ("pools.mr.subsets=[A,B,C]", "120, but cohort 'mr' has 240 patients, 80 in each of 3"),
        ("pools.ct.patients=182", r"pools.ct.patients: 182, but cohort 'ct' has 181 patients; at most 181"),
        ("pools.ct.patients=181", "sites.ct.part: held_out, but pools.ct.patients takes all 181"),
        ("pools.mr.cohort=ct", "draw on the same patients, of cohort 'ct'; the pools of a set must differ"),
        ("pools.mr.subsets=[A]", "sites.mr.part: other_half needs two"),
        ("sites.mr.part=all", "sites.mr.part: 'all' does not fit cohort 'mr'; it must be 'other_half'"),
        ("sites.mr.part=held_out", "must be 'other_half'"),
        ("sites.ct.part=all", "must be 'held_out'"),
        ("sites.ct_external.part=held_out", "must be 'all'"),
        ("sites.ct.title=Internal MR", "is the title of another site too"),
        ("+sites.training={cohort: ct_external, title: X, part: all}", "sites.training: this name is taken"),
        ("+sites.MR={cohort: ct_external, title: X, part: all}", "sites.MR: differs from 'mr' by capitals alone"),
        (
            "stages.kidney.patch=[30,32,32]",
            r"patch: \[30, 32, 32\] is no multiple of .* \[8, 8, 8\]; the nearest that fits is \[32, 32, 32\]",
        ),
        ("stages.kidney.patch=[8,8,8]", "leaves one voxel at the network's bottom"),
        ("stages.kidney.patch=[512,512,512]", "134217728 voxels; at most"),
        ("stages.kidney.patch=[496,64,64] stages.kidney.spacing_mm=[10,1,1]", "496 voxels of 10 mm are 4960 mm"),
        ("stages.kidney.region=kidney", "stages.kidney.region: 'kidney' comes no earlier than 'kidney'"),
        ("stages.kidney.region=parenchyma", "stages.kidney.region: 'parenchyma' comes no earlier"),
        ("stages.parenchyma.region=kidny", "stages.parenchyma.region: no .* 'kidny'; did you mean 'kidney'"),
        ("factors.strategy.pure.train=[mrr]", "factors.strategy.pure.train: no pool 'mrr'; did you mean 'mr'"),
        (
            "factors.strategy.pure.stages=[kidny]",
            "factors.strategy.pure.stages: no stage .* 'kidny'; did you mean 'kidney'",
        ),
        (
            "factors.strategy.pure.stages=[parenchyma]",
            "arm 'mrA040': stage 'parenchyma' looks where 'kidney' found something",
        ),
        ("factors.strategy.pure.model=wide", "factors.strategy.pure.model: no network in models 'wide'; there is none"),
        ("factors.strategy.pure.treat=black", "factors.strategy.pure.treat: no treatment 'black'; there is none"),
        ("factors.strategy.pure.start={stage: kidny}", "factors.strategy.pure.start.stage: no stage 'kidny'"),
        ("factors.strategy.pure.start={train: [x]}", "factors.strategy.pure.start.train: no pool 'x'"),
        ("factors.strategy.pure.start={}", "says neither stage nor train, so the training would start from itself"),
        ("factors.strategy.pure.start={train: [mr]}", "the training 'mrA040/kidney' would start from itself"),
        (
            "factors.strategy.pure.training={batch: 0}",
            "factors.strategy.pure.training.batch: .*greater than or equal to 1",
        ),
        ("factors.strategy.pure.training={optimiser: {_target_: os.system}}", "'os.system' is not an optimiser"),
        ("training.loss={_target_: builtins.eval}", "'builtins.eval' is not a loss"),
        ("arms=[{strategy: mixt}]", r"arms\[0\].strategy: no level 'mixt'; did you mean 'mixed'"),
        ("arms=[{strategi: all}]", r"arms\[0\]: no factor 'strategi'; did you mean 'strategy'"),
        ("arms=[{strategy: all, first_seed: 1}]", r"arms\[0\]: no factor 'first_seed'"),
        ("arms=[{strategy: all, first_seeds: 0}]", r"arms\[0\].first_seeds: 0 is no number of seeds; give 1 or more"),
        ("arms=[{strategy: all, first_seeds: all}]", r"arms\[0\].first_seeds: 'all' is no number of seeds"),
        ("arms=[{strategy: all, first_seeds: [0, 1]}]", r"arms\[0\].first_seeds: \[0, 1\] is no number of seeds"),
        ("+sites.mr.where={strategi: pure}", "sites.mr.where: no factor 'strategi'; did you mean 'strategy'"),
        ("+sites.mr.where={strategy: mixt}", "sites.mr.where.strategy: no level 'mixt'; did you mean 'mixed'"),
        ("+sites.mr.where={strategy: ct, amount: 40}", "sites.mr.where: no arm has these levels"),
        ("titles={strategi: Training}", "titles: no factor 'strategi'; did you mean 'strategy'"),
        ("pools.ct={patients: null, folds: 21}", "pools.ct.folds: .*less than or equal to 20"),
        ("pools.ct={cohort: ct, patients: 3, folds: 2}", "patients and folds exclude each other"),
        ("pools.ct={patients: null, subsets: [A, B]}", "subsets and amounts belong together"),
        ("pools.ct={patients: null, subsets: [A, B], amounts: [40]}", "ct, mr are all graded"),
        ("stages.kidney.keep={largest: 1, one_a_side: 2}", "give largest or one_a_side"),
        ("stages.parenchyma.keep={largest: null, one_a_side: 2}", "one_a_side is done already by the stage 'kidney'"),
        ("stages.kidney.classes={a: [cyst], b: [cyst]}", "cyst stands in two classes; a voxel has one class"),
        ("stages.kidney.learns=presence", "learns: presence does not read classes"),
        ("stages.kidney.learns=reconstruction", "learns: reconstruction does not read classes"),
        ("stages.kidney.patch=[1,32,32]", "needs a network of 2 dimensions, and model has 3"),
        ("stages.kidney.patch=[1,1,32]", "thin along several axes"),
        ("training.budget=passes", "stages.kidney.passes: training.budget is passes"),
        ("targets.kidney.stage=liver", "targets.kidney.stage: no stage that learns segmentation 'liver'"),
        ("targets.kidney.classes=[cortex]", "targets.kidney.classes: no class of stage 'kidney' 'cortex'"),
        ("targets.kidney.unit=kidny", "targets.kidney.unit: no unit 'kidny'; did you mean 'kidney'"),
        (
            "targets.kidney.where={cyst: true}",
            "targets.kidney.where: no fact of a unit 'cyst'; did you mean|valid: tumour",
        ),
        ("units.kidney.facts=[liver]", "units.kidney.facts: no structure of the unit 'liver'"),
        ("units.kidney={structures: [kidney], apart: tile}", "size_mm belongs to apart: tile"),
        ("units={}", "no unit 'kidney'"),
        ("treatments={x: [{flip: {}}]}", "'flip' is no operation; valid: clip, fit, invert"),
        ("report.sections=[scores,classes]", "report.sections: classes is of targets with each_class"),
        ("report.sections=[scores,localisation]", "localisation is of the metric located, which metrics does not list"),
        ("report.sections=[scores,pooled]", "pooled is of the metric shared_ml, which metrics does not list"),
        ("report.sections=[scores,lesions]", "lesions is of targets whose unit is apart: component, and there is none"),
        ("analyse.lesion_sizes_ml=[5,1]", "lesion_sizes_ml: the first number must be below the second, not"),
        ("report.sections=[scores,throughput]", "throughput is of the key throughput, which times networks; give it"),
        ("metrics=[dsc,accuracy,shared_ml]", "pools accuracy by extent_ml; list accuracy and extent_ml both"),
        ("metrics=[dsc,extent_ml]", "extent_ml is what accuracy is pooled by, together with shared_ml"),
        ("report.sections=[scores,treatments]", "treatments is of levels that treat scans, and there is none"),
        ("treatments={x: inverted_blak}", "no treatment 'inverted_blak' comes with crossmod; did you mean"),
        ("analyse.contrast.a=mixt", "analyse.contrast.a: strategy has no level 'mixt'; did you mean 'mixed'"),
        ("analyse.contrast.factor=strategi", "analyse.contrast.factor: no factor is called 'strategi'"),
        ("analyse.replicate=subsets", "analyse.replicate: no factor is called 'subsets'; did you mean 'subset'"),
        ("analyse.dose.factor=subset", "is no number; name a factor such as amount"),
        ("+analyse.hypotheses.units=[{name: x, test: rm_anova, within: [strategi]}]", "no column 'strategi'"),
        ("model.strides=[2,2]", "4 levels need 3 strides, not 2"),
        ("model.strides=[2,0,2]", "whole numbers from 1"),
        ("model.strides=[2,true,2]", "whole numbers from 1"),
        ("model.in_channels=2", "model.in_channels: 2 must be 1"),
        ("model.spatial_dims=2", "needs a network of 3 dimensions, and model has 2"),
        ("model=dynunet", r"\[16, 16, 16\]"),
        ("training.boundary=0.7", r"foreground and boundary: 1\.2 of the patches; together at most 1"),
        ("cohorts.ct.recipe.modality=PET", r"cohorts.ct: .*\n.*recipe.modality = 'PET'"),
        ("cohorts.ct.recipe.spacng_mm=[1,1,1]", "recipe.spacng_mm: no such key; did you mean spacing_mm"),
        ("cohorts.ct.recipe.spacing_mm=[0.1,1,1]", r"recipe.spacing_mm\[0\] = 0.1: must lie in"),
        ("cohorts.ct.population={tumour: 3}", "population.tumour = 3"),
        ("cohorts.ct.population={shapes: /nowhere}", "population.shapes: '/nowhere' is no folder"),
        ("cohorts.ct.protocols={ct-x: 1}", "protocol 'ct-x': unknown"),
        ("cohorts.ct.randomised=0.5", "needs protocols"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_cure(override, message):
    with pytest.raises(UserError, match=message):
        compose(override.split(" ") if override.count("=") > 1 and "{" not in override else [override])


def test_every_fault_is_listed_at_once():
    with pytest.raises(UserError) as error:
        compose(["pools.mr.amounts=[40,500]", "stages.kidney.patch=[1,1,32]", "cohorts.ct.recipe.foo=1"])
    for text in ("pools.mr.amounts: 500", "stages.kidney.patch: [1, 1, 32]", "recipe.foo"):
        assert text in str(error.value)


@pytest.mark.parametrize("name", ["unet", "dynunet"])
def test_the_stride_is_what_the_network_needs(name):
    """A patch of two strides passes through the real network; one voxel more does not."""
    import torch

    from crossmod.models.build import build

    model = compose([f"model={name}", "scale=full"] if name == "dynunet" else [])["model"]
    small = {"channels": [4, 4, 4, 4]} if name == "unet" else {"filters": [4, 4, 4, 4, 4]}
    network = build(model | small | {"out_channels": 2}).eval()
    stride = stride_of(model)
    sides = [2 * stride[0], stride[1], stride[2]]
    with torch.no_grad():
        assert network(torch.zeros(1, 1, *sides)).shape == (1, 2, *sides)
        with pytest.raises(RuntimeError):
            network(torch.zeros(1, 1, sides[0] + 1, *sides[1:]))


def test_a_pool_has_a_patient_for_each_fold():
    with pytest.raises(UserError, match="pools.ct.folds: 12, but cohort 'ct' has 11 patients; at most 11"):
        compose(["pools.ct={patients: null, folds: 12}", "cohorts.ct.cases=11"])


TAUGHT = [
    "+cohorts.taught={source: derived, of: mr, structures: {parenchyma: {teacher: old}, tumour: reference}}",
    "+teachers={old: {train: [ct]}}",
]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([TAUGHT[0]], "cohorts.taught.structures.parenchyma.teacher: no teacher 'old'; there is none"),
        ([*TAUGHT, "cohorts.taught.of=mri"], "cohorts.taught.of: no cohort 'mri'"),
        (
            [*TAUGHT, "cohorts.taught.structures={liver: {teacher: old}}"],
            "no stage of 'old' finds the structure 'liver'",
        ),
        (
            [*TAUGHT, "teachers.old.train=[mr]"],
            "'old' learns from cohort 'mr' and would label patients that it has seen",
        ),
        ([*TAUGHT, "+pools.far={cohort: ct_external}", "teachers.old.train=[far]", "~sites.ct_external"], None),
        (
            [*TAUGHT, "+pools.far={cohort: ct_external}", "teachers.old.train=[far]"],
            "sites.ct_external.part: 'all' does not fit",
        ),
        ([*TAUGHT, "+cohorts.taught.volume_ml={spleen: [1, 2]}"], "cohorts.taught.volume_ml: no structure 'spleen'"),
        (
            [*TAUGHT, "+sites.taught={cohort: ct_external, title: X, part: all}"],
            "sites.taught: a derived cohort has this name",
        ),
    ],
)
def test_a_teacher_labels_only_patients_that_it_never_saw(overrides, message):
    if message is None:
        compose(overrides)
        return
    with pytest.raises(UserError, match=message):
        compose(overrides)


def test_a_network_without_strides_is_left_to_itself():
    assert stride_of({"_target_": "monai.networks.nets.SegResNet"}) is None
    assert stride_of({"strides": [[1, 1, 1], [2, 2, 1], [2, 2, 2]]}) == (4, 4, 2)
