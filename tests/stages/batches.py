"""What the tests of narrow stages over `text` share: running a stage on texts, and reading its verdict."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.stage import NarrowContext, Stage, Verdict


def judge(stage: Stage, texts: list[str | None] | pa.Array, config: Any = None) -> Verdict:
    """The verdict of one batch; the stage's defaults without a config."""
    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
    run = stage.function(config or stage.config(), NarrowContext(step="test"))
    return run(pa.record_batch({"text": array}))


def reasons(verdict: Verdict) -> list[str | None]:
    """Per row the reason it is dropped for, or None."""
    assert verdict.drops is not None
    return [verdict.drops.reasons[code] if code >= 0 else None for code in verdict.drops.code_N]
