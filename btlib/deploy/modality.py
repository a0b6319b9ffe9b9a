"""Which of a case's volumes is which modality: the evidence, its rank, and what is refused.

Stated by the user (`case.json`, `--t1 … --flair`, a list of cases) beats names and tags. What
tells T1ce from T1 are words, a DICOM file's notes on the agent, and the image itself, which is brighter in vessels and
lesion. Where two of them contradict each other, or nothing but the image tells, the case is refused with what to write.

The page asks `case_files.proposals(folder)` for a list of `Proposal`, one for each volume of an upload, even where
`find_cases` or `read_scans` refuse it, and writes a visitor's choice with `stated.state(folder, {"t1": proposal.file,
…})`, after which `find_cases` and `read_scans` follow it. `Scans.sources` and `CaseAnswer.sources` say what was taken.
"""

from typing import NamedTuple


class Source(NamedTuple):
    """What was taken for a modality. file: relative to what the user named, `file#k` in a 4D file, or the first file of
    a DICOM series; why: a phrase for people, without text from the files."""

    file: str
    why: str


class Proposal(NamedTuple):
    """A volume that may be taken; modality: one of MODALITIES that it seems to be, or None; why: as in Source."""

    file: str
    modality: str | None
    why: str
