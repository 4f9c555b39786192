"""A process that has loaded what jobs need and becomes each of them in turn, so that a workflow's jobs start at once.

Importing torch, Lightning, MONAI and MLflow takes seconds, and a study has over a hundred jobs. The workflow starts one
such process (:func:`start`); every ``crossmod STEP`` that it runs hands its command over (:func:`elsewhere`) and waits
for the exit code. Each job therefore runs in its own process, forked with everything loaded. It has the folder,
environment, input and output of the command, and it dies if the command is killed. Where there is no such process (a
command by hand, another node, another Python, a job of several threads), nothing is different: the command does the
work itself.
"""

import atexit
import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

ADDRESS = "CROSSMOD_WARM"
# What is read when a library is loaded: a job that wants other values must load it again.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LONGEST = 100  # bytes of a socket's name
KILLED = 128 + signal.SIGKILL  # exit code of a job that died without a word, as a shell reports it


def start(module: str) -> None:
    """Start ``python -m MODULE ADDRESS`` and tell commands where it is; it ends with this process.

    Nothing happens where processes cannot fork safely.
    """
    folder = Path(tempfile.mkdtemp(prefix="crossmod-"))  # of this user only
    address = str(folder / "jobs")
    if sys.platform != "linux" or len(address) > LONGEST:
        folder.rmdir()
        return
    os.environ[ADDRESS] = address
    command = [sys.executable, "-P", "-m", module, address]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, **dict.fromkeys(THREADS, "1")})
    atexit.register(_stop, process)


def _stop(process: subprocess.Popen) -> None:
    os.environ.pop(ADDRESS, None)
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def elsewhere(arguments: Sequence[str]) -> int | None:
    """Exit code of a command that the warm process ran; None if it is to run here."""
    address = os.environ.get(ADDRESS)
    if not address or any(os.environ.get(name) != "1" for name in THREADS):
        return None
    what = {"python": _python(), "arguments": list(arguments), "folder": str(Path.cwd()), "environment": {**os.environ}}
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as answers:
        try:
            connection.connect(address)
            socket.send_fds(connection, [b"."], [0, 1, 2])
            connection.sendall(json.dumps(what).encode("ascii") + b"\n")
            taken = answers.readline() == b"taken\n"
        except OSError:
            taken = False
        if not taken:
            return None
        code = answers.readline()
    return int(code) if code else KILLED


def serve(address: Path, load: Callable[[], None], work: Callable[[Sequence[str]], int]) -> None:
    """Load, then fork for every command until standard input ends, which is when the workflow does.

    Args:
        address: of the socket to listen at; its folder is removed at the end.
        load: what jobs need. Commands that come meanwhile wait.
        work: runs a command in its own process, and returns its exit code.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the workflow
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as events:
        listener.bind(str(address))
        listener.listen(64)
        load()
        events.register(listener, selectors.EVENT_READ)
        events.register(0, selectors.EVENT_READ)
        while all(key.fileobj is listener for key, _ in events.select()):
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                sys.exit(_become(connection, work))
            connection.close()
            _forget_ended()
    _forget_ended()
    shutil.rmtree(address.parent)


def _forget_ended() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(connection: socket.socket, work: Callable[[Sequence[str]], int]) -> int:
    """Take over a command's place, do its work, and report its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as lines:
        what = json.loads(lines.readline())
    if what["python"] != _python():
        return 0
    for own, given in enumerate(descriptors):
        os.dup2(given, own)
        os.close(given)
    os.chdir(what["folder"])
    os.environ.clear()
    os.environ.update(what["environment"])
    del os.environ[ADDRESS]
    connection.sendall(b"taken\n")
    done = threading.Event()
    threading.Thread(target=_end_with, args=(connection, done), daemon=True).start()
    code = work(what["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    done.set()
    connection.sendall(f"{code}\n".encode("ascii"))
    return code


def _end_with(command: socket.socket, done: threading.Event) -> None:
    """Whoever kills the command means the job."""
    command.recv(1)
    if not done.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


def _python() -> list[str]:
    """What must be the same for a command to be run elsewhere: interpreter, packages and code."""
    return [sys.prefix, str(Path(__file__).resolve())]
