import errno
import fcntl

import pytest

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.lock import locked


def test_only_one_holder_at_a_time(tmp_path):
    path = tmp_path / "folder/x.lock"
    refused = pytest.raises(InputError, match=r"^busy here; wait until it has ended")
    with locked(path, "busy here"), refused, locked(path, "busy here"):
        pytest.fail("held twice")
    with locked(path, "busy here"):
        assert path.read_bytes() == b""


def test_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "x.lock", "busy"):
        raise KeyError
    with locked(tmp_path / "x.lock", "busy"):
        pass


def test_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(number):
        def flock(file, operation):
            raise OSError(number, "no")

        monkeypatch.setattr(fcntl, "flock", flock)

    refuse(errno.ENOLCK)
    with locked(tmp_path / "x.lock", "busy"):
        pass
    refuse(errno.EBADF)
    with pytest.raises(OSError, match="no"), locked(tmp_path / "x.lock", "busy"):
        pass
