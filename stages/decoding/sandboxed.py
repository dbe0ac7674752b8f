"""Main text by resiliparse or trafilatura, in a child process that a page may hang or crash.

Reads:  payloads and Content-Type headers
Writes: texts, and why a page has none
Cost:   that of stages/decoding/main_text.py, all of it in one child process of at most 1 GiB beyond its start
Source: pipeline/sandbox.py
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from pipeline.sandbox import Failure, Limits, Sandbox
from stages.decoding.main_text import PAGE_TEXT, Engine, open_engine

MEMORY_BYTES = 1 << 30  # of the child beyond its start; a page of 16 MiB takes about 0.3 GiB

Texts = tuple[pa.Array, dict[int, Failure]]  # large_string, null where the second has an entry, by row


def open_sandboxed(engine: Engine, page_timeout_s: float) -> Callable[[pa.Array, pa.Array], Texts]:
    """A function of payloads (large_binary) and Content-Type headers (string), without nulls in the payloads. A page
    may take `page_timeout_s` of CPU time. RunError where the child does not start."""
    limits = Limits(row_timeout_s=page_timeout_s, memory_bytes=MEMORY_BYTES)
    sandbox = Sandbox(open_engine, engine, PAGE_TEXT, limits)

    def main_texts(payload: pa.Array, content_type: pa.Array) -> Texts:
        outcome = sandbox.run(pa.record_batch({"payload": payload, "content_type": content_type}))
        return outcome.results["text"], outcome.failures

    return main_texts
