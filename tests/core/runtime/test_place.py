"""Locations of the project: without git, on a disk without locks, in another user's checkout, read-only."""

import os
import subprocess
import sys

import pytest

from tests.sharing.make import ROOT, commit, dvc, environment, git, stages_run
from tests.sharing.test_way_back import STAGES, WORK

# Simulates a network drive: no file below the project can be locked
NO_LOCKS = """
import errno, fcntl, os
lock = fcntl.flock
def flock(file, operation):
    number = file if isinstance(file, int) else file.fileno()
    if os.readlink(f"/proc/self/fd/{number}").startswith(os.environ["NO_LOCKS_BELOW"]):
        raise OSError(errno.ENOLCK, "No locks available")
    return lock(file, operation)
fcntl.flock = flock
"""


@pytest.fixture
def project(tmp_path):
    """A project of two quick stages, without git."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    (root / "work.py").write_text(WORK, encoding="utf-8")
    for name in (".dvc/config", ".dvc/.gitignore", "params.yaml", ".dvcignore", ".gitignore"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    return root


def settle(project, **variables):
    """Runs place.py as `make setup` does, with nothing installed."""
    return subprocess.run(
        [sys.executable, "-P", "-S", str(ROOT / "btlib/core/runtime/place.py")],
        cwd=project,
        env=environment(project) | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_study_runs_with_and_without_git(project):
    assert "is not a git repository" in dvc(project, "repro", ok=False, PROCESSOR="mine")
    said = settle(project)
    assert said.returncode == 0 and said.stdout.startswith("btlib: no git repository here (a downloaded ZIP?), so DVC")
    assert settle(project).stdout == "", "said once"
    assert stages_run(dvc(project, "repro", PROCESSOR="mine")) == ["train", "evaluate"]
    git(project, "init", "-q", "-b", "main")
    commit(project, "start")
    assert settle(project).stdout == ""
    assert "no_scm" not in (project / ".dvc/config.local").read_text()
    dvc(project, "exp", "run", "-S", "mixup_alpha=0.4", PROCESSOR="mine")


def test_other_local_settings_are_kept(project):
    dvc(project, "config", "--local", "core.no_scm", "true")
    dvc(project, "remote", "add", "--local", "share", "/mnt/a%b")
    git(project, "init", "-q")
    settle(project)
    assert dvc(project, "config", "--local", "--list").split() == ["remote.share.url=/mnt/a%b"]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the file behind a descriptor in /proc")
def test_without_locks_dvc_uses_hard_links(project, tmp_path):
    git(project, "init", "-q", "-b", "main")
    commit(project, "start")
    (tmp_path / "no_locks").mkdir()
    (tmp_path / "no_locks/sitecustomize.py").write_text(NO_LOCKS, encoding="utf-8")
    drive = {"PYTHONPATH": str(tmp_path / "no_locks"), "NO_LOCKS_BELOW": str(project)}
    assert "Unable to acquire lock" in dvc(project, "repro", ok=False, PROCESSOR="mine", **drive)
    # with site, so that Python runs sitecustomize
    call = [sys.executable, "-P", str(ROOT / "btlib/core/runtime/place.py")]
    said = subprocess.run(call, cwd=project, env=environment(project) | drive, capture_output=True, text=True)
    assert said.stdout.startswith("btlib: this file system does not support locks (flock)")
    assert stages_run(dvc(project, "repro", PROCESSOR="mine", **drive)) == ["train", "evaluate"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_another_users_checkout_is_reported_with_the_git_remedy(project):
    git(project, "init", "-q", "-b", "main")
    commit(project, "start")
    for path in [project, *project.rglob("*")]:
        os.chown(path, 12345, 12345)
    said = settle(project)
    assert said.returncode == 0
    assert "belongs to another user, so git and `dvc exp` refuse" in said.stdout
    assert said.stdout.strip().endswith(f"git config --global --add safe.directory {project}")
    assert stages_run(dvc(project, "repro", PROCESSOR="mine")) == ["train", "evaluate"]


def test_unwritable_folder_is_reported_before_imports(project):
    """Root may write anywhere except below a file."""
    (project / ".dvc/config").unlink()
    (project / ".dvc/.gitignore").unlink()
    (project / ".dvc").rmdir()
    (project / ".dvc").write_text("")
    said = settle(project)
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1 and "folder must be writable" in said.stderr


def test_make_checks_the_location_before_installing(project):
    plan = subprocess.run(["make", "--dry-run", "setup"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-P btlib/core/runtime/place.py" in plan
    assert "pip install" not in plan[: plan.index("btlib/core/runtime/place.py")]
