"""The project in small: its own code and dvc.yaml, parameters that train in seconds, a git history of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from btlib.core.settings.schema import TABLES
from btlib.images.data.classes import CLASSES

ROOT = Path(__file__).parents[2]
FILES = ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore", "data/.gitignore")
yaml = YAML()


def small_project(root):
    """Copies what the pipeline needs to `root`, with noise as images and one epoch of a tiny network; commits it."""
    for folder in ("btlib", "stages"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    rng = np.random.default_rng(0)
    for number in range(40):
        path = root / "images" / CLASSES[number % 4] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(path)
    phantom = yaml.load(root / "params.yaml")["images"]["phantom"]
    set_params(
        root,
        image_size=32,
        backbones=["test_efficientnet"],
        fusion="none",
        epochs_stage1=0,
        epochs_stage2=1,
        images={"source": "folder", "root": "images", "phantom": phantom | {"training_subjects": 2}},
        weights={"source": "none"},
        model={"width": 16, "heads": 2},
        evaluation={"bootstrap": 100},
        ablations={"common": None, "keep_networks": {}, **{table: [] for table in TABLES}},
        joint={"ablation": {"seeds": [0], "common": None, "arms": []}},
    )
    git(root, "init", "-q", "-b", "main")
    commit(root, "start")
    return root


def set_params(project, **changes):
    """Sets top-level keys of params.yaml; of sections only the keys named."""
    path = project / "params.yaml"
    params = yaml.load(path)
    for key, value in changes.items():
        params[key] = params[key] | value if isinstance(value, dict) else value
    yaml.dump(params, path)


def environment(project):
    """Nothing of this machine's own DVC, git or AWS settings, and nothing written outside the project's parent."""
    home = project.parent / "home"
    own = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "DVC_", "GIT_"))}
    return own | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def run(project, *command, ok=True, **variables):
    """The finished process; its output has both streams. `ok=False` for what should fail."""
    done = subprocess.run(
        command,
        cwd=project,
        env=environment(project) | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert (done.returncode == 0) == ok, done.stdout[-5000:]
    return done


def dvc(project, *arguments, **options):
    return run(project, sys.executable, "-m", "dvc", *arguments, **options).stdout


def git(project, *arguments):
    return run(project, "git", "-c", "user.name=t", "-c", "user.email=t@t.invalid", *arguments).stdout


def commit(project, message):
    git(project, "add", "-A")
    git(project, "commit", "-qm", message)


def clone(project, name):
    """A second clone beside the first."""
    git(project, "clone", "-q", str(project), str(project.parent / name))
    return project.parent / name


def stages_run(log):
    """Names of the stages that a `dvc repro` really ran."""
    return [line.split("'")[1] for line in log.splitlines() if line.startswith("Running stage '")]


def content(project):
    """{path: bytes} of every output of the pipeline."""
    found = [path for place in ("data", "models") for path in sorted((project / place).rglob("*"))]
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in found
        if path.is_file() and path.name != ".gitignore"
    }
