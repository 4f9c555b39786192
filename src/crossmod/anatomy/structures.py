"""Names of labelled structures: ``[right_|left_]name``, with sides as the patient's own."""

import difflib
import re
from collections.abc import Iterable

RENAL = ("parenchyma", "sinus", "tumour", "cyst", "kidney")
OTHERS = (
    "adrenal_gland",
    "aorta",
    "autochthonous_muscle",
    "bladder",
    "canal",
    "colon",
    "cord",
    "disc",
    "duodenum",
    "first_sacral_body",
    "gallbladder",
    "haemangioma",
    "heart",
    "iliopsoas_muscle",
    "inferior_vena_cava",
    "liver",
    "lung",
    "oesophagus",
    "pancreas",
    "portal_and_splenic_vein",
    "posterior_elements",
    "prostate_or_uterus",
    "sacrum",
    "small_bowel",
    "spinal_tumour",
    "spine",
    "spleen",
    "stomach",
    "vertebral_body",
    "whole_vertebra",
)
# ASSUME: KiTS' "kidney" leaves out tumours and cysts, so it stands for parenchyma; it includes most of the sinus, about
# a tenth of its volume.
KITS = {1: "parenchyma", 2: "tumour", 3: "cyst"}
_GRAMMAR = re.compile(r"(?:(right|left)_)?([a-z][a-z0-9]*(?:_[a-z0-9]+)*)")
_SPELLINGS = {"r": "right", "l": "left", "tumor": "tumour", "kidneys": "kidney", "esophagus": "oesophagus"}


def split_side(structure: str) -> tuple[str | None, str]:
    """Side (``right``, ``left`` or None) and bare name of a structure.

    Raises:
        ValueError: if the name breaks the grammar.
    """
    match = _GRAMMAR.fullmatch(structure)
    if match is None:
        raise ValueError(f"'{structure}' is not a structure name")
    return match[1], match[2]


def values_of(names: dict[int, str], structures: Iterable[str]) -> list[int]:
    """The label values of some structures.

    Args:
        names: structure of each label value, as a cohort declares them.
        structures: ``kidney`` stands for the kidney of either side or of none, ``left_kidney`` for that side alone.
    """
    wanted = set(structures)
    return [value for value, name in names.items() if name in wanted or split_side(name)[1] in wanted]


def structure_problem(structure: str) -> str | None:
    """What is wrong with a structure's name, with the nearest valid one; None if nothing is.

    Names outside the known ones are allowed (studies ignore structures that they do not use), unless they look like
    a known one misspelt or with its side in another place.
    """
    known = [*RENAL, *OTHERS]
    known += [f"{side}_{name}" for side in ("right", "left") for name in known]
    if structure in known:
        return None
    meant = _meant(structure, known)
    if meant:
        return f"'{structure}' is not a known structure; did you mean '{meant}'?"
    if _GRAMMAR.fullmatch(structure) is None:
        return f"'{structure}' is not a structure name: write [right_|left_]name in lower case, e.g. right_kidney"
    return None


def _meant(structure: str, known: list[str]) -> str | None:
    words = [word for word in re.split(r"[^a-z0-9]+", structure.lower()) if word]
    words = [_SPELLINGS.get(word, word) for word in words]
    for name in known:
        if sorted(words) == sorted(name.split("_")):
            return name
    matches = difflib.get_close_matches("_".join(words), known, n=1, cutoff=0.8)
    return matches[0] if matches else None
