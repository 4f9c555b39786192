"""Tests, intervals and agreement for any table of scores: pure functions that know nothing of a study."""

from crossmod.analyse.stats.anova import rm_anova
from crossmod.analyse.stats.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.stats.localise import Localisation, localisation
from crossmod.analyse.stats.mixed import MixedModel, mixed_model
from crossmod.analyse.stats.multiplicity import correct_p
from crossmod.analyse.stats.noninferiority import NonInferiority, noninferiority
from crossmod.analyse.stats.paired import pairwise
from crossmod.analyse.stats.power import PairedPower, power_paired
from crossmod.analyse.stats.reliability import Agreement, agreement
from crossmod.analyse.stats.resample import BootstrapInterval, bootstrap_ci, ratio_ci
from crossmod.analyse.stats.savings import annotation_savings
from crossmod.analyse.stats.size import SizeDependence, rank_paired, size_dependence

__all__ = [
    "Agreement",
    "BootstrapInterval",
    "DegenerateDataError",
    "IncompleteDesignError",
    "Localisation",
    "MixedModel",
    "NonInferiority",
    "PairedPower",
    "SizeDependence",
    "agreement",
    "annotation_savings",
    "bootstrap_ci",
    "correct_p",
    "localisation",
    "mixed_model",
    "noninferiority",
    "pairwise",
    "power_paired",
    "rank_paired",
    "ratio_ci",
    "rm_anova",
    "size_dependence",
]
