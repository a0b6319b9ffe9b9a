"""The effect of a change on the main model's scores, as a Markdown page with pictures: `make ci-report`, and CI.

Runs the main model's pipeline (only what changed), then writes ci-report/report.md and the pictures beside it.
"""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from btlib.core.metrics import classification, outlines
from btlib.core.metrics.headlines import OUTLINE
from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.errors import InputError
from btlib.core.settings.schema import read_params
from btlib.report.blocks import Table
from btlib.report.figures.numbers import Score as Number
from btlib.report.markdown import table_markdown

OUT = Path("ci-report")
TARGETS = ("evaluate", "gradcam")
TRUNK = "origin/main"
SOURCES = ("params.yaml", "dvc.yaml", "btlib", "stages")
# Scores with intervals: a metrics file, and the section of it that holds them and their `ci95`
SCORES = (
    ("metrics/classification.json", ()),
    ("metrics/gradcam.json", ("maps", "fused", "all")),
    ("metrics/gradcam.json", (OUTLINE, "all")),
)
METRICS = classification.METRICS | outlines.METRICS  # those whose direction is known
PICTURES = {
    "confusion": ("Confusion matrix", Path("data/figures/evaluate/classification.png")),
    "roc": ("ROC, one versus rest", Path("data/figures/evaluate/roc.png")),
    "calibration": ("Calibration", Path("data/figures/evaluate/calibration.png")),
    "training_stage1": ("Training, stage 1", Path("data/figures/train/fig8_stage1.png")),
    "training_stage2": ("Training, stage 2", Path("data/figures/train/fig9_stage2.png")),
}
SHOWN_ROWS = 150  # of the full table; a comment on GitHub holds 65,536 characters
PLAIN = Number("score", 4)
ORDER = ("**worse**", "**better**", "**outside**", "inside", "changed", "new", "gone", "unchanged")


class Score(NamedTuple):
    """One number in the base and now; None where it is missing. `interval`: the base's 95 % interval, if it has one."""

    name: str
    base: float | None
    now: float | None
    interval: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        if self.base is None or self.now is None:
            return "new" if self.base is None else "gone"
        if math.isclose(self.base, self.now, rel_tol=1e-9, abs_tol=1e-12):
            return "unchanged"
        if self.interval is None:
            return "changed"
        if self.interval[0] <= self.now <= self.interval[1]:
            return "inside"
        if self.name not in METRICS:
            return "**outside**"
        return "**better**" if (self.now > self.base) == METRICS[self.name].higher_is_better else "**worse**"


def write_ci_report(base: str | None) -> None:
    """Runs the main model's pipeline and writes the report.

    Args:
        base: git revision to compare with; None: `default_base`.
    """
    read_params()  # names faults more clearly than DVC does
    base = resolve(base or default_base())
    changed = git("diff", "--name-only", base, "--", *SOURCES).splitlines()
    ran = reproduce(TARGETS)
    print(f"{write_report(base, changed, ran)}: compared with {base}")


def default_base() -> str:
    """The commit where this branch left origin/main; on main itself HEAD~1, or HEAD with uncommitted changes.

    The very first commit is compared with itself.
    """
    if git_says_yes("rev-parse", "--quiet", "--verify", TRUNK):
        fork = git("merge-base", TRUNK, "HEAD").strip()
        if fork != git("rev-parse", "HEAD").strip():
            return fork
    committed = git_says_yes("diff", "--quiet", "HEAD")
    return "HEAD~1" if committed and git_says_yes("rev-parse", "--quiet", "--verify", "HEAD~1") else "HEAD"


def resolve(revision: str) -> str:
    """The revision's short hash. Raises InputError when git does not know it."""
    found = run("git", "rev-parse", "--quiet", "--verify", "--short", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode:
        raise InputError(f"{revision}: no such git revision here; fetch the whole history, or name another with BASE=…")
    return found.stdout.strip()


def reproduce(targets: Sequence[str]) -> list[str]:
    """`dvc repro --pull`: fetches available results from the remote, runs the rest, and shows the output as it runs.

    Returns:
        The names of the stages that ran.

    Raises:
        InputError: a stage failed; its own message is in the output.
    """
    ran = []
    command = [sys.executable, "-m", "dvc", "repro", "--pull", *targets]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("Running stage '"):
                ran.append(line.split("'")[1])
    if process.returncode:
        raise InputError(f"dvc repro {' '.join(targets)} failed, so there is nothing to report")
    return ran


def write_report(base: str, changed: Sequence[str], ran: Sequence[str], out: Path = OUT) -> Path:
    """Writes report.md, metrics_diff.md (every number that changed) and the pictures; returns the report's path."""
    with atomic_path(out) as folder:
        folder.mkdir()
        full = dvc("metrics", "diff", base, "--md", "--precision", "4").strip()
        pictures = copy_pictures(folder)
        sections = [
            "# What this change does to the scores",
            data_line(),
            change_lines(base, changed, ran),
            table_markdown(score_table(base, scores(base))),
            "## Parameters",
            dvc("params", "diff", base, "--md").strip() or "No parameters changed.",
            "## Pictures of this version",
            *pictures,
            "## All numbers that changed",
            folded(full),
        ]
        (folder / "metrics_diff.md").write_text(f"{full}\n", encoding="utf-8")
        (folder / "report.md").write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return out / "report.md"


def data_line() -> str:
    images = read_params().images
    where = "phantom images (a demo: says nothing about patients)" if images.source == "phantom" else images.root
    return f"Test scores on {where}. Research software, not a medical device."


def change_lines(base: str, changed: Sequence[str], ran: Sequence[str]) -> str:
    """The code and parameters that differ from the base, and the stages that ran."""
    more = f" and {len(changed) - 10} more" if len(changed) > 10 else ""
    lines = [
        f"- Differs from `{base}` in code and parameters: {quoted(changed[:10]) or 'nothing'}{more}",
        f"- Stages that ran here: {quoted(ran) or 'none, all results were available'}",
    ]
    if ran and not changed:
        lines.append("- They ran because their results were not cached; any differences below come from this machine.")
    return "\n".join(lines)


def quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def scores(base: str) -> list[Score]:
    """Every score with an interval, as committed in the base and in the working tree, in file order."""
    found = []
    for path, keys in SCORES:
        committed = run("git", "show", f"{base}:{path}")
        old = section(json.loads(committed.stdout) if committed.returncode == 0 else {}, keys)
        new = section(json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).is_file() else {}, keys)
        ends, ours = old.get("ci95") or {}, new.get("ci95") or {}  # null without any lesion mask
        names = [name for name in dict.fromkeys([*ends, *ours]) if (old.get(name), new.get(name)) != (None, None)]
        found += [Score(name, old.get(name), new.get(name), ends.get(name)) for name in names]
    return found


def section(values: Mapping[str, Any], keys: Sequence[str]) -> Mapping[str, Any]:
    for key in keys:
        values = values.get(key, {})
    return values


def score_table(base: str, rows: Sequence[Score]) -> Table:
    """The scores, those outside the base's interval first, unchanged ones last."""
    cells = [
        (
            row.name,
            PLAIN.said(row.base),
            PLAIN.said(row.now),
            PLAIN.difference(row.now, row.base),
            PLAIN.interval(row.interval),
            row.verdict,
        )
        for row in sorted(rows, key=lambda row: ORDER.index(row.verdict))
    ]
    note = (
        "A score inside the base's interval is no evidence of a change: another test set of this size could have "
        "moved it as far. A score outside, better or worse, is worth more seeds (`dvc repro compare@fusion`)."
    )
    return Table("Scores", ("score", base, "now", "change", f"95 % interval of {base}", "new value"), cells, note)


def folded(table: str) -> str:
    """DVC's own table, folded and cut to what a comment can hold."""
    lines = table.splitlines()
    if len(lines) <= 2:
        return "None."
    cut = len(lines) - 2 - SHOWN_ROWS
    rest = f"\n\n… and {cut} more rows in metrics_diff.md beside this report." if cut > 0 else ""
    shown = "\n".join(lines[: 2 + SHOWN_ROWS])
    title = f"<summary><code>dvc metrics diff</code>, {len(lines) - 2} rows</summary>"
    return f"<details>{title}\n\n{shown}{rest}\n\n</details>"


def copy_pictures(folder: Path) -> list[str]:
    """Copies the pictures into `folder`; returns Markdown that shows each of them or notes that it is missing."""
    shown = []
    for name, (title, path) in PICTURES.items():
        if path.is_file():
            shutil.copyfile(path, folder / f"{name}.png")
            shown.append(f"### {title}\n\n![{title}]({name}.png)")
        else:
            shown.append(f"### {title}\n\nNot available: `{path}` does not exist.")
    return shown


def dvc(*arguments: str) -> str:
    done = run(sys.executable, "-m", "dvc", *arguments)
    if done.returncode:
        raise InputError(f"dvc {' '.join(arguments)} failed:\n{done.stderr.strip()}")
    return done.stdout


def git(*arguments: str) -> str:
    done = run("git", *arguments)
    if done.returncode:
        raise InputError(f"git {' '.join(arguments)} failed:\n{done.stderr.strip()}")
    return done.stdout


def git_says_yes(*arguments: str) -> bool:
    return run("git", *arguments).returncode == 0


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
