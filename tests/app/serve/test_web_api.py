"""The server's routes, as used by a browser or another program."""

import asyncio
import base64
import gzip
import json
import logging
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from btlib.app.serve import predictors as predictors_module
from btlib.app.serve.app import app_for
from btlib.app.serve.guards import SECURITY_HEADERS, BodyLimit
from btlib.app.serve.predictors import Predictors
from btlib.core.runtime.errors import InputError
from tests.app.joint_make import SECRET, write_study
from tests.app.serve import fakes
from tests.app.slice_make import write_dicom
from tests.volumes.data.volume_samples import make_case

ADDRESS = "http://127.0.0.1:8000"
MODELS = Predictors(fakes.slice_model(), fakes.case_model())


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Folder for temporary files; checked to be empty after every test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def client(models=MODELS):
    return TestClient(app_for(fakes.Inline(models)), base_url=ADDRESS)


def send(*files, models=MODELS, **more):
    """Sends files, each a Path or a (name, content) pair."""
    named = [(file.name, file.read_bytes()) if isinstance(file, Path) else file for file in files]
    return client(models).post("/api/answer", files=[("files", file) for file in named], **more)


def error(response, status):
    assert response.status_code == status
    assert set(response.json()) <= {"error", "proposals"}
    return response.json()["error"]


def test_an_image_gets_an_answer():
    response = send(("scan.png", fakes.png()))
    assert response.status_code == 200
    answer = response.json()
    assert (answer["name"], answer["kind"], answer["said"]) == ("scan.png", "slice", "glioma")
    assert answer["picture"].startswith("data:image/png") and answer["overlay"] != answer["picture"]


def test_outline_and_share_of_a_network_with_a_lesion_head():
    models = Predictors(fakes.slice_model(fakes.lesion_answer), None)
    answer = send(("scan.png", fakes.png()), models=models).json()
    assert answer["lesion_share"] == 0.5 and answer["outline"].startswith("data:image/png")
    without = send(("scan.png", fakes.png())).json()
    assert without["lesion_share"] is None and without["outline"] is None


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "BMP"])
def test_files_are_identified_by_content(form):
    assert send(("scan.xyz", fakes.png(form=form))).json()["kind"] == "slice"


def test_four_volumes_get_an_answer(tmp_path):
    answer = send(*fakes.case_files(tmp_path)).json()
    assert (answer["name"], answer["kind"], answer["said"]) == ("case", "case", "high-grade glioma")
    assert list(answer["scans"]) == ["t1", "t1ce", "t2", "flair"]
    assert list(answer["overlays"]) == ["segmentation", "uncertainty", "heat"]
    assert len(answer["centre"]) == 3


def test_a_zipped_case_gets_the_same_answer(tmp_path):
    files = fakes.case_files(tmp_path)
    archive = fakes.zipped({f"some/case/{file.name}": file.read_bytes() for file in files})
    assert send(("case.zip", archive)).json() == send(*files).json()


def zipped_study(folder, **more):
    files = [path for path in write_study(folder, **more).rglob("*") if path.is_file()]
    return ("study.zip", fakes.zipped({path.relative_to(folder).as_posix(): path.read_bytes() for path in files}))


def test_a_zipped_dicom_study_gets_an_answer_without_the_patients_name(tmp_path):
    response = send(zipped_study(tmp_path))
    assert response.json()["kind"] == "case"
    assert "DOE" not in response.text.upper().split('"SCANS"')[0]
    scans = response.json()["scans"].values()
    assert not any(SECRET.encode() in gzip.decompress(base64.b64decode(scan)) for scan in scans)


def test_an_incomplete_dicom_study_is_refused_without_the_patients_name(tmp_path):
    text = error(send(zipped_study(tmp_path, without=("flair",))), 422)
    assert "flair" in text
    assert "DOE" not in text.upper()


def test_non_mr_dicom_slice_is_unfamiliar(tmp_path):
    values = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32)
    answer = send(write_dicom(tmp_path / "slice", values, Modality="CT")).json()
    assert answer["kind"] == "slice" and answer["unfamiliar"]
    assert answer["doubts"][0] == "Unfamiliar: DICOM modality CT, not MR."


def test_volumes_on_other_grids_are_resampled_with_a_remark(tmp_path):
    t1, *others = fakes.case_files(tmp_path)
    image = nib.load(t1)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[:, :, 1:], image.affine), t1)
    doubts = send(t1, *others).json()["doubts"]
    assert "T1 resampled to the grid of t1ce by headers, without motion correction." in doubts


def test_invalid_file_gets_a_clear_error_without_paths(temporary):
    text = error(send(("notes.png", b"these are my notes")), 422)
    assert text.startswith("notes.png: not a supported JPEG, PNG, TIFF, BMP or WebP image")
    assert str(temporary) not in text


@pytest.mark.parametrize("prefix", ["case_", ""])
def test_a_missing_modality_is_named_without_paths(tmp_path, temporary, prefix):
    files = [file.rename(file.with_name(file.name.replace("case_", prefix))) for file in fakes.case_files(tmp_path)]
    text = error(send(*files[:3]), 422)
    assert "flair" in text
    assert str(temporary) not in text and "btlib-" not in text


def test_invalid_file_among_volumes_is_named(tmp_path):
    *three, flair = fakes.case_files(tmp_path)
    flair.write_bytes(b"no scan")
    assert error(send(*three, flair), 422).startswith("case_flair.nii.gz: not a valid NIfTI file")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("a.png", fakes.png(1)), ("b.png", fakes.png(2))], "several files, and no volumes among them"),
        ([("empty.png", b"")], "empty.png: zero bytes"),
        ([("slip.zip", fakes.zipped({"../../escaped.png": fakes.png()}))], "leads out of the archive's folder"),
    ],
)
def test_other_faulty_uploads_are_refused(files, message):
    assert message in error(send(*files), 422)


def test_several_cases_at_once_are_refused(tmp_path):
    entries = {}
    for name in ("one", "two"):
        for file in sorted(make_case(tmp_path / name, key=len(entries)).iterdir()):
            entries[f"{name}/{file.name}"] = file.read_bytes()
    assert "2 cases at once" in error(send(("cases.zip", fakes.zipped(entries))), 422)


def test_upload_without_files():
    assert "no file arrived" in error(client().post("/api/answer"), 422)


def test_body_that_is_not_a_form():
    broken = client().post("/api/answer", content=b"x", headers={"content-type": "multipart/form-data; boundary=b"})
    assert error(broken, 400)


def test_too_many_files_are_refused_with_a_remedy():
    text = error(send(*[(f"{number}.png", b"x") for number in range(17)]), 400)
    assert "Maximum number of files is 16" in text and ".zip" in text


def test_an_announced_body_above_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr("btlib.app.serve.app.MAX_BYTES", 2**20)
    assert "more than 1 MiB" in error(send(("a.png", bytes(2**20))), 413)
    assert error(send(("a.png", bytes(2**19))), 422)


def test_announced_body_above_the_limit_is_not_read():
    sent = []

    async def send_back(message):
        sent.append(message)

    guarded = BodyLimit(app=None, limit=10, together=10)
    asyncio.run(guarded({"type": "http", "headers": [(b"content-length", b"11")]}, None, send_back))
    assert sent[0]["status"] == 413


def test_a_body_that_grows_above_the_limit_is_cut_off(monkeypatch):
    monkeypatch.setattr("btlib.app.serve.app.MAX_BYTES", 2**20)

    def endless():
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield bytes(2**18)

    response = client().post(
        "/api/answer", content=endless(), headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert "more than 1 MiB" in error(response, 413)


def test_a_large_slice_is_refused(monkeypatch):
    monkeypatch.setattr(predictors_module, "MAX_SLICE_BYTES", 100)
    assert "scan.png: more than" in error(send(("scan.png", fakes.png())), 422)


@pytest.mark.parametrize(
    ("models", "stage"),
    [(MODELS._replace(slices=None), "package_classifier"), (MODELS._replace(cases=None), "package_joint")],
)
def test_missing_model_error_names_the_command(tmp_path, models, stage):
    files = [("scan.png", fakes.png())] if models.slices is None else fakes.case_files(tmp_path)
    assert f"`dvc repro {stage}`" in error(send(*files, models=models), 422)
    assert any(f"`dvc repro {stage}`" in note for note in client(models).get("/api/models").json()["notes"])


def test_missing_model_folders_are_no_error(tmp_path):
    assert Predictors.load(tmp_path) == (None, None)


def test_damaged_model_folder_is_an_error(tmp_path):
    (tmp_path / "joint").mkdir()
    with pytest.raises(InputError, match="joint"):
        Predictors.load(tmp_path)


def test_phantom_training_is_mentioned_once():
    about = client().get("/api/models").json()
    assert about["notes"] == [
        "Trained on phantom data, which are synthetic images: predictions for scans of real people are meaningless."
    ]
    assert (about["max_files"], about["max_bytes"]) == (16, 512 * 2**20)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", ""])
def test_dns_rebinding_is_refused(host):
    assert client().get("/", headers={"host": host}).status_code == 400


def test_both_names_of_this_machine_are_served():
    assert client().get("/", headers={"host": "localhost:8000"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_uploads_from_other_pages_are_refused(headers):
    assert "another page" in error(send(("scan.png", fakes.png()), headers=headers), 403)


def test_uploads_from_the_page_itself_are_answered():
    own = {"origin": ADDRESS, "sec-fetch-site": "same-origin"}
    assert send(("scan.png", fakes.png()), headers=own).status_code == 200


@pytest.mark.parametrize("path", ["/", "/app.js", "/vendor/niivue/niivue.umd.js", "/api/models", "/nowhere"])
def test_every_response_has_security_headers(path):
    headers = client().get(path).headers
    assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert "unsafe" not in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/..%2fapp.py", "/%2e%2e/app.py", "/vendor"])
def test_nothing_else_is_served(path):
    assert client().get(path, follow_redirects=False).status_code in (404, 307)


def broken(quoted):
    def answer(*_):
        raise RuntimeError(quoted)

    return Predictors(fakes.slice_model(lambda heat: answer()), None)


def test_bug_response_reveals_no_internals(caplog):
    with caplog.at_level(logging.DEBUG):
        text = error(send(("Anna.png", fakes.png()), models=broken("Anna.png in /secret")), 500)
    assert "secret" not in text and "RuntimeError" not in text
    assert "RuntimeError" in caplog.text and "in answer" in caplog.text
    assert "Anna" not in caplog.text and "secret" not in caplog.text


def test_files_exist_only_while_needed(temporary):
    seen = []

    def answer(heat):
        seen.extend(path.read_bytes() for path in temporary.rglob("*.png"))
        return fakes.slice_answer(heat)

    content = fakes.png()
    assert send(("scan.png", content), models=Predictors(fakes.slice_model(answer), None)).status_code == 200
    assert seen == [content]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("status", [200, 422, 500])
def test_spooled_uploads_are_closed(temporary, status):
    """Large uploads are spooled to unnamed files, which exist while they are open."""
    large = fakes.png(height=900, width=1200, form="BMP") if status != 422 else bytes(3 * 2**20)
    assert len(large) > 2 * 2**20
    models = broken("") if status == 500 else MODELS
    assert send(("scan.png", large), models=models).status_code == status
    opened = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert [path for path in opened if path.is_relative_to(temporary)] == []


def test_one_answer_is_computed_at_a_time():
    lock, running, most = threading.Lock(), [], []

    def answer(heat):
        with lock:
            running.append(1)
            most.append(len(running))
        time.sleep(0.05)
        with lock:
            running.pop()
        return fakes.slice_answer(heat)

    app = app_for(fakes.Inline(Predictors(fakes.slice_model(answer), None)))
    with TestClient(app, base_url=ADDRESS) as one, ThreadPoolExecutor(4) as threads:
        sent = [threads.submit(one.post, "/api/answer", files={"files": ("a.png", fakes.png())}) for _ in range(4)]
        assert [response.result().status_code for response in sent] == [200] * 4
    assert most == [1] * 4


def test_modality_names_are_preserved(tmp_path):
    names = {"t1": "T1 平扫", "t1ce": "T1+C", "t2": "T2", "flair": "FLAIR"}
    files = [file.rename(tmp_path / f"{names[file.name[5:-7]]}.nii.gz") for file in fakes.case_files(tmp_path)]
    assert send(*files).status_code == 200
    archive = fakes.zipped({f"病例 1/{file.name}": file.read_bytes() for file in files})
    assert send(("病例.zip", archive)).status_code == 200


def test_name_of_200_chinese_characters_is_accepted():
    assert send(("瘤" * 200 + ".png", fakes.png())).json()["name"] == "瘤" * 33 + "_" + "瘤" * 31 + ".png"


def test_matlab_files_are_refused():
    assert "notes.mat: MATLAB files are not accepted" in error(
        send(("notes.mat", b"\x89HDF\r\n\x1a\n" + bytes(600))), 422
    )


@pytest.mark.parametrize(
    "file", ["/etc/hostname", "../../../../../../etc/hostname", "../received/case/case_flair.nii.gz"]
)
def test_case_list_cannot_point_outside_the_upload(tmp_path, file):
    rows = f"case,t1,t1ce,t2,flair\na,case_t1.nii.gz,case_t1ce.nii.gz,case_t2.nii.gz,{file}\n"
    files = {path.name: path.read_bytes() for path in fakes.case_files(tmp_path)}
    text = error(send(("case.zip", fakes.zipped({"cases.csv": rows.encode(), **files}))), 422)
    assert "cases.csv" in text or "leads out" in text


def test_assigned_modalities_are_reported_and_can_be_corrected(tmp_path):
    files = fakes.case_files(tmp_path)
    found = send(*files).json()
    assert {one["file"]: one["modality"] for one in found["proposals"]} == {
        f"case_{name}.nii.gz": name for name in ("t1", "t1ce", "t2", "flair")
    }
    swapped = {name: f"case_{name}.nii.gz" for name in ("t1", "t1ce")}
    swapped |= {"t2": "case_flair.nii.gz", "flair": "case_t2.nii.gz"}
    corrected = send(*files, data={"choice": json.dumps(swapped)}).json()
    assert corrected["scans"]["t2"] == found["scans"]["flair"] != corrected["scans"]["flair"] == found["scans"]["t2"]


def test_files_with_uninformative_names_are_refused_and_offered(tmp_path):
    files = [file.rename(tmp_path / f"{number}.nii.gz") for number, file in enumerate(fakes.case_files(tmp_path))]
    refused = send(*files)
    error(refused, 422)
    assert sorted(one["file"] for one in refused.json()["proposals"]) == [f"{number}.nii.gz" for number in range(4)]
    choice = dict(zip(("t1", "t1ce", "t2", "flair"), (file.name for file in files), strict=True))
    assert send(*files, data={"choice": json.dumps(choice)}).status_code == 200


@pytest.mark.parametrize(
    "choice",
    ["[", "7", '{"t1": 1}', '{"t3": "a"}', '{"t1": "../../etc/passwd"}', "[" * 5000, '{"t1": "\\ud800"}'],
)
def test_any_choice_is_followed_or_refused(tmp_path, choice):
    error(send(*fakes.case_files(tmp_path), data={"choice": choice}), 422)


def test_waiting_client_sees_its_place_in_the_queue(monkeypatch):
    let_go = threading.Event()

    def answer(heat):
        let_go.wait(30)
        return fakes.slice_answer(heat)

    monkeypatch.setattr("btlib.app.serve.line.MAX_WAITING", 2)
    app = app_for(fakes.Inline(Predictors(fakes.slice_model(answer), None)))
    with TestClient(app, base_url=ADDRESS) as one, ThreadPoolExecutor(4) as threads:
        sent = []
        for ticket in ("a0", "a1", "a2"):
            post = partial(
                one.post, "/api/answer", files={"files": ("a.png", fakes.png())}, headers={"x-ticket": ticket}
            )
            sent.append(threads.submit(post))
            while one.get(f"/api/queue/{ticket}").json()["before"] is None:
                time.sleep(0.01)
        assert [one.get(f"/api/queue/{ticket}").json() for ticket in ("a0", "a1", "a2", "b")] == [
            {"before": 0},
            {"before": 1},
            {"before": 2},
            {"before": None},
        ]
        assert "too many uploads" in error(one.post("/api/answer", files={"files": ("a.png", fakes.png())}), 503)
        let_go.set()
        assert [response.result().status_code for response in sent] == [200] * 3
        assert one.get("/api/queue/a0").json() == {"before": None}


@pytest.mark.parametrize("ticket", ["x", "A0", "0" * 65, "%00"])
def test_malformed_ticket_is_refused(ticket):
    assert error(client().get(f"/api/queue/{ticket}"), 422)


@pytest.mark.parametrize("charset", ["undefined", "rot13", "base64", "utf-7", "no such"])
def test_a_form_in_any_charset_is_read_or_refused(charset):
    head = {"content-type": f"multipart/form-data; boundary=b; charset={charset}"}
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="+2AA-\xff.png"\r\n\r\nx\r\n--b--\r\n'
    assert client().post("/api/answer", content=body, headers=head).status_code in (400, 422)


def test_total_size_of_uploads_is_limited(monkeypatch):
    monkeypatch.setattr("btlib.app.serve.app.MAX_WAITING_BYTES", 2**19)
    page = client()
    big = {"files": ("a.png", bytes(2**19))}
    assert "too many uploads" in error(page.post("/api/answer", files=big), 503)
    assert (
        page.post("/api/answer", files={"files": ("a.png", fakes.png())}).status_code == 200
    )  # all bytes are released


def test_stalled_body_times_out(monkeypatch):
    monkeypatch.setattr("btlib.app.serve.guards.SILENCE", 0.05)

    async def read(scope, receive, send):
        await receive()

    async def nothing():
        await asyncio.sleep(60)

    with pytest.raises(HTTPException, match="no data received"):
        asyncio.run(BodyLimit(read, 10, 10)({"type": "http", "headers": []}, nothing, None))


def test_markup_in_file_names_is_removed():
    assert send(("<img src=x onerror=alert(1)>.png", fakes.png())).json()["name"] == "_img src=x onerror=alert(1)_.png"
