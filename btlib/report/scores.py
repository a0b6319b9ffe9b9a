"""The number format of every score, by registry."""

from btlib.core.metrics import classification
from btlib.images.evaluation import external
from btlib.report.figures.wording import scores_of
from btlib.volumes.evaluation import metrics as joint

SCORES = scores_of(classification.METRICS)
JOINT_SCORES = scores_of(joint.METRICS)
EXTERNAL_SCORES = scores_of(external.METRICS)
ACCURACY = SCORES["accuracy"]
