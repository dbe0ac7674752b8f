"""The stages that rewrite text read and write nothing outside their arrays, whatever the bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared_data import REPOSITORY

CHECKED = """
from stages import clean_lines, mask_pii, normalise_unicode
from tests.stages.batches import judge
from tests.stages.test_mask_pii import PIECES
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts
rows = [*hostile_rows(7, 1500), b"", b"\\xc2\\x92" * 9, b"x\\xc2\\x92\\xc2"]
rows += [b"a@", b"+1", b"(212", b"2a00::", b"1.1.1.", b"86-"]
rows += ["".join(PIECES[i:] + PIECES[:i]).encode()[:n] for i, n in enumerate(range(20, 200, 7))]
for batch in (raw_texts(rows), *(raw_texts([row]) for row in rows[-60:])):
    judge(mask_pii.mask_pii, batch)
    judge(clean_lines.clean_lines, batch)
    for fix in (False, True):
        judge(normalise_unicode.normalise_unicode, batch, normalise_unicode.Config(fix_mojibake=fix))
"""


@pytest.mark.slow
def test_rewriting_hostile_bytes_index_nothing_out_of_bounds(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "1"}
    run = subprocess.run(
        [sys.executable, "-c", CHECKED], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
