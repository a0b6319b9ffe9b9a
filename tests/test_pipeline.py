"""dvc.yaml against the code, and params.yaml refused by a real `dvc repro` before any other stage."""

import ast
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from btlib.core.settings.schema import known_keys
from tests.code import code_folders, imported_modules, keys_read

ROOT = Path(__file__).parents[1]
ORDER_ONLY = "data/params.checked"  # a dependency that a stage waits for but does not read
KEPT = ["weights.lock.json"]  # outputs in git that their stage reads too, so that DVC must not remove them


def load_stages():
    return YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]


ENTRIES = load_stages()
STAGES = {name: stage.get("do", stage) for name, stage in ENTRIES.items()}
# The items of `foreach`: words, or sections of params.yaml, which commands use as "${item.root}".
ITEMS = {name: entry["foreach"] if isinstance(entry.get("foreach"), list) else [] for name, entry in ENTRIES.items()}
each_stage = pytest.mark.parametrize("name", STAGES)


def names(entries):
    """The paths in a list of `path` or `{path: options}`."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outputs(stage):
    return [path for key in ("outs", "metrics", "plots") for path in names(stage.get(key, []))]


def data_deps(stage):
    return [dep for dep in stage.get("deps", []) if not dep.startswith(("stages/", "btlib/"))]


def within(path, places):
    return any(path == place or path.startswith(f"{place}/") for place in places)


def script_of(stage):
    return ROOT / shlex.split(stage["cmd"])[1]


@each_stage
def test_code_folders_are_those_that_the_stage_imports_from(name):
    """None is missing or superfluous, and training does not depend on drawing code."""
    stage = STAGES[name]
    script, *folders = [dep for dep in stage["deps"] if dep.startswith(("stages/", "btlib/"))]
    assert ROOT / script == script_of(stage)
    assert folders == code_folders(script_of(stage), ROOT)
    if name.startswith(("train", "ablate")):
        assert not [folder for folder in folders if folder.startswith(("btlib/report", "btlib/app"))]


@each_stage
def test_params_match_those_that_the_stage_reads(name):
    listed = [key for key in STAGES[name].get("params", []) if isinstance(key, str)]
    assert listed == keys_read(script_of(STAGES[name]))
    assert set(listed) <= set(known_keys())


@each_stage
def test_paths_of_the_command_are_declared_and_vice_versa(name):
    stage = STAGES[name]
    words = shlex.split(stage["cmd"])[2:]
    options, paths = words[::2], words[1::2]
    assert all(option.startswith("--") for option in options), stage["cmd"]
    declared = [*data_deps(stage), *outputs(stage)]
    assert [path for path in paths if not within(path, declared)] == []
    assert [path for path in declared if path != ORDER_ONLY and not any(within(p, [path]) for p in paths)] == []


@each_stage
def test_paths_from_params_are_quoted(name):
    """So that images.root may hold spaces."""
    cmd = STAGES[name]["cmd"]
    cmd = cmd.replace("${item}", "").replace("${item.name}", "")  # plain words, by the schema
    assert cmd.count('"${') == cmd.count("${"), f'write "${{images.root}}" with its quotes in: {cmd}'


@each_stage
def test_options_are_the_parameters_of_main(name):
    words = shlex.split(STAGES[name]["cmd"])
    tree = ast.parse((ROOT / words[1]).read_text(encoding="utf-8"))
    (main,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    options = [word[2:].replace("-", "_") for word in words[2::2]]
    assert options == [argument.arg for argument in main.args.args]


@each_stage
def test_data_deps_come_from_another_stage_or_from_git(name):
    made = [
        path.replace("${item}", item)
        for other, stage in STAGES.items()
        for path in outputs(stage)
        for item in [*ITEMS[other], "${item}"]
    ]
    for dep in data_deps(STAGES[name]):
        folder_of_outputs = any(within(path, [dep]) for path in made)
        assert within(dep, made) or folder_of_outputs or (ROOT / dep).exists() or "${" in dep, dep


@each_stage
def test_the_script_names_its_stage(name):
    script = script_of(STAGES[name])
    assert ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))).startswith(f"Stage {script.stem}: ")
    assert name.split("@")[0] == script.stem


@each_stage
def test_the_script_says_what_it_writes_how_long_that_takes_and_how_to_run_it(name):
    said = ast.get_docstring(ast.parse(script_of(STAGES[name]).read_text(encoding="utf-8")))
    assert [path for path in outputs(STAGES[name]) if path.partition("${")[0] not in said] == []
    assert "\nReads " in said and "\nWrites " in said and "\nTakes " in said
    assert f"Run: dvc repro {name}" in said


@each_stage
def test_metrics_are_in_git_and_other_outputs_in_the_cache(name):
    stage = STAGES[name]
    for entry in stage.get("metrics", []):
        assert isinstance(entry, dict), f"{entry}: needs cache: false"
        ((path, options),) = entry.items()
        assert path.startswith("metrics/")
        assert options["cache"] is False
    for entry in stage.get("outs", []):
        if names([entry]) == KEPT:
            assert entry[KEPT[0]] == {"cache": False, "persist": True}
        else:
            assert isinstance(entry, str) or not {"cache", "persist"} & set(entry[names([entry])[0]])


def test_every_script_has_its_stage():
    scripts = {f"stages/{path.name}" for path in (ROOT / "stages").glob("*.py")}
    assert {ROOT / script for script in scripts} == {script_of(stage) for stage in STAGES.values()}


def test_every_stage_waits_for_the_check():
    """Directly or through others, so that a full `dvc repro` runs the check first."""
    made_by = {path: name for name, stage in STAGES.items() for path in outputs(stage)}

    def waits(name):
        deps = data_deps(STAGES[name])
        parents = {made_by[path] for dep in deps for path in made_by if within(dep, [path]) or within(path, [dep])}
        return "check" in parents or any(waits(parent) for parent in parents)

    assert [name for name in STAGES if name != "check" and not waits(name)] == []


# Reading the code


def test_imports_are_followed_through_functions_and_circles_but_not_through_the_loader_of_params(tmp_path):
    files = {
        "stages/a.py": "from btlib.core.settings.params import x\n\n\ndef f():\n    import btlib.images.data.one\n",
        "btlib/core/settings/params.py": "from btlib.core.settings.schema import read\n",
        "btlib/core/settings/schema.py": "",
        "btlib/images/data/one.py": "import numpy\nimport btlib.report.figures.two\n",
        "btlib/report/figures/two.py": "from btlib.images.data import one\n",
        "btlib/report/page.py": "from btlib.report.figures import two\n",
        "btlib/phantom/unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    script = tmp_path / "stages/a.py"
    assert imported_modules(script, tmp_path) == {"btlib/images/data/one.py", "btlib/report/figures/two.py"}
    assert code_folders(script, tmp_path) == ["btlib/images/data", "btlib/report/figures"]
    script.write_text("import btlib.report.page\nfrom btlib.core.settings import schema\n", encoding="utf-8")
    assert code_folders(script, tmp_path) == ["btlib/core/settings", "btlib/images/data", "btlib/report"]


# The real project, copied, through DVC


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("beside") / "project"
    for name in ("btlib", "stages"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "dvc.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for command in ("init -q", "add -A", "-c user.name=t -c user.email=t@t.invalid commit -qm x"):
        subprocess.run(["git", *command.split()], cwd=root, check=True)
    return root


def dvc(project, *arguments):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=project, env={**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}, capture_output=True, text=True
    )


def refused(done):
    """The output of a run, which must have stopped in stage check, before any other."""
    message = done.stdout + done.stderr
    assert done.returncode != 0, message
    assert [line for line in message.splitlines() if line.startswith("Running stage")] == ["Running stage 'check':"]
    return message


@contextmanager
def edited_params(project, old, new):
    path = project / "params.yaml"
    before = path.read_text(encoding="utf-8")
    assert old in before
    try:
        path.write_text(before.replace(old, new), encoding="utf-8")
        yield
    finally:
        path.write_text(before, encoding="utf-8")


def test_dvc_repro_refuses_mistyped_and_missing_keys_before_any_other_stage(project):
    with edited_params(project, "mixup_alpha:", "mixup_alfa:"):
        message = refused(dvc(project, "repro"))
    assert "unknown key 'mixup_alfa' (did you mean 'mixup_alpha'?)" in message
    assert "missing key 'mixup_alpha'" in message
    assert "Traceback" not in message


def test_dvc_exp_run_refuses_faulty_overrides_before_any_other_stage(project):
    """DVC itself accepts an added key and a value of the wrong type."""
    with edited_params(project, "seed: 0", "seed: 0"):
        message = refused(dvc(project, "exp", "run", "-S", "+mixup_alfa=1", "-S", "lr_stage1=abc"))
    assert "unknown key 'mixup_alfa' (did you mean 'mixup_alpha'?)" in message
    assert "lr_stage1: should be a valid number, found 'abc'" in message
    assert "Traceback" not in message


def test_dvc_itself_refuses_to_override_an_unknown_key(project):
    done = dvc(project, "exp", "run", "-S", "mixup_alfa=1")
    assert done.returncode != 0
    assert "mixup_alfa" in done.stderr
    assert "Running stage" not in done.stdout + done.stderr


def test_dvc_itself_names_the_images_root_that_it_cannot_find(project):
    """dvc.yaml takes the folder from params.yaml, so DVC looks it up before it runs stage check."""
    with edited_params(project, "\nimages:", "\nimagse:"):
        done = dvc(project, "repro")
    assert done.returncode != 0
    assert "Could not find 'images.root'" in done.stderr
    assert "Running stage" not in done.stdout + done.stderr
