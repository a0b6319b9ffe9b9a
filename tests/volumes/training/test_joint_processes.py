import pytest

from tests.core.training.processes import assert_two_processes_equal_one
from tests.volumes.training.joint_samples import write_cases


@pytest.mark.parametrize("accumulate", ["1", "2"])
def test_two_processes_equal_one_at_the_same_global_batch(tmp_path, accumulate):
    write_cases(tmp_path, ("LGG", "HGG", "", "HGG", "LGG", "HGG", "LGG") * 2, without_seg=(1, 4))
    arguments = (str(tmp_path), accumulate)
    assert_two_processes_equal_one("tests/volumes/training/run_processes.py", tmp_path, *arguments)
