"""Simulated patients with renal-cell carcinoma: bodies in millimetres, scanned by CT or MR."""

from crossmod.phantom.patient import Anatomy, Patient, draw_anatomy, simulate
from crossmod.phantom.protocols import PROTOCOLS, draw_recipe
from crossmod.phantom.recipe import CTSettings, MRSettings, Population, Recipe, parse_population, parse_recipe
from crossmod.phantom.tissue import LABELS, Tissue

__all__ = [
    "LABELS",
    "PROTOCOLS",
    "Anatomy",
    "CTSettings",
    "MRSettings",
    "Patient",
    "Population",
    "Recipe",
    "Tissue",
    "draw_anatomy",
    "draw_recipe",
    "parse_population",
    "parse_recipe",
    "simulate",
]
