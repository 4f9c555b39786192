"""A population says who is scanned: shares and means are kept, and the seed's body stays the same."""

import numpy as np
import pytest

from crossmod.job import UserError
from crossmod.phantom import Patient, Population, Recipe, Tissue, draw_anatomy, parse_population, simulate
from crossmod.phantom.kidney import draw_kidneys
from crossmod.phantom.torso import draw_person, draw_torso
from crossmod.phantom.tumour import draw_tumour

COARSE = Recipe(spacing_mm=(8, 8, 8), field_of_view_mm=(420, 340, 260), position_sd_mm=0.0)
SEEDS = range(12)


def drawn(**settings) -> list[Patient]:
    return [simulate(seed, COARSE, Population(**settings)) for seed in SEEDS]


@pytest.fixture(scope="module")
def ill() -> list[Patient]:
    """Everybody has a carcinoma."""
    return drawn()


@pytest.fixture(scope="module")
def half() -> list[Patient]:
    """About half have one."""
    return drawn(tumour=0.5)


@pytest.fixture(scope="module")
def well() -> list[Patient]:
    """Nobody has one."""
    return drawn(tumour=0.0)


def test_nobody_has_a_tumour_where_the_share_is_none(well):
    for patient in well:
        facts = patient.facts
        assert facts["tumour_side"] == facts["histology"] == facts["growth"] == "none"
        assert facts["tumour_volume_ml"] == facts["right_tumour_ml"] == facts["left_tumour_ml"] == 0
        assert not np.isin(patient.labels, (5, 6)).any()
        assert not np.isin(patient.tissues, (Tissue.TUMOUR, Tissue.NECROSIS, Tissue.HAEMORRHAGE)).any()
        assert facts["right_parenchyma_ml"] > 20 and facts["left_parenchyma_ml"] > 20


def test_half_have_a_tumour_where_half_should(half):
    sides = [patient.facts["tumour_side"] for patient in half]
    assert set(sides) == {"right", "left", "none"}
    assert 2 <= sides.count("none") <= 10


def test_whoever_has_a_tumour_is_the_same_patient_whatever_the_share(ill, half, well):
    for everybody, some, nobody in zip(ill, half, well, strict=True):
        twin = nobody if some.facts["tumour_side"] == "none" else everybody
        assert some.facts == twin.facts
        assert some.image.tobytes() == twin.image.tobytes()
        assert some.labels.tobytes() == twin.labels.tobytes()


def carcinoma(seed: int, share: float, median_ml: float = 35.0):
    """A carcinoma without the rest of the body."""
    rng = np.random.default_rng(seed)
    person = draw_person(rng, Population())
    torso = draw_torso(rng, person)
    return draw_tumour(rng, draw_kidneys(rng, person, torso), torso, share, median_ml)


def test_a_greater_share_takes_in_the_smaller():
    found = [{seed for seed in range(60) if carcinoma(seed, share)} for share in (0.0, 0.2, 0.6, 1.0)]
    assert found[0] == set() and found[3] == set(range(60))
    assert found[1] < found[2] < found[3]


def test_the_rest_of_a_body_does_not_depend_on_its_tumour(ill, well):
    for one, two in zip(ill, well, strict=True):
        side = "left" if one.facts["tumour_side"] == "right" else "right"
        for key in ("sex", "age", "bmi"):
            assert one.facts[key] == two.facts[key]
        assert one.facts[f"{side}_sinus_ml"] == pytest.approx(two.facts[f"{side}_sinus_ml"], rel=0.3)
        np.testing.assert_array_equal(one.affine, two.affine)


def test_no_population_is_the_default_one(ill):
    patient = simulate(3, COARSE)
    assert patient.image.tobytes() == ill[3].image.tobytes() and patient.facts == ill[3].facts
    assert parse_population({}) == Population()


def people(**settings) -> list:
    return [draw_person(np.random.default_rng(seed), Population(**settings)) for seed in range(400)]


@pytest.mark.parametrize("bmi", [21.0, 25.0, 30.0, 34.0])
def test_body_mass_follows_its_mean(bmi):
    found = [person.bmi for person in people(bmi=bmi, bmi_sd=2.0)]
    assert np.mean(found) == pytest.approx(bmi, abs=0.4)
    assert np.std(found) == pytest.approx(2.0, rel=0.15)


def test_no_spread_makes_everybody_alike():
    found = people(bmi=24.0, bmi_sd=0.0, age=40.0, age_sd=0.0)
    assert {(person.bmi, person.age) for person in found} == {(24.0, 40)}
    assert {person.sex for person in found} == {"male", "female"}


@pytest.mark.parametrize("age", [35.0, 61.0])
def test_age_follows_its_mean(age):
    found = [person.age for person in people(age=age, age_sd=5.0)]
    assert np.mean(found) == pytest.approx(age, abs=1.0)
    assert np.std(found) == pytest.approx(5.0, rel=0.15)


def test_heavier_people_are_wider():
    widths = [
        np.mean([draw_torso(np.random.default_rng(1), person).half_width for person in people(bmi=bmi, bmi_sd=0.0)])
        for bmi in (20.0, 32.0)
    ]
    assert widths[1] > widths[0] + 25


def test_the_body_that_is_drawn_is_one_of_the_population():
    anatomy = draw_anatomy(3, Population(tumour=0.0, tumour_ml=10.0, bmi=24.0, bmi_sd=0.0, age=40.0, age_sd=0.0))
    assert (anatomy.person.bmi, anatomy.person.age, anatomy.tumour) == (24.0, 40, None)
    small, large = (draw_anatomy(3, Population(tumour_ml=median)).tumour for median in (10.0, 40.0))
    assert large.radius_mm > small.radius_mm


@pytest.mark.parametrize("median", [8.0, 90.0])
def test_carcinomas_are_as_large_as_asked(median):
    found = [carcinoma(seed, 1.0, median).radius_mm for seed in range(100)]
    assert np.median(4 / 3 * np.pi * np.array(found) ** 3 / 1000) == pytest.approx(median, rel=0.35)


def test_carcinomas_spread_as_widely_as_asked():
    """The inversion study: median 29 ml, 0.7 to 1971 ml."""
    wide = {"tumour_ml": 29.0, "tumour_spread": 1.6, "tumour_range_ml": (0.7, 1971.0)}
    volumes = [volume_ml(seed, **wide) for seed in range(200)]
    assert 22 < np.median(volumes) < 38
    assert min(volumes) >= 0.7 and max(volumes) <= 1971
    assert np.percentile(volumes, 5) < 4 and np.percentile(volumes, 95) > 250
    narrow = [volume_ml(seed, tumour_spread=0.2) for seed in range(60)]
    assert np.std(np.log(narrow)) == pytest.approx(0.2, abs=0.06)
    assert volume_ml(3, tumour_spread=0.0) == pytest.approx(35.0)


def volume_ml(seed: int, **settings) -> float:
    who = Population(**settings)
    rng = np.random.default_rng(seed)
    person = draw_person(rng, who)
    torso = draw_torso(rng, person)
    kidneys = draw_kidneys(rng, person, torso)
    found = draw_tumour(rng, kidneys, torso, 1.0, who.tumour_ml, who.tumour_spread, who.tumour_range_ml)
    return 4 / 3 * np.pi * found.radius_mm**3 / 1000


def test_a_carcinoma_of_two_litres_can_be_scanned():
    huge = Population(tumour_ml=190.0, tumour_spread=3.0, tumour_range_ml=(150.0, 1971.0), organs=True)
    volumes = [simulate(seed, COARSE, huge).facts["tumour_volume_ml"] for seed in range(5)]
    assert max(volumes) > 500


def test_blocked_kidneys_hold_more_urine(well):
    blocked = [simulate(seed, COARSE, Population(tumour=0.0, hydronephrosis=1.0)) for seed in SEEDS[:8]]
    for open_, wide in zip(well, blocked, strict=False):
        urine = [np.count_nonzero((p.tissues == Tissue.URINE) & np.isin(p.labels, (3, 4))) for p in (open_, wide)]
        assert urine[1] > 1.3 * urine[0]


@pytest.mark.parametrize(
    ("settings", "lesion", "count"),
    [({"liver_lesions": 1.0}, "liver", "liver_tumour_count"), ({"spine_lesions": 1.0}, "spine", "spine_tumour_count")],
)
def test_lesions_of_liver_and_spine_come_with_their_share(well, settings, lesion, count):
    patients = [simulate(seed, COARSE, Population(tumour=0.0, **settings)) for seed in SEEDS[:6]]
    assert all(patient.facts[count] == 0 for patient in well)
    assert any(patient.facts[count] > 0 for patient in patients)
    for patient, bare in zip(patients, well, strict=False):
        np.testing.assert_array_equal(patient.labels, bare.labels)
        differ = {key for key, fact in patient.facts.items() if fact != bare.facts[key]}
        assert all(key.startswith(lesion) for key in differ)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tumour": 1.5}, ["population.tumour = 1.5", "at least 0", "at most 1"]),
        ({"tumour": -0.1}, ["population.tumour = -0.1", "at least 0"]),
        ({"tumour": "many"}, ["population.tumour = 'many'", "number"]),
        ({"tumour_ml": 1}, ["population.tumour_ml = 1", "at least 2", "at most 200"]),
        ({"tumour_spread": 5}, ["population.tumour_spread = 5", "at least 0", "at most 3"]),
        ({"tumour_range_ml": [90, 2]}, ["population.tumour_range_ml = [90, 2]", "rising", "0.1 to 2500 ml"]),
        ({"tumour_range_ml": [1, 3000]}, ["population.tumour_range_ml = [1, 3000]", "0.1 to 2500 ml"]),
        ({"tumour_range_ml": [40, 90]}, ["population.tumour_range_ml", "must hold the median, tumour_ml = 35"]),
        ({"organs": "some"}, ["population.organs = 'some'", "boolean"]),
        ({"organ": True}, ["population.organ: no such key", "did you mean organs"]),
        ({"bmi": 50}, ["population.bmi = 50", "at least 19", "at most 38"]),
        ({"bmi_sd": -1}, ["population.bmi_sd = -1", "at least 0", "at most 8"]),
        ({"age": 12}, ["population.age = 12", "at least 20", "at most 85"]),
        ({"age_sd": 30}, ["population.age_sd = 30", "at most 25"]),
        ({"hydronephrosis": 2}, ["population.hydronephrosis = 2", "at most 1"]),
        ({"shapes": 3}, ["population.shapes = 3", "string"]),
        ({"shapes_share": 1.1}, ["population.shapes_share = 1.1", "at most 1"]),
        ({"liver_lesions": 7}, ["population.liver_lesions = 7", "at most 1"]),
        ({"spine_lesions": -1}, ["population.spine_lesions = -1", "at least 0"]),
        ({"bmi": float("nan")}, ["population.bmi", "finite"]),
        ({"tumor": 0.5}, ["population.tumor: no such key", "did you mean tumour"]),
        ({"colour": 0.5}, ["population.colour: no such key"]),
        ("everybody", ["population = 'everybody'", "dictionary"]),
    ],
)
def test_bad_keys_are_refused_with_key_and_range(settings, words):
    with pytest.raises(UserError) as caught:
        parse_population(settings)
    for word in ("This population cannot be simulated", *words):
        assert word in str(caught.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(UserError) as caught:
        parse_population({"bmi": 99, "age": 3, "tumor": 1})
    assert str(caught.value).count("population.") == 3


def test_a_population_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Population().tumour = 0.5
