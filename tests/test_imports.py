"""Who may import whom, and what nobody may do. The layers stand in CONTRIBUTING.md."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from btlib.pipeline import imported_modules, imports

ROOT = Path(__file__).parents[1]

BASE = {
    "arm_names",
    "artifacts",
    "command",
    "errors",
    "interruption",
    "leftovers",
    "memory",
    "nested",
    "paper",
    "reproducibility",
    "separation",
    "uncertainty_names",
}
PARTS = {"nets", "losses", "data", "phantom"}
METHODS = {"training", "inference", "evaluation", "explain", "report"}
TOOLS = {
    "params",
    "schema",
    "stage",
    "pipeline",
    "profile",
    "summary",
    "ci_report",
    "exp_run",
    "place",
}  # for the stages and the command line
MAY_IMPORT = {
    **dict.fromkeys(BASE, BASE),
    **dict.fromkeys(PARTS, BASE),
    **dict.fromkeys(METHODS, BASE | PARTS),
    "evaluation": BASE | (PARTS - {"nets"}),
    "deploy": BASE | PARTS | METHODS,
    "web": BASE | PARTS | METHODS | {"deploy"},
    "cli": BASE | {"deploy", "web"},
    **dict.fromkeys(TOOLS, BASE | {"schema", "stage"}),
    "stages": BASE | PARTS | METHODS | {"deploy"} | {"params", "schema", "stage"},
}
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
    """`training` for btlib/core/training/loop.py, `inference` for btlib/inference.py, `stages` for a stage."""
    folder, *rest = path.relative_to(ROOT).parts
    return "stages" if folder == "stages" else rest[0].removesuffix(".py")


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


def test_every_part_has_its_layer():
    parts = {part(path) for path in LIBRARY} - {"__init__"}
    assert parts <= set(MAY_IMPORT), "give the new part its place in MAY_IMPORT and in CONTRIBUTING.md"


@pytest.mark.parametrize("path", [*LIBRARY, *STAGES], ids=relative)
def test_imports_go_one_way(path):
    own = part(path)
    imported = {name.split(".")[1] for name in imports(path) if name.startswith("btlib.")}
    assert imported <= MAY_IMPORT.get(own, set()) | {own}
    assert "stages" not in {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", sorted((ROOT / "btlib/evaluation").glob("*.py")), ids=relative)
def test_evaluation_reaches_no_network_library(path):
    files = [path, *(ROOT / module for module in imported_modules(path, ROOT))]
    reached = {name.split(".")[0] for file in files if part(file) not in BASE for name in imports(file)}
    assert not reached & {"torch", "timm", "monai", "lightning"}


@pytest.mark.parametrize("path", [path for path in LIBRARY if path.name == "__init__.py"], ids=relative)
def test_packages_re_export_nothing(path):
    """Otherwise every stage would depend on every module."""
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
def test_only_artifacts_writes_files_by_itself(path):
    """Everything else goes through btlib.core.runtime.artifacts, so that an output is whole or absent."""
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
    """What is only there because something else needs it may go with the next `make lock`."""
    declared = {
        re.split(r"[^\w.-]", entry)[0].lower()
        for entry in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    }
    provided_by = metadata.packages_distributions()
    used = {name.split(".")[0] for path in [*LIBRARY, *STAGES] for name in imports(path)}
    foreign = used - set(sys.stdlib_module_names) - {"btlib"}
    undeclared = {name for name in foreign if not {owner.lower() for owner in provided_by.get(name, [])} & declared}
    assert undeclared == set()
