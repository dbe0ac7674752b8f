"""What a tokenizer does to held-out documents, and the card that says so.

Reads:  documents; tokenizer.json of the step's output
Writes: card.html in the step's output; sums per language, as JSON; how often each id occurred, in files of the work
        folder
Cost:   one task per shard, which encodes its share of about MEASURED_DOCUMENTS documents, the first MEASURED_CHARS
        characters of each; of these, about COMPARED_DOCUMENTS are encoded by the published tokenizers as well; then one
        task that encodes every entry of the vocabulary. Ids are read once more before, to know how many are held out
Source: tokenizer/card.py, tokenizer/references.py

Which documents are measured follows from their ids, and how many there are in all shards together: neither their order
nor how they lie in shards changes the card. Which published tokenizers it compares with follows from the packages that
are installed where the run is started.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.document_reader import read_documents
from pipeline.errors import DataError
from pipeline.stage import JSON, TaskContext, WideContext
from stages.kernels.document_hash import id_bytes, share_of
from stages.vocab import card_page
from stages.vocab.selection import Documents
from tokenizer import card, card_documents, card_vocabulary, references
from tokenizer.encode import load_encoder
from tokenizer.errors import TokenizerError

TOKENIZER = "tokenizer.json"
CARD_PAGE = "card.html"
MEASURED_DOCUMENTS = 50_000
COMPARED_DOCUMENTS = 4_000
MEASURED_CHARS = 1 << 15  # of a document: a book says no more than its first chapters do
MAX_PASSAGES = 40  # languages, those with the most text
OURS = "this"  # name of the step's own tokenizer among those compared


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Documents whose share is `from_share` or more are held out."""

    documents: Documents
    from_share: float


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """Held-out documents below `to_share` are measured, those below `compare_below` by all of `compare_with`."""

    measuring: Measuring
    to_share: float
    compare_below: float
    compare_with: tuple[str, ...]


def described(ctx: WideContext, measuring: Measuring, shards: Sequence[str], vocab_size: int) -> dict[str, Any]:
    """The card of the step's tokenizer, as it is written to CARD_PAGE too."""
    num_held_out = sum(ctx.map("held out", _num_held_out, shards, measuring))
    sample = _Sample(
        measuring=measuring, to_share=_share_for(measuring, MEASURED_DOCUMENTS, num_held_out),
        compare_below=_share_for(measuring, COMPARED_DOCUMENTS, num_held_out),
        compare_with=tuple(references.available()),
    )  # fmt: skip
    measured = ctx.map("measure", _measure, shards, sample)
    [described_] = ctx.map("card", _card, [{"measured": measured, "held_out": num_held_out}], (sample, vocab_size))
    return dict(described_)


def _share_for(measuring: Measuring, num_wanted: int, num_held_out: int) -> float:
    """Below which share about so many of the held-out documents lie."""
    held_out = 1 - measuring.from_share
    return measuring.from_share + held_out * min(1.0, num_wanted / max(1, num_held_out))


def _num_held_out(measuring: Measuring, shard: str, task: TaskContext) -> JSON:
    documents = measuring.documents
    batches = read_documents(documents.folder, shard, ["id"])
    return sum(int((share_of(id_bytes(b["id"]), documents.seed) >= measuring.from_share).sum()) for b in batches)


def _measure(sample: _Sample, shard: str, task: TaskContext) -> JSON:
    """Sums per language and documents to look at; names of files of counts per id, which do not belong into JSON."""
    encoder = load_encoder(task.output.read_bytes(TOKENIZER))
    others = [_reference(name, task) for name in sample.compare_with]
    totals: card.Totals = {}
    compared: dict[str, card.Totals] = {name: {} for name in (OURS, *sample.compare_with)}
    sizes = {OURS: encoder.vocab_size} | {other.name: other.vocab_size for other in others}
    count_V = np.zeros(encoder.vocab_size, np.int64)
    compared_counts = {name: np.zeros(size, np.int64) for name, size in sizes.items()}
    chosen = card_documents.Chosen()
    for batch in _batches(sample, shard):
        ids, offsets = encoder.encode(batch.texts)
        batch = dataclasses.replace(batch, tokens_N=np.diff(offsets))
        batch_sizes = card.sizes(batch.texts)
        card.add(totals, batch.languages, batch_sizes, batch.tokens_N)
        count_V += np.bincount(ids, minlength=len(count_V))
        chosen.add(batch)
        num = int((batch.share_N < sample.compare_below).sum())  # they come in the order of their shares
        if num == 0:
            continue
        first_sizes = {name: value_N[:num] for name, value_N in batch_sizes.items()}
        encoded = {OURS: (ids[: offsets[num]], offsets[: num + 1])}
        encoded |= {other.name: other.encode(batch.texts.slice(0, num)) for other in others}
        for name, (some_ids, some_offsets) in encoded.items():
            card.add(compared[name], batch.languages[:num], first_sizes, np.diff(some_offsets))
            compared_counts[name] += np.bincount(some_ids, minlength=sizes[name])
    return {
        "totals": totals, "counts": _save(task, "measured", count_V), "chosen": dataclasses.asdict(chosen),
        "compared": {
            name: {"totals": compared[name], "counts": _save(task, name, compared_counts[name])} for name in sizes
        },
    }  # fmt: skip


def _reference(name: str, task: TaskContext) -> references.Reference:
    try:
        return references.load(name)
    except TokenizerError as error:
        raise DataError(
            str(error), where=f"step {task.step}", mend="Install it on every machine, or on none."
        ) from error


def _batches(sample: _Sample, shard: str) -> Iterable[card_documents.Batch]:
    """The measured documents of a shard, each batch in the order of its shares; tokens are yet to be counted."""
    measuring = sample.measuring
    for rows in measuring.documents.select(shard, measuring.from_share, sample.to_share, "language"):
        share_N = share_of(id_bytes(rows["id"]), measuring.documents.seed)
        order_N = np.argsort(share_N, kind="stable")
        rows = rows.take(pa.array(order_N))
        texts = pc.utf8_slice_codeunits(rows["text"], 0, MEASURED_CHARS)
        has_language = "language" in rows.schema.names
        languages = rows["language"].to_pylist() if has_language else [None] * rows.num_rows
        yield card_documents.Batch(
            texts=texts, id_hex=[id_.hex() for id_ in rows["id"].to_pylist()],
            languages=[language or card.UNKNOWN for language in languages], share_N=share_N[order_N],
            bytes_N=np.asarray(pc.binary_length(texts), np.int64), tokens_N=np.empty(0, np.int64),
        )  # fmt: skip


def _save(task: TaskContext, name: str, count_V: np.ndarray) -> str:
    """Write the counts that are not 0; the file's name."""
    file = io.BytesIO()
    used = np.flatnonzero(count_V)
    np.savez(file, ids=used, counts=count_V[used])
    path = f"counts/{name}/{task.index:05d}.npz"
    task.work.write_bytes(path, file.getvalue())
    return path


def _added_up(task: TaskContext, names: Iterable[str], vocab_size: int) -> np.ndarray:
    count_V = np.zeros(vocab_size, np.int64)
    for name in names:
        with np.load(io.BytesIO(task.work.read_bytes(name))) as saved:
            count_V[saved["ids"]] += saved["counts"]
    return count_V


def _card(shared: tuple[_Sample, int], given: Mapping[str, Any], task: TaskContext) -> JSON:
    """Put the card together, and write its page."""
    sample, vocab_size = shared
    measured = given["measured"]
    tokenizer_json = task.output.read_bytes(TOKENIZER)
    encoder = load_encoder(tokenizer_json)
    totals = card.merge([m["totals"] for m in measured])
    count_V = _added_up(task, (m["counts"] for m in measured), vocab_size)
    chosen = card_documents.merge([m["chosen"] for m in measured])
    described_ = {
        "sample": {
            "held_out_documents": given["held_out"], "measured_characters_of_each": MEASURED_CHARS,
            "measured_documents_at_most_about": MEASURED_DOCUMENTS,
            "compared_documents_at_most_about": COMPARED_DOCUMENTS,
        },
        **card.card(tokenizer_json, totals, count_V, encoder),
        "compared": _compared(sample, measured, vocab_size, task),
        "not_compared": [
            {"name": name, "title": published.title, "shipped_by": references.shipped_by(name)}
            for name, published in references.PUBLISHED.items() if name not in sample.compare_with
        ],
        "worst_compressed": chosen.worst, "best_compressed": chosen.best,
        "passages": _passages(chosen, totals, tokenizer_json),
    }  # fmt: skip
    page = card_page.render(described_, tokenizer_json)
    task.output.write_bytes(CARD_PAGE, page.encode())
    return described_


def _compared(
    sample: _Sample, measured: Sequence[Mapping[str, Any]], vocab_size: int, task: TaskContext
) -> list[dict[str, Any]]:
    """What each tokenizer did to the same documents, ours first."""
    rows = []
    for name in (OURS, *sample.compare_with):
        other = None if name == OURS else _reference(name, task)
        counts = _added_up(
            task, (m["compared"][name]["counts"] for m in measured), vocab_size if other is None else other.vocab_size
        )
        totals = card.merge([m["compared"][name]["totals"] for m in measured])
        title, source = ("this tokenizer", None) if other is None else (other.title, other.source)
        rows.append(card.compared(name, title, source, totals, counts))
    return rows


def _passages(chosen: card_documents.Chosen, totals: card.Totals, tokenizer_json: bytes) -> list[dict[str, Any]]:
    """A passage of each language, those with the most text first, cut into tokens."""
    most_text = sorted(chosen.passages, key=lambda language: (-totals[language]["bytes"], language))[:MAX_PASSAGES]
    tokens = card_vocabulary.tokens_of(tokenizer_json)
    texts = [chosen.passages[language]["text"] for language in most_text]
    ids, offsets = load_encoder(tokenizer_json).encode(pa.array(texts, pa.large_string()))
    return [
        {
            "language": language, "id": chosen.passages[language]["place"][1], "bytes": len(text.encode()),
            "tokens": int(offsets[n + 1] - offsets[n]),
            "pieces": card_documents.pieces(ids[offsets[n] : offsets[n + 1]].tolist(), tokens),
        }
        for n, (language, text) in enumerate(zip(most_text, texts, strict=True))
    ]  # fmt: skip
