"""Validation of case.json."""

import pytest

from btlib.app.scans.stated import state, stated_in
from btlib.core.runtime.errors import InputError


def test_statement_round_trip(tmp_path):
    assert stated_in(tmp_path) == {}
    state(tmp_path, {"t1": "a b.nii.gz", "flair": "4d.nii#2"})
    assert stated_in(tmp_path) == {"t1": "a b.nii.gz", "flair": "4d.nii#2"}
    with pytest.raises(InputError, match="t9"):
        state(tmp_path, {"t9": "a"})


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"t1": 3}', b'{"seg": "a"}', b"\xff", b"[" * 9000, b" " * 20_000, b'{"t1": "' + b"x" * 17_000],
)
def test_invalid_content_is_refused(tmp_path, content):
    (tmp_path / "case.json").write_bytes(content)
    with pytest.raises(InputError, match=r'case\.json: .*expected \{"t1": "FILE", …\} with some of t1, t1ce') as error:
        stated_in(tmp_path)
    assert len(str(error.value)) < 600
