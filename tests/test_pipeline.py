"""dvc.yaml against the code, and params.yaml refused by a real `dvc repro` before any other stage."""

import ast
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from btlib.core.runtime.errors import InputError
from btlib.core.settings.schema import known_keys
from btlib.pipeline import expected_lists, imported_modules, keys_read, refresh, stage_script

ROOT = Path(__file__).parents[1]
ORDER_ONLY = "data/params.checked"  # a dependency that makes a stage wait, without being read


def load_stages():
    return YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]


ENTRIES = load_stages()
STAGES = {name: stage.get("do", stage) for name, stage in ENTRIES.items()}
# What `foreach` goes through: words, or sections of params.yaml, which stand in a command as "${item.root}".
ITEMS = {name: entry["foreach"] if isinstance(entry.get("foreach"), list) else [] for name, entry in ENTRIES.items()}
each_stage = pytest.mark.parametrize("name", STAGES)


def names(entries):
    """Paths of a list whose entries are `path` or `{path: options}`."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outputs(stage):
    return [path for key in ("outs", "metrics", "plots") for path in names(stage.get(key, []))]


def data_deps(stage):
    return [dep for dep in stage.get("deps", []) if not dep.startswith(("stages/", "btlib/"))]


def within(path, places):
    return any(path == place or path.startswith(f"{place}/") for place in places)


@each_stage
def test_deps_and_params_are_what_the_code_imports_and_reads(name):
    stage = STAGES[name]
    expected = expected_lists(stage, ROOT)
    block = StringIO()
    YAML().dump({key: value for key, value in expected.items() if value}, block)
    actual = {key: stage.get(key, []) for key in expected}
    assert actual == expected, f"run `make deps`, or give stage {name} in dvc.yaml:\n{block.getvalue()}"


@each_stage
def test_params_are_keys_of_the_schema(name):
    read = keys_read(ROOT / stage_script(STAGES[name]["cmd"]))
    items = ITEMS[name] or [""]
    assert {key.replace("${item}", item) for key in read for item in items} <= set(known_keys())


@each_stage
def test_paths_of_the_command_are_declared_and_the_other_way_round(name):
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
    cmd = cmd.replace("${item}", "").replace("${item.name}", "")  # plain words, as the schema sees to
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
def test_the_script_says_which_stage_it_is(name):
    script = ROOT / stage_script(STAGES[name]["cmd"])
    assert ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))).startswith(f"Stage {script.stem}: ")
    assert name.split("@")[0] == script.stem


@each_stage
def test_metrics_are_in_git_and_other_outputs_in_the_cache(name):
    stage = STAGES[name]
    for entry in stage.get("metrics", []):
        assert isinstance(entry, dict), f"{entry}: needs cache: false"
        ((path, options),) = entry.items()
        assert path.startswith("metrics/")
        assert options["cache"] is False
    for entry in stage.get("outs", []):
        assert isinstance(entry, str) or not {"cache", "persist"} & set(entry[names([entry])[0]])


def test_every_script_has_its_stage():
    scripts = {f"stages/{path.name}" for path in (ROOT / "stages").glob("*.py")}
    assert scripts == {stage_script(stage["cmd"]) for stage in STAGES.values()}


def test_every_stage_waits_for_the_check():
    """Directly or through others, so that `dvc repro` of the whole runs the check first."""
    made_by = {path: name for name, stage in STAGES.items() for path in outputs(stage)}

    def waits(name):
        deps = data_deps(STAGES[name])
        parents = {made_by[path] for dep in deps for path in made_by if within(dep, [path]) or within(path, [dep])}
        return "check" in parents or any(waits(parent) for parent in parents)

    assert [name for name in STAGES if name != "check" and not waits(name)] == []


# A small project of its own, for what refresh() does


@pytest.fixture
def small(tmp_path):
    files = {
        "stages/a.py": "def main(x):\n    from btlib.one import f\n    p = load_params('seed', 'images.clahe')\n",
        "btlib/__init__.py": '"""Only words."""\n',
        "btlib/one.py": "import numpy\nimport btlib.deep.two\n",
        "btlib/deep/__init__.py": "X = 1\n",
        "btlib/deep/two.py": "from btlib import one\n",
        "btlib/unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_closure_follows_functions_packages_and_cycles(small):
    assert imported_modules(small / "stages/a.py", small) == [
        "btlib/deep/__init__.py",
        "btlib/deep/two.py",
        "btlib/one.py",
    ]


def test_the_schema_of_params_counts_only_for_who_imports_it_itself(small):
    (small / "btlib/core/settings/params.py").write_text(
        "from btlib.core.settings.schema import read\n", encoding="utf-8"
    )
    (small / "btlib/core/settings/schema.py").write_text("from btlib import one\n", encoding="utf-8")
    loads, checks = small / "stages/loads.py", small / "stages/checks.py"
    loads.write_text("from btlib.core.settings.params import load_params\n", encoding="utf-8")
    checks.write_text(
        "from btlib.core.settings.params import load_params\nfrom btlib.core.settings.schema import read\n",
        encoding="utf-8",
    )
    assert imported_modules(loads, small) == ["btlib/core/settings/params.py"]
    assert {"btlib/core/settings/params.py", "btlib/core/settings/schema.py", "btlib/one.py"} <= set(
        imported_modules(checks, small)
    )


def test_refresh_corrects_code_and_keeps_the_rest(small):
    pipeline = small / "dvc.yaml"
    pipeline.write_text(
        "# head\nstages:\n  a:\n    cmd: python stages/a.py --x data/x\n    deps:\n    - btlib/unused.py\n"
        "    - data/x   # the data\n    outs:\n    - out\n\nplots:\n- out\n",
        encoding="utf-8",
    )
    assert refresh(pipeline) == ["a"]
    assert pipeline.read_text(encoding="utf-8") == (
        "# head\nstages:\n  a:\n    cmd: python stages/a.py --x data/x\n    deps:\n    - stages/a.py\n"
        "    - btlib/deep/__init__.py\n    - btlib/deep/two.py\n    - btlib/one.py\n    - data/x   # the data\n"
        "    params:\n    - seed\n    - images.clahe\n    outs:\n    - out\n\nplots:\n- out\n"
    )
    assert refresh(pipeline) == []


def test_what_cannot_be_followed_is_refused(small):
    (small / "btlib/unused.py").write_text("from . import one\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"unused\.py:1: relative import"):
        imported_modules(small / "btlib/unused.py", small)
    (small / "stages/a.py").write_text('load_params("a", f"b.{table}.c")\n', encoding="utf-8")
    assert keys_read(small / "stages/a.py") == ["a", "b.${item}.c"]
    (small / "stages/a.py").write_text("load_params(name)\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.py:1: load_params takes literal strings only"):
        keys_read(small / "stages/a.py")
    with pytest.raises(InputError, match="cmd should start with 'python stages/'"):
        stage_script("bash run.sh")


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
    """The whole message of a run that must have stopped in stage check, before any other."""
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
    """DVC itself lets an added key and a value of the wrong type pass."""
    with edited_params(project, "seed: 0", "seed: 0"):
        message = refused(dvc(project, "exp", "run", "-S", "+mixup_alfa=1", "-S", "lr_stage1=abc"))
    assert "unknown key 'mixup_alfa' (did you mean 'mixup_alpha'?)" in message
    assert "lr_stage1: should be a valid number, found 'abc'" in message
    assert "Traceback" not in message


def test_dvc_itself_refuses_to_override_a_key_that_is_not_there(project):
    done = dvc(project, "exp", "run", "-S", "mixup_alfa=1")
    assert done.returncode != 0
    assert "mixup_alfa" in done.stderr
    assert "Running stage" not in done.stdout + done.stderr


def test_dvc_itself_names_the_images_root_that_it_cannot_find(project):
    """dvc.yaml takes the folder from params.yaml, so DVC looks it up before it could run stage check."""
    with edited_params(project, "\nimages:", "\nimagse:"):
        done = dvc(project, "repro")
    assert done.returncode != 0
    assert "Could not find 'images.root'" in done.stderr
    assert "Running stage" not in done.stdout + done.stderr
