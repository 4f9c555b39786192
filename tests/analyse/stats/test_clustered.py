"""The cluster-robust mean against R's clubSandwich."""

import numpy as np
import pytest
from scipy import stats

from crossmod.analyse.stats.clustered import mean_of


def test_cr2_agrees_with_club_sandwich(reference):
    case = "cluster_two_kidneys_65_patients"
    wide = reference.data(case).pivot(index=["patient", "kidney"], columns="arm", values="dsc").reset_index()
    codes = wide["patient"].astype("category").cat.codes.to_numpy()
    mean = mean_of((wide["mixed"] - wide["pure"]).to_numpy(), codes)
    expected = reference.expected(case)
    r = expected["cluster_robust_intercept_of_difference"]["CR2"]
    assert mean.estimate == pytest.approx(expected["mean_difference_kidneys"], rel=1e-7)
    assert mean.se == pytest.approx(r["se"], rel=1e-7)
    assert mean.df == pytest.approx(r["df_satterthwaite"], rel=1e-7)
    assert 2 * min(mean.p_above(0), mean.p_below(0)) == pytest.approx(r["p_satterthwaite"], rel=1e-6)


def test_clusters_of_one_are_the_ordinary_t_test():
    values = np.random.default_rng(0).normal(size=9)
    mean = mean_of(values, np.arange(9))
    result = stats.ttest_1samp(values, 0)
    assert mean.interval(0.95) == pytest.approx(tuple(result.confidence_interval(0.95)))
    assert mean.df == 8


@pytest.mark.parametrize("size", [1, 2, 3])
def test_clusters_of_one_size_have_whole_degrees_of_freedom(size):
    for groups in range(3, 60):
        codes = np.repeat(np.arange(groups), size)
        assert mean_of(np.arange(len(codes), dtype=float), codes).df == groups - 1


def test_repeating_every_value_in_its_cluster_adds_no_information():
    values = np.random.default_rng(1).normal(size=15)
    once, twice = mean_of(values, np.arange(15)), mean_of(np.repeat(values, 2), np.repeat(np.arange(15), 2))
    assert twice.se == pytest.approx(once.se)
    assert twice.df == pytest.approx(once.df)


def test_rounding_noise_is_no_standard_error():
    mean = mean_of(np.array([0.1 + 0.2, 0.3, 0.3]), np.arange(3))
    assert mean.se == 0 and np.isnan(mean.p_below(1)) and np.isnan(mean.p_above(0))
