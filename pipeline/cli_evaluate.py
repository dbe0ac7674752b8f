"""`crawlmill evaluate`: bits per byte and perplexity of a model, on texts and on token shards.

The model is a matter of pretrain; it is loaded when the verb is used.
"""

from __future__ import annotations

import argparse
import importlib
import json
from typing import Any

from pipeline.cli_generate import model_artifact
from pipeline.errors import DagError
from pipeline.store import Folder
from pipeline.wording import count, number, visible

_COLUMNS = ("bits_per_byte", "perplexity", "bytes_per_token", "documents", "bytes", "tokens")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `crawlmill evaluate` takes."""
    parser.add_argument("model", help="the output folder of a run, a model artifact, or the folder of an export")
    parser.add_argument("files", nargs="*", help="texts (.txt, .jsonl, .parquet) or token shards (.arrow)")
    parser.add_argument("--stride", type=int, help="tokens a window of a long text goes on by; default: half of it")
    parser.add_argument(
        "--context", type=int, help="tokens of a window at most; default: what the model was trained on"
    )
    parser.add_argument("--lm-eval", metavar="TASKS", help="also run these tasks (a,b,c) of EleutherAI's lm_eval, "
                        "where it is installed; it loads their data over the network")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print a line per file as it is done, or a JSON object at the end."""
    if not args.files and not args.lm_eval:
        raise DagError("nothing to evaluate on", where="evaluate", expected="a file, or --lm-eval TASKS")
    for flag, value in (("--stride", args.stride), ("--context", args.context)):
        if value is not None and value < 1:
            raise DagError(f"{value}", where=flag, expected="a whole number from 1")
    folder = _model_folder(args.model)
    result: dict[str, Any] = {"model": folder.shown()}
    options = {"stride": args.stride, "context": args.context}
    found = importlib.import_module("pretrain.evaluate").run(folder, args.files, options) if args.files else ()
    scores = []
    for score in found:
        scores.append(score)
        if not args.json:
            print(_line(score), flush=True)
    if args.files:
        result["files"] = scores
    if args.lm_eval:
        tasks = [task.strip() for task in args.lm_eval.split(",") if task.strip()]
        result["lm_eval"] = importlib.import_module("pretrain.lm_eval").run(folder, tasks)
        if not args.json:
            print("\n".join(_task_lines(result["lm_eval"])))
    if args.json:
        print(json.dumps(result))
    return 0


def _model_folder(location: str) -> Folder:
    """The folder of an export, wherever `location` leads to one."""
    folder = Folder(location)
    return folder if folder.exists("config.json") else Folder(model_artifact(location)).child("model")


def _line(score: dict[str, Any]) -> str:
    shown = [f"{name.replace('_', ' ')} {_figure(score[name])}" for name in _COLUMNS]
    return f"{visible(score['file'])}: {', '.join(shown)}"


def _figure(value: Any) -> str:
    return count(value) if isinstance(value, int) else number(value)


def _task_lines(results: dict[str, Any]) -> list[str]:
    lines = []
    for task, figures in results.items():
        shown = [f"{visible(name)} {number(value)}" for name, value in figures.items() if name != "alias"]
        lines.append(f"{visible(task)}: {', '.join(shown)}")
    return lines
