"""Work side by side: in order, one core each, and the first error ends it."""

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


def test_two_calls_run_at_once_and_their_results_come_in_order():
    both_there = threading.Barrier(2, timeout=30)

    def met(number):
        both_there.wait()
        return number

    assert list(side_by_side(met, [3, 1, 2, 0])) == [3, 1, 2, 0]


def test_each_call_has_one_core_and_the_caller_keeps_its_own():
    assert list(side_by_side(lambda _: torch.get_num_threads(), range(4))) == [1] * 4
    assert torch.get_num_threads() == 2


def test_calls_with_two_cores_each_leave_room_for_one_on_two():
    seen = list(side_by_side(lambda _: (torch.get_num_threads(), threading.current_thread()), range(3), cores=2))
    assert [threads for threads, _ in seen] == [2] * 3
    assert len({thread for _, thread in seen}) == 1


def test_the_first_error_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda number: 1 / number, [1, 0, 2]))


def test_a_gpu_is_given_one_call_after_another(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert set(side_by_side(lambda _: threading.current_thread(), range(3))) == {threading.current_thread()}
