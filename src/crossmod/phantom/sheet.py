"""A contact sheet: one simulated case of every protocol, three cuts through its kidneys or its spine."""

import io
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from PIL import Image

from crossmod.job import whole
from crossmod.phantom.patient import Patient, simulate
from crossmod.phantom.protocols import PROTOCOLS, draw_recipe
from crossmod.phantom.recipe import Population, Recipe
from crossmod.phantom.spine_patients import SpinePatients
from crossmod.phantom.tissue import VALUES

# Okabe & Ito's sky blue and orange: told apart with any colour vision.
_COLOURS = ("#56B4E9", "#E69F00")
# What is outlined: parenchyma or vertebral bodies, and tumours.
_SHOWN = (("right_parenchyma", "left_parenchyma", "vertebral_body"), ("right_tumour", "left_tumour", "spinal_tumour"))
TITLE = "crossmod phantom"  # in the PNG: tells a sheet from pictures of the user's
_CUTS = ("axial", "coronal", "sagittal")


def draw_sheet(path: Path, seed: int, population: Population | None = None) -> None:
    """Draw one patient of every protocol to a PNG.

    Args:
        path: PNG to write.
        seed: of the first patient; the others count on.
        population: who they are; None: patients with renal-cell carcinoma, or of the spine where the protocol is.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = 5
    rows = -(-len(PROTOCOLS) // columns)
    figure, axes = plt.subplots(
        3 * rows, columns, figsize=(2.6 * columns, 6.6 * rows), facecolor="black", layout="constrained"
    )
    for panel in axes.flat:
        panel.axis("off")
    for number, name in enumerate(PROTOCOLS):
        recipe = draw_recipe(name, np.random.default_rng([seed, number]))
        who = Population(spine=SpinePatients()) if population is None and name.startswith("mr-spine") else population
        patient = simulate(seed + number, recipe, who)
        row, column = divmod(number, columns)
        _draw_case(axes[3 * row : 3 * row + 3, column], patient, recipe, name)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, facecolor="black", metadata={"Title": TITLE})
    plt.close(figure)
    with whole(path) as partial:
        partial.write_bytes(buffer.getvalue())


def is_sheet(path: Path) -> bool:
    """Whether a file is a sheet that was drawn here."""
    try:
        with Image.open(path) as picture:
            return picture.info.get("Title") == TITLE
    except OSError:
        return False


def _draw_case(panels: np.ndarray, patient: Patient, recipe: Recipe, name: str) -> None:
    """Axial, coronal and sagittal cut of one case, with its parenchyma or vertebral bodies and tumour outlined."""
    image, labels, spacing = _ras(patient)
    main, tumour = (np.isin(labels, [VALUES[name] for name in names]) for names in _SHOWN)
    low, high = (-160, 240) if recipe.modality == "CT" else np.percentile(image, (1, 99.5))
    middle = [int(np.median(index)) for index in np.nonzero(main)] if main.any() else None
    middle = middle or [n // 2 for n in image.shape]
    # A sagittal cut through the middle of the right kidney shows more than one through the spine.
    right = np.nonzero(labels == 1)[0]
    cuts = {2: middle[2], 1: middle[1], 0: int(np.median(right)) if right.size else middle[0]}
    for panel, cut, axis in zip(panels, _CUTS, cuts, strict=True):
        a, b = (n for n in range(3) if n != axis)
        picture = np.take(image, cuts[axis], axis)
        panel.imshow(picture.T, cmap="gray", vmin=low, vmax=high, origin="lower", aspect=spacing[b] / spacing[a])
        for mask, colour in zip((main, tumour), _COLOURS, strict=True):
            part = np.take(mask, cuts[axis], axis)
            if part.any():
                panel.contour(part.T, [0.5], colors=colour, linewidths=0.7)
        # Radiological view: the patient's right is on the left of the picture.
        if axis != 0:
            panel.invert_xaxis()
        panel.text(0.02, 0.02, cut, color="white", fontsize=6, transform=panel.transAxes)
    size = " × ".join(f"{length:.1f}" for length in spacing)
    panels[0].set_title(f"{name}\n{size} mm", color="white", fontsize=8)


def _ras(patient: Patient) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, labels and voxel sizes (mm) in R-A-S order."""
    import nibabel as nib

    image = nib.as_closest_canonical(nib.Nifti1Image(patient.image, patient.affine))
    labels = nib.as_closest_canonical(nib.Nifti1Image(patient.labels, patient.affine))
    return np.asarray(image.dataobj), np.asarray(labels.dataobj), voxel_sizes(image.affine)
