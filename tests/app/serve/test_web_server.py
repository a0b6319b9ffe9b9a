"""The page on a real port of this machine."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from btlib.app.serve.app import app_for
from btlib.app.serve.predictors import Predictors
from btlib.app.serve.server import listening, serve
from btlib.core.runtime.errors import InputError
from tests.app.serve import fakes
from tests.app.serve.live import served

FOREVER = 120


@pytest.fixture
def folder():
    """A temporary folder with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as found:
        yield Path(found)


@contextmanager
def command(folder):
    """Runs the page in a separate process with temporary files in `folder`; yields it and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.app.serve.served"],
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process, re.search(r"http://\S+", process.stdout.readline())[0]
    finally:
        process.kill()
        process.communicate()


@contextmanager
def hanging(address):
    """Keeps the worker busy with an upload."""

    def send():
        with suppress(httpx.HTTPError):
            files = {"files": ("hang.png", fakes.png(height=fakes.HEIGHTS["hang"]))}
            httpx.post(f"{address}/api/answer", files=files, headers={"x-ticket": "a"}, timeout=FOREVER)

    thread = threading.Thread(target=send)
    thread.start()
    while httpx.get(f"{address}/api/queue/a").json()["before"] is None:
        time.sleep(0.05)
    time.sleep(1)  # until the worker has it
    yield
    thread.join()


def test_server_listens_on_loopback_only():
    with listening(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_busy_port_is_reported_before_models_are_loaded(tmp_path):
    with listening(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port}: in use.*`btlib serve --port {port + 1}`"):
            serve(tmp_path, port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_invalid_port_is_refused(tmp_path, port):
    with pytest.raises(InputError, match=rf"port {port}: not allowed.*`btlib serve --port 8000`"):
        serve(tmp_path, port)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_server_without_leftovers(folder, number):
    with command(folder) as (process, address):
        children = psutil.Process(process.pid).children(recursive=True)
        assert children and list(folder.iterdir())
        with hanging(address):
            os.killpg(process.pid, number)
            said, errors = process.communicate(timeout=FOREVER)
        assert process.returncode == 128 + number
        assert (said, errors) == ("", "\nserved: stopped\n")
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
    assert list(folder.iterdir()) == []


def test_long_temporary_path_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 20)))
    with pytest.raises(InputError, match="set TMPDIR to a shorter one"):
        serve(tmp_path, 0)


def test_leftovers_of_a_killed_server_are_removed_by_the_next(folder):
    with command(folder) as (killed, _):
        (left,) = folder.iterdir()
        with command(folder):
            assert left.exists()  # its server is running
        killed.kill()
        killed.wait()
        assert left.exists()
    with command(folder):
        assert not left.exists()


def test_worker_crash_does_not_affect_other_uploads(folder):
    with command(folder) as (process, address):

        def send(harm=None):
            files = {"files": ("scan.png", fakes.png(height=fakes.HEIGHTS.get(harm, 48)))}
            return httpx.post(f"{address}/api/answer", files=files, timeout=FOREVER)

        assert send().json()["said"] == "glioma"
        assert "scan.png: crashed the program" in send("crash").json()["error"]
        assert send().status_code == 200
        assert "scan.png: needs more than" in send("memory").json()["error"]
        assert send().status_code == 200
        with pytest.raises(httpx.ReadTimeout):  # the client disconnects
            httpx.post(
                f"{address}/api/answer",
                files={"files": ("scan.png", fakes.png(height=fakes.HEIGHTS["hang"]))},
                timeout=2,
            )
        assert send().status_code == 200
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()  # while idle
        assert send().status_code == 200
        assert send("bug").status_code == 500
        assert list(folder.rglob("btlib-????????")) == []  # no upload is left
        process.terminate()
        _, errors = process.communicate(timeout=FOREVER)
    assert "RuntimeError" in errors and "in _harm" in errors
    assert "Anna" not in errors and "secret" not in errors and "scan.png" not in errors


def test_requests_are_not_logged(capfd):
    with (
        served(app_for(fakes.Inline(Predictors(None, None)))) as address,
        urllib.request.urlopen(f"{address}/index.html?name=Anna") as page,
    ):
        assert b"not a medical device" in page.read()
        assert "server" not in page.headers
    assert capfd.readouterr() == ("", "")
