"""`crawlmill export`: the tokens or documents of a run in the format of another trainer."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time

from pipeline.errors import DagError, close_match
from pipeline.export.document_rows import left_out
from pipeline.export.exporting import Exported, export
from pipeline.export.formats import FORMATS
from pipeline.export.jsonl import COMPRESS
from pipeline.export.source import Source, find, open_source
from pipeline.store import Folder, is_remote
from pipeline.wording import count, plural, size

_TOLD_EVERY_S = 5.0
_HELP_CHARS = 100  # of a line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `crawlmill export` takes."""
    parser.add_argument("run", help="the output folder of the run, or the folder of one artifact")
    parser.add_argument("--to", required=True, metavar="FORMAT", help=f"one of {', '.join(FORMATS)}; see below")
    parser.add_argument("--step", help="the step to export; default: the last one that the format takes")
    parser.add_argument("--into", metavar="FOLDER", help="default: export/STEP/FORMAT below the run's folder")
    parser.add_argument("--compress", choices=list(COMPRESS), help="of jsonl; default: zstd")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _help()


def _help() -> str:
    lines = ["formats:"]
    for name, by_kind in FORMATS.items():
        for kind, format_ in by_kind.items():
            start = f"  {name:10}  {kind}: "
            lines += textwrap.wrap(
                start + format_.about, _HELP_CHARS, subsequent_indent=" " * 14, break_on_hyphens=False
            )
    return "\n".join(
        [
            *lines,
            "",
            "An export that was stopped goes on where it was, and ends in the same bytes. Whole documents have each",
            "token once; packed rows repeat some as context, which is not trained on (loss_starts says where).",
            "Exports of tokens carry tokenizer.json and, in crawlmill.json, the contract of the tokens.",
        ]
    )


def run(args: argparse.Namespace) -> int:
    """Export, and tell what was written."""
    if args.to not in FORMATS:
        raise DagError(f"no format {args.to!r}", where="--to", expected=f"one of {', '.join(FORMATS)}",
                       mend=close_match(args.to, FORMATS))  # fmt: skip
    if args.compress and args.to != "jsonl":
        raise DagError(f"--compress with {args.to}", where="--compress", expected="--to jsonl")
    options = {"compress": args.compress or "zstd"} if args.to == "jsonl" else {}
    source = open_source(find(args.run, list(FORMATS[args.to]), args.step))
    into = Folder(args.into) if args.into else _default_folder(args, source)
    if not args.json:
        print(f"exporting {source.title()} to {args.to}")
    done = export(source, args.to, into, options, (lambda done, total: None) if args.json else _Teller())
    skipped_columns = left_out(source) if source.artifact.kind == "documents" else []
    _tell(args, source, into, done, skipped_columns)
    return 0


def _default_folder(args: argparse.Namespace, source: Source) -> Folder:
    if source.folder.location == args.run:
        raise DagError("no --into", where=source.folder.shown(), expected="a folder to export an artifact into, since"
                       " its own never changes")  # fmt: skip
    return Folder(args.run).child(f"export/{source.artifact.step}/{args.to}")


class _Teller:
    """Prints now and then how many shards are done."""

    def __init__(self) -> None:
        self._told_s = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._told_s >= _TOLD_EVERY_S:
            self._told_s = time.monotonic()
            print(f"{done} of {plural(total, 'shard')} done")
            sys.stdout.flush()


def _tell(args: argparse.Namespace, source: Source, into: Folder, done: Exported, skipped_columns: list[str]) -> None:
    splits, files = done.record["splits"], done.record["files"]
    sums = {name: sum(c.get(name, 0) for c in splits.values()) for name in ("documents", "rows", "tokens")}
    if args.json:
        found = {
            "format": args.to, "folder": into.shown() if is_remote(into.location) else into.location,
            "step": source.artifact.step, "kind": source.artifact.kind, "fingerprint": source.artifact.fingerprint,
            **{name: number for name, number in sums.items() if any(name in c for c in splits.values())},
            "splits": splits, "shards": done.num_shards, "skipped": done.num_reused, "files": len(files),
            "bytes": sum(entry["bytes"] for entry in files), "left_out": skipped_columns,
        }  # fmt: skip
        print(json.dumps(found))
        return
    for split, counts in splits.items():
        print(f"{split}: " + ", ".join(f"{count(number)} {name}" for name, number in counts.items()))
    if skipped_columns:
        print(f"left out, since they are bytes: {', '.join(skipped_columns)}")
    if done.num_reused:
        print(f"{plural(done.num_reused, 'shard')} of {done.num_shards} had been exported before")
    total = size(sum(entry["bytes"] for entry in files))
    print(f"{plural(len(files), 'file')}, {total}: {into.shown()}")
