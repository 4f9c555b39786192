"""Arms are patient-disjoint from their sites, nested, seeded, and refused where the cohort is too small."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmod.cohort.table import Cohort
from crossmod.design.arms import arms, site_records
from crossmod.design.compose import compose
from crossmod.job import UserError
from crossmod.split.audit import refuse_leaks
from crossmod.split.draw import draw_site, draw_training, gather, training_cases


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


def draw_sites(training, records, sites, cohorts):
    return gather(
        training,
        records,
        {site["name"]: draw_site(training, records, site, cohorts[site["cohort"]]) for site in sites},
    )


@pytest.fixture(scope="module")
def splits(study):
    cohorts = {"ct": cohort("ct", 181), "mr": cohort("mr", 240), "ct_external": cohort("ct_external", 79)}
    training = draw_training(study["arms"], cohorts, 2025)
    return draw_sites(training, [arm.record() for arm in arms(study)], site_records(study), cohorts)


def names(parts):
    return {case for cases in parts.values() for case in cases}


def test_numbers_are_the_papers(splits):
    sizes = {arm: len(names(parts["training"])) for arm, parts in splits["arms"].items()}
    assert list(sizes.values()) == [116, 40, 80, 120, 40, 80, 120, 156, 196, 236, 156, 196, 236]
    sites = {arm: [len(names(cases)) for cases in parts["sites"].values()] for arm, parts in splits["arms"].items()}
    assert sites.pop("ct116") == [240, 65, 79]
    assert set(map(tuple, sites.values())) == {(120, 65, 79)}


def test_halves_and_sites_share_nothing(splits):
    assert not set(splits["subsets"]["A"]) & set(splits["subsets"]["B"])
    for parts in splits["arms"].values():
        for site in parts["sites"].values():
            assert not names(parts["training"]) & names(site)


def test_an_arm_is_validated_on_the_other_half(splits):
    for arm, half in (("mrA040", "B"), ("ct116+mrB120", "A")):
        assert names(splits["arms"][arm]["sites"]["mr"]) == set(splits["subsets"][half])


def test_amounts_are_nested_and_mixed_contains_pure(splits):
    training = {arm: names(parts["training"]) for arm, parts in splits["arms"].items()}
    for half in "AB":
        assert training[f"mr{half}040"] < training[f"mr{half}080"] < training[f"mr{half}120"]
        for amount in ("040", "080", "120"):
            assert training[f"ct116+mr{half}{amount}"] == training["ct116"] | training[f"mr{half}{amount}"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), images=st.integers(1, 3))
def test_patients_never_split_whatever_the_seed(study, seed, images):
    cohorts = {"ct": cohort("ct", 130, images), "mr": cohort("mr", 240, images)}
    training = draw_training(study["arms"], cohorts, seed)
    patients = [{case.rsplit("-", 1)[0] for case in half} for half in training["halves"].values()]
    assert not patients[0] & patients[1]
    arm = {"strategy": "mixed", "subset": "A", "amount": 40}
    assert len(names(training_cases(training, arm))) == (116 + 40) * images


def test_same_seed_same_split_and_cohorts_do_not_disturb_each_other(study):
    first = draw_training(study["arms"], {"ct": cohort("ct", 181), "mr": cohort("mr", 240)}, 1)
    again = draw_training(study["arms"], {"mr": cohort("mr", 240), "ct": cohort("ct", 150)}, 1)
    assert first["halves"] == again["halves"]
    assert (
        first["halves"] != draw_training(study["arms"], {"ct": cohort("ct", 181), "mr": cohort("mr", 240)}, 2)["halves"]
    )


def test_too_few_patients_names_all_numbers(study):
    with pytest.raises(UserError) as error:
        draw_training(study["arms"], {"ct": cohort("ct", 100), "mr": cohort("mr", 200)}, 0)
    assert "arms.assist.patients is 116, cohort 'ct' has 100" in str(error.value)
    assert "cohort 'mr' has 200 patients (100 per subset)" in str(error.value)


def test_an_empty_site_is_refused(study):
    cohorts = {"ct": cohort("ct", 116), "mr": cohort("mr", 240), "ct_external": cohort("ct_external", 1)}
    training = draw_training(study["arms"], cohorts, 0)
    with pytest.raises(UserError, match="Site 'ct' has no case for arm 'ct116'"):
        draw_sites(training, [arm.record() for arm in arms(study)], site_records(study), cohorts)


def test_audit_refuses_shared_patients_and_broken_nesting(study, splits):
    clean = pd.DataFrame(
        [("mrA040", "mr", 40, 120, 0, 0)], columns=["arm", "site", "t", "s", "shared_patients", "shared_images"]
    )
    records = [arm.record() for arm in arms(study)]
    refuse_leaks(clean, records, splits)
    with pytest.raises(UserError, match="arm 'mrA040' and site 'mr' share 1 patients and 0 images"):
        refuse_leaks(clean.assign(shared_patients=1), records, splits)
    broken = {**splits, "arms": {**splits["arms"], "mrA080": splits["arms"]["mrB080"]}}
    with pytest.raises(UserError, match="'mrA040' is not nested in arm 'mrA080'"):
        refuse_leaks(clean, records, broken)
