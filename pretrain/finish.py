"""What a run leaves behind: the export, checked, and the report.

Reads:  weights.safetensors, loss.jsonl and spikes/ in the scratch folder; the rows that were measured
Writes: `model/`, where wanted `model-int8/`, `loss.jsonl`, `spikes/`; the step's report
Cost:   see pretrain.export and pretrain.summary
Source: -
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from pipeline.stage import WideContext
from pipeline.store import Folder
from pretrain import batches, data, export, generate, loss_groups, quantise, scratch, spikes, summary
from pretrain.batches import Reader
from pretrain.job import Job


def finish(job: Job, ctx: WideContext, tokens: Mapping[str, Any], tokenizer: bytes) -> int:
    """Export, check and report; returns the number of parameters."""
    work = Path(job.work)
    weights = safetensors.torch.load_file(work / "weights.safetensors")
    records = scratch.read_log(work / "loss.jsonl")
    reader = batches.open_reader(job)
    num_parameters = sum(tensor.numel() for tensor in weights.values())
    with summary.one_thread():
        _export(job, ctx, weights, tokens, tokenizer, reader)
        _report_samples(job, ctx, reader, tokenizer)
    for name in ("loss.jsonl", *sorted(f"spikes/{path.name}" for path in (work / "spikes").glob("*.json"))):
        ctx.output.write_bytes(name, (work / name).read_bytes())
    summary.write_curves(ctx.report, records)
    summary.write_figures(ctx.report, job.config, records, reader, num_parameters)
    summary.write_sources(ctx.report, reader, records)
    if job.config.objective.kind == "causal" and "validation_loss" in records[-1]:
        loss = records[-1]["validation_loss"]
        ctx.report.figure("validation_bits_per_byte", summary.bits_per_byte(loss, reader, tokenizer))
    loss_groups.write(ctx.report, records)
    spikes.write_samples(ctx.report, work)
    return num_parameters


def _export(
    job: Job, ctx: WideContext, weights: Mapping[str, Tensor], tokens: Mapping[str, Any], tokenizer: bytes,
    reader: Reader,
) -> None:  # fmt: skip
    shape, folder = job.config.model.shape(job.vocab_size), Path(job.work) / "export"
    export.write(folder / "model", weights, shape, tokens, tokenizer)
    difference = export.check(folder / "model", data.read_batch(_shown(reader), data.rows_at(0, 1, 1, 0)).ids_BT[0])
    checked: float | str = "not compared: transformers is not installed" if difference is None else difference
    if (refusal := export.refusal(shape)) is not None:
        checked = f"not compared: transformers has no such model: {refusal}"
    ctx.report.figure("largest_logit_difference_to_transformers", checked)
    if job.config.export.int8:
        export.write_int8(folder / "model-int8", weights, shape, tokens, tokenizer)
        _report_rounding(job, ctx, reader, tokenizer)
    for path in sorted(folder.glob("*/*")):
        ctx.output.write_bytes(f"{path.parent.name}/{path.name}", path.read_bytes())


def _report_rounding(job: Job, ctx: WideContext, reader: Reader, tokenizer: bytes) -> None:
    """What 8 bits cost on the validation rows."""
    if job.config.objective.kind != "causal" or not reader.validation.num_rows:
        return
    model = export.load(Folder(str(Path(job.work) / "export" / "model")))
    found = quantise.measured(model, lambda measured: summary.model_bits_per_byte(measured, reader, tokenizer))
    ctx.report.figure("int8_bits_per_byte", found.after)
    ctx.report.figure("int8_bits_per_byte_added", found.added)


def _report_samples(job: Job, ctx: WideContext, reader: Reader, tokenizer: bytes) -> None:
    folder = Folder(str(Path(job.work) / "export" / "model"))
    if job.config.model.architecture == "decoder":
        ctx.report.sample("generated text", summary.samples(generate.load(folder), _shown(reader), job.config))
    ctx.report.sample("inputs and targets", summary.inputs_and_targets(reader, tokenizer, _shown(reader)))


def _shown(reader: Reader) -> data.Rows:
    return reader.validation if reader.validation.num_rows else reader.train
