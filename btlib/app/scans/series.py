"""The series of a DICOM study as candidate volumes. Their descriptions are searched for words, never quoted."""

from collections import defaultdict
from collections.abc import Sequence

from btlib.app.scans.dicom_files import Slice, shortfall
from btlib.app.scans.modality import Candidate
from btlib.app.scans.modality_tags import TIMES, agent_of, number, words_of
from btlib.app.scans.volume_files import described
from btlib.volumes.data.grid import MIN_SIDE

SCOUT = f"in a series of fewer than {MIN_SIDE} slices: a scout"


def series_of(slices: Sequence[Slice]) -> tuple[list[Candidate], dict[str, str]]:
    """The series of at least MIN_SIDE slices, sorted by first file, and the unused files with the reason."""
    whole: dict[str, list[Slice]] = defaultdict(list)
    echoes: dict[tuple, list[Slice]] = defaultdict(list)  # one series may contain several echoes of the same slices
    for one in slices:
        whole[one.tags["SeriesInstanceUID"]].append(one)
        echoes[one.tags["SeriesInstanceUID"], one.tags["EchoTime"]].append(one)
    series = [sorted(found, key=lambda one: one.path) for found in echoes.values()]
    scouts = {one.path: SCOUT for found in series for one in found if len(found) < MIN_SIDE}
    volumes = [
        _candidate(found, shortfall(whole[found[0].tags["SeriesInstanceUID"]]))
        for found in series
        if len(found) >= MIN_SIDE
    ]
    return sorted(volumes, key=lambda one: one.file), scouts


def _candidate(series: Sequence[Slice], fault: str) -> Candidate:
    tags = series[0].tags
    words, by = words_of(tags)
    agent = agent_of(tags)
    evidence = (
        [f"{by} say{'' if by.endswith('times') else 's'} {described(words)}"]
        if words.weighting
        else [by or "its tags do not say"]
    )
    if agent is not None:
        evidence.append(f"its tags mention {'an agent' if agent else 'no agent'}")
    evidence.append(", ".join(f"{name} {number(tags, name):g} ms" for name in TIMES if number(tags, name)))
    files = tuple(dict.fromkeys(one.path for one in series))
    return Candidate(files, words, "; ".join(filter(None, evidence)), agent, dicom=True, fault=fault)
