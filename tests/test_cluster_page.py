"""The script of docs/cluster.md for SLURM, run with a false `sbatch`, asks for the jobs that the page shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("cluster")
PAGE = (Path(__file__).parents[1] / "docs/cluster.md").read_text(encoding="utf-8")
OPTIONS = "{'host': '127.0.0.1', 'dashboard_address': '127.0.0.1:0'}"
LOOPBACK = {"DASK_JOBQUEUE__SLURM__SCHEDULER_OPTIONS": OPTIONS}


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def write_program(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_jobs_are_those_of_the_page(tmp_path):
    (tmp_path / "slurm.py").write_text(block("python"))
    write_program(tmp_path / "bin/sbatch", f'cp "$1" "{tmp_path}/job.$$" && echo "Submitted batch job $$"')
    write_program(tmp_path / "bin/scancel", "true")
    jobs = f'[ $(ls "{tmp_path}" | grep -c "^job") -ge 8 ]'
    write_program(tmp_path / "bin/btlib", f'until {jobs}; do sleep 0.1; done; echo "$@"; exit 3')
    env = os.environ | LOOPBACK | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "slurm.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 3, done.stderr[-2000:]
    assert re.fullmatch(r"cluster --scheduler tcp://[\d.:]+ dvc repro\n", done.stdout)
    scripts = [path.read_text() for path in tmp_path.glob("job.*")]
    assert len(scripts) == 8
    for script in scripts:
        script = re.sub(r"tcp://[\d.:]+ --name \S+", "SCHEDULER --name NAME", script.replace(sys.executable, "PYTHON"))
        assert script.split() == block("bash").split()
