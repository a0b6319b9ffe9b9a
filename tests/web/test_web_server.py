"""The page on a real port of this machine."""

import urllib.request

import pytest
import uvicorn

from btlib.errors import InputError
from btlib.web.app import app_for
from btlib.web.predictors import Predictors
from btlib.web.server import listening, serve
from tests.web.live import served


def test_only_this_machine_is_listened_to():
    with listening(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_busy_port_is_named_before_the_models_are_loaded(tmp_path):
    with listening(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port}: in use.*`btlib serve --port {port + 1}`"):
            serve(tmp_path, port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be_is_refused(tmp_path, port):
    with pytest.raises(InputError, match=rf"port {port}: not allowed.*`btlib serve --port 8000`"):
        serve(tmp_path, port)


def test_the_address_is_printed_and_an_interrupt_is_no_error(tmp_path, monkeypatch, capsys):
    ports = []

    def run(self, sockets):
        ports.append(sockets[0].getsockname()[1])
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn.Server, "run", run)
    serve(tmp_path, 0)
    assert capsys.readouterr() == (f"btlib: http://127.0.0.1:{ports[0]}  (stop: Ctrl+C)\n", "")


def test_what_is_asked_for_is_not_logged(capfd):
    with (
        served(app_for(Predictors(None, None))) as address,
        urllib.request.urlopen(f"{address}/index.html?name=Anna") as page,
    ):
        assert b"not a medical device" in page.read()
        assert "server" not in page.headers
    assert capfd.readouterr() == ("", "")
