"""Protocols: every draw is a valid recipe within its ranges, and what is fixed wins."""

import copy

import numpy as np
import pytest

from crossmod.job import UserError
from crossmod.phantom import PROTOCOLS, Recipe, draw_recipe, parse_recipe
from crossmod.phantom.sequences import fat_phase

DRAWS = 60
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}


@pytest.fixture(scope="module")
def recipes() -> dict[str, list[Recipe]]:
    """Many draws of every protocol."""
    return {name: [draw_recipe(name, np.random.default_rng(seed)) for seed in range(DRAWS)] for name in PROTOCOLS}


def value(recipe: Recipe, key: str):
    """A setting by its dotted key; extents and spacings by those of a protocol."""
    axes = list(recipe.ras_axes)
    named = {
        "plane": lambda: next(plane for plane, axis in AXES.items() if axis == axes[2]),
        "inplane_mm": lambda: recipe.spacing_mm[0],
        "across_mm": lambda: recipe.spacing_mm[2],
        "width_mm": lambda: recipe.field_of_view_mm[axes.index(0)],
        "depth_mm": lambda: recipe.field_of_view_mm[axes.index(1)],
        "height_mm": lambda: recipe.field_of_view_mm[axes.index(2)],
        "middle_mm": lambda: recipe.centre_mm[2],
        "echo_time": lambda: "in" if fat_phase(recipe.mr, recipe.mr.echo_time_ms) > 0 else "opposed",
    }
    if key in named:
        return named[key]()
    found = recipe
    for part in key.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_draw_is_a_recipe_and_parses_again(recipes, name):
    for recipe in recipes[name]:
        assert isinstance(recipe, Recipe)
        assert parse_recipe(recipe.model_dump()) == recipe
        assert recipe.spacing_mm[0] == recipe.spacing_mm[1]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_draws_keep_their_ranges_and_use_them(recipes, name):
    for key, allowed in PROTOCOLS[name].items():
        found = [value(recipe, key) for recipe in recipes[name]]
        if isinstance(allowed, tuple):
            low, high = allowed
            assert low <= min(found) and max(found) <= high, key
            assert np.ptp(found) > 0.7 * (high - low), key
        elif isinstance(allowed, list):
            assert set(found) == set(allowed), key
        else:
            assert set(found) == {allowed}, key


@pytest.mark.parametrize("name", PROTOCOLS)
def test_only_what_a_protocol_names_departs_from_the_defaults(recipes, name):
    named = {key.split(".")[1] for key in PROTOCOLS[name] if "." in key} | {"echo_time_ms", "timing_sd"}
    for recipe in recipes[name]:
        for part in ("ct", "mr"):
            default = getattr(Recipe(), part).model_dump()
            changed = {key for key, item in getattr(recipe, part).model_dump().items() if item != default[key]}
            assert changed <= (named if part == recipe.modality.lower() else set())


def test_names_tell_the_modality_and_recipes_the_sequence(recipes):
    for name, drawn in recipes.items():
        modality, _, sequence = name.partition("-")
        assert {recipe.modality for recipe in drawn} == {modality.upper()}
        assert {recipe.sequence for recipe in drawn} == {PROTOCOLS[name]["sequence"]}
        assert PROTOCOLS[name]["sequence"] in sequence or sequence == "coronal-gre"


def test_ct_is_axial_and_mr_of_any_plane(recipes):
    axes = {name: {recipe.ras_axes[2] for recipe in drawn} for name, drawn in recipes.items()}
    assert all(found == {AXES["axial"]} for name, found in axes.items() if name.startswith("ct"))
    assert axes["mr-coronal-gre"] == {AXES["coronal"]}
    assert axes["mr-t2"] == {0, 1, 2}


@pytest.mark.parametrize("plane", AXES)
def test_slices_lie_across_the_plane_and_extents_along_the_body(monkeypatch, plane):
    sizes = {"inplane_mm": 2.0, "across_mm": 5.0, "width_mm": 400.0, "depth_mm": 300.0, "height_mm": 200.0}
    monkeypatch.setitem(PROTOCOLS, "odd", PROTOCOLS["mr-t2"] | sizes | {"plane": plane})
    for seed in range(12):
        recipe = draw_recipe("odd", np.random.default_rng(seed))
        assert recipe.spacing_mm == (2.0, 2.0, 5.0)
        assert recipe.ras_axes[2] == AXES[plane]
        extent = dict(zip(recipe.ras_axes, recipe.field_of_view_mm, strict=True))
        assert extent == {0: 400.0, 1: 300.0, 2: 200.0}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_an_equal_generator_gives_an_equal_recipe(recipes, name):
    assert draw_recipe(name, np.random.default_rng(3)) == recipes[name][3]
    assert recipes[name][3] != recipes[name][4]


def test_drawing_changes_no_protocol():
    before = copy.deepcopy(PROTOCOLS)
    fixed = {"mr": {"noise": 0.1}, "spacing_mm": [4, 4, 4]}
    for name in PROTOCOLS:
        draw_recipe(name, np.random.default_rng(0), fixed)
    assert before == PROTOCOLS
    assert fixed == {"mr": {"noise": 0.1}, "spacing_mm": [4, 4, 4]}


@pytest.mark.parametrize(("name", "phase"), [("mr-t1-in", 1.0), ("mr-t1-opposed", -1.0)])
def test_echo_times_follow_the_field(recipes, name, phase):
    assert {recipe.mr.field_t for recipe in recipes[name]} == {1.5, 3.0}
    for recipe in recipes[name]:
        assert fat_phase(recipe.mr, recipe.mr.echo_time_ms) == pytest.approx(phase, abs=0.01)
    times = {recipe.mr.field_t: recipe.mr.echo_time_ms for recipe in recipes[name]}
    assert times[1.5] == pytest.approx(2 * times[3.0])


@pytest.mark.parametrize("field", [1.5, 3.0])
@pytest.mark.parametrize(("name", "phase"), [("mr-t1-in", 1.0), ("mr-t1-opposed", -1.0)])
def test_echo_times_follow_a_field_that_is_fixed(name, phase, field):
    for seed in range(8):
        recipe = draw_recipe(name, np.random.default_rng(seed), {"mr": {"field_t": field}})
        assert recipe.mr.field_t == field
        assert fat_phase(recipe.mr, recipe.mr.echo_time_ms) == pytest.approx(phase, abs=0.01)


@pytest.mark.parametrize("name", ["mr-t1-in", "mr-t1-opposed"])
def test_a_fixed_echo_time_wins(name):
    assert draw_recipe(name, np.random.default_rng(0), {"mr": {"echo_time_ms": 3.0}}).mr.echo_time_ms == 3.0


@pytest.mark.parametrize("name", PROTOCOLS)
def test_fixed_keys_win_and_leave_the_others(recipes, name):
    fixed = {"orientation": "RAS", "spacing_mm": [4, 4, 6], "ct": {"noise_hu": 1.0}, "mr": {"noise": 0.2}}
    fixed |= {"position_sd_mm": 2.0, "sequence": "mine", "randomisation": 0.5}
    for seed in range(5):
        drawn, plain = draw_recipe(name, np.random.default_rng(seed), fixed), recipes[name][seed]
        assert (drawn.orientation, drawn.spacing_mm, drawn.position_sd_mm) == ("RAS", (4, 4, 6), 2.0)
        assert (drawn.name, drawn.randomisation, drawn.ct.noise_hu, drawn.mr.noise) == ("mine", 0.5, 1.0, 0.2)
        assert drawn.ct.model_copy(update={"noise_hu": plain.ct.noise_hu}) == plain.ct
        assert drawn.mr.model_copy(update={"noise": plain.mr.noise}) == plain.mr
        assert (drawn.arms, drawn.modality, drawn.centre_mm) == (plain.arms, plain.modality, plain.centre_mm)


@pytest.mark.parametrize("name", ["ct", "CT-plain", "", "mr-t3"])
def test_an_unknown_protocol_lists_the_known_ones(name):
    with pytest.raises(UserError) as caught:
        draw_recipe(name, np.random.default_rng(0))
    assert f"protocol '{name}'" in str(caught.value)
    assert all(known in str(caught.value) for known in PROTOCOLS)


@pytest.mark.parametrize(
    ("fixed", "words"),
    [
        ({"spacing": [1, 1, 1]}, ["recipe.spacing: no such key", "spacing_mm"]),
        ({"ct": {"noise_hu": 99}}, ["recipe.ct.noise_hu = 99", "at most 80"]),
        ({"ct": 5}, ["recipe.ct = 5"]),
        ({"mr": {"truncation": 0.1}}, ["recipe.mr.truncation = 0.1", "at least 0.4"]),
        ({"centre_mm": [0, 0, 400]}, ["recipe.centre_mm[2] = 400", "-300 to 300"]),
        ({"arms": "crossed"}, ["recipe.arms = 'crossed'", "'up' or 'down'"]),
        ({"arms": {"left": "up"}}, ["recipe.arms", "'up' or 'down'"]),
    ],
)
def test_bad_fixed_keys_are_refused_with_key_and_range(fixed, words):
    with pytest.raises(UserError) as caught:
        draw_recipe("ct-plain", np.random.default_rng(0), fixed)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("fixed", "words"),
    [
        ({"mr": {"field_t": 7}}, ["recipe.mr.field_t = 7", "1.5 or 3"]),
        ({"mr": {"field_t": 0}}, ["recipe.mr.field_t = 0", "1.5 or 3"]),
        ({"mr": {"field_t": "high"}}, ["recipe.mr.field_t = 'high'", "1.5 or 3"]),
        ({"mr": 5}, ["recipe.mr = 5"]),
    ],
)
def test_a_bad_field_is_refused_where_the_echo_time_follows_it(fixed, words):
    with pytest.raises(UserError) as caught:
        draw_recipe("mr-t1-opposed", np.random.default_rng(0), fixed)
    for word in words:
        assert word in str(caught.value)
