"""Scores become tests, intervals and agreement: for the study's tables, and for anyone's table of scores."""

from crossmod.analyse.anova import rm_anova
from crossmod.analyse.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.localise import Localisation, localisation
from crossmod.analyse.mixed import MixedModel, mixed_model
from crossmod.analyse.multiplicity import correct_p
from crossmod.analyse.noninferiority import NonInferiority, noninferiority
from crossmod.analyse.paired import pairwise
from crossmod.analyse.power import PairedPower, power_paired
from crossmod.analyse.reliability import Agreement, agreement
from crossmod.analyse.resample import BootstrapInterval, bootstrap_ci
from crossmod.analyse.savings import annotation_savings
from crossmod.analyse.size import SizeDependence, size_dependence
from crossmod.analyse.study import run

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
    "rm_anova",
    "run",
    "size_dependence",
]
