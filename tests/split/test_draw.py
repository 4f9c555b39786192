"""Arms are patient-disjoint from their sites, nested, seeded, and refused where the cohort is too small."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmod.cohort.table import Cohort
from crossmod.design.compose import compose
from crossmod.design.splits import audit_settings, site_settings, split_settings
from crossmod.job import UserError
from crossmod.split.audit import refuse_leaks
from crossmod.split.draw import draw_site, draw_training, gather


def cohort(name: str, patients: int, images: int = 1) -> Cohort:
    rows = [
        {"case": f"{name}-{p:03d}-{i}", "patient": f"{name}-P{p:03d}", "image": "x", "label": "y"}
        for p in range(patients)
        for i in range(images)
    ]
    return Cohort(name=name, source="folder", simulated=False, root=Path(), labels={}, cases=pd.DataFrame(rows))


@pytest.fixture(scope="module")
def study():
    return compose([])


def drawn(study, cohorts, seed=2025):
    settings = split_settings(study)
    return draw_training(settings["pools"], settings["sets"], cohorts, seed)


def placed(study, training, cohorts, site):
    settings = site_settings(study, site)
    return draw_site(training, settings["arms"], settings["site"], cohorts[settings["site"]["cohort"]])


def gathered(study, training, cohorts):
    sites = {site: placed(study, training, cohorts, site) for site in study["sites"]}
    return gather(training, audit_settings(study)["arms"], sites)


@pytest.fixture(scope="module")
def cohorts():
    return {"ct": cohort("ct", 181), "mr": cohort("mr", 240), "ct_external": cohort("ct_external", 79)}


@pytest.fixture(scope="module")
def splits(study, cohorts):
    return gathered(study, drawn(study, cohorts), cohorts)


def names(parts):
    return {case for cases in parts.values() for case in cases}


def test_numbers_are_the_papers(splits):
    sizes = {arm: len(names(parts["training"])) for arm, parts in splits["arms"].items()}
    assert list(sizes.values()) == [116, 40, 80, 120, 40, 80, 120, 156, 196, 236, 156, 196, 236]
    sites = {arm: [len(names(cases)) for cases in parts["sites"].values()] for arm, parts in splits["arms"].items()}
    assert sites.pop("ct116") == [240, 65, 79]
    assert set(map(tuple, sites.values())) == {(120, 65, 79)}


def test_halves_and_sites_share_nothing(splits):
    assert not set(splits["parts"]["mr"]["A"]) & set(splits["parts"]["mr"]["B"])
    for parts in splits["arms"].values():
        for site in parts["sites"].values():
            assert not names(parts["training"]) & names(site)


def test_an_arm_is_validated_on_the_other_half(splits):
    for arm, half in (("mrA040", "B"), ("ct116+mrB120", "A")):
        assert names(splits["arms"][arm]["sites"]["mr"]) == set(splits["parts"]["mr"][half])


def test_amounts_are_nested_and_mixed_contains_pure(splits):
    training = {arm: names(parts["training"]) for arm, parts in splits["arms"].items()}
    for half in "AB":
        assert training[f"mr{half}040"] < training[f"mr{half}080"] < training[f"mr{half}120"]
        for amount in ("040", "080", "120"):
            assert training[f"ct116+mr{half}{amount}"] == training["ct116"] | training[f"mr{half}{amount}"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), images=st.integers(1, 3))
def test_patients_never_split_whatever_the_seed(study, seed, images):
    training = drawn(study, {"ct": cohort("ct", 130, images), "mr": cohort("mr", 240, images)}, seed)
    patients = [{case.rsplit("-", 1)[0] for case in half} for half in training["parts"]["mr"].values()]
    assert not patients[0] & patients[1]
    assert len(names(training["sets"]["ct116+mrA040"][0])) == (116 + 40) * images


def test_same_seed_same_split_and_cohorts_do_not_disturb_each_other(study):
    first = drawn(study, {"ct": cohort("ct", 181), "mr": cohort("mr", 240)}, 1)
    again = drawn(study, {"mr": cohort("mr", 240), "ct": cohort("ct", 150)}, 1)
    assert first["parts"]["mr"] == again["parts"]["mr"]
    other = drawn(study, {"ct": cohort("ct", 181), "mr": cohort("mr", 240)}, 2)
    assert first["parts"]["mr"] != other["parts"]["mr"]


def test_too_few_patients_names_all_numbers(study):
    with pytest.raises(UserError) as error:
        drawn(study, {"ct": cohort("ct", 100), "mr": cohort("mr", 200)}, 0)
    assert "pools.ct.patients is 116, cohort 'ct' has 100" in str(error.value)
    assert "cohort 'mr' has 200 patients (100 per subset)" in str(error.value)


def test_an_empty_site_is_refused(study):
    few = {"ct": cohort("ct", 116), "mr": cohort("mr", 240), "ct_external": cohort("ct_external", 1)}
    with pytest.raises(UserError, match="Site 'ct' has no case for arm 'ct116'"):
        placed(study, drawn(study, few, 0), few, "ct")


def test_audit_refuses_shared_patients_and_broken_nesting(study, cohorts):
    clean = pd.DataFrame(
        [("mrA040", "mr", 40, 120, 0, 0)], columns=["arm", "site", "t", "s", "shared_patients", "shared_images"]
    )
    records, training = audit_settings(study)["arms"], drawn(study, cohorts)
    refuse_leaks(clean, records, training)
    with pytest.raises(UserError, match="arm 'mrA040' and site 'mr' share 1 patients and 0 images"):
        refuse_leaks(clean.assign(shared_patients=1), records, training)
    broken = {**training, "sets": {**training["sets"], "mrA080": training["sets"]["mrB080"]}}
    with pytest.raises(UserError, match="'mrA040' is not nested in arm 'mrA080'"):
        refuse_leaks(clean, records, broken)


@pytest.mark.parametrize(("patients", "folds", "images"), [(10, 5, 1), (7, 3, 2), (4, 2, 1)])
def test_every_patient_is_left_out_of_exactly_one_fold_and_predicted_by_it(patients, folds, images):
    own = cohort("mr", patients, images)
    pool = {"cohort": "mr", "patients_of": "mr", "patients": None, "subsets": None, "amounts": None, "folds": folds}
    training = draw_training({"mr": pool}, {"mr": {"mr": {"subset": None, "amount": None}}}, {"mr": own}, 3)
    learned = [set(fold["mr"]) for fold in training["sets"]["mr"]]
    assert len(learned) == folds and set(own.cases["case"]) == set().union(*learned)
    site = {"name": "here", "cohort": "mr", "part": "out_of_fold", "pools": {"mr": "mr"}}
    found = draw_site(training, [{"name": "a", "set": "mr", "subset": "none"}], site, own)["a"]["mr"]
    assert set(found) == set(own.cases["case"])
    for case, unseen in found.items():
        assert len(unseen) == 1 and case not in learned[unseen[0]]
    sizes = [len(own.cases) - len(cases) for cases in learned]
    assert max(sizes) - min(sizes) <= images


def test_another_site_goes_to_the_pool_of_all_folds():
    own, other = cohort("mr", 6), cohort("elsewhere", 3)
    pool = {"cohort": "mr", "patients_of": "mr", "patients": None, "subsets": None, "amounts": None, "folds": 3}
    training = draw_training({"mr": pool}, {"mr": {"mr": {"subset": None, "amount": None}}}, {"mr": own}, 3)
    arms = [{"name": "a", "set": "mr", "subset": "none"}, {"name": "tool", "set": None, "subset": "none"}]
    found = draw_site(training, arms, {"name": "x", "cohort": "elsewhere", "part": "all", "pools": {}}, other)
    assert set(map(tuple, found["a"]["elsewhere"].values())) == {(0, 1, 2)}
    assert set(map(tuple, found["tool"]["elsewhere"].values())) == {(0,)}


def test_two_folds_are_the_two_halves_each_trained_on_and_each_left_out():
    """An A/B split is a two-fold one: the same parts, drawn the same way."""
    own = {"mr": cohort("mr", 8)}
    common = {"cohort": "mr", "patients_of": "mr", "patients": None}
    halves = {**common, "subsets": ["A", "B"], "amounts": [4], "folds": None}
    sets = {"A": {"mr": {"subset": "A", "amount": 4}}, "B": {"mr": {"subset": "B", "amount": 4}}}
    subsets = draw_training({"mr": halves}, sets, own, 1)["sets"]
    two = {**common, "subsets": None, "amounts": None, "folds": 2}
    folds = draw_training({"mr": two}, {"mr": {"mr": {"subset": None, "amount": None}}}, own, 1)["sets"]["mr"]
    assert folds == [subsets["B"][0], subsets["A"][0]]


def test_a_derived_cohort_draws_the_patients_of_its_origin():
    own = cohort("mr", 8)
    pool = {
        "cohort": "mr_labelled",
        "patients_of": "mr",
        "patients": 5,
        "subsets": None,
        "amounts": None,
        "folds": None,
    }
    sets = {"s": {"m": {"subset": None, "amount": 5}}}
    derived = draw_training({"m": pool}, sets, {"mr": own}, 4)["sets"]["s"][0]
    plain = draw_training({"m": pool | {"cohort": "mr"}}, sets, {"mr": own}, 4)["sets"]["s"][0]
    assert derived == {"mr_labelled": plain["mr"]}
