"""Values that are each allowed but not together stop before anything runs."""

import pytest

from crossmod.design.compose import compose
from crossmod.design.feasible import stride_of
from crossmod.job import UserError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "arms.graded.amounts=[40,121]",
            r"arms.graded.amounts: 121, but cohort 'mr' has 240 patients, 120 in each of 2 .* at most 120",
        ),
        ("arms.graded.subsets=[A,B,C]", "120, but cohort 'mr' has 240 patients, 80 in each of 3"),
        ("arms.assist.patients=182", r"arms.assist.patients: 182, but cohort 'ct' has 181 patients; at most 181"),
        ("arms.assist.patients=181", "sites.ct.part: held_out, but arms.assist.patients takes all 181"),
        ("arms.graded.cohort=ct", "the two must differ"),
        ("arms.graded.subsets=[A]", "sites.mr.part: other_half needs two"),
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
        ("stages.kidney.region=kidney", "stages: the cascade is"),
        ("model.strides=[2,2]", "4 levels need 3 strides, not 2"),
        ("model.strides=[2,0,2]", "whole numbers from 1"),
        ("model.strides=[2,true,2]", "whole numbers from 1"),
        ("model.in_channels=2", "model.in_channels: 2 must be 1"),
        ("model.spatial_dims=2", "must be 3"),
        ("model=dynunet", r"\[16, 16, 16\]"),
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
        compose(["arms.graded.amounts=[40,500]", "stages.kidney.patch=[30,32,32]", "cohorts.ct.recipe.foo=1"])
    for text in ("arms.graded.amounts: 500", "stages.kidney.patch: [30, 32, 32]", "recipe.foo"):
        assert text in str(error.value)


@pytest.mark.parametrize("name", ["unet", "dynunet"])
def test_the_stride_is_what_the_network_needs(name):
    """A patch of two strides passes through the real network; one voxel more does not."""
    import torch

    from crossmod.models.build import build

    model = compose([f"model={name}", "scale=full"] if name == "dynunet" else [])["model"]
    small = {"channels": [4, 4, 4, 4]} if name == "unet" else {"filters": [4, 4, 4, 4, 4]}
    network = build(model | small).eval()
    stride = stride_of(model)
    sides = [2 * stride[0], stride[1], stride[2]]
    with torch.no_grad():
        assert network(torch.zeros(1, 1, *sides)).shape == (1, 2, *sides)
        with pytest.raises(RuntimeError):
            network(torch.zeros(1, 1, sides[0] + 1, *sides[1:]))


def test_a_network_without_strides_is_left_to_itself():
    assert stride_of({"_target_": "monai.networks.nets.SegResNet"}) is None
    assert stride_of({"strides": [[1, 1, 1], [2, 2, 1], [2, 2, 2]]}) == (4, 4, 2)
