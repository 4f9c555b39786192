"""How often does each test of the statistics layer reject what is true? Over the null studies of null_studies.py.

    python benchmarks/type_one_error.py

The rate is the share of studies with p below the level, or of intervals that miss the truth. A scenario of which a test
lies outside its band (level ± 20 %: 0.04 to 0.06) goes on to ``--further`` studies, so that chance is told from fault.
"""

import argparse
import gc
import json
import os
import platform
import time
import zlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from null_studies import ALPHA, MARGIN, SCENARIOS, Scenario
from rich.console import Console
from rich.table import Table
from scipy import stats

from crossmod.analyse.stats import noninferiority, power_paired

TARGET = Path(__file__).resolve().parents[1] / "results/benchmarks/type_one_error.json"
PACKAGES = ("crossmod", "numpy", "scipy", "pandas", "statsmodels", "pingouin")


def main() -> None:
    """Simulate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="of each scenario")
    parser.add_argument("--further", type=int, default=20_000, help="most studies of a scenario with a test outside")
    parser.add_argument("--seed", type=int, default=0)
    names = [*(scenario.name for scenario in SCENARIOS), "power"]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--markdown", action="store_true", help="print what was written last as Markdown, and stop")
    options = parser.parse_args()
    if options.markdown:
        markdown(json.loads(TARGET.read_text(encoding="utf-8")))
        return
    record = start_record(options)
    chosen = [scenario for scenario in SCENARIOS if scenario.name in (options.only or names)]
    for scenario in chosen:
        scenario.study(np.random.default_rng(0))  # imports what is imported late
    gc.freeze()  # statsmodels collects garbage at each correction, which takes long with so many modules
    for scenario in chosen:
        kept = [row for row in record["tests"] if row["scenario"] != scenario.name]
        rows = rates(scenario, options)
        record["tests"] = sorted(kept + rows, key=lambda row: names.index(row["scenario"]))
        write(record)
        print(f"{rows[0]['core_s']:6.1f} core s  {scenario.name}", flush=True)
    if "power" in (options.only or names):
        record["power"] = power(options)
    write(record)
    show(record)


def start_record(options: argparse.Namespace) -> dict:
    """What the studies run on; with ``--only``, the results of the others too."""
    before = json.loads(TARGET.read_text(encoding="utf-8")) if options.only and TARGET.exists() else {}
    return {
        "seed": options.seed,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "machine": f"{os.cpu_count()} cores, {processor()}, {platform.system()}",
        "tests": before.get("tests", []),
        "power": before.get("power", []),
    }


def write(record: dict) -> None:
    """Write what there is so far."""
    core_s = {row["scenario"]: row["core_s"] for row in record["tests"]}
    record["seconds"] = round(sum(core_s.values()), 1)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def rates(scenario: Scenario, options: argparse.Namespace) -> list[dict]:
    """One row per test of a scenario."""
    start = time.process_time()
    found = answers(scenario, options.seed, range(options.studies))
    rows = [row_of(scenario, found[quantity]) for quantity in found]
    most = min(options.further, scenario.most)
    if most > options.studies and scenario.kind != "harder" and not all(row["inside"] for row in rows):
        more = pd.concat([found, answers(scenario, options.seed, range(options.studies, most))])
        rows = [row_of(scenario, more[row["quantity"]]) | {"first_rate": row["rate"]} for row in rows]
    core_s = round(time.process_time() - start, 1)
    return [row | {"seed": options.seed, "core_s": core_s} for row in rows]


def answers(scenario: Scenario, seed: int, studies: range) -> pd.DataFrame:
    """1 where a study rejects, 0 where it does not, NaN where it refuses; (studies, quantities).

    A study depends on the seed, the name of its scenario and its own number alone.
    """
    key = zlib.crc32(scenario.name.encode())
    seeds = (np.random.SeedSequence(seed, spawn_key=(key, i)) for i in studies)
    return pd.DataFrame([scenario.study(np.random.default_rng(one)) for one in seeds]).astype(float)


def row_of(scenario: Scenario, found: pd.Series) -> dict:
    """The rate of one quantity with its Clopper–Pearson interval."""
    k, n = int(found.sum()), int(found.count())
    interval = stats.binomtest(k, n).proportion_ci(method="exact")
    low, high = (round(factor * scenario.level, 6) for factor in (0.8, 1.2))  # 0.04 itself is inside
    low = 0.0 if scenario.kind == "at most" else low
    return {
        **{"scenario": scenario.name, "function": scenario.function, "nulls": scenario.nulls, "quantity": found.name},
        **{"kind": scenario.kind, "level": scenario.level, "rejections": k, "studies": n, "refused": len(found) - n},
        **{"rate": k / n, "ci_low": float(interval.low), "ci_high": float(interval.high)},
        "inside": low <= k / n <= high,
    }


def power(options: argparse.Namespace) -> list[dict]:
    """Power and width of the planned number of pairs: stated and simulated."""
    sd, rows = 0.03, []
    plans = {
        "difference": {"difference": MARGIN},
        "noninferiority": {"margin": MARGIN, "alpha": ALPHA / 2},
        "equivalence": {"margin": MARGIN},
        "width": {"ci_width": MARGIN},
    }
    for number, (test, plan) in enumerate(plans.items()):
        stated = power_paired(sd, test=test, **plan)
        rng = np.random.default_rng(np.random.SeedSequence(options.seed, spawn_key=(zlib.crc32(b"power"), number)))
        draws = rng.normal(stated.difference, sd, (options.studies, stated.n))
        found = [noninferiority(d, MARGIN) for d in draws]
        success = {
            "difference": [f.ci_low > 0 or f.ci_high < 0 for f in found],
            "noninferiority": [f.p < ALPHA / 2 for f in found],
            "equivalence": [f.p_tost < ALPHA for f in found],
            "width": [f.ci_high - f.ci_low for f in found],
        }[test]
        mean, error = float(np.mean(success)), 1.96 * float(np.std(success)) / np.sqrt(len(success))
        quantity, value = ("mean width", stated.ci_width) if test == "width" else ("power", stated.power)
        row = {"test": test, "quantity": quantity, "pairs": stated.n, "stated": value}
        rows.append(row | {"simulated": mean, "ci_low": mean - error, "ci_high": mean + error})
    return rows


def processor() -> str:
    """Name of the processor, where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def lines_of(record: dict) -> tuple[list[list[str]], list[list[str]]]:
    """Texts of both tables."""
    tests = [
        [
            *(row["function"], row["nulls"], row["quantity"], row["kind"], f"{row['level']:g}"),
            f"{row['rejections']:,} / {row['studies']:,}" + (f" ({row['refused']} refused)" if row["refused"] else ""),
            f"{row['rate']:.4f}" + (f" (first {row['first_rate']:.4f})" if "first_rate" in row else ""),
            *(f"{row['ci_low']:.4f}–{row['ci_high']:.4f}", "yes" if row["inside"] else "no"),
        ]
        for row in record["tests"]
    ]
    powers = [
        [
            *(row["test"], row["quantity"], str(row["pairs"]), f"{row['stated']:.4g}", f"{row['simulated']:.4g}"),
            f"{row['ci_low']:.4g}–{row['ci_high']:.4g}",
        ]
        for row in record["power"]
    ]
    return tests, powers


HEADS = (
    ("function", "null studies", "quantity", "kind", "level", "rejected", "rate", "95 % interval", "inside"),
    ("power_paired", "quantity", "pairs", "stated", "simulated", "95 % interval"),
)


def markdown(record: dict) -> None:
    """Both tables as Markdown."""
    for head, lines in zip(HEADS, lines_of(record), strict=True):
        for line in (head, ["---"] * len(head), *lines):
            print(f"| {' | '.join(line)} |")
        print()


def show(record: dict) -> None:
    """Print what was found."""
    console = Console()
    console.width = max(console.width, 170)
    titles = (f"type-I error, seed {record['seed']}, {record['machine']}", "power of a planned study")
    for title, head, lines in zip(titles, HEADS, lines_of(record), strict=True):
        shown = Table(title=title)
        for column in head:
            shown.add_column(column, justify="left" if column in ("function", "null studies", "quantity") else "right")
        for line in lines:
            shown.add_row(*line)
        if lines:
            console.print(shown)


if __name__ == "__main__":
    main()
