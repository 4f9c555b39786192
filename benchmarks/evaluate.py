"""DSC, HD95, surface DSC and volumes of two kidneys.

They are measured by crossmod's evaluation, MONAI's metrics and DeepMind's surface-distance.

    python benchmarks/evaluate.py

Masks are the kidneys of simulated patients and the same moved by a voxel and ragged at the rim, on whole scans as they
come from a scanner. Values must be the same as MONAI's to 1e-4, for it computes in 32 bit; DeepMind's weigh surfaces by
area and are told, not compared.
"""

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
from measured import ms, ratio, show, take_turns, write

from crossmod.evaluate.metrics import compare, dsc, hd95_mm, surface_dsc, volume_difference_ml
from crossmod.phantom import Population, parse_recipe, simulate

TOLERANCE_MM = 3.0
# In-plane and between slices, mm; a whole abdomen of each.
GRIDS = {"MR 1.5 × 1.5 × 4 mm": (1.5, 1.5, 4.0), "CT 0.8 × 0.8 × 1.5 mm": (0.8, 0.8, 1.5)}


def pair(spacing_mm: tuple[float, float, float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Kidneys of one simulated patient (uint8, 1 right, 2 left), and what a network might find."""
    recipe = parse_recipe({"spacing_mm": spacing_mm, "field_of_view_mm": [400.0, 320.0, 300.0]})
    labels = simulate(seed, recipe, Population(tumour=0.0)).labels
    reference = np.where(labels > 0, (labels + 1) % 2 + 1, 0).astype(np.uint8)
    found = np.roll(reference, 1, axis=0)
    rim = np.random.default_rng(seed).random(found.shape) < 0.02
    found[rim & (np.roll(found, 2, axis=1) != found)] = 0
    return reference, found


def ours(reference: np.ndarray, found: np.ndarray, spacing_mm: tuple) -> np.ndarray:
    """Metrics of both kidneys, (2, 4)."""
    pairs = [compare(reference == side, found == side, spacing_mm) for side in (1, 2)]
    return np.array([[dsc(p), hd95_mm(p), surface_dsc(p, TOLERANCE_MM), volume_difference_ml(p)] for p in pairs])


def monai(reference: np.ndarray, found: np.ndarray, spacing_mm: tuple) -> np.ndarray:
    """The same by MONAI, one-hot as it wants them."""
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

    y, y_pred = (torch.from_numpy(np.stack([m == 1, m == 2]))[None] for m in (reference, found))
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    return np.stack(
        [
            compute_dice(y_pred, y)[0].numpy(),
            compute_hausdorff_distance(y_pred, y, include_background=True, percentile=95, spacing=spacing_mm)[
                0
            ].numpy(),
            compute_surface_dice(y_pred, y, [TOLERANCE_MM] * 2, include_background=True, spacing=spacing_mm)[0].numpy(),
            ((y_pred.sum((0, 2, 3, 4)) - y.sum((0, 2, 3, 4))) * voxel_ml).numpy(),
        ],
        axis=1,
    )


def deepmind(reference: np.ndarray, found: np.ndarray, spacing_mm: tuple) -> None:
    """DSC, HD95 and surface DSC by surface-distance."""
    import surface_distance as sd

    for side in (1, 2):
        a, b = reference == side, found == side
        distances = sd.compute_surface_distances(a, b, spacing_mm)
        sd.compute_robust_hausdorff(distances, 95)
        sd.compute_surface_dice_at_tolerance(distances, TOLERANCE_MM)
        sd.compute_dice_coefficient(a, b)


def peers() -> dict[str, Callable]:
    """MONAI, and surface-distance where it is installed."""
    try:
        import surface_distance  # noqa: F401
    except ImportError:
        return {"MONAI": monai}
    return {"MONAI": monai, "surface-distance": deepmind}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rows, record = [], []
    for name, spacing_mm in GRIDS.items():
        reference, found = pair(spacing_mm, seed=1)
        apart = np.abs(ours(reference, found, spacing_mm) - monai(reference, found, spacing_mm)).max()
        if not apart < 1e-4:
            raise SystemExit(f"{name}: values differ from MONAI's by {apart:.2g}")
        ways = {"crossmod": ours} | peers()
        calls = {way: partial(call, reference, found, spacing_mm) for way, call in ways.items()}
        seconds = take_turns(calls, options.repeats)
        for peer in list(ways)[1:]:
            faster = ratio(seconds[peer], seconds["crossmod"])
            size = "×".join(map(str, reference.shape))
            rows.append(
                (f"{name}, {size}", peer, ms(seconds[peer]), ms(seconds["crossmod"]), f"{faster['median']:.1f}×")
            )
            record.append({"grid": name, "peer": peer, "seconds": seconds, "faster": faster, "apart": float(apart)})
    show(
        "Two kidneys: DSC, HD95, surface DSC, volume",
        ("scan", "peer", "its time (ms)", "crossmod (ms)", "faster"),
        rows,
    )
    write("evaluate", {"grids": record})


if __name__ == "__main__":
    main()
