"""Calls in parallel threads: in order, one core each, ended by the first error."""

import threading

import pytest
import torch

from btlib.core.runtime.workers import side_by_side


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_calls_run_concurrently_with_ordered_results():
    both_there = threading.Barrier(2, timeout=30)

    def met(number):
        both_there.wait()
        return number

    assert list(side_by_side(met, [3, 1, 2, 0])) == [3, 1, 2, 0]


def test_each_call_has_one_core_and_the_caller_keeps_its_own():
    assert list(side_by_side(lambda _: torch.get_num_threads(), range(4))) == [1] * 4
    assert torch.get_num_threads() == 2


def test_calls_with_two_cores_each_run_one_at_a_time_on_two_cores():
    seen = list(side_by_side(lambda _: (torch.get_num_threads(), threading.current_thread()), range(3), cores=2))
    assert [threads for threads, _ in seen] == [2] * 3
    assert len({thread for _, thread in seen}) == 1


def test_first_error_is_raised_to_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda number: 1 / number, [1, 0, 2]))


def test_gpu_calls_run_one_after_another(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert set(side_by_side(lambda _: threading.current_thread(), range(3))) == {threading.current_thread()}
