"""The four image stages: what they write, and that a failed run leaves nothing behind."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from btlib.artifacts import read_csv, read_json
from btlib.data.classes import CLASSES
from btlib.data.images import load_processed
from btlib.data.splits import SPLITS, rows_of
from btlib.errors import InputError
from tests.data.samples import make_class_folders, picture, save

STAGES = Path(__file__).parents[2] / "stages"
PARAMS = (STAGES.parent / "params.yaml").read_text(encoding="utf-8")
PATHS = {
    "ingest_images": "--root raw --manifest ingested.csv --unreadable unreadable.csv",
    "audit_images": "--ingested ingested.csv --unreadable unreadable.csv --manifest manifest.csv --metrics audit.json",
    "split_images": "--manifest manifest.csv --out splits.csv --metrics split.json",
    "preprocess_images": "--root raw --manifest manifest.csv --out processed --figures figures",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder: params.yaml for class folders, and images in raw/."""
    (tmp_path / "params.yaml").write_text(PARAMS.replace("source: phantom", "source: folder"), encoding="utf-8")
    make_class_folders(tmp_path / "raw", per_class=6)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def main_of(stage: str) -> None:
    words = PATHS[stage].split()
    paths = {option[2:]: Path(path) for option, path in zip(words[::2], words[1::2], strict=True)}
    runpy.run_path(str(STAGES / f"{stage}.py"))["main"](**paths)


def test_the_road_from_folders_to_arrays(project):
    Image.open("raw/glioma/00.png").save("raw/glioma/copy.bmp")
    for stage in PATHS:
        main_of(stage)
    audit = read_json(Path("audit.json"))
    assert (audit["images"], audit["unreadable"], audit["label_conflicts"]) == (25, 0, 0)
    assert (audit["exact_duplicate_groups"], audit["exact_duplicate_images"]) == (1, 2)
    assert audit["test_near_duplicates_in_train"] == audit["test_near_duplicates_in_train_by_split"]["group"] == 0
    header = "image_id path label patient group source sha256 phash width height mask_path"
    assert list(read_csv(Path("manifest.csv")).columns) == header.split()
    counts = read_json(Path("split.json"))
    assert {name: sorted(classes) for name, classes in counts.items()} == {key: list(CLASSES) for key in SPLITS}
    images, index = load_processed(Path("processed"))
    assert images.shape == (25, 96, 96, 3)
    splits = read_csv(Path("splits.csv"))
    for name, classes in counts.items():
        assert index.label[rows_of(splits, index, name)].value_counts().to_dict() == classes
    assert len(list(Path("figures").glob("*.png"))) == 3


def test_conflicts_may_be_left_out(project):
    save(project / "raw/no_tumor/same.png", picture(0))
    main_of("ingest_images")
    with pytest.raises(InputError, match=r"glioma/00\.png \(glioma\) = no_tumor/same\.png \(no_tumor\)"):
        main_of("audit_images")
    assert not Path("manifest.csv").exists()

    params = Path("params.yaml")
    params.write_text(params.read_text().replace("allow_label_conflicts: false", "allow_label_conflicts: true"))
    main_of("audit_images")
    audit = read_json(Path("audit.json"))
    assert (audit["label_conflicts"], audit["images"]) == (2, 23)


def test_unreadable_files_may_be_left_out_and_are_counted(project):
    (project / "raw/glioma/text.jpg").write_text("x")
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("allow_unreadable: false", "allow_unreadable: true"))
    main_of("ingest_images")
    main_of("audit_images")
    audit = read_json(Path("audit.json"))
    assert (audit["unreadable"], audit["images"]) == (1, 24)


def refused(project: Path, stage: str) -> str:
    """What the command says that stops; it must have written nothing."""
    before = sorted(path.name for path in project.iterdir())
    done = subprocess.run(
        [sys.executable, STAGES / f"{stage}.py", *PATHS[stage].split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in project.iterdir()) == before
    return done.stderr


def test_bad_files_and_folders_stop_the_ingest_in_one_list(project):
    (project / "raw/glioma/text.jpg").write_text("x")
    (project / "raw/meningioma/zero.png").touch()
    save(project / "raw/metastasis/a.png", picture(1))
    message = refused(project, "ingest_images")
    assert "3 fault(s)" in message
    assert all(part in message for part in ("glioma/text.jpg", "meningioma/zero.png", "'metastasis'"))


def test_a_root_that_does_not_exist(project):
    (project / "raw").rename(project / "elsewhere")
    assert "images.root: raw: no such folder" in refused(project, "ingest_images")
