"""`crawlmill plan --train`: what the training steps of a DAG take, and what a budget buys.

Training is a matter of pretrain; its formulas are loaded when the flag is given. Nothing of torch is.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.dag import Step
from pipeline.errors import DagError, DataError
from pipeline.plan import Plan
from pipeline.wording import NOTHING, count, duration, number, size

_TRAINER = "pretrain.train"
_OPTIONS = ("tokens", "flops", "hours", "gpus", "peak_flops", "mfu", "device")
_PREFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def add_arguments(plan: argparse.ArgumentParser) -> None:
    """Add what `crawlmill plan` takes beside the DAG."""
    plan.add_argument("--train", action="store_true", help="also tell what the training steps take")
    train = plan.add_argument_group("with --train: what there is to be spent on a model of another size")
    train.add_argument("--tokens", type=float, help="tokens to train on, as in 20e9")
    train.add_argument("--flops", type=float, help="floating point operations, as in 1e21; or:")
    train.add_argument("--hours", type=float, help="of all GPUs together, with --peak-flops")
    train.add_argument("--gpus", type=int, help="default: the step's world_size")
    train.add_argument("--peak-flops", type=float, help="of one GPU per second, as in 989e12 (H100, bf16, dense)")
    train.add_argument("--mfu", type=float, help="share of the peak that is made use of; default 0.4")
    train.add_argument("--device", choices=["cuda", "cpu"], help="whose memory is estimated; default cuda")


def training(plan: Plan, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One object per training step; none without --train. DagError where the DAG has none."""
    options = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    if not args.train:
        if options:
            raise DagError(f"--{next(iter(options)).replace('_', '-')} without --train", expected="both, or neither")
        return []
    steps = [step for step in plan.dag.steps.values() if step.uses == _TRAINER]
    if not steps:
        raise DagError("no training step", where=plan.dag.path, expected=f"a step that `uses: {_TRAINER}`")
    budget = importlib.import_module("pretrain.budget")
    return [{"step": step.name, **budget.tell(step.config, *_rows(plan, step), options)} for step in steps]


def _rows(plan: Plan, step: Step) -> tuple[int, int, int | None]:
    """(vocabulary size, tokens of a row, training rows if they are packed already) of what a step trains on."""
    packed = [source for port, source in step.inputs.items() if port.split(".")[0] == "chunks"]
    artifacts = [plan.steps[source].artifact for source in packed]
    if packed and all(artifact is not None for artifact in artifacts):
        contracts = [artifact.manifest["contract"] for artifact in artifacts if artifact is not None]
        counted = [contract.get("num_rows_train") for contract in contracts]
        rows = None if None in counted else sum(counted)
        return int(contracts[0]["vocab_size"]), int(contracts[0]["length"]), rows
    vocabulary = plan.dag.steps[step.inputs["vocabulary"]].config
    return _field(vocabulary, "vocab_size", step), _field(plan.dag.steps[packed[0]].config, "length", step), None


def _field(config: Any, name: str, step: Step) -> int:
    value = getattr(config, name, None)
    if not isinstance(value, int):
        raise DataError(f"the {name} is not known yet", where=f"{step.where}, step {step.name!r}",
                        mend="Run the steps before it first.")  # fmt: skip
    return value


def lines(found: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """What `training` found, for a person."""
    for step in found:
        yield ""
        yield from _configured_lines(step["step"], step["configured"])
        if "optimal" in step:
            yield from _optimal_lines(step)


def _configured_lines(name: str, run: Mapping[str, Any]) -> Iterable[str]:
    active = run["active_parameters"]
    of_them = "" if active == run["parameters"] else f", of which {short(active)} compute a token"
    yield f"{name}: {short(run['parameters'])} parameters{of_them}; vocabulary {count(run['vocab_size'])}"
    epochs = "" if run["epochs"] is None else f", {number(run['epochs'])} epochs of {short(run['tokens_per_epoch'])}"
    yield (
        f"  {count(run['steps'])} steps of {short(run['tokens_per_step'])} tokens: {short(run['tokens'])} tokens"
        f"{epochs}, {number(run['tokens_per_parameter'])} per parameter"
    )
    hours = "" if run["hours"] is None else f", {_hours(run['hours'])} on {run['ranks']} GPUs"
    yield f"  {run['flops']:.2e} operations ({run['flops_per_token']:.2e} a token){hours}"
    memory = run["memory"]
    parts = [f"{name_.replace('_', ' ')} {size(num)}" for name_, num in memory.items() if num and name_ != "total"]
    yield f"  memory of each of {run['ranks']} ranks: {size(memory['total'])} at its peak"
    yield f"    {', '.join(parts)}"
    ways = run["memory_by_activation_checkpointing"]
    yield "    with activation checkpointing " + ", ".join(f"{way}: {size(num)}" for way, num in ways.items())


def _optimal_lines(step: Mapping[str, Any]) -> Iterable[str]:
    yield "the size to train, by rule (losses in nats per token, comparable within a column only):"
    fits = list(step["optimal"][0]["loss"])
    head = ["rule", "parameters", "tokens", "per parameter", "operations", "epochs", *[f"loss, {f}" for f in fits]]
    rows = [
        [c["rule"], short(c["parameters"]), short(c["tokens"]), number(c["tokens_per_parameter"]),
         f"{c['flops']:.2e}", number(c["epochs"]), *[f"{loss:.3f}" for loss in c["loss"].values()]]
        for c in step["optimal"]
    ]  # fmt: skip
    yield from _table(head, rows)
    if any(c["repeats_too_often"] for c in step["optimal"]):
        yield "  beyond about 4 epochs repeated tokens teach little: more text, or a larger model, would do better"
    if not step["presets"]:
        yield "no preset is about as large"
        return
    yield "presets about as large (batch and learning rate as DeepSeek LLM's fit has them):"
    head = [
        "preset",
        "parameters",
        "tokens",
        "batch",
        "steps",
        "rate",
        "hours",
        "memory",
        *[f"loss, {f}" for f in fits],
    ]
    rows = [
        [p["preset"], short(p["parameters"]), short(p["tokens"]), short(p["batch_tokens"]), count(p["steps"]),
         f"{p['learning_rate']:.1e}", NOTHING if p["hours"] is None else _hours(p["hours"]),
         size(p["memory_bytes"]), *[f"{loss:.3f}" for loss in p["loss"].values()]]
        for p in step["presets"]
    ]  # fmt: skip
    yield from _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0]), *[cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]]
        yield "  " + "  ".join(cells)


def _hours(hours: float) -> str:
    return duration(3600 * hours)


def short(value: float) -> str:
    """Three digits and a letter: 1,811,000 is `1.81 M`."""
    for least, letter in _PREFIXES:
        if value >= 0.9995 * least:
            scaled = value / least
            return f"{scaled:,.0f} {letter}" if scaled >= 999.5 else f"{scaled:.3g} {letter}"
    return f"{value:.3g}"
