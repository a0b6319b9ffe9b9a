import os
import socket

import pytest

from btlib.core.runtime import paths
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.paths import resolve_inside


@pytest.fixture(autouse=True)
def forget():
    """Clears the cached DVC settings of earlier tests."""
    paths._cache.cache_clear()


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 300, "d/" * 3000 + "a.png", "loop", "\ud800.png", "\udcff.png"])
def test_impossible_paths(tmp_path, path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match=r"unusable path|the name is not UTF-8") as caught:
        resolve_inside(tmp_path, path)
    assert len(str(caught.value).encode()) < 700


def test_special_files_are_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # socket paths must be short
    os.mkfifo("pipe.png")
    (tmp_path / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
        for name in ("pipe.png", "folder.png", "socket.png"):
            with pytest.raises(InputError, match=f"{name}: not a regular file"):
                resolve_inside(tmp_path, name)


def project(folder, config: str = "", local: str = ""):
    """A DVC project with an image linked into its cache; returns the images' root."""
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").write_text(config)
    if local:
        (folder / ".dvc/config.local").write_text(local)
    (folder / "data/images").mkdir(parents=True)
    return folder / "data/images"


def link(cache, root):
    (cache / "files/md5/ab").mkdir(parents=True)
    (cache / "files/md5/ab/cdef").write_bytes(b"x")
    (root / "a.png").symlink_to(cache / "files/md5/ab/cdef")
    return cache / "files/md5/ab/cdef"


@pytest.mark.parametrize(
    ("config", "local", "cache"),
    [
        ("", "", "project/.dvc/cache"),
        ("[cache]\n    type = symlink\n    dir = ../../shared cache\n", "", "shared cache"),
        ("[cache]\n    dir = ../../shared\n", "[cache]\n    dir = ../own\n", "project/own"),
    ],
)
def test_links_into_the_cache_of_the_project(tmp_path, monkeypatch, config, local, cache):
    root = project(tmp_path / "project", config, local)
    there = link(tmp_path / cache, root)
    monkeypatch.chdir(tmp_path / "project/data")
    assert resolve_inside(root, "a.png") == there
    (tmp_path / "secret").touch()
    (root / "b.png").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match=r"b\.png: leads out of its root folder to .*secret"):
        resolve_inside(root, "b.png")


def test_a_cache_outside_the_project_of_the_working_folder(tmp_path, monkeypatch):
    """An image folder with its own settings must not name the whole disk as its cache."""
    root = project(tmp_path / "download", f"[cache]\n    dir = {tmp_path}\n")
    link(tmp_path / "elsewhere", root)
    project(tmp_path / "project")
    for here in (tmp_path, tmp_path / "project"):
        monkeypatch.chdir(here)
        with pytest.raises(InputError, match="leads out of its root folder"):
            resolve_inside(root, "a.png")


def test_invalid_dvc_settings(tmp_path, monkeypatch):
    root = project(tmp_path / "project", "[cache\n")
    link(tmp_path / "elsewhere", root)
    monkeypatch.chdir(tmp_path / "project")
    with pytest.raises(InputError, match=r"\.dvc: not a valid folder of DVC settings"):
        resolve_inside(root, "a.png")
