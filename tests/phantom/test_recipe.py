"""A bad recipe is refused with its key and its range."""

import pytest

from crossmod.job import UserError
from crossmod.phantom import parse_recipe


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ct": {"noise_hu": 99}}, ["recipe.ct.noise_hu = 99", "at least 0", "at most 80"]),
        ({"ct": {"kernel_fwhm_mm": -1}}, ["recipe.ct.kernel_fwhm_mm", "at most 6"]),
        ({"mr": {"bias": 2}}, ["recipe.mr.bias = 2", "at most 0.8"]),
        ({"mr": {"field_t": 7}}, ["recipe.mr.field_t = 7", "1.5 or 3"]),
        ({"mr": {"repetition_time": 7}}, ["recipe.mr.repetition_time", "repetition_time_ms"]),
        ({"spacing": [1, 1, 1]}, ["recipe.spacing: no such key", "spacing_mm"]),
        ({"spacing_mm": [0.1, 1, 1]}, ["recipe.spacing_mm[0] = 0.1", "0.5 to 12"]),
        ({"field_of_view_mm": [300, 600, 200]}, ["recipe.field_of_view_mm[1] = 600", "48 to 520"]),
        ({"spacing_mm": [0.5, 0.5, 0.5]}, ["voxels", "64000000", "spacing_mm"]),
        ({"spacing_mm": [1, 1]}, ["recipe.spacing_mm"]),
        ({"orientation": "LPL"}, ["recipe.orientation = 'LPL'", "L/R, P/A and I/S"]),
        ({"modality": "PET"}, ["recipe.modality = 'PET'", "'CT' or 'MR'"]),
        ({"slice_thickness_mm": 0}, ["recipe.slice_thickness_mm = 0", "more than 0", "at most 15"]),
        ({"ct": {"noise_hu": float("nan")}}, ["recipe.ct.noise_hu", "finite"]),
        ({"mr": {"readout": "epi"}}, ["recipe.mr.readout = 'epi'", "'balanced'"]),
        ({"mr": {"inversion_ms": 700}}, ["recipe.mr.inversion_ms = 700", "no inversion", "mr.readout"]),
        ({"mr": {"echo_train": 64}}, ["recipe.mr.echo_train = 64", "single-shot"]),
        ({"mr": {"readout": "inversion-recovery"}}, ["recipe.mr.inversion_ms = 0", "such as 700"]),
        (
            {"mr": {"readout": "inversion-recovery", "inversion_ms": 2000}},
            ["recipe.mr.inversion_ms = 2000", "below mr.repetition_time_ms = 2000"],
        ),
        (
            {"mr": {"readout": "inversion-recovery", "inversion_ms": 200, "echo_train": 100}},
            ["recipe.mr.echo_train = 100", "500 ms", "fewer echoes"],
        ),
        (
            {"mr": {"readout": "inversion-recovery", "inversion_ms": 700, "echo_train": 64}},
            ["recipe.mr.echo_time_ms = 72", "mr.echo_spacing_ms = 5"],
        ),
        ({"mr": {"readout": "balanced", "repetition_time_ms": 4}}, ["recipe.mr.flip_deg = 90", "10 to 80"]),
        ({"mr": {"readout": "balanced", "flip_deg": 50}}, ["recipe.mr.repetition_time_ms = 2000", "at most 20"]),
        (
            {"mr": {"readout": "balanced", "flip_deg": 50, "repetition_time_ms": 4, "echo_time_ms": 1}},
            ["recipe.mr.echo_time_ms = 1", "half of mr.repetition_time_ms = 4", "leave the key out"],
        ),
        ({"mr": {"readout": "single-shot"}}, ["recipe.mr.echo_train = 1", "mr.echo_time_ms = 72"]),
    ],
)
def test_bad_recipes_are_refused_with_key_and_range(settings, words):
    with pytest.raises(UserError) as caught:
        parse_recipe(settings)
    for word in words:
        assert word in str(caught.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(UserError) as caught:
        parse_recipe({"ct": {"noise_hu": 99}, "mr": {"bias": 2}, "colour": "red"})
    assert str(caught.value).count("recipe.") == 3


def test_sequence_follows_the_modality():
    assert parse_recipe({}).name == "nephrographic"
    assert parse_recipe({"modality": "MR"}).name == "fs-t2"
    assert parse_recipe({"modality": "MR", "sequence": "t2"}).name == "t2"


def test_shape_is_extent_over_spacing():
    recipe = parse_recipe({"spacing_mm": [2, 2.5, 5], "field_of_view_mm": [320, 300, 240]})
    assert recipe.shape == (160, 120, 48)
