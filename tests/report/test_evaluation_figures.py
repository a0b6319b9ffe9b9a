import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from btlib.core.metrics.classification import per_class
from btlib.core.metrics.classification import scores as all_scores
from btlib.core.runtime.artifacts import write_figure
from btlib.images.evaluation.selection import shown_rows
from btlib.report.figures import classification as figures
from btlib.report.figures.numbers import SHARE


def texts(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.fixture
def scores(predictions):
    return all_scores(predictions, 1.0, 15) | {"per_class": per_class(predictions)}


def test_the_classification_figure_states_counts_and_scores(predictions, scores):
    text = texts(figures.classification_figure(predictions))
    assert f"accuracy {figures.SCORES['accuracy'].said(scores['accuracy'])} on 157 images" in text
    assert (
        figures.SCORES["accuracy"].said(scores["per_class"]["glioma"]["recall"]) in text and "no tumor (n=35)" in text
    )
    hits = int(((predictions.labels == 0) & predictions.correct).sum())
    assert f"{hits}\n{SHARE.said(hits / 60)}" in text


def test_the_curves_state_their_areas(predictions, scores):
    roc = texts(figures.roc_figure(predictions, scores))
    assert f"micro {scores['roc_auc_micro']:.4f}" in roc
    pr = texts(figures.pr_figure(predictions, scores))
    assert f"glioma {scores['per_class']['glioma']['ap']:.3f}" in pr


def test_the_calibration_figure_shows_both_errors_and_all_images(predictions, scores):
    figure = figures.calibration_figure(predictions, 2.0, 15)
    scaled = all_scores(predictions, 2.0, 15)["ece_temperature_scaled"]
    assert f"as predicted: ECE {scores['ece']:.4f}" in texts(figure) and f"/ 2: ECE {scaled:.4f}" in texts(figure)
    for histogram in figure.axes[2:]:
        assert sum(bar.get_height() for bar in histogram.patches) == 157


def test_the_grid_marks_right_and_wrong(predictions):
    shown = shown_rows(predictions, 4, 0, "x")
    images = np.zeros((16, 8, 8, 3), dtype=np.uint8)
    figure = figures.predictions_figure(predictions, shown, images)
    numbers = np.concatenate(list(shown.values()))
    titles = [axes.get_title() for axes in figure.axes]
    assert sum(title.startswith("✗") for title in titles) == (~predictions.correct[numbers]).sum()
    assert sum(title.startswith("✓") for title in titles) == predictions.correct[numbers].sum()


def test_a_class_with_few_images_leaves_empty_places(predictions):
    shown = {"glioma": np.array([0, 1, 2]), "pituitary": np.array([3])}
    figure = figures.predictions_figure(predictions, shown, np.zeros((4, 8, 8, 3), dtype=np.uint8))
    assert sum(bool(axes.images) for axes in figure.axes) == 4


def test_the_same_figure_gives_the_same_bytes(predictions, tmp_path):
    for name in ("a.png", "b.png"):
        write_figure(tmp_path / name, figures.calibration_figure(predictions, 2.0, 15))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.size[0] > 800
