"""Keyed randomness: golden values, since changing the key function would change every result."""

import subprocess
import sys
import threading

import torch

from btlib.core.runtime.reproducibility import deterministic_torch, environment, keyed_layers, keyed_rng, keyed_seed


def test_golden_values():
    assert keyed_seed(0) == 7210762507766007076
    assert keyed_seed(0, "mixup", 3, 17) == 2983712576943479325
    assert keyed_rng(0, "mixup").integers(1_000_000, size=3).tolist() == [120552, 937282, 100817]


def test_same_seed_in_another_process():
    """Python's hash() of a string differs between processes; the key must not."""
    code = "from btlib.core.runtime.reproducibility import keyed_seed; print(keyed_seed(1, 'augment', 2))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(printed) == keyed_seed(1, "augment", 2)


def test_seed_depends_on_every_part_of_the_key():
    seeds = {keyed_seed(s, name, step) for s in range(5) for name in ("mixup", "dropout") for step in range(5)}
    assert len(seeds) == 50
    assert keyed_seed(1, 23) != keyed_seed(12, 3)
    assert all(0 <= seed < 2**63 for seed in seeds)
    torch.Generator().manual_seed(max(seeds))


def drawn(key):
    with keyed_layers(*key):
        return [torch.nn.Linear(3, 3).weight.tolist() for _ in range(200)]


def test_only_layers_are_drawn_by_the_key():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    assert drawn((0, "init")) == drawn((0, "init")) != drawn((1, "init"))
    assert torch.equal(torch.rand(2), expected)


def test_threads_draw_layers_one_after_another():
    """The generator is global: without a lock, two networks would share one stream of draws."""
    keys = [(seed, "init") for seed in range(4)]
    alone = {key: drawn(key) for key in keys}
    together = {}
    threads = [threading.Thread(target=lambda key=key: together.update({key: drawn(key)})) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_deterministic_torch_refuses_tf32():
    before = torch.are_deterministic_algorithms_enabled()
    try:
        deterministic_torch()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(before)


def test_environment_names_versions_and_no_host():
    import platform

    record = environment()
    assert record["torch"] == torch.__version__.split("+")[0] or record["torch"] == torch.__version__
    assert record["python"].count(".") == 2
    assert platform.node() not in record.values()
