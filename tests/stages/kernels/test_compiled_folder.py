"""Folders for compiled code: what names them, and which are removed."""

from __future__ import annotations

import ast
import os
import time
from pathlib import Path

import pytest

from stages.kernels import compiled, compiled_folder
from stages.kernels.compiled_folder import STALE_S, folder_of, made_of, remove_stale, root

KERNELS = Path(compiled.__file__).parent


def imported_by(file: Path) -> set[str]:
    """Names of the kernel files `file` leads to, read with Python's own parser."""
    found, open_ends = set[str](), [file.name]
    while open_ends:
        name = open_ends.pop()
        if name in found or not (KERNELS / name).is_file():
            continue
        found.add(name)
        for node in ast.walk(ast.parse((KERNELS / name).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "stages.kernels":
                open_ends += [f"{alias.name}.py" for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stages.kernels."):
                open_ends.append(f"{str(node.module).rpartition('.')[2]}.py")
            elif isinstance(node, ast.Import):
                open_ends += [f"{a.name.rpartition('.')[2]}.py" for a in node.names if a.name.startswith("stages.")]
    return found


@pytest.mark.parametrize("file", sorted(KERNELS.glob("*.py")), ids=lambda file: file.stem)
def test_made_of_every_kernel_file_follows_the_imports_the_parser_sees(file: Path) -> None:
    assert {part.name for part in made_of(file) if part.suffix == ".py"} == imported_by(file)


def written(folder: Path, **sources: str) -> None:
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)


def digest(folder: Path, name: str) -> str:
    folder_of.cache_clear()
    return folder_of(folder / f"{name}.py").name


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    written(
        tmp_path,
        leaf="FILE = 'x'",
        table='FILE = Path(__file__).with_name("letters.npz")',
        middle="import numpy\nfrom stages.kernels.leaf import (\n    FILE,\n)\n",
        top="from stages.kernels import middle, table\nfrom stages.kernels.middle import x\n",
        other="import stages.kernels.leaf\n",
    )
    (tmp_path / "letters.npz").write_bytes(b"a")
    (tmp_path / "unused.npz").write_bytes(b"a")
    return tmp_path


@pytest.mark.parametrize(
    "edited, changed",
    [
        ("leaf.py", {"leaf", "middle", "top", "other"}),
        ("middle.py", {"middle", "top"}),
        ("other.py", {"other"}),
        ("letters.npz", {"table", "top"}),
        ("unused.npz", set()),
    ],
)
def test_folder_of_edit_renames_only_what_is_made_of_the_file(sources: Path, edited: str, changed: set[str]) -> None:
    names = ("leaf", "table", "middle", "top", "other")
    before = {name: digest(sources, name) for name in names}
    with (sources / edited).open("a") as file:
        file.write("\n# edited")
    assert {name for name in names if digest(sources, name) != before[name]} == changed


def test_root_is_the_named_folder_or_beside_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_folder.config, "CACHE_DIR", "")
    assert root(tmp_path) == tmp_path / "__pycache__"
    monkeypatch.setattr(compiled_folder.config, "CACHE_DIR", str(tmp_path / "elsewhere"))
    assert root(tmp_path) == tmp_path / "elsewhere"


def test_root_sources_that_cannot_be_written_to_give_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_folder.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert root(Path("/proc/sys")) == Path("/somewhere/crawlmill/kernels")


def test_remove_stale_removes_only_what_was_not_used_for_long(tmp_path: Path) -> None:
    for name, age_s in (("kernels-a-1", STALE_S + 60), ("kernels-a-2", 60), ("kernels-b-1", STALE_S + 60), ("x", 1e9)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.nbc").write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    remove_stale(tmp_path / "kernels-b-1")
    assert {path.name for path in tmp_path.iterdir()} == {"kernels-a-2", "kernels-b-1", "x"}


def test_folder_of_an_existing_folder_is_marked_as_used(sources: Path) -> None:
    folder_of.cache_clear()
    folder = folder_of(sources / "leaf.py")
    folder.mkdir(parents=True)
    os.utime(folder, (0, 0))
    folder_of.cache_clear()
    assert folder_of(sources / "leaf.py").stat().st_mtime > time.time() - 60
