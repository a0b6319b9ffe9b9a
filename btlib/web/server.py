"""Runs the page on this machine's loopback address; nothing outside the machine can reach it."""

import errno
import socket
from contextlib import suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from btlib.errors import InputError
from btlib.web.app import create_app

LOOPBACK = "127.0.0.1"


def serve(models: Path, port: int) -> None:
    """Answers until it is interrupted; prints the address when it is ready. Port 0 takes any free one.

    Args:
        models: the folder with `classifier`, `joint` or both.

    Raises:
        InputError: the port is in use or not allowed, or a model folder is damaged.
    """
    with listening(port) as listener:
        server = server_of(create_app(models))
        print(f"btlib: http://{LOOPBACK}:{listener.getsockname()[1]}  (stop: Ctrl+C)", flush=True)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def server_of(app: FastAPI) -> uvicorn.Server:
    """Without an access log: what is asked for, and when, is nobody's business."""
    return uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning", server_header=False))


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
