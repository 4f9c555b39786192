"""One function over many cases, in a few processes that end with their parent; results keep the order of the cases."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

from crossmod.job import UserError
from crossmod.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")
# Read by numerical libraries as they are loaded: processes side by side need one thread each.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def each(what: str, function: Callable[[Item], Result], items: list[Item], threads: int) -> Iterator[Result]:
    """Results of a function, item by item, in order.

    Args:
        what: the work in words, for the lines of progress.
        function: of one item; both must pickle.
        items: what to work on.
        threads: processes at a time; results do not depend on it.

    Raises:
        UserError: if a process was ended from outside.
    """
    progress = Progress(what, len(items), "cases")
    processes = min(threads, len(items))
    with contextlib.ExitStack() as stack:
        results = map(function, items) if processes <= 1 else stack.enter_context(_pool(processes)).map(function, items)
        try:
            for result in results:
                yield result
                progress.advance()
        except BrokenProcessPool as error:
            raise UserError(
                f"{what}: one of its {processes} processes was ended from outside, most likely for lack of memory. Use "
                "fewer threads."
            ) from error


@contextlib.contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each. Spawned, not forked: threads of numerical libraries do not survive a fork."""
    kept = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read by the processes as they start
    try:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
            yield pool
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def end_with_parent() -> None:
    """Let this process end when its parent does, however that ends; Ctrl-C ends it without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
