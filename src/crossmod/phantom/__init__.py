"""Simulated patients with renal-cell carcinoma: bodies in millimetres, scanned by CT or MR."""

from crossmod.phantom.patient import Anatomy, Patient, draw_anatomy, labelled, simulate
from crossmod.phantom.protocols import PROTOCOLS, draw_recipe
from crossmod.phantom.recipe import CTSettings, MRSettings, Population, Recipe, parse_population, parse_recipe
from crossmod.phantom.tissue import LABELS, ORGANS, SPINE, Tissue

__all__ = [
    "LABELS",
    "ORGANS",
    "PROTOCOLS",
    "SPINE",
    "Anatomy",
    "CTSettings",
    "MRSettings",
    "Patient",
    "Population",
    "Recipe",
    "Tissue",
    "draw_anatomy",
    "draw_recipe",
    "labelled",
    "parse_population",
    "parse_recipe",
    "simulate",
]
