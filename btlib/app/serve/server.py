"""Runs the page on the loopback address, unreachable from other machines."""

import errno
import logging
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from btlib.app.serve.app import app_for
from btlib.app.serve.temporary import own_temporary_folder
from btlib.app.serve.worker import Worker, load_models
from btlib.core.runtime.errors import InputError

if TYPE_CHECKING:
    from btlib.app.serve.predictors import Predictors  # imports PyTorch, which the server does not need

LOOPBACK = "127.0.0.1"


def serve(models: Path, port: int) -> None:
    """Serves until interrupted; prints the address when ready. Port 0 chooses any free one.

    Args:
        models: the folder with `classifier`, `joint` or both.

    Raises:
        InputError: the port is in use or not allowed, or a model folder is damaged.
    """
    answer_with(partial(load_models, models), port)


def answer_with(load: Callable[[], "Predictors"], port: int) -> None:
    """As `serve`, with models loaded by `load`; see `Worker`."""
    with listening(port) as listener:
        own_temporary_folder()
        worker = Worker(load)
        try:
            server = server_of(app_for(worker))
            print(f"btlib: http://{LOOPBACK}:{listener.getsockname()[1]}  (stop: Ctrl+C)", flush=True)
            server.run(sockets=[listener])
        finally:
            worker.stop()


def server_of(app: FastAPI) -> uvicorn.Server:
    """A server without logs, which would record visitors' requests and could quote their uploads."""
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app, access_log=False, log_level="critical", server_header=False, timeout_graceful_shutdown=0
    )
    return uvicorn.Server(config)


def listening(port: int) -> socket.socket:
    """Opens a loopback socket; called before the models are loaded, so that a busy port is reported at once.

    Raises:
        InputError: the port is in use or not allowed.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # otherwise a restart must wait a minute
    try:
        listener.bind((LOOPBACK, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        in_use = getattr(error, "errno", None) == errno.EADDRINUSE
        what = "in use, perhaps by another btlib serve" if in_use else "not allowed"
        raise InputError(
            f"port {port}: {what}; choose another, as in `btlib serve --port {_suggest_port(port)}`"
        ) from None
    return listener


def _suggest_port(port: int) -> int:
    return port + 1 if 1024 <= port < 65535 else 8000
