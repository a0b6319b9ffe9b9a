import pytest

from tests.core.training.processes import assert_two_nodes_equal_two_processes, assert_two_processes_equal_one
from tests.volumes.training.joint_samples import write_cases

GRADES = ("LGG", "HGG", "", "HGG", "LGG", "HGG", "LGG") * 2


@pytest.mark.parametrize("accumulate", ["1", "2"])
def test_two_processes_equal_one_at_the_same_global_batch(tmp_path, accumulate):
    write_cases(tmp_path, GRADES, without_seg=(1, 4))
    arguments = (str(tmp_path), accumulate)
    assert_two_processes_equal_one("tests/volumes/training/run_processes.py", tmp_path, *arguments)


def test_two_nodes_equal_two_processes(tmp_path):
    write_cases(tmp_path, GRADES, without_seg=(1, 4))
    assert_two_nodes_equal_two_processes("tests/volumes/training/run_processes.py", tmp_path, str(tmp_path), "2")
