"""Ctrl+C, SIGTERM and the end of DVC, with real processes: one line, the right exit code, no leftover processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = '''"""Stage demo: works for minutes."""

import threading
import time
from pathlib import Path

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.stage import run


def parallel():
    from btlib.core.runtime.workers import in_parallel

    list(in_parallel(time.sleep, [60.0] * 20, "wait", batch=1))


def isolation():
    from btlib.core.runtime.isolation import in_isolation

    list(in_isolation(time.sleep, [50.0] * 20, "wait", batch=1))


def threads():
    import torch

    from btlib.core.runtime.workers import side_by_side

    def work(_):
        matrix = torch.eye(1000)
        Path("busy").touch()
        for _ in range(100_000):
            matrix = matrix @ matrix

    torch.set_num_threads(2)
    list(side_by_side(work, range(4)))


def deaf():
    """A library that catches every exception, and a thread that never ends."""
    threading.Thread(target=time.sleep, args=(60,)).start()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass


def main(kind: Path) -> None:
    with atomic_path(Path("data/out")) as folder:
        folder.mkdir()
        globals()[str(kind)]()


if __name__ == "__main__":
    run(main)
'''
WORKERS = {"parallel": 2, "isolation": 2, "threads": 0, "deaf": 0}


def alive(processes):
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def at_work(process, kind, folder):
    """The child processes, once the process is busy."""
    started = psutil.Process(process.pid).children(recursive=True)
    if kind == "threads":
        return started if (folder / "busy").exists() else None
    return started if len(started) >= WORKERS[kind] and list(folder.glob("data/.out*")) else None


@pytest.fixture
def stage(tmp_path):
    """Starts the script with a kind of work; returns it and its child processes."""
    (tmp_path / "demo.py").write_text(SCRIPT, encoding="utf-8")
    started = []

    def start(kind, command=(sys.executable, "demo.py", "--kind"), **variables):
        process = subprocess.Popen(
            [*command, kind],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a separate process group, as a shell creates for each command
        )
        started.append(process)
        wait_until(lambda: process.poll() is not None or at_work(process, kind, tmp_path) is not None)
        assert process.poll() is None, process.stderr.read()
        return process, psutil.Process(process.pid).children(recursive=True)

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("kind", WORKERS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_stage_with_one_line_and_no_leftovers(kind, number, stage, tmp_path):
    process, children = stage(kind)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # a terminal's Ctrl+C goes to the whole group
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    lines = [line for line in err.splitlines() if line and not line.startswith("wait:")]  # the progress bar
    assert lines == ["demo: stopped; run the same command again to continue"]
    assert out == ""
    wait_until(lambda: not alive(children))
    assert list((tmp_path / "data").iterdir()) == []
    assert not list(Path("/dev/shm").glob(f"*[_-]{process.pid}[_-]*"))


def test_workers_never_receive_ctrl_c(tmp_path):
    """A terminal sends it to them too, and each would print a traceback, especially during imports."""
    program = """
import signal
from functools import partial
from btlib.core.runtime.workers import in_parallel
from btlib.core.runtime.interruption import interruptible
with interruptible("test"):
    mask = partial(signal.pthread_sigmask, signal.SIG_BLOCK)
    assert list(in_parallel(mask, [()] * 8, "test", batch=1)) == [{signal.SIGINT}] * 8
assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_repeated_signals_act_as_one(stage, tmp_path):
    process, _ = stage("parallel")
    for _ in range(20):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.01)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err.count("demo: stopped") == 1 and "Traceback" not in err


@pytest.mark.parametrize("shell", [["sh", "-c", "{}; exit $?"], ["bash", "--noprofile", "--norc", "-c", "{}"]])
def test_stage_ends_when_its_dvc_is_killed(shell, stage, tmp_path):
    """DVC starts stages through a shell, which either outlives it or becomes the stage."""
    command = [part.format(f"{sys.executable} demo.py --kind parallel") for part in shell]
    dvc = f"import subprocess; subprocess.run({command})"
    process, family = stage("parallel", (sys.executable, "-c", dvc), DVC_STAGE="demo")
    process.kill()
    wait_until(lambda: not alive(family))
    assert "demo: stopped" in process.stderr.read()
    assert list((tmp_path / "data").iterdir()) == []


def test_the_end_of_dvc_is_noticed_before_the_watch_has_looked_at_all(tmp_path):
    """On a busy machine, its thread may start long after the stage, when DVC is gone."""
    program = f"""
import time
from btlib.core.runtime import interruption
wait = interruption._Watch._wait
interruption._Watch._wait = lambda watch: (time.sleep(3), wait(watch))
with interruption.interruptible("demo"):
    open({str(tmp_path / "ready")!r}, "w").close()
    time.sleep(60)
"""
    dvc = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', {program!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", dvc], cwd=ROOT, env=os.environ | {"DVC_STAGE": "demo"}, stderr=subprocess.PIPE, text=True
    )
    wait_until((tmp_path / "ready").exists)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    wait_until(lambda: not alive(family))
    assert "demo: stopped" in process.stderr.read()


def test_without_dvc_a_stage_outlives_its_parent(stage, tmp_path):
    """As with nohup."""
    process, family = stage("parallel", ("sh", "-c", f"{sys.executable} demo.py --kind $0; exit $?"))
    process.kill()
    time.sleep(1.5)
    assert alive(family)
    os.killpg(process.pid, signal.SIGKILL)
