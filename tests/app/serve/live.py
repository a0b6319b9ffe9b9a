"""The page on a real port, in a thread."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from btlib.app.serve.server import LOOPBACK, listening, server_of


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serves the app and yields its address."""
    server = server_of(app)
    with listening(0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
