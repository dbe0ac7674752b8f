"""A run in which every string tries to become markup or to hide, with NaN, null and huge numbers among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tests.pipeline.report_fixtures import Report, report_of, step

HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    '"><svg onload=alert(2)>',
    "javascript:alert(3)",
    "' onmouseover='alert(4)",
    "<!--<script>alert(5)</script>",
    "\u202egnp.exe\u202c \u2066x\u2069 \x1b[31mred\x07 \x00 \ud800",
    "]]></style><style>*{display:none}",
    "&lt;b&gt; &amp; {{7*7}} ${7*7}",
)


def hostile_run() -> tuple[dict[str, Any], dict[str, Report]]:
    """A run whose every name, value and text tries to become markup, with NaN, null and huge numbers among them."""
    dropped = {text: 10 + i for i, text in enumerate(HOSTILE)}
    rows = [
        step(
            text,
            text,
            "narrow",
            "documents",
            {text: HOSTILE[i - 1]} if i else {},
            10**15,
            dropped,
            seconds=math.nan,
            cpu_s=None,
        )
        for i, text in enumerate(HOSTILE)
    ]
    return {
        "format": 1,
        "crawlmill": HOSTILE[0],
        "dag": HOSTILE[1],
        "output": HOSTILE[2],
        "started": HOSTILE[3],
        "finished": math.inf,
        "status": HOSTILE[4],
        "error": HOSTILE[0],
        "steps": rows,
    }, {row["step"]: hostile_report(row) for row in rows}


def hostile_report(row: Mapping[str, Any]) -> Report:
    samples = [
        {"id": text, "url": text, "value": math.nan, "threshold": None, "excerpt": text, "duplicate_of": text}
        for text in HOSTILE
    ]
    numbers = [math.nan, math.inf, None, 1e308, -5, 10**18]
    return report_of(
        row,
        counters=dict.fromkeys(HOSTILE, 10**18),
        figures={f"{text} figure": text for text in HOSTILE} | {"nan": math.nan, "infinite": -math.inf, "none": None},
        histograms={
            text: {
                "low": math.nan,
                "high": 1,
                "counts": [1, 2, 3],
                "num_missing": 4,
                "drop_below": math.nan,
                "drop_above": 0.5,
            }
            for text in HOSTILE
        },
        bars={text: {"labels": list(HOSTILE), "counts": [1, 10**12, 3, 4, 5, 6, 7, 8]} for text in HOSTILE},
        tallies={text: {value: i + 1 for i, value in enumerate(HOSTILE)} for text in HOSTILE},
        series={
            text: {"x_label": text, "x": numbers, "lines": {text: numbers, "flat": [1, 1, 1, 1, 1, 1]}}
            for text in HOSTILE
        },
        samples_kept=samples,
        samples_dropped=dict.fromkeys(HOSTILE, samples),
        tables={text: [{text: text, "number": math.nan, "nested": {text: [text]}}] for text in HOSTILE},
    )
