"""Kidney DSC on real scans, case by case, of networks that saw none.

    python benchmarks/real_scans.py --data ../shared/data
    crossmod ship seeds=[5,6,7,8,9] --out another
    python benchmarks/real_scans.py --data ../shared/data --weights another

Without ``--weights`` the networks are those that come with crossmod. The folder of data is laid out as the table below
says; sets that are not there are left out.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from crossmod.measure import Model, segment_scan
from crossmod.scans.files import read_scan
from crossmod.scans.match import labels_on_image_grid
from crossmod.scans.scan import Scan

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Real:
    """A set of real scans with outlined kidneys (2 right, 3 left)."""

    title: str
    modality: str
    images: str
    reference: tuple[str, str]
    outlined: str


SETS = (
    Real("CHAOS fs-T2", "MR", "chaos_t2spir/image_*.nii.gz", ("image", "label"), "by hand"),
    Real(
        "TotalSegmentator CT",
        "CT",
        "totalsegmentator/example_ct.nii.gz",
        ("ct", "seg_fast_force_split"),
        "by a network",
    ),
    Real("TotalSegmentator MR", "MR", "totalsegmentator/example_mr_sm.nii.gz", ("mr_sm", "seg_mr"), "by a network"),
    Real("ukat coronal GRE", "MR", "ukat_kidney/*_e1_mag.nii.gz", ("e1_mag", "kidneys"), "by hand"),
)
VALUES = {"right": 2, "left": 3}


def scans_of(data: Path, real: Real) -> Iterator[tuple[str, Scan, np.ndarray]]:
    """Name, scan and reference labels on its grid, in natural order."""
    parts = lambda path: [int(t) if t.isdigit() else t for t in path.name.replace(".", "_").split("_")]  # noqa: E731
    for path in sorted(data.glob(real.images), key=parts):
        scan = read_scan(path)
        reference = read_scan(path.with_name(path.name.replace(*real.reference)))
        yield path.name.removesuffix(".nii.gz"), scan, labels_on_image_grid(reference, scan)


def score(data: Path, model: Model, threads: int) -> pd.DataFrame:
    """One row per scan: DSC of both kidneys, of each, how far the networks agree, volumes in ml, seconds."""
    rows = []
    for real in SETS:
        for name, scan, labels in scans_of(data, real):
            started = time.perf_counter()
            found = segment_scan(scan, real.modality, model, threads)
            seconds = time.perf_counter() - started
            kidney = found.kidney
            voxel_ml = scan.voxel_ml
            both = np.isin(labels, list(VALUES.values()))
            rows.append(
                {
                    "set": real.title,
                    "outlined": real.outlined,
                    "scan": name,
                    "dsc": dsc(kidney > 0, both),
                    **{
                        f"dsc_{side}": dsc(kidney == n, labels == VALUES[side])
                        for n, side in ((1, "right"), (2, "left"))
                    },
                    "agreement": min(found.agreement.values(), default=float("nan")),
                    **{f"agreement_{side}": value for side, value in found.agreement.items()},
                    "swapped": bool(dsc(kidney == 1, labels == 3) + dsc(kidney == 2, labels == 2) > 0.1),
                    "reference_ml": float(both.sum()) * voxel_ml,
                    "found_ml": float((kidney > 0).sum()) * voxel_ml,
                    "seconds": seconds,
                }
            )
    return pd.DataFrame(rows)


def dsc(a: np.ndarray, b: np.ndarray) -> float:
    """Dice similarity coefficient of two masks.

    It is 0 where both are empty, for a kidney that is not there cannot be found.
    """
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="folder that `crossmod ship --out` wrote")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    model = Model.shipped(options.weights.resolve()) if options.weights else Model.shipped()
    scores = score(options.data, model, options.threads)
    if scores.empty:
        raise SystemExit(f"{options.data}: none of {', '.join(real.images for real in SETS)} is there")
    table = Table(title=f"Kidney DSC on real scans: {model.name}")
    columns = [
        "set",
        "scan",
        "dsc",
        "dsc_right",
        "dsc_left",
        "agreement",
        "swapped",
        "reference_ml",
        "found_ml",
        "seconds",
    ]
    for column in columns:
        table.add_column(column, justify="left" if column in ("set", "scan") else "right")
    for row in scores[columns].to_dict("records"):
        table.add_row(
            *(
                f"{v:.3f}" if isinstance(v, float) and v <= 1 else f"{v:.0f}" if isinstance(v, float) else str(v)
                for v in row.values()
            )
        )
    console = Console(width=150)
    console.print(table)
    console.print(scores.groupby("set", sort=False)["dsc"].agg(["count", "mean", "min", "max"]).round(3).to_string())
    target = ROOT / "results/benchmarks/real_scans.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "model": model.name,
        "machine": platform.processor() or platform.machine(),
        "scans": scores.to_dict("records"),
    }
    target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
