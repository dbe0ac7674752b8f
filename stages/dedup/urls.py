"""Documents' URLs: their hosts, and hashes by which those of the same page are equal.

Reads:  a string array of URLs
Writes: Hosts (stages/wordlists/hosts.py); uint64[N, 2] hashes
Cost:   0.9 us per URL of 90 bytes to hash its normal form, 0.15 us to hash its bytes, 0.3 us for a host; courlan's
        normalize_url, which also takes parameters away, needs 11 us
Source: xxh3-128 (Collet); stages/kernels/url_forms.py has the rules of normal forms
"""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
import pyarrow as pa

from stages.kernels import hashing, url_forms, url_hosts, utf8
from stages.kernels.key_set import key_set
from stages.kernels.url_hosts import NONE, Suffixes
from stages.wordlists import hosts
from stages.wordlists.hosts import Hosts


@functools.cache
def _no_suffixes() -> Suffixes:
    """No rules of public suffixes: what the registered domains are is not asked here."""
    return Suffixes(names=key_set(np.empty((0, 2), np.uint64))[0], flags=np.empty(0, np.uint8))


def hosts_of(urls: pa.Array) -> Hosts:
    """The hosts of URLs; NONE for null, and for what has no host that could exist."""
    return hosts.hosts_of(utf8.view(urls), _no_suffixes())


def host_name(found: Hosts, row: int) -> str:
    """A host in ASCII, in lower case."""
    return found.data[found.starts[row] : found.stops[row]].tobytes().decode("ascii").lower()


def url_hashes(urls: pa.Array, normalisation: Literal["plain", "none"]) -> tuple[np.ndarray, np.ndarray]:
    """(uint64[N, 2] hash of each URL's normal form, or of its bytes; bool[N] whether there is a URL)."""
    url = utf8.view(urls)
    offsets, data = url.offsets, url.data
    if normalisation == "plain":
        host = hosts.hosts_of(url, _no_suffixes())
        spans = url_hosts.spans(url.data, url.offsets[:-1], url.offsets[1:])
        host_stops = np.where(host.kind_N == NONE, host.starts, host.stops)
        data, offsets = url_forms.normal_forms(url.data, url.offsets[:-1], spans, host.data, host.starts, host_stops)
    return hashing.content_hashes(offsets[:-1], offsets[1:], data), np.diff(offsets) > 0
