"""Drop pages whose owners ask crawlers not to index them or not to train on them.

Reads:  `payload` (the HTTP body), `robots` (the X-Robots-Tag and TDM-Reservation headers); stands before extraction
Writes: nothing; drops documents, and counts every directive it knows, honoured or not
Cost:   the bytes before `<body>` at 1 ns each; a copy of the pages in UTF-16
Source: noindex and none: Google, "Robots meta tag, data-nosnippet, and X-Robots-Tag specifications", which Common
        Crawl's pages are written for as well; noai and noimageai: DeviantArt 2022, since taken up by others;
        tdm-reservation: W3C community report "TDM Reservation Protocol (TDMRep)" of 2024, for article 4 of the EU's
        directive 2019/790; noarchive: Microsoft said in 2023 not to train on pages with it

A directive counts where it stands in an X-Robots-Tag header or in `<meta name="robots">`, or is addressed to one of
`user_agents`. What is said to other crawlers (`googlebot`) is not for us. Where in a page is looked, and how:
stages/kernels/meta_robots.py. robots.txt is the crawler's business; what it fetched was allowed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from pipeline.errors import FieldError
from pipeline.stage import BatchFunction, Drops, NarrowContext, Verdict, narrow

Directive = Literal["noindex", "none", "noai", "noimageai", "noarchive", "tdm-reservation"]
AGENT = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which directives drop a page; its reason is the first of them in this order, such as `robots_noai`.

    Not in the default: noimageai is about images, noarchive is older than training and stands on whole news sites.
    """

    honour: tuple[Directive, ...] = ("noai", "tdm-reservation", "noindex", "none")
    user_agents: tuple[str, ...] = ("CCBot", "crawlmill")  # beside `robots` and `*`; case does not matter

    def __post_init__(self) -> None:
        for name in self.user_agents:
            if not AGENT.fullmatch(name):
                raise FieldError("user_agents", name, "a crawler's name such as CCBot, without version")


@narrow(version=1, reads=("payload", "robots"), measures=())
def robots(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Judge every page of a batch by its headers and its head."""
    from stages.kernels import meta_robots

    def judge(batch: pa.RecordBatch) -> Verdict:
        found = meta_robots.find(batch["payload"], batch["robots"], cfg.user_agents)
        seen_N, utf16_N = found.seen_N, np.flatnonzero(found.head_N == meta_robots.UTF16)
        if len(utf16_N):
            nothing = pa.nulls(len(utf16_N), pa.string())
            pages = _from_utf16(batch["payload"].take(pa.array(utf16_N)), 2 * meta_robots.HEAD_BYTES)
            seen_N[utf16_N] |= meta_robots.find(pages, nothing, cfg.user_agents).seen_N
        seen = {name: seen_N >> k & 1 == 1 for k, name in enumerate(meta_robots.DIRECTIVES)}
        nothing_N = np.full(batch.num_rows, np.nan)
        code_N = np.full(batch.num_rows, -1, np.int16)
        for code, name in reversed(list(enumerate(cfg.honour))):
            code_N[seen[name]] = code
        reasons = tuple("robots_" + name.replace("-", "_") for name in cfg.honour)
        return Verdict(
            drops=Drops(reasons=reasons, code_N=code_N, value_N=nothing_N, threshold_N=nothing_N),
            counters={
                **{f"pages_with_{name.replace('-', '_')}": int(with_N.sum()) for name, with_N in seen.items()},
                "pages_in_utf16": len(utf16_N),
                "heads_longer_than_looked_at": int((found.head_N == meta_robots.CUT).sum()),
            },
        )

    return judge


def _from_utf16(pages: pa.Array, head_bytes: int) -> pa.Array:
    """The heads of pages in UTF-16 as UTF-8; large_binary."""
    heads = [page[:head_bytes] for page in pages.to_pylist()]
    codecs = ["utf-16-be" if head[0] in (0xFE, 0) else "utf-16-le" for head in heads]
    return pa.array(
        [head.decode(codec, "replace").encode() for head, codec in zip(heads, codecs, strict=True)], pa.large_binary()
    )
