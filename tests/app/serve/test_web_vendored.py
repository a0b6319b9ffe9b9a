"""Vendored code matches its recorded checksum."""

import hashlib
import re

from btlib.app.serve.app import STATIC


def test_niivue_is_unchanged():
    folder = STATIC / "vendor" / "niivue"
    (noted,) = re.findall(r"[0-9a-f]{64}", (folder / "README.md").read_text(encoding="utf-8"))
    assert hashlib.sha256((folder / "niivue.umd.js").read_bytes()).hexdigest() == noted
    assert "BSD 2-Clause" in (folder / "LICENSE").read_text(encoding="utf-8")
