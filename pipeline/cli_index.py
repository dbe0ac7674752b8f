"""`crawlmill index`: what an index of earlier runs holds, removing documents from it, merging two of them.

The index itself is a matter of stages/dedup; it is loaded when one of these verbs is used.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

from pipeline.errors import DataError
from pipeline.store import Folder
from pipeline.wording import count, size

_ADMIN = "stages.dedup.index_admin"


def add_verbs(index: argparse.ArgumentParser) -> None:
    """Add `info`, `remove`, `drop` and `merge` below `crawlmill index`."""
    verbs = index.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, function: Any, about: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=about, description=about)
        sub.set_defaults(verb=function)
        sub.add_argument("--json", action="store_true", help="print one machine-readable object")
        return sub

    about_index = verb("info", _info, "Tell what an index holds.")
    about_index.add_argument("index", help="the folder that a step's `index` names")
    remove = verb("remove", _remove, "Take documents out of an index, for good.")
    remove.add_argument("index")
    remove.add_argument("documents", nargs="*", help="URLs as they were crawled, or ids in hexadecimal")
    remove.add_argument("--file", help="a file with one URL or id a line")
    drop = verb("drop", _drop, "Take out what one run added.")
    drop.add_argument("index")
    drop.add_argument("update", help="its key, as `info` tells it, or the first characters of it")
    merge = verb("merge", _merge, "Put indexes together into a new one.")
    merge.add_argument("indexes", nargs="+")
    merge.add_argument("--into", required=True, help="a new folder")


def _admin() -> Any:
    return importlib.import_module(_ADMIN)


def _info(args: argparse.Namespace) -> int:
    return _tell(args, _admin().info(Folder(args.index)))


def _remove(args: argparse.Namespace) -> int:
    lines = _lines(args.file) if args.file else []
    wanted = [*args.documents, *(line.strip() for line in lines if line.strip())]
    result = _admin().remove(Folder(args.index), wanted)
    if args.json:
        print(json.dumps(result))
        return 0
    print(f"{count(result['removed'])} documents removed")
    for document in result["not_found"]:
        print(f"not in the index: {document}")
    return 0


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"bytes that are no UTF-8 ({error.reason})", where=path, expected="one URL or id a line"
        ) from error


def _drop(args: argparse.Namespace) -> int:
    result = _admin().drop(Folder(args.index), args.update)
    print(json.dumps(result) if args.json else f"{count(result['dropped'])} entries dropped")
    return 0


def _merge(args: argparse.Namespace) -> int:
    return _tell(args, _admin().merge([Folder(index) for index in args.indexes], Folder(args.into)))


def _tell(args: argparse.Namespace, found: dict[str, Any]) -> int:
    if args.json:
        print(json.dumps(found))
        return 0
    for name in ("entries", "kept"):
        print(f"{name}: {count(found[name])}")
    print(f"removed: {count(found['removed']['ids'])} ids, {count(found['removed']['urls'])} URLs")
    print(f"size: {size(found['bytes'])}")
    for update in found["updates"]:
        print(f"update {update['key']}: {count(update['entries'])} entries, {count(update['kept'])} kept")
    print("signatures: " + ", ".join(f"{name} {value}" for name, value in found["contract"].items()))
    return 0
