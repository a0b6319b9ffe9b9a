"""Two clones that share one run through a remote, for real: a folder, and an S3 server on loopback."""

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.sharing.make import clone, commit, content, dvc, git, set_params, small_project, stages_run

pytestmark = pytest.mark.xdist_group("sharing")  # one process, so that the project is run once
SECRET = "not-a-real-secret"
STAGES = {
    # phantom: an empty folder here, which stands for the reference set that is not used
    *("check", "phantom", "ingest_images", "link_images", "audit_images", "split_images", "preprocess_images"),
    *("phantom_slices", "weights", "train_stage1", "train_stage2", "evaluate"),
}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A clone in which the road to the main model's scores ran and was committed; nothing is pushed yet."""
    project = small_project(tmp_path_factory.mktemp("beside") / "first")
    assert set(stages_run(dvc(project, "repro", "evaluate"))) == STAGES
    commit(project, "ran")
    return project


@pytest.fixture(scope="module")
def endpoint():
    """An S3 server on a free port of loopback, with one empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def bucket(endpoint):
    s3 = boto3.resource(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    return s3.create_bucket(Bucket="group")


def test_through_a_folder(first):
    """The default remote, beside the clones: no set-up at all."""
    dvc(first, "push", "evaluate", "--with-deps")
    second = clone(first, "second")
    assert not content(second)
    dvc(second, "pull", "evaluate", "--with-deps")
    assert content(second) == content(first)
    assert stages_run(dvc(second, "repro", "--pull", "evaluate")) == []
    assert git(second, "status", "--porcelain") == ""
    set_params(second, evaluation={"bootstrap": 101})
    assert stages_run(dvc(second, "repro", "--pull", "--dry", "evaluate")) == ["check", "evaluate"]


def test_through_a_bucket(first, endpoint, bucket):
    """The address goes into git, the credentials do not."""
    owner = clone(first, "owner")
    dvc(owner, "remote", "add", "--default", "bucket", f"s3://{bucket.name}/btlib")
    dvc(owner, "remote", "modify", "bucket", "endpointurl", endpoint)
    commit(owner, "our bucket")
    dvc(owner, "remote", "modify", "--local", "bucket", "access_key_id", "owner")
    dvc(owner, "remote", "modify", "--local", "bucket", "secret_access_key", SECRET)
    assert SECRET in (owner / ".dvc/config.local").read_text(encoding="utf-8")
    assert git(owner, "status", "--porcelain", "--ignored", ".dvc/config.local") == "!! .dvc/config.local\n"
    assert "config.local" not in git(owner, "ls-files")

    dvc(owner, "cache", "dir", "--local", str(first / ".dvc/cache"))  # what a pull from `first` would bring
    dvc(owner, "push", "evaluate", "--with-deps")
    stored = {item.key for item in bucket.objects.all()}
    assert len(stored) > len(STAGES)
    assert all(key.startswith("btlib/files/md5/") for key in stored)

    guest = clone(owner, "guest")
    message = dvc(guest, "pull", "evaluate", ok=False)
    assert "Unable to locate credentials" in message

    keys = {"AWS_ACCESS_KEY_ID": "guest", "AWS_SECRET_ACCESS_KEY": SECRET}
    assert stages_run(dvc(guest, "repro", "--pull", "evaluate", **keys)) == []
    assert content(guest) == content(first)
    assert [path for path in guest.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []
