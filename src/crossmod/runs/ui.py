"""MLflow's UI in this very process: nothing is left behind when it ends, however it ends.

`mlflow ui` starts ten more processes, most of them to run jobs that crossmod has none of (2.6 GB with MLflow 3.17).
"""

import os
import socket
import warnings
from pathlib import Path

from crossmod.job import UserError

HERE = "127.0.0.1"  # nobody else may read the runs


def run(store_uri: str, artifacts: Path, port: int) -> None:
    """Serve a store until the process is told to end.

    Args:
        store_uri: tracking URI of the store.
        artifacts: folder of files that runs keep.
        port: of this machine's loopback interface.

    Raises:
        UserError: if the port is taken, or may not be listened to.
    """
    with _listening(port) as listener:
        os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        print(f"MLflow UI on http://{HERE}:{port} (stop with Ctrl-C)", flush=True)
        warnings.filterwarnings("ignore", module="mlflow|starlette")
        import uvicorn
        from mlflow.server.handlers import initialize_backend_stores

        initialize_backend_stores(store_uri, store_uri, str(artifacts))
        server = uvicorn.Server(uvicorn.Config("mlflow.server.fastapi_app:app", log_level="warning", lifespan="off"))
        server.run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    """A socket on the loopback interface, taken before anything slow is loaded."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HERE, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise UserError(
            f"Port {port} of this machine cannot be used ({error.strerror}). Give another one, e.g. --port "
            f"{port % 65535 + 1}."
        ) from error
    return listener
