"""The formats of `crawlmill export`: what each takes, and the functions that write it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.export import hf, jsonl, litdata, llmc, mds, megatron, nanogpt, webdataset
from pipeline.export.session import Receipt, Target
from pipeline.export.source import Shard, Source

# One shard written, given the counts of the shards before it of the same split.
Write = Callable[[Source, Shard, Target, dict[str, int]], Receipt]
# What belongs to no shard, once all are written; the entries of the files that no receipt has.
Finish = Callable[[Source, Target, Sequence[Receipt]], list[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format for one kind of artifact. `check` raises where an artifact does not fit; local: files grow in place."""

    about: str
    write: Write
    finish: Finish
    check: Callable[[Source], None] = lambda source: None
    local: bool = False


FORMATS: dict[str, dict[str, Format]] = {
    "hf": {
        "tokens": Format(
            about="a folder for datasets.load_dataset, and for load_from_disk, which copies nothing: the packed rows as"
            " they are, Arrow",
            write=hf.write_tokens,
            finish=hf.finish_tokens,
        ),
        "documents": Format(
            about="a folder for datasets.load_dataset, Parquet", write=hf.write_documents, finish=hf.finish_documents
        ),
    },
    "megatron": {
        "tokens": Format(
            about="train and validation prefixes of Megatron's IndexedDataset (.bin, .idx): whole documents, an"
            " end-of-text token behind each",
            write=megatron.write,
            finish=megatron.finish,
            local=True,
        )
    },
    "mds": {
        "tokens": Format(
            about="MosaicML streaming shards: a sample is a packed row, with segment_starts, loss_starts and num_real,"
            " which say what attends to what and is trained on",
            write=mds.write_tokens,
            finish=mds.finish_tokens,
        ),
        "documents": Format(
            about="MosaicML streaming shards: a sample is text, id, metadata",
            write=mds.write_documents,
            finish=mds.finish_documents,
        ),
    },
    "litdata": {
        "tokens": Format(
            about="chunks for litdata's StreamingDataset with TokensLoader(block_size): whole documents, an end-of-text"
            " token behind each",
            write=litdata.write,
            finish=litdata.finish,
            local=True,
        )
    },
    "nanogpt": {
        "tokens": Format(
            about="nanoGPT's train.bin, val.bin, meta.pkl, uint16: whole documents, an end-of-text token behind each",
            write=nanogpt.write,
            finish=nanogpt.finish,
            check=nanogpt.check,
            local=True,
        )
    },
    "llmc": {
        "tokens": Format(
            about="files with a header for llm.c and modded-nanogpt: whole documents, an end-of-text token before each",
            write=llmc.write,
            finish=llmc.finish,
            local=True,
        )
    },
    "jsonl": {
        "documents": Format(
            about="JSON lines, a file per shard: text, id, url, date and all other columns",
            write=jsonl.write,
            finish=jsonl.finish,
        )
    },
    "webdataset": {
        "documents": Format(
            about="tar files, one per shard: ID.txt and ID.json for each document",
            write=webdataset.write,
            finish=webdataset.finish,
        )
    },
}
