"""Fair timing: contenders take turns, so that what else the machine does hits all of them alike."""

import json
import multiprocessing
import os
import platform
import re
import statistics
import threading
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
ISA = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


class PeakMemory(threading.Thread):
    """Largest sum of the proportional set sizes of a process and all its descendants, in bytes."""

    def __init__(self, pid: int, every_s: float = 2.0) -> None:
        super().__init__(daemon=True)
        self.process, self.every_s, self.peak, self.done = psutil.Process(pid), every_s, 0, threading.Event()

    def run(self) -> None:
        """Sample until told to stop."""
        while not self.done.wait(self.every_s):
            total = 0
            for process in [self.process, *self.process.children(recursive=True)]:
                try:
                    total += getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)


class Apart:
    """A call in a process of its own.

    What one contender sets up (allocator, threads, precision) does not touch the others.

    Args:
        make: a function of a module that returns the call.
        arguments: of ``make``.
    """

    def __init__(self, make: Callable[..., Callable[[], Any]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, inside = context.Pipe()
        self.process = context.Process(target=_serve, args=(inside, make, arguments), daemon=True)
        self.process.start()
        inside.close()  # so that the end of the process is seen
        self._received()  # made, and quiet

    def __call__(self) -> Any:
        """What the call returns there.

        Raises:
            RuntimeError: if it failed.
        """
        self.pipe.send(True)
        return self._received()

    def _received(self) -> Any:
        try:
            return self.pipe.recv()
        except EOFError:
            raise RuntimeError("a contender failed; its error stands above") from None

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.join()


def _serve(pipe: Connection, make: Callable[..., Callable[[], Any]], arguments: tuple) -> None:
    call = make(*arguments)
    pipe.send(None)
    while pipe.recv():
        pipe.send(call())


def take_turns(contenders: dict[str, Callable[[], Any]], repeats: int, warm: int = 1) -> dict[str, list[float]]:
    """Seconds of every call: each contender once per round, after ``warm`` rounds that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warm + repeats):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            if turn >= warm:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(peer: list[float], ours: list[float]) -> dict[str, float]:
    """How many times faster: median and range of the ratios of calls of the same round."""
    ratios = [p / o for p, o in zip(peer, ours, strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def machine() -> dict[str, Any]:
    """Processor, cores, instructions that matter here, and versions of what computes."""
    about = Path("/proc/cpuinfo")
    text = about.read_text(encoding="utf-8") if about.is_file() else ""
    model = re.search(r"model name\s*: (.*)", text)
    flags = set(re.search(r"flags\s*: (.*)", text).group(1).split()) if "flags" in text else set()
    return {
        "processor": model.group(1) if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "instructions": [name for name in ISA if name in flags],
        "python": platform.python_version(),
        "versions": {name: found for name in ("torch", "monai", "lightning", "nnunetv2") if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write(name: str, record: dict[str, Any]) -> None:
    """Add the machine and write results/benchmarks/<name>.json."""
    target = ROOT / "results/benchmarks" / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record | {"machine": machine()}, indent=2) + "\n", encoding="utf-8")


def times(faster: dict[str, float]) -> str:
    """Median and range of a ratio."""
    return f"{faster['median']:.1f}× ({faster['min']:.1f}–{faster['max']:.1f})"


def told_s(seconds: list[float]) -> str:
    """Median and range in seconds."""
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"


def show(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table, its first column to the left."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def ms(seconds: list[float]) -> str:
    """Median and range in ms."""
    return f"{1e3 * statistics.median(seconds):.0f} ({1e3 * min(seconds):.0f}–{1e3 * max(seconds):.0f})"
