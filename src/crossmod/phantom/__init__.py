"""Simulated patients with renal-cell carcinoma: bodies in millimetres, scanned by CT or MR."""

from crossmod.phantom.patient import Anatomy, Patient, draw_anatomy, simulate
from crossmod.phantom.recipe import CTSettings, MRSettings, Recipe, parse_recipe
from crossmod.phantom.tissue import LABELS, Tissue

__all__ = [
    "LABELS",
    "Anatomy",
    "CTSettings",
    "MRSettings",
    "Patient",
    "Recipe",
    "Tissue",
    "draw_anatomy",
    "parse_recipe",
    "simulate",
]
