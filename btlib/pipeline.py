"""Keeps dvc.yaml true to the code: a stage depends on every module that it imports and on every key that it reads.

Otherwise a changed module would leave `dvc status` saying that all is up to date. Run: make deps
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.errors import InputError

PIPELINE = Path("dvc.yaml")
# Loading params imports their schema, on which no stage but check depends for it: it refuses faulty values and changes
# none, and the values themselves are tracked key by key. Else a new key would rerun every stage.
LOADER, SCHEMA = "btlib/core/settings/params.py", "btlib/core/settings/schema.py"


def refresh(pipeline: Path = PIPELINE) -> list[str]:
    """Rewrites the `deps:` and `params:` that code decides; comments, data and everything else stay.

    Returns:
        The names of the stages that changed.
    """
    yaml = YAML()
    yaml.width = 120
    content = yaml.load(pipeline)
    changed = []
    for name, stage in content["stages"].items():
        stage = stage.get("do", stage)
        expected = expected_lists(stage, pipeline.parent)
        if any(stage.get(key, []) != value for key, value in expected.items()):
            changed.append(name)
            for key, value in expected.items():
                _put(stage, key, value)
    if changed:
        with atomic_path(pipeline) as temporary:
            yaml.dump(content, temporary)
    return changed


def expected_lists(stage: dict, root: Path) -> dict[str, list]:
    """What `deps` and `params` of one entry of dvc.yaml should be: code first, then the data as they stand."""
    script = stage_script(stage["cmd"])
    data = [dep for dep in stage.get("deps", []) if not _is_code(dep)]
    other_files = [entry for entry in stage.get("params", []) if not isinstance(entry, str)]
    return {
        "deps": [script, *imported_modules(root / script, root), *data],
        "params": [*keys_read(root / script), *other_files],
    }


def stage_script(cmd: str) -> str:
    """The script of `python stages/x.py …`. Raises InputError when the command has another form."""
    words = cmd.split()
    if len(words) < 2 or words[0] != "python" or not words[1].startswith("stages/"):
        raise InputError(f"dvc.yaml: cmd should start with 'python stages/', found {cmd!r}")
    return words[1]


def imported_modules(script: Path, root: Path) -> list[str]:
    """Files of btlib that `script` imports, directly or through others, functions' own imports included.

    A package's __init__.py counts when it holds more than a docstring; the schema of params does not count where only
    the loader imports it. The folder `templates` beside a module counts with it. Paths are relative to `root`, sorted.
    """
    seen: set[Path] = set()
    waiting = [script]
    while waiting:
        importer = waiting.pop()
        tracked_by_value = {root / SCHEMA} if importer == root / LOADER else set()
        for module in imports(importer):
            found = set(_files(module, root)) - seen - tracked_by_value
            seen |= found
            waiting += found
    code = {path for path in seen if _has_code(path)}
    templates = {file for path in code for file in path.parent.glob("templates/*")}
    return sorted(path.relative_to(root).as_posix() for path in code | templates)


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file may import: for `from a.b import c`, both a.b and a.b.c."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise InputError(f"{path}:{node.lineno}: relative import; write the full name, from btlib on")
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def keys_read(script: Path) -> list[str]:
    """The strings that a stage script gives to `load_params`, in order.

    An f-string's variable part stands for the item of a `foreach` stage: f"ablations.{table}" is ablations.${item}.
    """
    keys = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"), str(script))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load_params":
            for argument in node.args:
                parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
                texts = ["${item}" if isinstance(x, ast.FormattedValue) else getattr(x, "value", None) for x in parts]
                if not all(isinstance(text, str) for text in texts):
                    raise InputError(f"{script}:{argument.lineno}: load_params takes literal strings only")
                keys.append("".join(texts))
    return keys


def _files(module: str, root: Path) -> Iterator[Path]:
    """The file of a module of btlib and the __init__.py of every package above it; nothing for a name in a module."""
    parts = module.split(".")
    if parts[0] != "btlib":
        return
    for end in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:end])
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                yield path


def _has_code(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return not all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def _is_code(dep: str) -> bool:
    return dep.startswith(("stages/", "btlib/")) or dep in ("stages", "btlib")


def _put(stage: dict, key: str, value: list) -> None:
    """Edits a list item by item, which keeps comments and blank lines; a new list goes after cmd or deps."""
    if key not in stage:
        stage.insert(list(stage).index("deps" if "deps" in stage else "cmd") + 1, key, value)
    present = stage[key]
    for stale in [item for item in present if item not in value]:
        present.remove(stale)
    for position, item in enumerate(value):
        if position == len(present) or present[position] != item:
            if item in present:
                present.remove(item)
            present.insert(position, item)
    if not value:
        del stage[key]


def main() -> None:
    try:
        changed = refresh()
    except InputError as error:
        sys.exit(f"\n{error}\n")
    print(f"{PIPELINE}: " + (f"deps and params rewritten of {', '.join(changed)}" if changed else "already true"))


if __name__ == "__main__":
    main()
