"""The image stages up to the arrays: what they write, and that a failed run leaves nothing behind."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from btlib.core.runtime.artifacts import read_csv, read_json
from btlib.core.runtime.dealing import SPLITS
from btlib.core.runtime.errors import InputError
from btlib.images.data.classes import CLASSES
from btlib.images.data.hashing import orientations
from btlib.images.data.links import COLUMNS
from btlib.images.data.manifest import read_manifest
from btlib.images.data.masks import Masks, mask_names
from btlib.images.data.preprocessing import load_processed
from btlib.images.data.reading import open_image, open_mask
from btlib.images.data.splits import rows_of
from tests.images.data.samples import make_case, make_class_folders, picture, save

STAGES = Path(__file__).parents[2] / "stages"
PARAMS = (STAGES.parent / "params.yaml").read_text(encoding="utf-8")
PATHS = {
    "ingest_images": "--root raw --manifest ingested.csv --unreadable unreadable.csv",
    "link_images": "--ingested ingested.csv --root raw --reference reference --links links.csv --masks masks.npz "
    "--figures links",
    "audit_images": "--ingested ingested.csv --unreadable unreadable.csv --links links.csv --masks masks.npz "
    "--root raw --manifest manifest.csv --metrics audit.json",
    "split_images": "--root raw --manifest manifest.csv --out splits.csv --metrics split.json",
    "preprocess_images": "--root raw --masks masks.npz --manifest manifest.csv --out processed --figures figures",
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


def set_params(**changes) -> None:
    """Sets `a__b=value` at a.b of params.yaml."""
    yaml, path = YAML(), Path("params.yaml")
    params = yaml.load(path)
    for name, value in changes.items():
        *sections, last = name.split("__")
        section = params
        for part in sections:
            section = section[part]
        section[last] = value
    yaml.dump(params, path)


def test_the_road_from_folders_to_arrays(project):
    Image.open("raw/glioma/00.png").save("raw/glioma/copy.bmp")
    for stage in PATHS:
        main_of(stage)
    audit = read_json(Path("audit.json"))
    assert (audit["images"], audit["unreadable"], audit["label_conflicts"]) == (25, 0, 0)
    assert (audit["exact_duplicate_groups"], audit["exact_duplicate_images"]) == (1, 2)
    assert audit["test_near_duplicates_in_train"] == audit["test_near_duplicates_in_train_by_split"]["group"] == 0
    assert audit["linked_images"] == 0 and (audit["patients"], audit["images_without_patient"]) == (0, 25)
    assert {kind: found and found["known_patient"] for kind, found in audit["leaks_by_split"].items()} == {
        "image": 0,
        "folder": None,
        "near_copy": 0,
        "group": 0,
        "file": None,
    }
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


def test_without_a_reference_links_are_empty(project):
    main_of("ingest_images")
    main_of("link_images")  # there is no folder 'reference', and none is needed
    links = read_csv(Path("links.csv"))
    assert list(links.columns) == list(COLUMNS) and links.empty
    assert mask_names(Path("masks.npz")) == set() and list(Path("links").iterdir()) == []


@pytest.fixture
def linked(project):
    """Six Figshare slices of five patients; of each two images among those of raw/, the second mirrored."""
    set_params(images__reference__source="figshare", images__reference__root="reference")
    for number, (patient, label) in enumerate((("1A", 2), ("1B", 2), ("2", 1), ("3", 1), ("4", 3), ("5", 3))):
        make_case(Path(f"reference/{number}.mat"), label, patient, picture=number)
        name = {1: "meningioma", 2: "glioma", 3: "pituitary"}[label]
        image = open_image(Path("reference"), f"{number}.mat")
        save(Path(f"raw/{name}/slice {number}.png"), image)
        save(Path(f"raw/{name}/slice {number} mirrored.png"), image[:, ::-1])
    for stage in ("ingest_images", "link_images"):
        main_of(stage)
    return project


def test_links_bring_patients_masks_and_groups(linked):
    main_of("audit_images")
    main_of("split_images")
    audit, manifest = read_json(Path("audit.json")), read_manifest(Path("manifest.csv")).set_index("path")
    assert (audit["images"], audit["linked_images"], audit["images_without_patient"]) == (36, 12, 24)
    assert audit["patients"] == 5, "1A and 1B are one"
    assert audit["label_conflicts"] == 0
    made = manifest[manifest.index.str.contains("slice")]
    assert made["patient"].to_dict()["glioma/slice 0.png"] == made["patient"]["glioma/slice 1 mirrored.png"] == "1"
    assert made[made["label"] == "glioma"]["group"].nunique() == 1
    assert made.loc[made["label"] != "glioma", "group"].nunique() == 4
    assert (made["mask_path"] == "link:" + made["image_id"]).all()
    assert (manifest["mask_path"] != "").sum() == 12
    masks = Masks(Path("raw"), Path("masks.npz"))
    expected = orientations(open_mask(Path("reference"), "2.mat"))[4]
    assert np.array_equal(masks.open(made["mask_path"]["meningioma/slice 2 mirrored.png"]), expected)

    leaks = audit["leaks_by_split"]
    assert leaks["group"]["same_patient"] == leaks["group"]["same_slice"] == 0
    splits = read_csv(Path("splits.csv")).set_index("image_id")["split"]
    split_of = made["image_id"].map(splits)
    assert split_of.groupby(made["patient"]).nunique().max() == 1
    assert leaks["group"]["known_patient"] == (split_of == "test").sum()
    assert (Path("links") / "links.png").stat().st_size > 10_000


def test_a_split_of_ones_own_is_audited_and_taken(linked):
    paths = read_manifest(Path("ingested.csv"))["path"]
    own = {path: ("test", "val", "train", "train", "train", "train")[number % 6] for number, path in enumerate(paths)}
    Path("raw/split.csv").write_text("path,split\n" + "".join(f"{path},{part}\n" for path, part in own.items()))
    set_params(split_by="file", split__file="split.csv")
    with pytest.raises(InputError, match=r"split_by: file: \d patient\(s\) would be in more than one split"):
        main_of("audit_images")
    own |= dict.fromkeys([path for path in own if "slice" in path], "test")
    Path("raw/split.csv").write_text("path,split\n" + "".join(f"{path},{part}\n" for path, part in own.items()))
    main_of("audit_images")
    main_of("split_images")
    leaks = read_json(Path("audit.json"))["leaks_by_split"]["file"]
    assert leaks["known_patient"] == 12 and leaks["same_patient"] == leaks["same_slice"] == 0
    manifest = read_manifest(Path("manifest.csv"))
    splits = read_csv(Path("splits.csv"))["split"]
    assert dict(zip(manifest["path"], splits, strict=True)) == own
    assert leaks["test"] == (splits == "test").sum()


def test_a_label_that_the_reference_contradicts(linked):
    twin = open_image(Path("reference"), "4.mat")[::-1]
    save(Path("raw/glioma/wrong.png"), twin)
    for stage in ("ingest_images", "link_images"):
        main_of(stage)
    with pytest.raises(InputError, match="under more than one label") as caught:
        main_of("audit_images")
    assert (
        "glioma/wrong.png (glioma) = pituitary/slice 4 mirrored.png (pituitary) = pituitary/slice 4.png (pituitary) = "
        "4.mat of the reference (pituitary)" in str(caught.value)
    )
    set_params(images__allow_label_conflicts=True)
    main_of("audit_images")
    audit = read_json(Path("audit.json"))
    assert (audit["label_conflicts"], audit["images"], audit["linked_images"], audit["patients"]) == (3, 34, 13, 4)


def test_a_reference_of_strangers_links_nothing(project):
    set_params(images__reference__source="figshare")
    make_case(project / "reference/0.mat", picture=0)
    main_of("ingest_images")
    main_of("link_images")
    assert read_csv(Path("links.csv")).empty and mask_names(Path("masks.npz")) == set()
    assert (Path("links") / "links.png").is_file()


def test_conflicts_may_be_left_out(project):
    save(project / "raw/no_tumor/same.png", picture(0))
    main_of("ingest_images")
    main_of("link_images")
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
    for stage in ("ingest_images", "link_images", "audit_images"):
        main_of(stage)
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


def test_a_bad_reference_stops_the_run(project):
    set_params(images__reference__source="figshare")
    main_of("ingest_images")
    assert "images.reference.root: reference: no such folder" in refused(project, "link_images")
    make_case(project / "reference/0.mat", leave_out="PID")
    assert "0.mat: no field cjdata/PID" in refused(project, "link_images")


def test_a_root_that_does_not_exist(project):
    (project / "raw").rename(project / "elsewhere")
    assert "images.root: raw: no such folder" in refused(project, "ingest_images")
