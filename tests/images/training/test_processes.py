import pytest

from tests.core.training.processes import assert_two_nodes_equal_two_processes, assert_two_processes_equal_one


@pytest.mark.parametrize(
    "network",
    [
        ("0.5", "test_efficientnet", "test_convnext"),
        ("1.0", "mobilenetv3_small_050"),  # not cut, and two of its parameters have no use
    ],
)
def test_two_processes_equal_one_at_the_same_global_batch(tmp_path, network):
    assert_two_processes_equal_one("tests/images/training/run_processes.py", tmp_path, *network)


def test_two_nodes_equal_two_processes(tmp_path):
    network = ("0.5", "test_efficientnet", "test_convnext")
    assert_two_nodes_equal_two_processes("tests/images/training/run_processes.py", tmp_path, *network)
