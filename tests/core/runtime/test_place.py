"""Where the project may lie: without git, on a disk without locks, in another's checkout, where nobody may write."""

import os
import subprocess
import sys

import pytest

from tests.sharing.make import ROOT, commit, dvc, environment, git, stages_run
from tests.sharing.test_way_back import STAGES, WORK

# Stands in for a network drive: no lock on any file below the project
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
    """Runs it as `make setup` does, with nothing installed."""
    return subprocess.run(
        [sys.executable, "-P", "-S", str(ROOT / "btlib/core/runtime/place.py")],
        cwd=project,
        env=environment(project) | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_git_the_study_runs_and_with_it_all_is_as_usual(project):
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


def test_other_local_settings_stay(project):
    dvc(project, "config", "--local", "core.no_scm", "true")
    dvc(project, "remote", "add", "--local", "share", "/mnt/a%b")
    git(project, "init", "-q")
    settle(project)
    assert dvc(project, "config", "--local", "--list").split() == ["remote.share.url=/mnt/a%b"]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the file behind a descriptor in /proc")
def test_without_locks_dvc_takes_hard_links(project, tmp_path):
    git(project, "init", "-q", "-b", "main")
    commit(project, "start")
    (tmp_path / "no_locks").mkdir()
    (tmp_path / "no_locks/sitecustomize.py").write_text(NO_LOCKS, encoding="utf-8")
    drive = {"PYTHONPATH": str(tmp_path / "no_locks"), "NO_LOCKS_BELOW": str(project)}
    assert "Unable to acquire lock" in dvc(project, "repro", ok=False, PROCESSOR="mine", **drive)
    # with site, which a bare Python runs sitecustomize for
    call = [sys.executable, "-P", str(ROOT / "btlib/core/runtime/place.py")]
    said = subprocess.run(call, cwd=project, env=environment(project) | drive, capture_output=True, text=True)
    assert said.stdout.startswith("btlib: this file system knows no locks (flock)")
    assert stages_run(dvc(project, "repro", PROCESSOR="mine", **drive)) == ["train", "evaluate"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_another_users_checkout_is_named_with_what_git_wants(project):
    git(project, "init", "-q", "-b", "main")
    commit(project, "start")
    for path in [project, *project.rglob("*")]:
        os.chown(path, 12345, 12345)
    said = settle(project)
    assert said.returncode == 0
    assert "another user's, so git and `dvc exp` refuse" in said.stdout
    assert said.stdout.strip().endswith(f"git config --global --add safe.directory {project}")
    assert stages_run(dvc(project, "repro", PROCESSOR="mine")) == ["train", "evaluate"]


def test_where_nobody_may_write_it_says_so_before_anything_is_loaded(project):
    """Root may write anywhere; nobody may below a file."""
    (project / ".dvc/config").unlink()
    (project / ".dvc/.gitignore").unlink()
    (project / ".dvc").rmdir()
    (project / ".dvc").write_text("")
    said = settle(project)
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1 and "folder must be writable" in said.stderr


def test_make_looks_at_the_place_before_it_installs(project):
    plan = subprocess.run(["make", "--dry-run", "setup"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-P btlib/core/runtime/place.py" in plan
    assert "pip install" not in plan[: plan.index("btlib/core/runtime/place.py")]
