"""The workflow for GitHub: its commands exist, its rights are small, and its comment is tried against a local git."""

import re
import shutil
import subprocess

import pytest
from ruamel.yaml import YAML

from tests.sharing.make import ROOT, git, run

FILE = ROOT / ".github/workflows/ci.yml"
WORKFLOW = YAML(typ="safe", pure=True).load(FILE)
JOBS = WORKFLOW["jobs"]
STEPS = [step for job in JOBS.values() for step in job["steps"]]


def test_every_make_target_exists():
    targets = [name for step in STEPS for name in re.findall(r"\bmake ([\w-]+)", step.get("run", ""))]
    assert "ci-report" in targets
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_job_that_runs_the_change_may_only_read():
    """And the one that may write takes nothing of the change but its report."""
    assert set(WORKFLOW["on"]) == {"pull_request", "push"}, "never pull_request_target"
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in JOBS["report"]
    assert JOBS["comment"]["permissions"] == {"contents": "write", "pull-requests": "write"}
    used = [step["uses"] for step in JOBS["comment"]["steps"] if "uses" in step]
    assert [name.split("@")[0] for name in used] == ["actions/download-artifact"]
    assert "head.repo.full_name == github.repository" in JOBS["comment"]["if"]
    (checkout,) = [step for step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}


def test_actions_are_githubs_own_and_pinned_by_commit_with_the_version_beside_it():
    """A tag may be moved onto other code."""
    for step in STEPS:
        assert ("uses" in step) != ("run" in step)
    uses = re.findall(r"- uses: (.+)", FILE.read_text(encoding="utf-8"))
    assert len(uses) == sum("uses" in step for step in STEPS)
    assert [use for use in uses if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", use)] == []


def test_every_package_in_the_lock_has_a_hash():
    """pip checks them all as soon as one is there."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    packages = re.split(r"\n(?=[a-z])", lock.strip())
    assert len(packages) > 100
    assert [package for package in packages if "--hash=sha256:" not in package] == []


def test_no_text_from_outside_becomes_shell():
    assert [step["run"] for step in STEPS if "${{" in step.get("run", "")] == []


@pytest.fixture
def posted(tmp_path):
    """Runs the comment job's own scripts, with a bare repository for GitHub's and a `gh` that keeps what it gets."""
    project = tmp_path / "project"
    (project / "ci-report").mkdir(parents=True)
    (project / "ci-report/report.md").write_text("![ROC](roc.png) and [text](docs/a.md)\n", encoding="utf-8")
    (project / "ci-report/roc.png").write_bytes(b"picture")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gh").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n', encoding="utf-8")
    (tools / "gh").chmod(0o755)
    server = tmp_path / "server.git"
    git(project, "init", "-q", "--bare", str(server))

    def post():
        for step in JOBS["comment"]["steps"]:
            if "run" in step:
                variables = {"PUSH_TO": str(server), "PAGE": "https://example.invalid/o/r", "NUMBER": "12"}
                path = f"{tools}:/usr/bin:/bin"
                run(
                    project,
                    "bash",
                    "--noprofile",
                    "--norc",
                    "-eo",
                    "pipefail",
                    "-c",
                    step["run"],
                    PATH=path,
                    **variables,
                )
        commit = git(server, "rev-parse", "refs/heads/ci-report/12").strip()
        return commit, (project / "comment.md").read_text(encoding="utf-8"), (tmp_path / "calls").read_text()

    post.project, post.server = project, server
    return post


def test_the_comment_shows_the_pictures_that_were_pushed(posted):
    commit, comment, calls = posted()
    assert comment == (f"![ROC](https://example.invalid/o/r/blob/{commit}/roc.png?raw=true) and [text](docs/a.md)\n")
    assert git(posted.server, "show", f"{commit}:roc.png") == "picture"
    assert (
        calls == "pr comment https://example.invalid/o/r/pull/12 --edit-last --create-if-none --body-file comment.md\n"
    )


def test_a_second_run_replaces_the_first(posted):
    """On GitHub each run starts in an empty folder."""
    first, _, _ = posted()
    shutil.rmtree(posted.project / "pictures")
    (posted.project / "ci-report/roc.png").write_bytes(b"other picture")
    second, comment, _ = posted()
    assert second != first
    assert f"/blob/{second}/roc.png" in comment
    assert git(posted.server, "rev-list", "--count", "ci-report/12").strip() == "1"
