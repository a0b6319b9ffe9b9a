"""Runs the page on this machine's loopback address; nothing outside the machine can reach it."""

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
    from btlib.app.serve.predictors import Predictors  # imports PyTorch, which the server does without

LOOPBACK = "127.0.0.1"


def serve(models: Path, port: int) -> None:
    """Answers until it is interrupted; prints the address when it is ready. Port 0 takes any free one.

    Args:
        models: the folder with `classifier`, `joint` or both.

    Raises:
        InputError: the port is in use or not allowed, or a model folder is damaged.
    """
    answer_with(partial(load_models, models), port)


def answer_with(load: Callable[[], "Predictors"], port: int) -> None:
    """As `serve`, with models that `load` gives to the worker; see `Worker`."""
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
    """Without a log: what is asked for, and when, is nobody's business, and messages may quote it."""
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app, access_log=False, log_level="critical", server_header=False, timeout_graceful_shutdown=0
    )
    return uvicorn.Server(config)


def listening(port: int) -> socket.socket:
    """A socket that only this machine reaches; taken before the models are loaded, to know of a busy port at once.

    Raises:
        InputError: the port is in use or not allowed.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or a restart would wait for a minute
    try:
        listener.bind((LOOPBACK, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        in_use = getattr(error, "errno", None) == errno.EADDRINUSE
        what = "in use, perhaps by another btlib serve" if in_use else "not allowed"
        raise InputError(f"port {port}: {what}; choose another, as in `btlib serve --port {_other(port)}`") from None
    return listener


def _other(port: int) -> int:
    return port + 1 if 1024 <= port < 65535 else 8000
