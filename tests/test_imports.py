"""Allowed imports between packages, and banned modules and calls. CONTRIBUTING.md describes the layers."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from tests.code import imported_modules, imports

ROOT = Path(__file__).parents[1]

# A package imports from itself and from these; the stages and the command line from all of them.
MAY_IMPORT = {
    "core": set(),
    "phantom": {"core"},
    "images": {"core", "phantom"},
    "volumes": {"core", "phantom"},
    "report": {"core", "phantom", "images", "volumes"},
    "app": {"core", "phantom", "images", "volumes", "report"},
}
MAY_IMPORT["cli"] = MAY_IMPORT["stages"] = set(MAY_IMPORT)
MAY_IMPORT_IN_CORE = {
    "runtime": set(),
    "settings": {"runtime"},
    "metrics": {"runtime"},
    "training": {"runtime"},
    "explain": {"runtime"},
}
EVALUATION = ("core/metrics", "images/evaluation", "volumes/evaluation")
BANNED_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal"}
BANNED_CALLS = {
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "pd.read_pickle",
    "joblib.load",
    "joblib.dump",
    "subprocess.getoutput",
}

LIBRARY = sorted((ROOT / "btlib").rglob("*.py"))
STAGES = sorted((ROOT / "stages").glob("*.py"))
EVERYTHING = [
    path for folder in ("btlib", "stages", "tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))
]


def relative(path):
    return path.relative_to(ROOT).as_posix()


def part(path):
    """`images` for btlib/images/nets/store.py, `cli` for btlib/cli.py, `stages` for a stage."""
    folder, *rest = path.relative_to(ROOT).parts
    return "stages" if folder == "stages" else rest[0].removesuffix(".py")


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


def test_every_package_is_listed():
    packages = {part(path) for path in LIBRARY} - {"__init__"}
    assert packages <= set(MAY_IMPORT), "add the new package to MAY_IMPORT and to CONTRIBUTING.md"
    in_core = {path.parent.name for path in (ROOT / "btlib/core").rglob("*.py")} - {"core"}
    assert in_core == set(MAY_IMPORT_IN_CORE)


@pytest.mark.parametrize("path", [*LIBRARY, *STAGES], ids=relative)
def test_imports_follow_the_layers(path):
    own = part(path)
    names = [name.split(".") for name in imports(path) if name.startswith("btlib.")]
    assert {name[1] for name in names} <= MAY_IMPORT.get(own, set()) | {own}
    assert "stages" not in {name.split(".")[0] for name in imports(path)}
    in_core = {name[2] for name in names if name[1] == "core" and len(name) > 2}
    if own == "core" and path.parent.name != "core":
        assert in_core <= MAY_IMPORT_IN_CORE[path.parent.name] | {path.parent.name}
    if own in ("phantom", "images", "volumes", "app"):
        assert "settings" not in in_core, "only stages and the command line read params.yaml"


@pytest.mark.parametrize(
    "path", [path for folder in EVALUATION for path in sorted((ROOT / "btlib" / folder).glob("*.py"))], ids=relative
)
def test_evaluation_imports_no_deep_learning_library(path):
    files = [path, *(ROOT / module for module in imported_modules(path, ROOT))]
    own = [file for file in files if not file.is_relative_to(ROOT / "btlib/core/runtime")]
    assert not {name.split(".")[0] for file in own for name in imports(file)} & {"torch", "timm", "monai", "lightning"}


@pytest.mark.parametrize("path", [path for path in LIBRARY if path.name == "__init__.py"], ids=relative)
def test_packages_re_export_nothing(path):
    """Re-exports would make every stage depend on every module."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert [ast.unparse(node) for node in body if not isinstance(node, ast.Expr)] == []


@pytest.mark.parametrize("path", EVERYTHING, ids=relative)
def test_no_pickle_no_shell_no_eval(path):
    names = set(imports(path))
    assert not BANNED_MODULES & {name.split(".")[0] for name in names}
    assert not {"joblib.load", "joblib.dump"} & names
    for node, name, words in calls(path):
        where = f"{relative(path)}:{node.lineno}: {name}"
        assert name not in BANNED_CALLS, where
        assert words.get("shell", "False") == "False", f"{where} with a shell"
        if name in ("torch.load", "torch.hub.load_state_dict_from_url"):
            assert words.get("weights_only") == "True", f"{where} without weights_only=True"
        if path.is_relative_to(ROOT / "btlib") or path.is_relative_to(ROOT / "stages"):
            assert words.get("allow_pickle", "False") == "False", f"{where} with allow_pickle"


@pytest.mark.parametrize("path", [*LIBRARY, *STAGES], ids=relative)
def test_only_artifacts_writes_files_directly(path):
    """Everything else goes through btlib.core.runtime.artifacts, so that an output is complete or absent."""
    if path == ROOT / "btlib/core/runtime/artifacts.py":
        return
    text = path.read_text(encoding="utf-8")
    writers = (
        ".to_csv(",
        ".write_text(",
        ".write_bytes(",
        "json.dump(",
        "np.save(",
        "np.savez",
        ".savefig(",
        "imwrite(",
    )
    for writer in writers:
        assert writer not in text or "atomic_path" in text, f"{relative(path)}: {writer} without atomic_path"


def test_every_library_in_use_is_declared():
    """A library that is installed only for another one may disappear with the next `make lock`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entries = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    declared = {re.split(r"[^\w.-]", entry)[0].lower() for entry in entries}
    provided_by = metadata.packages_distributions()
    used = {name.split(".")[0] for path in [*LIBRARY, *STAGES] for name in imports(path)}
    foreign = used - set(sys.stdlib_module_names) - {"btlib"}
    undeclared = {name for name in foreign if not {owner.lower() for owner in provided_by.get(name, [])} & declared}
    assert undeclared == set()
