"""`crawlmill generate`: text from the model of a run, streamed to the terminal.

The model is a matter of pretrain; it is loaded when the verb is used.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Iterable
from typing import Any

from pipeline.artifact import open_artifact
from pipeline.errors import DagError, DataError
from pipeline.run_file import last_run
from pipeline.store import Folder
from pipeline.wording import visible

_TEMPERATURE, _TOP_K = 0.8, 50  # usual values that keep a small model's text varied and on its words
_DRAWN = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")  # say nothing in a beam search


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `crawlmill generate` takes."""
    parser.add_argument("prompts", nargs="+", metavar="prompt", help="a text to go on from")
    parser.add_argument("--output", default="runs/demo", help="the output folder of the run, or a model artifact")
    parser.add_argument("--max-new-tokens", type=int, default=100)
    parser.add_argument("--num", type=int, default=1, dest="num_samples", help="samples of each prompt")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before it; may be repeated")
    parser.add_argument("--no-cache", action="store_true", help="read all tokens again for each new one; slower")
    drawn = parser.add_argument_group("drawing tokens")
    drawn.add_argument("--temperature", type=float, help=f"default {_TEMPERATURE}; 0: always the likeliest token")
    drawn.add_argument("--top-k", type=int, help=f"only the k likeliest; default {_TOP_K}; 0: all")
    drawn.add_argument("--top-p", type=float, help="only the fewest tokens that together have this probability")
    drawn.add_argument("--min-p", type=float, help="only tokens at least this share as likely as the likeliest")
    drawn.add_argument("--repetition-penalty", type=float, help="above 1: less of what the text has already")
    drawn.add_argument("--seed", type=int, help="of the first sample; the next ones have the next numbers; default 0")
    search = parser.add_argument_group("beam search, instead of drawing")
    search.add_argument("--beams", type=int, default=0, dest="num_beams", help="how many beams; 0: no beam search")
    search.add_argument("--length-penalty", type=float, default=1.0,
                        help="log probabilities over this power of the length are compared; default 1")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Generate, and print pieces as they come, or a JSON object at the end."""
    pieces = importlib.import_module("pretrain.generate").run(model_artifact(args.output), args.prompts, _options(args))
    if args.json:
        print(json.dumps(_whole(args.prompts, pieces)))
    elif len(args.prompts) == args.num_samples == 1:
        print(visible(args.prompts[0]), end="", flush=True)
        for piece in pieces:
            print(visible(piece.text), end="", flush=True)
        print()
    else:
        _print_each(args.prompts, pieces)
    return 0


def _options(args: argparse.Namespace) -> dict[str, Any]:
    for name in ("max_new_tokens", "num_samples"):
        flag = "--num" if name == "num_samples" else "--max-new-tokens"
        _check(flag, getattr(args, name), 1)
    _check("--beams", args.num_beams, 0)
    given = {name: getattr(args, name) for name in _DRAWN if getattr(args, name) is not None}
    if args.num_beams and given:
        raise DagError(f"--beams with --{next(iter(given)).replace('_', '-')}", where="--beams",
                       expected="one or the other: a beam search draws nothing")  # fmt: skip
    kept = ("max_new_tokens", "num_samples", "num_beams", "length_penalty")
    return {
        "temperature": _TEMPERATURE, "top_k": _TOP_K, **given, **{name: getattr(args, name) for name in kept},
        "stop": tuple(args.stop), "cached": not args.no_cache,
    }  # fmt: skip


def _check(flag: str, value: int, least: int) -> None:
    if value < least:
        raise DagError(f"{value}", where=flag, expected=f"a whole number from {least}")


def _whole(prompts: list[str], pieces: Iterable[Any]) -> dict[str, Any]:
    """Every sample's text; the first one's beside it."""
    texts: dict[tuple[int, int], str] = {}
    for piece in pieces:
        key = piece.prompt, piece.sample
        texts[key] = texts.get(key, "") + piece.text
    samples = [{"prompt": prompts[prompt], "sample": sample, "text": texts[prompt, sample]}
               for prompt, sample in sorted(texts)]  # fmt: skip
    return {"prompt": samples[0]["prompt"], "text": samples[0]["text"], "samples": samples}


def _print_each(prompts: list[str], pieces: Iterable[Any]) -> None:
    """Each sample when it ends, under a line that names it."""
    texts: dict[int, str] = {}
    for piece in pieces:
        texts[piece.sample] = texts.get(piece.sample, "") + piece.text
        if piece.ends:
            print(f"--- prompt {piece.prompt + 1}, sample {piece.sample + 1}")
            print(visible(prompts[piece.prompt] + texts.pop(piece.sample)), flush=True)


def model_artifact(output: str) -> str:
    """Where the model of the run in `output` is, or `output` itself where that is a model's artifact."""
    if open_artifact(Folder(output)) is not None:
        return output
    folder, summary = last_run(output)
    models = [s["artifact"] for s in summary["steps"] if s["produces"] == "model" and s["artifact"]]
    if not models:
        raise DataError(
            "no trained model", where=output, expected="a run whose DAG has a pretrain.train step that finished"
        )
    return folder.join(models[-1])
