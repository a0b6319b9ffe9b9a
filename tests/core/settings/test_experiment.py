"""Sweeps: mistyped keys are refused with a suggestion, and queued experiments run."""

import csv
import io
import time

import pytest

from btlib.core.runtime.errors import InputError
from btlib.core.settings.experiment import check_keys
from tests.sharing.make import ROOT, dvc, run, small_project

PARAMS = ROOT / "params.yaml"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("mixup_alfa=0.4", r"unknown key 'mixup_alfa' \(did you mean 'mixup_alpha'\?\)"),
        ("mixup_alfa=0.1,0.2,0.4", r"unknown key 'mixup_alfa' \(did you mean 'mixup_alpha'\?\)"),
        ("+mixup_alfa=0.4", r"unknown key 'mixup_alfa' \(did you mean 'mixup_alpha'\?\)"),
        ("images.clahe.tile=4", r"unknown key 'images.clahe.tile' \(did you mean 'images.clahe.tiles'\?\)"),
        ("dropout=0.1", r"unknown key 'dropout' \(did you mean '\w+.dropout'\?\)"),
        ("seed.first=1", "'seed.first' is not a key, since 'seed' is not a section"),
    ],
)
def test_a_mistyped_key_is_refused_with_a_suggestion(override, message):
    with pytest.raises(InputError, match=message):
        check_keys(["lr_stage1=1e-4", override], PARAMS)


def test_valid_keys_pass_whatever_the_value():
    """DVC and stage check validate values and sweeps of values."""
    check_keys(["mixup_alpha=0.1,0.2", "images.clahe.tiles=choice(4,8)", "backbones=[a,b]", "model={width: 8}"], PARAMS)


@pytest.fixture
def project(tmp_path):
    return small_project(tmp_path / "project")


def finished(project, count):
    """Waits until the queue has that many successes, restarting a worker that quits early."""
    deadline = time.monotonic() + 540
    while (status := dvc(project, "queue", "status")).count("Success") < count:
        assert "Failed" not in status and time.monotonic() < deadline, status
        if "0 active" in status:
            dvc(project, "queue", "start")
        time.sleep(5)


def test_a_sweep_of_stage_check_alone(project):
    """The command of the README, for a stage that costs nothing."""
    call = ("python", "-m", "btlib.cli", "experiment", "--queue", "-S")
    refused = run(project, *call, "mixup_alfa=0.1,0.2", "check", ok=False)
    assert refused.stdout.strip() == "btlib: -S:\n  - unknown key 'mixup_alfa' (did you mean 'mixup_alpha'?)"
    assert "No experiment tasks in the queue" in dvc(project, "queue", "status")

    assert run(project, *call, "mixup_alpha=0.1,0.4", "check").stdout.count("Queued experiment") == 2
    finished(project, 2)
    rows = list(csv.DictReader(io.StringIO(dvc(project, "exp", "show", "--csv"))))
    assert {row["mixup_alpha"] for row in rows if row["Experiment"]} == {"0.1", "0.4"}
