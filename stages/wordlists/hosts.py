"""Hosts of URLs in one way of writing, and lists of hosts and URLs to hold them against.

Reads:  Utf8 of URLs; lists of hosts, domains or URLs
Writes: Hosts; HostList, a KeySet of URLs
Cost:   0.1 us per URL, 10 us for one whose host is not plain ASCII; lists: 16 bytes per entry, 0.5 us to load one
Source: IDNA 2003 (RFC 3490) through Python's codec, with its Unicode 3.2 tables; RFC 5952 for IPv6 addresses

Two hosts are the same where they differ in case, in dots at the end, in being written in Unicode, percent-encoded or as
`xn--`, or in how an IPv6 address is shortened. An IPv4 address is four decimal numbers; other ways to write one are
malformed.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address

import numpy as np

from pipeline.errors import DataError
from pipeline.http_reader import shown
from stages.kernels import url_hosts
from stages.kernels.key_set import KeySet, contains, key_set
from stages.kernels.list_entries import entry_spans
from stages.kernels.url_hosts import ADDRESS, NAME, NONE, ODD, Suffixes
from stages.kernels.utf8 import Utf8
from stages.wordlists.reading import line_blocks

MAX_LIST_BYTES = 4 << 30
MAX_MALFORMED_SHARE = 0.01  # of a list's entries that are no hosts; large lists may have a few
_MAX_ODD_BYTES = 1024  # a longer host than this is none in any writing


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """N hosts: `data[starts[n]:stops[n]]` in ASCII, `kind_N` NONE, NAME or ADDRESS; keys of them (uint64 [N, 2]), of
    their registered domains where `has_registered_N`, and of their URLs."""

    data: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    kind_N: np.ndarray
    key_N2: np.ndarray
    registered_N2: np.ndarray
    has_registered_N: np.ndarray
    url_N2: np.ndarray


@dataclass(frozen=True, kw_only=True)
class HostList:
    """`names` match a host or its registered domain; `trees` (`.example.com`) match a name and all below it."""

    names: KeySet
    trees: KeySet

    def has_domain(self, hosts: Hosts) -> np.ndarray:
        """bool[N]: the registered domain is listed, or a name above the host with all below it."""
        registered_N = hosts.has_registered_N & contains(self.names, hosts.registered_N2)
        is_name_N = hosts.kind_N == NAME
        return registered_N | url_hosts.below(hosts.data, hosts.starts, hosts.stops, is_name_N, self.trees)

    def has_host(self, hosts: Hosts) -> np.ndarray:
        """bool[N]: the host itself is listed."""
        return (hosts.kind_N != NONE) & contains(self.names, hosts.key_N2)


def hosts_of(urls: Utf8, suffixes: Suffixes) -> Hosts:
    """The hosts of URLs; NONE for what has no host that could exist."""
    spans = url_hosts.spans(urls.data, urls.offsets[:-1], urls.offsets[1:])
    data, starts, stops, kind_N = _in_ascii(urls.data, spans.host_starts, spans.host_stops)
    key_N2 = url_hosts.host_keys(data, starts, stops)
    registered_N2, has_N = url_hosts.registered_keys(data, starts, stops, kind_N == NAME, suffixes)
    url_N2 = url_hosts.url_keys(data, spans.rests, spans.ends, key_N2)
    return Hosts(
        data=data, starts=starts, stops=stops, kind_N=kind_N, key_N2=key_N2, registered_N2=registered_N2,
        has_registered_N=has_N, url_N2=url_N2,
    )  # fmt: skip


def read_hosts(locations: Sequence[str]) -> HostList:
    """Lists of hosts. DataError where a list is empty, or more than a hundredth of its entries are no hosts."""
    names, trees = [np.empty((0, 2), np.uint64)], [np.empty((0, 2), np.uint64)]
    for location in locations:
        num, num_malformed, example = 0, 0, b""
        for data, starts, stops in _entries(location):
            stops = stops - (data[stops - 1] == ord("."))
            tree_N, bare_N = _trees(data, starts, stops)
            ascii_data, bare_starts, bare_stops, kind_N = _in_ascii(data, bare_N, stops)
            key_N2 = url_hosts.host_keys(ascii_data, bare_starts, bare_stops)
            names.append(key_N2[(kind_N != NONE) & ~tree_N])
            trees.append(key_N2[(kind_N == NAME) & tree_N])
            malformed = np.flatnonzero(kind_N == NONE)
            if len(malformed) and not num_malformed:
                example = data[starts[malformed[0]] : stops[malformed[0]]].tobytes()
            num, num_malformed = num + len(starts), num_malformed + len(malformed)
        if num_malformed > MAX_MALFORMED_SHARE * num:
            raise DataError(
                f"{num_malformed} of {num} entries are no hosts, such as {example[:80].decode('utf-8', 'replace')!r}",
                where=shown(location),
                expected="host names such as example.com, one a line, without http:// and without a path",
            )  # fmt: skip
    return HostList(names=key_set(np.concatenate(names))[0], trees=key_set(np.concatenate(trees))[0])


def read_urls(locations: Sequence[str]) -> KeySet:
    """Lists of URLs, with or without `http://`."""
    keys = [np.empty((0, 2), np.uint64)]
    for location in locations:
        for data, starts, stops in _entries(location):
            spans = url_hosts.spans(data, starts, stops)
            ascii_data, host_starts, host_stops, _ = _in_ascii(data, spans.host_starts, spans.host_stops)
            host_N2 = url_hosts.host_keys(ascii_data, host_starts, host_stops)
            keys.append(url_hosts.url_keys(ascii_data, spans.rests, spans.ends, host_N2))
    return key_set(np.concatenate(keys))[0]


def _trees(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(which entries begin with `.` or `*.`, where the host begins in each)."""
    dot_N = starts + ((data[starts] == ord("*")) & (stops - starts > 1))
    tree_N = (data[dot_N] == ord(".")) & (stops - dot_N > 1)
    return tree_N, np.where(tree_N, dot_N + 1, starts)


def _entries(location: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(data, starts, stops) of the entries of a list, block by block; DataError where there is none."""
    num = 0
    for data in line_blocks(location, MAX_LIST_BYTES):
        starts, stops = entry_spans(data)
        num += len(starts)
        if len(starts):
            yield data, starts, stops
    if not num:
        raise DataError("no entries", where=shown(location), expected="a list with one entry a line")


def _in_ascii(
    data: np.ndarray, starts: np.ndarray, stops: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(data, starts, stops, kinds) where every host is in ASCII: those that were not now lie behind the data."""
    kind_N = url_hosts.kinds(data, starts, stops)
    odd = np.flatnonzero(kind_N == ODD)
    if not len(odd):
        return data, starts, stops, kind_N
    written = [_ascii_host(data[starts[n] : min(stops[n], starts[n] + _MAX_ODD_BYTES + 1)].tobytes()) for n in odd]
    starts, stops = starts.copy(), stops.copy()
    stops[odd] = len(data) + np.cumsum([len(host) for host in written])
    starts[odd] = np.append(len(data), stops[odd[:-1]])
    data = np.concatenate([data, np.frombuffer(b"".join(written), np.uint8)])
    kind_N[odd] = url_hosts.kinds(data, starts[odd], stops[odd])
    kind_N[kind_N == ODD] = ADDRESS  # what is odd still stands in brackets
    return data, starts, stops, kind_N


def _ascii_host(raw: bytes) -> bytes:
    """The host in ASCII, an IPv6 address at its shortest; nothing where that cannot be."""
    try:
        if raw.startswith(b"["):
            if b"%" in raw:  # a zone, which has a meaning on one machine alone
                return b""
            return f"[{IPv6Address(raw[1:-1].decode('ascii')).compressed}]".encode("ascii")
        name = urllib.parse.unquote_to_bytes(raw).decode("utf-8").strip(" .\u3002\uff0e\uff61")
        if len(raw) > _MAX_ODD_BYTES or name.startswith("["):
            return b""
        host = name.encode("idna").lower()
    except ValueError:  # bytes that are not UTF-8, a label too long, characters that no host has
        return b""
    return b"" if b"%" in host else host
