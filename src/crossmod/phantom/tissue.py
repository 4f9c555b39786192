"""The tissues of a simulated patient, and the values of the reference labels."""

from enum import IntEnum

import numpy as np


class Tissue(IntEnum):
    """What one point of a simulated patient is made of."""

    AIR = 0
    SKIN = 1
    SUBCUTANEOUS_FAT = 2
    MUSCLE = 3
    VISCERAL_FAT = 4
    BONE_CORTEX = 5
    BONE_MARROW = 6
    DISC = 7
    CSF = 8
    CORD = 9
    LUNG = 10
    LIVER = 11
    LIVER_VESSEL = 12
    GALLBLADDER = 13
    SPLEEN = 14
    BOWEL_WALL = 15
    BOWEL_FLUID = 16
    BOWEL_STOOL = 17
    BOWEL_GAS = 18
    PANCREAS = 19
    ADRENAL = 20
    ARTERY = 21
    VEIN = 22
    PLAQUE = 23
    CORTEX = 24
    MEDULLA = 25
    SINUS_FAT = 26
    URINE = 27
    CYST = 28
    TUMOUR = 29
    NECROSIS = 30
    HAEMORRHAGE = 31
    MYOCARDIUM = 32
    CARTILAGE = 33
    LIVER_TUMOUR = 34
    LIVER_METASTASIS = 35
    BONE_METASTASIS = 36
    INTRADURAL_TUMOUR = 37
    LIGAMENT = 38
    DISC_NUCLEUS = 39
    DISC_DRY = 40
    MARROW_RED = 41
    MARROW_MIXED = 42
    MARROW_FATTY = 43
    VENOUS_PLEXUS = 44
    HAEMANGIOMA = 45
    SCHWANNOMA = 46
    MENINGIOMA = 47
    EPENDYMOMA = 48


# Values of the label maps. `None` stands for "not a renal structure".
LABELS = {
    1: "right_parenchyma",
    2: "left_parenchyma",
    3: "right_sinus",
    4: "left_sinus",
    5: "right_tumour",
    6: "left_tumour",
    7: "right_cyst",
    8: "left_cyst",
}
# Further values, where organs are labelled too (`Population.organs`). The order is for ever: new structures come last.
# ASSUME: the spine is the vertebral bodies without discs, arches and sacrum, the colon includes the rectum, the heart
# its chambers, and a hollow organ its wall and contents, as in segmenters of the whole abdomen.
ORGANS = dict(
    enumerate(
        (
            "spleen",
            "gallbladder",
            "liver",
            "stomach",
            "pancreas",
            "right_adrenal_gland",
            "left_adrenal_gland",
            "right_lung",
            "left_lung",
            "heart",
            "aorta",
            "inferior_vena_cava",
            "portal_and_splenic_vein",
            "oesophagus",
            "small_bowel",
            "duodenum",
            "colon",
            "spine",
            "right_autochthonous_muscle",
            "left_autochthonous_muscle",
            "right_iliopsoas_muscle",
            "left_iliopsoas_muscle",
        ),
        start=max(LABELS) + 1,
    )
)
# The values of patients whose spine is drawn in detail (`Population.spine`), who have no others. The order is for ever.
# ASSUME: a vertebral body is the body alone, posterior elements are all arches, the canal is the dural sac without the
# cord, but with the roots, the sacrum is all of it but its first body, and a tumour in a bone is no part of that bone.
SPINE = dict(
    enumerate(
        (
            "vertebral_body",
            "posterior_elements",
            "sacrum",
            "disc",
            "canal",
            "cord",
            "spinal_tumour",
            "haemangioma",
            "first_sacral_body",
        ),
        start=max(ORGANS) + 1,
    )
)
VALUES = {name: value for value, name in (LABELS | ORGANS | SPINE).items()}

BONES = (Tissue.BONE_CORTEX, Tissue.BONE_MARROW, Tissue.DISC, Tissue.CSF, Tissue.CORD)
SHELL = (Tissue.AIR, Tissue.SKIN, Tissue.SUBCUTANEOUS_FAT)
FATS = (Tissue.SUBCUTANEOUS_FAT, Tissue.VISCERAL_FAT, Tissue.SINUS_FAT)


# Tissues up to this one draw from the stream of a scan; those that came later from a stream of their own, so that the
# scans of earlier ones stay as they were.
_FIRST = Tissue.INTRADURAL_TUMOUR + 1


def steps(rng: np.random.Generator, *rows: int) -> np.ndarray:
    """A standard normal number of every tissue, (*rows, len(Tissue))."""
    first, later = rng.normal(size=(*rows, _FIRST)), rng.spawn(1)[0].normal(size=(*rows, len(Tissue) - _FIRST))
    return np.concatenate([first, later], axis=-1)


def table(tissues: tuple[Tissue, ...]) -> np.ndarray:
    """Boolean look-up table over all tissues, (len(Tissue),), true for those named."""
    mask = np.zeros(len(Tissue), dtype=bool)
    mask[list(tissues)] = True
    return mask
