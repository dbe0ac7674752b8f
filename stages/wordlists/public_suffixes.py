"""The public suffix list: below which names domains are registered.

Reads:  public_suffix_list.dat of the installed `publicsuffixlist` package, its ICANN section
Writes: Suffixes
Cost:   30 ms; 0.7 MB
Source: publicsuffix.org/list; version 2026-10-22_08-36-41_UTC with publicsuffixlist 1.1.2.20261023, which
        constraints.txt names. Another version may give other results: a stage names `list_file()` among its `files`

Private names (blogspot.com, github.io) are no public suffixes here, as in datatrove: a page of someone.blogspot.com has
the registered domain blogspot.com.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import publicsuffixlist

from pipeline.errors import DataError
from stages.kernels.key_set import key_set
from stages.kernels.url_hosts import EXCEPTION, RULE, WILDCARD, Suffixes, host_keys

_BEGIN, _END = "// ===BEGIN ICANN DOMAINS===", "// ===END ICANN DOMAINS==="


def list_file() -> str:
    """Where the list is; its content is part of a result."""
    return str(publicsuffixlist.PSLFILE)


@functools.cache
def load() -> Suffixes:
    """The rules; DataError where the file has none."""
    text = Path(list_file()).read_text(encoding="utf-8")
    flags_of: dict[bytes, int] = {}
    for line in text.partition(_BEGIN)[2].partition(_END)[0].splitlines():
        rule = line.partition(" ")[0].strip()
        if rule and not rule.startswith("//"):
            flag = EXCEPTION if rule.startswith("!") else WILDCARD if rule.startswith("*.") else RULE
            name = rule.removeprefix("!").removeprefix("*.").encode("idna")
            flags_of[name] = flags_of.get(name, 0) | flag
    if not flags_of:
        raise DataError("no rules", where=list_file(), expected="the public suffix list with its ICANN section")
    stops = np.cumsum([len(name) for name in flags_of])
    starts = np.append(0, stops[:-1])
    names, row_K = key_set(host_keys(np.frombuffer(b"".join(flags_of), np.uint8), starts, stops))
    return Suffixes(names=names, flags=np.array(list(flags_of.values()), np.uint8)[row_K])
