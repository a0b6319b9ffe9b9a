"""Interrupted predictions are continued: the results are those of an uninterrupted run, byte for byte."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from btlib.app.predict import case_results, slice_results
from btlib.app.predict.case_results import predict_cases
from btlib.app.predict.slice_results import predict_slices
from btlib.app.scans.case_files import find_cases
from btlib.app.scans.results import JOURNAL
from btlib.app.scans.slice_files import find_slices
from btlib.core.runtime.artifacts import read_csv
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.isolation import in_isolation
from btlib.core.runtime.lock import locked
from tests.app import joint_make
from tests.app.slice_make import write_model, write_picture

ROOT = Path(__file__).parents[2]
KILLED = """
import os, signal, sys
from pathlib import Path
from btlib.app.predict import journal, slice_results

def add(self, batch):
    store(self, batch)
    if len(self._known) >= 6:
        with self._path.open("ab") as file:
            file.write(b'[["half a li')
        os.kill(os.getpid(), signal.SIGKILL)

store, journal.Journal.add, slice_results.BATCH = journal.Journal.add, add, 3
slice_results.predict_slices([Path("scans")], Path("classifier"), Path("out"))
"""


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "classifier", lesion=True)


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    return joint_make.write_model(tmp_path_factory.mktemp("model") / "joint")


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """Ten pictures and a damaged one, in batches of three, and read in this process, which is faster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slice_results, "in_isolation", in_this_process)
    monkeypatch.setattr(slice_results, "BATCH", 3)
    for number in range(10):
        write_picture(Path(f"scans/{number}.png"), number)
    Path("scans/4b.png").write_bytes(b"damaged")
    return Path("scans")


def in_this_process(function, items, *_, **__):
    return map(function, items)


def results(out):
    """Content of every file but the journal, whose stamps differ between copies of the same scans."""
    return {
        path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != JOURNAL
    }


def predicted(scans, model, out, **options):
    """Predicts the pictures; one is damaged."""
    with pytest.raises(InputError, match=r"could not be predicted:\n  - scans/4b\.png"):
        predict_slices([scans], model, Path(out), **options)
    return results(Path(out))


def fail_after(monkeypatch, module, count):
    """Makes a batch fail, with its pictures or masks stored, after so many others."""
    done = []

    def entry(*fields):
        done.append(fields)
        return module_entry(*fields) if len(done) <= count else 1 / 0

    module_entry = module.Entry
    monkeypatch.setattr(module, "Entry", entry)


def test_a_killed_run_is_continued(scans, classifier):
    Path("classifier").symlink_to(classifier)
    whole = predicted(scans, classifier, "whole")
    done = subprocess.run([sys.executable, "-c", KILLED], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -signal.SIGKILL
    journal = Path("out", JOURNAL).read_bytes()
    assert journal.count(b"\n") == 3 and journal.endswith(b"half a li")
    assert len(list(Path("out/overlays").iterdir())) == 5 and not Path("out/slices.csv").exists()
    assert predicted(scans, classifier, "out", resume=True) == whole
    assert Path("out", JOURNAL).read_bytes().startswith(journal.removesuffix(b'[["half a li'))


def test_only_the_rest_is_predicted_and_the_bar_counts_the_whole(scans, classifier, monkeypatch, capsys):
    whole = predicted(scans, classifier, "whole")
    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
        fail_after(broken, slice_results, 7)
        predict_slices([scans], classifier, Path("out"))
    read = []
    monkeypatch.setattr(
        slice_results,
        "in_isolation",
        lambda function, files, *rest, **more: read.extend(files) or in_isolation(function, files, *rest, **more),
    )
    capsys.readouterr()
    assert predicted(scans, classifier, "out", resume=True) == whole
    assert [path.name for path in read] == ["5.png", "6.png", "7.png", "8.png", "9.png"]
    bar = capsys.readouterr().err
    assert "predict:  55%" in bar and "6/11" in bar and "11/11" in bar
    assert predicted(scans, classifier, "out", resume=True) == whole  # a finished run, too
    assert read[5:] == []


def test_changed_and_new_files_are_predicted_anew(scans, classifier):
    predicted(scans, classifier, "out")
    write_picture(scans / "2.png", 77)
    (scans / "3.png").write_bytes(b"now damaged")
    write_picture(scans / "0/9.png", 78)  # comes first, and takes the name of the overlay
    with pytest.raises(InputError, match="10 predicted"):
        predict_slices([scans], classifier, Path("out"), resume=True)
    with pytest.raises(InputError, match="10 predicted"):
        predict_slices([scans], classifier, Path("fresh"))
    tables = [read_csv(Path(out, "slices.csv")) for out in ("out", "fresh")]
    assert tables[0]["path"].tolist() == tables[1]["path"].tolist()
    assert tables[0]["confidence"].tolist() == pytest.approx(tables[1]["confidence"].tolist(), abs=1e-6)
    assert tables[0]["overlay"].tolist() == tables[1]["overlay"].tolist()
    assert results(Path("out")).keys() == results(Path("fresh")).keys()
    assert Path("out/unused.csv").read_bytes() == Path("fresh/unused.csv").read_bytes()


def test_another_model_or_missing_files_are_refused(scans, classifier):
    whole = predicted(scans, classifier, "out")
    other = write_model(Path("other/classifier"), lesion=True, tied=True)
    with pytest.raises(
        InputError, match=r"other settings cannot be resumed(?s:.*)classifier/model\.safetensors: \w+…, now"
    ):
        predict_slices([scans], other, Path("out"), resume=True)
    with pytest.raises(
        InputError, match=r"2 inputs of the run to resume are missing; give the same paths(?s:.*)8\.png"
    ):
        for name in ("8.png", "9.png"):
            (scans / name).rename(name)
        predict_slices([scans], classifier, Path("out"), resume=True)
    assert results(Path("out")) == whole


def test_a_filled_folder_is_refused_and_an_unfinished_run_named(scans, classifier, monkeypatch):
    whole = predicted(scans, classifier, "whole")
    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
        fail_after(broken, slice_results, 4)
        predict_slices([scans], classifier, scans / "out")
    with pytest.raises(
        InputError, match=r"scans/out: not an empty folder; it holds an unfinished run: .* with --resume"
    ):
        predict_slices([scans], classifier, scans / "out")
    assert find_slices([scans])[1] == {scans / "out": "results of an earlier run, not scans"}
    with locked(scans / "out" / JOURNAL, "test"), pytest.raises(InputError, match="another btlib predict writes there"):
        predict_slices([scans], classifier, scans / "out", resume=True)
    assert predicted(scans, classifier, scans / "out", resume=True) == whole
    with pytest.raises(InputError, match="not an empty folder; choose a new one"):
        predict_slices([scans], classifier, scans / "out")
    with pytest.raises(InputError, match="scans: not an empty folder; choose a new one"):
        predict_slices([scans], classifier, scans, resume=True)


def test_names_that_are_not_utf8_stop_nothing(scans, classifier):
    write_picture(Path(os.fsdecode(b"scans/\xff.png")))
    with pytest.raises(InputError, match=r"10 predicted(?s:.*)the name is not UTF-8"):
        predict_slices([scans], classifier, Path("out"))
    assert "scans/\\udcff.png" in read_csv(Path("out/unused.csv"))["path"].tolist()


def test_few_images_are_read_ahead(scans, classifier, monkeypatch):
    """Memory is limited by the batch: no image is read before most of those before it were stored."""
    for number in range(10, 40):
        write_picture(scans / f"{number}.png", number)
    read, ahead = [], []
    entry = slice_results.Entry

    def counted(*given, **_):
        for picture in in_this_process(*given):
            read.append(picture)
            yield picture

    def stored(*fields):
        stored.count += 1
        ahead.append(len(read) - stored.count)
        return entry(*fields)

    stored.count = 0
    monkeypatch.setattr(slice_results, "in_isolation", counted)
    monkeypatch.setattr(slice_results, "Entry", stored)
    predicted(scans, classifier, "out")
    assert stored.count == 41 and max(ahead) <= 3


def test_cases_are_continued(joint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(case_results, "in_isolation", in_this_process)
    for key, name in enumerate(("a", "b", "c", "d")):
        joint_make.write_case(Path("in", name), key)
    (Path("in/b/b_t2.nii.gz")).write_bytes(b"damaged")
    given = [Path("in")]

    def predict(out, model=joint, **options):
        with pytest.raises(InputError, match=r"3 predicted(?s:.*)in/b: b/b_t2\.nii\.gz: "):
            predict_cases(find_cases(given), model, Path(out), **options)
        return results(Path(out))

    whole = predict("whole")
    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
        fail_after(broken, case_results, 2)
        predict_cases(find_cases(given), joint, Path("out"))
    with Path("out", JOURNAL).open("ab") as journal:
        journal.write(b'[["c", "')
    with pytest.raises(InputError, match="--labels: canonical, now brats") as error:
        predict_cases(find_cases(given), joint, Path("out"), labels="brats", resume=True)
    assert "--resample" not in str(error.value) and "safetensors" not in str(error.value)
    assert predict("out", resume=True) == whole
    for scan in Path("in/c").iterdir():
        scan.unlink()
    with pytest.raises(InputError, match="1 inputs of the run to resume are missing"):
        predict_cases(find_cases(given), joint, Path("out"), resume=True)
    Path("in/c").rmdir()
    joint_make.write_case(Path("in/c"), 9)
    fresh = predict("fresh")
    assert predict("out", resume=True) == fresh != whole
