"""Personal data in running text is replaced: e-mail and IP addresses, phone, Chinese ID and payment card numbers.

Reads:  text
Writes: text, with a fixed text in place of each; texts with none are not touched
Cost:   about 3 ns per byte; a text with a mask is copied and looked at once more
Source: e-mail and IPv4 addresses as in datatrove 0.10.1's PIIFormatter; the rules are ours: stages/kernels/pii*.py

A replacement says nothing of what it replaced, and masking a text twice is masking it once: the addresses put in are
reserved for examples, and such addresses are left alone (example.com; private, link-local, documentation and multicast
IP addresses). Four numbers with dots between are an address, also where they are a version or a section. Overlaps:
e-mail addresses first, then what begins first, then the order of the fields below.

What steps before this one wrote still has what is masked here: samples in the report, excerpts in the ledger, shards
with `keep: true`. Put this step early.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import FieldError
from pipeline.stage import BatchFunction, Measure, NarrowContext, Verdict, narrow

MAX_ROUNDS = 4  # a mask can part what stood together (`2a00::1a.` before a card number); more only in made-up texts


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is put in place of each kind; `null` leaves the kind alone."""

    email: str | None = "email@example.com"  # RFC 2606
    ipv6: str | None = "2001:db8::1"  # RFC 3849
    ipv4: str | None = "192.0.2.1"  # RFC 5737; datatrove puts in addresses that are somebody's
    chinese_id: str | None = "<id>"  # 18 digits with date of birth and check digit
    credit_card: str | None = "<card>"
    chinese_mobile: str | None = "<phone>"
    phone: str | None = "<phone>"  # international and North American

    def __post_init__(self) -> None:
        own = [f.name for f in fields(self) if getattr(self, f.name) not in (None, f.default)]
        if not own:
            return
        from stages.kernels import pii, utf8

        texts = pa.array([getattr(self, name) for name in own], pa.large_string())
        spans = pii.find(utf8.view(texts), pii.replacements(self.texts()))
        for name, num_spans in zip(own, np.diff(spans.first), strict=True):
            if num_spans:
                raise FieldError(
                    name, getattr(self, name), "a text that would not be masked, so that masking twice changes nothing"
                )

    def texts(self) -> tuple[str | None, ...]:
        """In the order of pii.KINDS."""
        return tuple(getattr(self, f.name) for f in fields(self))


@narrow(version=1, reads=("text",), adds={"text": pa.large_string()})
def mask_pii(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Mask every text of a batch; a null stays null."""
    from stages.kernels import pii, utf8

    by = pii.replacements(cfg.texts())

    def mask(batch: pa.RecordBatch) -> Verdict:
        text = batch["text"].cast(pa.large_string())
        num_masks_N, per_kind = np.zeros(len(text), np.int64), np.zeros(len(pii.KINDS), np.int64)
        row_M = np.arange(len(text))  # rows that are looked at: all, then those that were masked
        for _ in range(MAX_ROUNDS):
            part = utf8.view(text if len(row_M) == len(text) else text.take(row_M))
            spans = pii.find(part, by)
            found_M = np.diff(spans.first)
            if not found_M.any():
                break
            masked = utf8.array(pii.replace(part, spans, by))
            if len(row_M) < len(text):
                chosen_N = np.zeros(len(text), np.bool_)
                chosen_N[row_M] = True
                masked = pc.replace_with_mask(text, pa.array(chosen_N), masked)
            text = masked
            num_masks_N[row_M] += found_M
            per_kind += np.bincount(spans.kinds, minlength=len(pii.KINDS))
            row_M = row_M[found_M > 0]
        counters = {f"masked_{kind}": int(count) for kind, count in zip(pii.KINDS, per_kind, strict=True)}
        return Verdict(
            columns={"text": text},
            measures={"masks": Measure(value_N=num_masks_N.astype(np.float64), low=0, high=20, num_bins=20)},
            counters={"texts_masked": int((num_masks_N > 0).sum()), **counters},
        )

    return mask
