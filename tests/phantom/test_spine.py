"""A spine in detail: every vertebra and disc in its place, a cord in its sac, tumours only where they may grow."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from crossmod.job import UserError
from crossmod.phantom import SPINE, Patient, Population, Recipe, labelled, parse_population, simulate
from crossmod.phantom.canvas import Canvas
from crossmod.phantom.column_tumours import draw_column_tumours
from crossmod.phantom.grid import make_grid
from crossmod.phantom.mr import render_mr
from crossmod.phantom.patient import Anatomy, draw_anatomy, paint
from crossmod.phantom.protocols import draw_recipe
from crossmod.phantom.recipe import MRSettings
from crossmod.phantom.spine_patients import SpinePatients
from crossmod.phantom.tissue import VALUES, Tissue, steps
from crossmod.phantom.torso import draw_person, draw_torso
from crossmod.phantom.vertebrae import LEVELS, SIZES_MM, Column, draw_column

# In R-A-S order, so that arrays need no turning.
LUMBAR = Recipe(
    modality="MR",
    sequence="t1",
    orientation="RAS",
    spacing_mm=(3.0, 1.5, 1.5),
    field_of_view_mm=(66.0, 180.0, 216.0),
    centre_mm=(0.0, -5.0, -40.0),
    position_sd_mm=0.0,
)
HEALTHY = Population(spine=SpinePatients(metastases=0.0, intradural=0.0, haemangiomas=0.0))
BODY, ARCH, DISC, CANAL, CORD = (
    VALUES[name] for name in ("vertebral_body", "posterior_elements", "disc", "canal", "cord")
)
TUMOUR = VALUES["spinal_tumour"]
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def healthy() -> list[Patient]:
    """Patients without a tumour."""
    return [simulate(seed, LUMBAR, HEALTHY) for seed in SEEDS]


@pytest.fixture(scope="module")
def bodies() -> list[Anatomy]:
    """The same patients before the scanner."""
    return [draw_anatomy(seed, HEALTHY) for seed in SEEDS]


@pytest.fixture(scope="module")
def columns() -> list[Column]:
    """Columns of 60 people."""
    drawn = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        person = draw_person(rng, Population())
        drawn.append(draw_column(rng, person, draw_torso(rng, person), 1.0))
    return drawn


def in_picture(body: Anatomy) -> list[str]:
    """Vertebrae whose bodies lie within the field of view with a margin."""
    column = body.spine.column
    return [one.name for one in column.vertebrae if -140 < one.centre_mm[1] < 60 and one.name[0] != "S"]


def test_every_vertebra_is_a_body_of_its_own(healthy, bodies):
    for patient, body in zip(healthy, bodies, strict=True):
        parts, _ = ndimage.label(patient.labels == BODY)
        volumes = np.bincount(parts.ravel())[1:] * np.prod(LUMBAR.spacing_mm) / 1000
        whole = volumes[volumes > 8.0]
        assert len(in_picture(body)) <= len(whole) <= len(in_picture(body)) + 2
        # What else there is are bodies cut by the edge of the picture, and rims thinner than a voxel.
        assert np.count_nonzero(volumes > 0.1) - len(whole) <= 2
        assert np.all(whole < 60.0)


def test_discs_lie_between_bodies(healthy, bodies):
    for patient, body in zip(healthy, bodies, strict=True):
        middle = patient.labels[patient.labels.shape[0] // 2]
        names = in_picture(body)
        for above, below in pairwise(names):
            one, other = (body.spine.column.vertebra(name) for name in (above, below))
            grid = make_grid(LUMBAR, np.random.default_rng(0))
            line = np.linspace(one.centre_mm, other.centre_mm, 60)
            index = [np.clip(np.searchsorted(grid.axes[k + 1], line[:, k]), 0, middle.shape[k] - 1) for k in (0, 1)]
            met = middle[index[0], index[1]].tolist()
            assert DISC in met[15:45]
            assert BODY in met[:15] and BODY in met[45:]


def test_the_cord_lies_in_the_sac(healthy):
    for patient in healthy:
        cord = patient.labels == CORD
        assert cord.any()
        around = ndimage.binary_dilation(cord) & ~cord
        # Above and below are cord, sac, or the edge of the picture.
        assert set(np.unique(patient.labels[around])) <= {CANAL}


def test_posterior_elements_lie_behind_the_bodies(healthy):
    for patient in healthy:
        y = {value: np.argwhere(patient.labels == value)[:, 1].mean() for value in (BODY, CANAL, ARCH)}
        assert y[BODY] > y[CANAL] > y[ARCH]


def test_all_structures_but_tumours_are_there(healthy):
    for patient in healthy:
        shown = {SPINE[value] for value in np.unique(patient.labels) if value}
        assert shown == set(SPINE.values()) - {"spinal_tumour", "haemangioma"}
        assert labelled(HEALTHY) == SPINE
        assert patient.facts["spinal_tumour_kind"] == "none" and patient.facts["tumour_side"] == "none"
        assert all(type(value) in (str, int, float) for value in patient.facts.values())


def test_volumes_of_lumbar_bodies_are_as_in_adults(bodies):
    """L1 to L4 of real scans at hand hold 22 to 36 ml each."""
    for body in bodies:
        for name in ("L2", "L3"):
            one = body.spine.column.vertebra(name)
            ellipse = np.pi * np.mean(one.width) * np.mean(one.depth)
            assert 18.0 < 0.95 * ellipse * one.height / 1000 < 48.0


def test_angles_are_those_published_for_people_lying_down(columns):
    lordosis = np.array([column.lordosis_deg for column in columns])
    kyphosis = np.array([column.kyphosis_deg for column in columns])
    assert 44 < lordosis.mean() < 52 and 6 < lordosis.std() < 11
    assert 33 < kyphosis.mean() < 39 and 6 < kyphosis.std() < 9
    for column in columns:
        lean = {name: np.degrees(column.vertebra(name).tilt_rad) for name in ("T4", "T12", "L1", "S1")}
        assert lean["S1"] - lean["L1"] == pytest.approx(column.lordosis_deg, abs=0.1)
        assert lean["T4"] - lean["T12"] == pytest.approx(column.kyphosis_deg, abs=0.1)


def test_vertebrae_are_as_wide_and_deep_as_published(columns):
    for name in ("T4", "T9", "L1", "L4"):
        widths = np.mean([2 * column.vertebra(name).width[1] for column in columns])
        depths = np.mean([2 * column.vertebra(name).depth[1] for column in columns])
        assert widths == pytest.approx(SIZES_MM[name][0], rel=0.05)
        assert depths == pytest.approx(SIZES_MM[name][1], rel=0.05)


def test_the_cord_ends_at_the_first_lumbar_vertebra(columns):
    nearest = [
        min(LEVELS, key=lambda name: abs(column.vertebra(name).centre_mm[1] - column.cord_end)) for column in columns
    ]
    assert set(nearest) <= {"T11", "T12", "L1", "L2", "L3"}
    assert nearest.count("L1") + nearest.count("L2") > 0.7 * len(nearest)


def test_discs_wear_with_age_and_low_ones_first(columns):
    grades = {
        name: np.mean([column.discs[LEVELS.index(name)].grade for column in columns]) for name in ("T8", "L2", "L5")
    }
    assert grades["T8"] < grades["L2"] < grades["L5"]
    rng = np.random.default_rng(0)
    person = draw_person(rng, Population())
    torso = draw_torso(rng, person)

    def worn(age, wear):
        aged = replace(person, age=age)
        drawn = [draw_column(np.random.default_rng(seed), aged, torso, wear) for seed in range(8)]
        return np.mean([disc.grade for column in drawn for disc in column.discs if disc.name[0] == "L"])

    assert worn(75, 1.0) > worn(30, 1.0) + 1.0
    assert worn(75, 0.0) < 2.0


def painted(body: Anatomy, tumours: tuple) -> tuple[np.ndarray, np.ndarray]:
    return paint(replace(body, spine=replace(body.spine, tumours=tumours)), make_grid(LUMBAR, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def plain(bodies) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tissues and labels of the patients."""
    return [painted(body, ()) for body in bodies]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_metastases_stay_in_their_vertebra_unless_they_break_out(share, bodies, plain):
    who = SpinePatients(
        metastases=1.0, intradural=0.0, haemangiomas=0.0, epidural=share, paravertebral=share, levels=("L1", "L3")
    )
    for seed, body in enumerate(bodies):
        tumours = draw_column_tumours(np.random.default_rng(seed), body.spine.column, who)
        before, after = plain[seed], painted(body, tumours)
        new = after[1] != before[1]
        assert np.all(after[1][new] == TUMOUR) and np.count_nonzero(new) > 20
        taken = set(np.unique(before[1][new]))
        assert BODY in taken
        allowed = {BODY, ARCH} | ({0, CANAL} if share else set())
        assert taken <= allowed
        assert bool(taken & {0, CANAL}) == bool(share)
        np.testing.assert_array_equal(after[1] == DISC, before[1] == DISC)
        np.testing.assert_array_equal(after[1] == CORD, before[1] == CORD)


@pytest.mark.parametrize("kind", ["schwannoma", "meningioma", "ependymoma"])
def test_intradural_tumours_grow_in_the_sac(kind, bodies, plain):
    shares = {"schwannoma": (1.0, 0.0), "ependymoma": (0.0, 1.0), "meningioma": (0.0, 0.0)}[kind]
    who = SpinePatients(
        metastases=0.0,
        intradural=1.0,
        haemangiomas=0.0,
        schwannomas=shares[0],
        ependymomas=shares[1],
        levels=("T12", "L3"),
    )
    for seed, body in enumerate(bodies):
        (one,) = draw_column_tumours(np.random.default_rng(seed), body.spine.column, who)
        assert one.kind == kind
        one = replace(one, foramen=False)
        tissue, label = painted(body, (one,))
        before = plain[seed][1]
        new = label == TUMOUR
        assert np.all(tissue[new] == Tissue[kind.upper()]) and new.any()
        assert set(np.unique(before[new])) <= {CANAL, CORD}
        inside = np.isin(before, [CANAL, CORD])
        np.testing.assert_array_equal(label[~inside], before[~inside])


def test_tumours_enhance_with_gadolinium(bodies):
    who = SpinePatients(metastases=0.0, intradural=1.0, haemangiomas=0.0, levels=("L1", "L3"))
    body = bodies[1]
    tumours = draw_column_tumours(np.random.default_rng(0), body.spine.column, who)
    tissue, label = painted(body, tumours)
    still = {"bias": 0.0, "noise": 0.0, "relaxation_sd": 0.0, "timing_sd": 0.0, "fat_suppression": 0.0}
    ratios = []
    for dose in (0.0, 1.0):
        mr = MRSettings(repetition_time_ms=550.0, echo_time_ms=10.0, gadolinium=dose, phase=1.0, **still)
        recipe = LUMBAR.model_copy(update={"mr": mr})
        grid = make_grid(recipe, np.random.default_rng(0))
        image = render_mr(tissue, grid, recipe, "clear_cell", np.random.default_rng(0))
        csf = np.median(image[grid.centre_slices(tissue) == Tissue.CSF])
        ratios.append(np.median(image[grid.centre_slices(label) == TUMOUR]) / csf)
    assert ratios[1] > 1.4 * ratios[0]


def test_surface_coils_brighten_the_back_alone(plain):
    tissue, _ = plain[0]
    pictures = []
    for radius in (0.0, 120.0):
        recipe = LUMBAR.model_copy(update={"mr": MRSettings(coil_mm=radius, noise=0.0)})
        grid = make_grid(recipe, np.random.default_rng(0))
        image = render_mr(tissue, grid, recipe, "clear_cell", np.random.default_rng(0)).astype(float)
        muscle, y = grid.centre_slices(tissue) == Tissue.MUSCLE, grid.axes[1][None, :, None]
        back, front = (np.median(image[muscle & part]) for part in (y < -50, y > 30))
        pictures.append(back / front)
    assert pictures[1] > 1.8 * pictures[0]


def test_the_same_seed_gives_the_same_bytes(healthy):
    again = simulate(1, LUMBAR, HEALTHY)
    assert again.image.tobytes() == healthy[1].image.tobytes()
    assert again.labels.tobytes() == healthy[1].labels.tobytes()
    assert again.facts == healthy[1].facts
    assert healthy[0].image.tobytes() != healthy[1].image.tobytes()


def test_a_tumour_outside_of_the_picture_is_none_of_the_cases():
    everyone = Population(spine=SpinePatients(metastases=1.0, intradural=0.0, levels=("T3", "T4")))
    facts = simulate(1, LUMBAR.model_copy(update={"spacing_mm": (6.0, 4.0, 4.0)}), everyone).facts
    assert (
        facts["spinal_tumour_ml"] == 0 and facts["spinal_tumour_kind"] == "none" and facts["spinal_tumour_count"] == 0
    )


def test_tumours_are_drawn_apart_from_the_column(bodies):
    """Whoever has a tumour has the spine of the same seed without it."""
    ill = draw_anatomy(1, Population(spine=SpinePatients(metastases=1.0, intradural=0.0)))
    assert ill.spine.tumours and ill.spine.column.vertebrae == bodies[1].spine.column.vertebrae


@pytest.mark.parametrize("protocol", ["mr-spine-t1", "mr-spine-gd-t1", "mr-spine-gd-t1-fs", "mr-spine-t2"])
def test_protocols_are_sagittal_and_fine(protocol):
    for seed in range(20):
        recipe = draw_recipe(protocol, np.random.default_rng(seed))
        across = recipe.shape[2]
        assert recipe.orientation[2] in "LR" and 11 <= across <= 22
        assert 0.6 <= recipe.spacing_mm[0] <= 0.7 and 300 <= recipe.shape[0] <= 440
        assert recipe.mr.coil_mm > 0


def test_every_point_of_a_bent_trunk_is_in_the_box_that_should_hold_it(bodies):
    body = bodies[1]
    pose = body.spine.bent(body.pose)
    axes = (np.arange(-40.0, 41.0, 8.0), np.arange(-120.0, 121.0, 8.0), np.arange(-200.0, 301.0, 8.0))
    canvas = Canvas.blank(axes, pose)
    for centre in np.random.default_rng(0).uniform([-30, -80, -180], [30, 80, 280], (60, 3)):
        apart = np.sqrt(sum((value - c) ** 2 for value, c in zip(canvas.xyz, centre, strict=True)))
        box = canvas.box(centre, 25.0)
        inside = np.zeros(apart.shape, bool)
        if box is not None:
            inside[box] = True
        assert not np.any((apart < 25.0) & ~inside)


def test_later_tissues_leave_the_numbers_of_earlier_ones_alone():
    rng, plain = np.random.default_rng(5), np.random.default_rng(5)
    drawn, first = steps(rng, 3), plain.normal(size=(3, Tissue.INTRADURAL_TUMOUR + 1))
    np.testing.assert_array_equal(drawn[:, : first.shape[1]], first)
    assert drawn.shape == (3, len(Tissue)) and rng.normal() == plain.normal()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"spine": {}, "organs": True}, "spine: leaves no room for organs"),
        ({"spine": {"metastases": 0.8, "intradural": 0.4}}, "metastases \\+ intradural = 1.2"),
        ({"spine": {"schwannomas": 0.8, "ependymomas": 0.4}}, "schwannomas \\+ ependymomas = 1.2"),
        ({"spine": {"levels": ["L5", "T11"]}}, "highest vertebra comes first"),
        ({"spine": {"levels": ["L5", "X1"]}}, "population.spine.levels"),
        ({"spine": {"metastase": 0.1}}, "did you mean metastases"),
        ({"spine": {"wear": 3.0}}, "population.spine.wear = 3.0.*at most 2"),
        ({"spine": True}, "population.spine"),
    ],
)
def test_bad_populations_are_refused(settings, words):
    with pytest.raises(UserError, match=words):
        parse_population(settings)


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_a_saturation_band_darkens_what_lies_in_front_of_it_by_its_share_and_nothing_behind(plain, share):
    tissue, _ = plain[0]
    means = []
    for saturation in (0.0, share):
        # Without ringing, ghosts and noise a point's signal is its own; the 99th percentile is that of fat behind.
        mr = MRSettings(saturation=saturation, saturation_from_mm=0.0, noise=0.0, bias=0.0, psf_fwhm_mm=0.0)
        recipe = LUMBAR.model_copy(update={"mr": mr})
        grid = make_grid(recipe, np.random.default_rng(0))
        image = render_mr(tissue, grid, recipe, "clear_cell", np.random.default_rng(0)).astype(float)
        muscle, y = grid.centre_slices(tissue) == Tissue.MUSCLE, grid.axes[1][None, :, None]
        means.append([image[muscle & part].mean() for part in (y < -20, y > 20)])
    (behind, front), (behind_too, darkened) = means
    assert darkened * behind / (front * behind_too) == pytest.approx(1 - share, abs=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_the_band_of_the_protocols_reaches_no_vertebral_body(seed):
    """A band that cuts the bodies hides the tumours that it is to show."""
    pictures = []
    for share in (0.0, 0.95):
        settings = {"mr": {"noise": 0.0, "saturation": share}}
        recipe = draw_recipe("mr-spine-gd-t1-fs", np.random.default_rng(seed), settings)
        patient = simulate(seed, recipe, HEALTHY)
        pictures.append(patient.image[patient.labels == BODY].astype(float))
    left = pictures[1] / np.maximum(pictures[0], 1)
    assert np.mean(left < 0.7 * np.median(left)) < 0.01, "the rest is rounding where cortex is dark"
