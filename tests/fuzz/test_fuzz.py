"""Mutated inputs of every reader: each is answered, or refused with a message for users."""

import contextlib
import hashlib
from random import Random

import pytest

from btlib.core.runtime.errors import InputError
from tests.fuzz.campaign import trials
from tests.fuzz.mutations import mutated, seeds_of
from tests.fuzz.readers import READERS
from tests.fuzz.trial import ANSWERED, FAULT, REFUSED, write_files

INPUTS = 200  # for each reader
SLOW = {"DicomStudy": 25, "DicomFolder": 100, "ModelCardClassifier": 40, "ModelCardJoint": 100, "Params": 60}


def test_every_reader_answers_what_is_whole_and_refuses_what_is_damaged():
    inputs = [(reader, number) for name, reader in READERS.items() for number in range(SLOW.get(name, INPUTS))]
    found = list(zip(inputs, trials(inputs), strict=True))
    assert [(reader.name, number, *one) for (reader, number), one in found if one.kind == FAULT] == []
    assert {reader.name for (reader, _), one in found if one.kind == ANSWERED} == set(READERS)
    assert sum(one.kind == REFUSED for _, one in found) > len(found) / 4


MUTATIONS = {mutation.__name__: mutation for reader in READERS.values() for mutation in reader.mutations}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_mutations_that_know_a_format_change_whole_files_of_it(mutation):
    readers = [reader for reader in READERS.values() if mutation in reader.mutations]
    wholes = [content for reader in readers for files in seeds_of(reader) for content in files.values()]
    changed, rng = 0, Random(0)
    for _ in range(50):
        content = rng.choice(wholes)
        with contextlib.suppress(Exception):  # a folder holds files of other formats too
            changed += mutation(rng, content) != content
    assert changed > 10


def test_a_number_gives_the_same_input_in_any_process(tmp_path):
    """Of those readers whose seeds are made by libraries that might put times or random names into them."""
    readers = [READERS[name] for name in ("Tiff", "Mat", "DicomSlice", "DicomStudy", "Nifti", "Zip", "ResumeFile")]
    inputs = [(reader._replace(read=digest), number) for reader in readers for number in range(30)]
    there = [outcome.message for outcome in trials(inputs)]
    here = []
    for reader, number in inputs:
        folder = tmp_path / f"{reader.name}-{number}"
        write_files(folder, mutated(reader, number))
        with pytest.raises(InputError) as error:
            digest(folder)
        here.append(str(error.value))
    assert there == here


def digest(folder):
    """Refuses with the names and contents of all files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    text = b"".join(path.relative_to(folder).as_posix().encode() + path.read_bytes() for path in files)
    raise InputError(f"{files[0].name} {hashlib.blake2b(text, digest_size=16).hexdigest()}")
