"""Every part of benchmarks/gpu, at a tiny size on the CPU; the numbers themselves mean nothing here."""

import json
import math
from dataclasses import replace

import pytest

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.measure import TINY
from btlib.core.runtime import workers
from tests.images.data.samples import make_class_folders


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """So few items as here are not worth starting processes."""
    monkeypatch.setattr(workers, "FEW", math.inf)


def values(found):
    """All numbers in nested results."""
    if isinstance(found, dict):
        return [number for value in found.values() for number in values(value)]
    if isinstance(found, list):
        return [number for value in found for number in values(value)]
    return [found] if isinstance(found, float) else []


def test_every_part_gives_results_on_a_cpu(tmp_path):
    images, out = make_class_folders(tmp_path / "images", per_class=12), tmp_path / "gpu.json"
    results = gpu.measured(TINY, images, minutes=60, out=out)
    assert {name: results[name] for name in gpu.PARTS if {"failed", "not_run"} & set(results[name])} == {}
    assert json.loads(out.read_text(encoding="utf-8")) == json.loads(json.dumps(results))
    assert all(number >= 0 for number in values(results))

    assert results["exactness"]["classifier"]["fp32_against_cpu"] == 0
    assert results["exactness"]["joint"]["fp32_against_cpu"] == 0
    assert results["resume"] | {"stage1_bit_equal": True, "stage2_bit_equal": True} == results["resume"]
    eager, contiguous = results["forward"]["variants"]
    assert eager["equal"]
    assert contiguous["largest_difference"] < 1e-4
    assert results["forward"]["fastest"] in (eager, contiguous)
    assert 0 <= results["recommended"]["accuracy"] <= 1
    assert results["recommended"]["images"]["test"] > 0
    assert results["protocol"]["finished"]
    assert results["phantoms"]["epochs"] >= 1
    assert 0 <= results["phantoms"]["dice"] <= 1
    assert results["extrapolated"]["runs"] > 100
    assert "not known" not in gpu.table(results)


def test_a_part_that_fails_is_recorded_and_the_next_goes_on(tmp_path, monkeypatch):
    parts = {
        "missing": gpu.Part("networks", "no_such_function", 9),
        "peak": gpu.PARTS["peak"],
        "recommended": gpu.PARTS["recommended"],
    }
    monkeypatch.setattr(gpu, "PARTS", parts)
    results = gpu.measured(TINY, None, minutes=1, out=tmp_path / "gpu.json")
    assert "no_such_function" in results["missing"]["failed"]
    assert results["peak"]["tflops"] > 0
    assert results["recommended"]["not_run"] == "no --images"
    assert "KeyError" in results["extrapolated"]["failed"]
    assert "AttributeError" in gpu.table(results)
    assert "not known" in gpu.table(results)


def test_without_time_nothing_is_run(tmp_path):
    results = gpu.measured(TINY, None, minutes=0, out=tmp_path / "gpu.json")
    assert {results[name]["not_run"] for name in gpu.PARTS} == {"no time left"}


def test_the_time_of_a_part_limits_its_variants(tmp_path, monkeypatch):
    parts = {"forward": gpu.PARTS["forward"]._replace(limit=0)}
    monkeypatch.setattr(gpu, "PARTS", parts)
    results = gpu.measured(replace(TINY, batches=(1, 2)), None, minutes=1, out=tmp_path / "gpu.json")
    assert results["forward"]["variants"] == []
    assert results["forward"]["not_run_for_time"] == ["eager, 1", "eager, 2", "contiguous, 1", "contiguous, 2"]
