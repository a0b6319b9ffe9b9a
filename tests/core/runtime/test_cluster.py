"""Calls on a cluster: as here, whatever dies; and unfit workers are refused before any work."""

import os
import platform
import shutil
import signal
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import dask
import pytest
import torch
from distributed import Client
from typer.testing import CliRunner

from btlib import cli
from btlib.core.runtime import cluster as dask_cluster
from btlib.core.runtime.cluster import REVISION, Wanted, _unfit, versions
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.isolation import Lost, in_isolation
from btlib.core.runtime.workers import FEW, SCHEDULER, Shared, in_parallel, side_by_side, stay_here
from tests.core.runtime.calls import from_shared, opened, refusing, resolved, rude, threads_of, wait_in_vain
from tests.core.runtime.hub import ROOT, hub, wait_for

pytestmark = pytest.mark.xdist_group("cluster")


def test_calls_are_made_in_order_in_the_callers_folder_and_print_here(on_cluster, capfd):
    here = Path.cwd()
    found = list(in_parallel(resolved, [Path(str(number)) for number in range(4 * FEW)], "test", batch=2))
    assert [path for path, _ in found] == [here / str(number) for number in range(4 * FEW)]
    assert {pid for _, pid in found} == {process.pid for process in on_cluster.processes()}
    wait_for(lambda: "seen 15" in capfd.readouterr().out)


def test_networks_have_the_threads_and_the_settings_of_the_caller(on_cluster):
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    for deterministic in (True, False):
        torch.use_deterministic_algorithms(deterministic)
        found = list(side_by_side(threads_of, range(3), cores=2))
        assert found == [(number, 2, deterministic) for number in range(3)]
    torch.use_deterministic_algorithms(before[1])
    assert torch.get_num_threads() == before[0]


def test_the_first_error_is_raised_here(on_cluster):
    with pytest.raises(InputError, match="case 5: damaged"):
        list(side_by_side(refusing, range(8)))


def test_what_calls_share_is_made_once_on_each_worker(on_cluster):
    shared = Shared(opened, 7)
    assert list(side_by_side(partial(from_shared, shared=shared), range(6))) == [7 + number for number in range(6)]
    made_by = Path("opened").read_text().split()
    assert len(made_by) == len(set(made_by)) <= 2
    assert shared.value == [7] * 3


def test_a_crash_of_a_decoder_costs_its_item_alone(on_cluster):
    before = on_cluster.processes()
    found = list(in_isolation(rude, range(8), "test", batch=1, seconds=30))
    assert found[3] == Lost("crashed the program that decodes it: damaged or malicious")
    assert found[:3] + found[4:] == [0, 1, 2, 4, 5, 6, 7]
    assert on_cluster.processes() == before


def test_the_work_of_a_killed_worker_is_done_again(on_cluster, tmp_path):
    results = side_by_side(partial(wait_in_vain, folder=tmp_path), range(2))
    killed = []

    def kill(number):
        mark = tmp_path / str(number)
        wait_for(lambda: mark.exists() and mark.read_text())
        killed.append(int(mark.read_text()))
        os.kill(killed[-1], signal.SIGKILL)

    for number in range(2):
        threading.Thread(target=kill, args=(number,)).start()
    assert list(results) == [0, 1] and len(killed) == 2
    wait_for(lambda: len(on_cluster.processes()) == 2)  # others have taken their places


def test_the_command_names_the_workers_and_the_dashboard(on_cluster, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "execvp", lambda *words: calls.append((*words, os.environ[SCHEDULER])))
    monkeypatch.delenv(SCHEDULER)
    done = CliRunner().invoke(cli.app, ["cluster", "--scheduler", on_cluster.address, "dvc", "repro", "--pull"])
    assert done.exit_code == 0, done.output
    assert f"{on_cluster.address}: 2 workers; dashboard: http://127.0.0.1:" in done.output
    assert calls == [("dvc", ["dvc", "repro", "--pull"], on_cluster.address)]
    assert not list(Path(".btlib/cluster").iterdir())


def test_input_on_this_computer_alone_is_read_here(monkeypatch):
    monkeypatch.setenv(SCHEDULER, "tcp://127.0.0.1:1")
    stay_here()
    assert list(side_by_side(abs, [-1])) == [1]


# Clusters that cannot be used


def test_workers_with_other_code_or_more_threads_are_refused_before_any_work(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "btlib", tmp_path / "other/btlib", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "other/btlib/core/metrics/outlines.py").open("a") as file:
        file.write("# changed\n")
    monkeypatch.chdir(tmp_path)
    with hub(tmp_path) as own:
        own.add("--nthreads", "2")
        own.add(code=tmp_path / "other")
        with Client(own.address, set_as_default=False) as client:
            client.wait_for_workers(2)
        monkeypatch.setenv(SCHEDULER, own.address)
        with pytest.raises(InputError, match="2 of 2 workers cannot take part") as refusal:
            list(side_by_side(opened, range(2)))
    message = str(refusal.value)
    assert "has 2 threads: start it with --nthreads 1" in message
    assert "runs another revision of btlib" in message
    assert message.count("tcp://127.0.0.1:") == 3
    assert not Path("opened").exists()


@pytest.fixture
def wanted(tmp_path):
    (tmp_path / "token").touch()
    return Wanted(tmp_path, Path("token"), REVISION, versions(["Python", "numpy"]))


def worker(threads=1, **resources):
    return SimpleNamespace(state=SimpleNamespace(nthreads=threads, total_resources=resources))


def test_a_worker_like_this_process_is_fit(wanted):
    assert _unfit(wanted, worker()) == ""


def test_a_worker_without_the_files_is_unfit(wanted):
    (wanted.folder / "token").unlink()
    assert f"does not see the project's folder {wanted.folder}" in _unfit(wanted, worker())


def test_a_worker_with_another_library_is_unfit(wanted):
    mine = dict(wanted.versions)
    other = wanted._replace(versions=(("Python", platform.python_version()), ("numpy", "1.0"), ("no-such", "2")))
    expected = f"has other libraries (numpy {mine['numpy']}, here 1.0; no-such missing, here 2)"
    assert expected in _unfit(other, worker())


@pytest.mark.parametrize(("seen", "offered", "fit"), [(1, 1, True), (1, 0, False), (0, 1, False), (2, 1, False)])
def test_a_worker_offers_the_one_gpu_that_it_sees(wanted, monkeypatch, seen, offered, fit):
    monkeypatch.setattr(dask_cluster, "_gpus", lambda: seen)
    found = _unfit(wanted, worker(GPU=offered) if offered else worker())
    assert (found == "") == fit and (fit or f"sees {seen} GPUs and offers {offered}:" in found)


def test_without_a_scheduler_there_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SCHEDULER, "tcp://127.0.0.1:1")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(InputError, match=r"no scheduler answers at tcp://127.0.0.1:1 .*unset DASK_SCHEDULER_ADDRESS"),
    ):
        list(side_by_side(abs, range(2)))


def test_without_dask_there_is_a_clear_error(monkeypatch):
    monkeypatch.setenv(SCHEDULER, "tcp://127.0.0.1:1")
    monkeypatch.setattr("btlib.core.runtime.workers.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'btlib\[cluster\]'"):
        list(side_by_side(abs, range(2)))


def test_a_scheduler_that_is_gone_ends_the_run_with_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with hub(tmp_path, workers=1) as own:
        monkeypatch.setenv(SCHEDULER, own.address)
        results = side_by_side(partial(wait_in_vain, folder=tmp_path), range(2))

        def kill():
            wait_for((tmp_path / "0").exists)
            own.scheduler.kill()

        threading.Thread(target=kill).start()
        with pytest.raises(InputError, match="the scheduler is gone"):
            list(results)
