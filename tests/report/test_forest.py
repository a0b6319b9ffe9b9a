import numpy as np
import pytest
from matplotlib.text import Text

from btlib.report.figures.forest import forest_figure

SCORES = ("accuracy", "macro_f1", "roc_auc_macro", "ece")


def row(arm, values, p=None, paper=None, failed=()) -> dict:
    """A row of the ablation table whose four scores are all the same."""
    seeds = [{"seed": seed, **dict.fromkeys(SCORES, value)} for seed, value in enumerate(values)]
    mean = float(np.mean(values)) if values else None
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    tests = {name: {"p_holm": p} for name in ("paired_t", "corrected_paired_t", "mcnemar")}
    return {
        "arm": arm,
        "seeds": seeds + [{"seed": 7, "failed": reason} for reason in failed],
        "mean": dict.fromkeys(SCORES, mean),
        "sd": dict.fromkeys(SCORES, sd),
        "ci95": dict.fromkeys(SCORES, [mean - 0.02, mean + 0.03] if values else None),
        "p_value": p,
        "tests": None if arm == "proposed" else tests,
        "paper": paper,
    }


@pytest.fixture
def table() -> dict:
    rows = [
        row("proposed", [0.9, 0.92], paper={"accuracy": 0.9573, "macro_f1": 0.95, "roc_auc_macro": 0.997}),
        row("cross_attention", [0.8, 0.86], p=0.0123, paper={"accuracy": 0.9468}),
        row("gated", [0.7], p=None, failed=["diverged"]),
        row("neither", [], failed=["loss is not finite in epoch 2"]),
        row("pooled_attention", [0.6, 0.61], p=0.0004),
    ]
    return {"rows": rows}


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_the_figure_states_arms_p_values_and_failures(table):
    said = texts(forest_figure(table, "Fusion"))
    for text in (
        "Fusion",
        "cross attention",
        "gated (1 of 2 seeds)",
        "reference",
        "0.012",
        "< 0.001",
        "✗ loss is not finite in epoch 2",
    ):
        assert text in said, text


def test_every_mark_stands_at_its_value(table):
    axes = forest_figure(table, "Fusion").axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["mean over seeds"].get_xdata() == pytest.approx([0.91, 0.83, 0.7, 0.605])
    assert lines["mean over seeds"].get_ydata().tolist() == [0, 1, 2, 4]
    assert lines["one seed"].get_xdata() == pytest.approx([0.9, 0.92, 0.8, 0.86, 0.7, 0.6, 0.61])
    assert lines["the paper"].get_xdata() == pytest.approx([0.9573, 0.9468])
    assert lines["proposed, mean"].get_xdata() == pytest.approx([0.91, 0.91])
    bars = [segment[:, 0].tolist() for segment in axes.collections[0].get_segments()]
    assert bars == [pytest.approx(pair) for pair in ([0.89, 0.94], [0.81, 0.86], [0.68, 0.73], [0.585, 0.635])]


def test_without_the_paper_s_values_its_mark_is_not_in_the_legend(table):
    for line in table["rows"]:
        line["paper"] = None
    assert "the paper" not in texts(forest_figure(table, "Fusion"))


@pytest.mark.parametrize("arms", [5, 20])
def test_no_text_lies_on_another(arms):
    rows = [
        row("proposed", [0.9, 0.92]),
        *(row(f"label_smoothing_0.{n:02}", [0.8, 0.9], p=0.5) for n in range(1, arms)),
    ]
    figure = forest_figure({"rows": rows}, "Sensitivity of the training")
    figure.draw_without_rendering()  # lays the figure out
    boxes = [text.get_window_extent() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    assert all(figure.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))
