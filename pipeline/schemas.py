"""The Arrow schemas that cross stage boundaries."""

from __future__ import annotations

import pyarrow as pa

ID = pa.binary(16)  # xxh3-128 of the WARC-Record-ID, or of file name and offset where there is none

# What every document carries from its source on; `text` and what later stages add come after.
PROVENANCE = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("url", pa.string()),
        pa.field("date", pa.timestamp("s", tz="UTC")),
        pa.field("warc_path", pa.string()),
        pa.field("warc_offset", pa.int64()),
        pa.field("warc_length", pa.int64()),
    ]
)

# A crawled page before extraction. `payload` is the HTTP body, decompressed and unchunked; null where the source
# already had text (WET). `content_type` is the HTTP header's value, the charset in it included. `robots` has the values
# of its X-Robots-Tag headers, a line each, then `tdm-reservation: ` and the value of that header; null without any.
PAGE = pa.schema(
    [
        *PROVENANCE,
        pa.field("content_type", pa.string()),
        pa.field("robots", pa.string()),
        pa.field("payload", pa.large_binary()),
        pa.field("text", pa.large_string()),
    ]
)

# A document of a corpus that already is text (JSONL, Parquet, text files, WET).
DOCUMENT = pa.schema([*PROVENANCE, pa.field("text", pa.large_string())])

DROPPED = pa.schema(
    [
        pa.field("id", ID),
        pa.field("url", pa.string()),
        pa.field("warc_path", pa.string()),
        pa.field("warc_offset", pa.int64()),
        pa.field("step", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("excerpt", pa.string()),
        pa.field("duplicate_of", ID),
    ]
)
EXCERPT_CHARS = 200


def tokens_schema(length: int, vocab_size: int, metadata: dict[bytes, bytes] | None = None) -> pa.Schema:
    """Rows of `length` token ids, uint16 while the vocabulary fits, with the segments packed into each row.

    Segment s of a row covers positions segment_starts[s] up to the next start (the last one up to num_real); positions
    from num_real on are padding. `loss_starts[s]` is the first position of segment s whose token is a prediction
    target; the positions before it are context only.
    """
    id_type = pa.uint16() if vocab_size <= 1 << 16 else pa.uint32()
    return pa.schema(
        [
            pa.field("input_ids", pa.list_(id_type, length), nullable=False),
            pa.field("segment_starts", pa.list_(pa.uint16()), nullable=False),
            pa.field("segment_docs", pa.list_(ID), nullable=False),
            pa.field("segment_offsets", pa.list_(pa.uint64()), nullable=False),
            pa.field("loss_starts", pa.list_(pa.uint16()), nullable=False),
            pa.field("num_real", pa.uint16(), nullable=False),
        ],
        metadata=metadata,
    )
