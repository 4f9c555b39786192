"""Correction of families of p-values against R's p.adjust."""

import numpy as np
import pytest

from crossmod.analyse.stats import correct_p
from crossmod.job import UserError

METHODS = ["holm", "bonferroni", "hochberg", "BH", "BY"]


@pytest.mark.parametrize("method", METHODS)
def test_one_global_family(reference, method):
    expected = reference.expected("multiplicity_18_tests")["global"][method]
    p = reference.data("multiplicity_18_tests")["p"]
    np.testing.assert_allclose(correct_p(p, method), expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["holm", "bonferroni", "BH"])
def test_families_per_validation_set(reference, method):
    data = reference.data("multiplicity_18_tests")
    found = data.groupby("validation", sort=False)["p"].transform(lambda p: correct_p(p, method))
    expected = reference.expected("multiplicity_18_tests")["within_validation"][method]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_missing_p_values_do_not_count(reference, method):
    case = reference.expected("multiplicity_18_tests")["with_two_missing_at_positions_4_and_9"]
    found = correct_p(np.array(case["p"], float), method)
    np.testing.assert_allclose(found, np.array(case["adjusted"][method], float), rtol=1e-6)


def test_none_and_empty():
    assert list(correct_p([0.2, 0.01], "none")) == [0.2, 0.01]
    assert len(correct_p([])) == 0


@pytest.mark.parametrize(("p", "method"), [([0.1], "tukey"), ([1.2], "holm"), ([-0.1], "BH")])
def test_refusals(p, method):
    with pytest.raises(UserError):
        correct_p(p, method)
