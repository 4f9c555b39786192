"""One function over many cases, in a few processes; results come in the order of the cases, progress is told."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from crossmod.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(what: str, function: Callable[[Item], Result], items: list[Item], threads: int) -> Iterator[Result]:
    """Results of a function, item by item, in order.

    Args:
        what: the work in words, for the lines of progress.
        function: of one item; both must pickle.
        items: what to work on.
        threads: processes at a time; results do not depend on it.
    """
    progress = Progress(what, len(items), "cases")
    processes = min(threads, len(items))
    if processes <= 1:
        for item in items:
            yield function(item)
            progress.advance()
        return
    # Spawned, not forked: threads of numerical libraries do not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for result in pool.map(function, items):
            yield result
            progress.advance()
