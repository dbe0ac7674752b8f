"""tokenizer/compiled.py: an edit in any file of the package is noticed, code is kept otherwise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tokenizer import compiled

ONE = """
from tokenizer.compiled import piece

@piece
def number(x):
    return x + {}
"""
OTHER = """
from tokenizer.compiled import kernel
from tokenizer.one import number

@kernel
def twice(x):
    return 2 * number(x)
"""
SHOW = "from tokenizer.other import twice; print(twice(1), *twice.stats.cache_hits.values())"


def _shown(folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", SHOW], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_kernel_piece_in_another_file_edited_is_compiled_anew_and_otherwise_kept(tmp_path: Path) -> None:
    package = tmp_path / "tokenizer"
    package.mkdir()
    shutil.copy(compiled.__file__, package)
    (package / "__init__.py").touch()
    (package / "one.py").write_text(ONE.format(1))
    (package / "other.py").write_text(OTHER)
    assert _shown(tmp_path) == "4"
    assert _shown(tmp_path) == "4 1"  # from the cache
    (package / "one.py").write_text(ONE.format(2))
    assert _shown(tmp_path) == "6"
