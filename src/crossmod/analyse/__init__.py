"""Scores become tests, intervals and agreement: for the study's tables, and for anyone's table of scores."""

from crossmod.analyse.anova import rm_anova
from crossmod.analyse.errors import DegenerateDataError, IncompleteDesignError
from crossmod.analyse.multiplicity import correct_p
from crossmod.analyse.paired import pairwise
from crossmod.analyse.reliability import Agreement, agreement
from crossmod.analyse.resample import BootstrapInterval, bootstrap_ci
from crossmod.analyse.study import run

__all__ = [
    "Agreement",
    "BootstrapInterval",
    "DegenerateDataError",
    "IncompleteDesignError",
    "agreement",
    "bootstrap_ci",
    "correct_p",
    "pairwise",
    "rm_anova",
    "run",
]
