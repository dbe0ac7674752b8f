"""The host of every URL, and keys of the host, of its registered domain and of the whole URL.

Reads:  bytes, and where in them each URL or host begins and ends
Writes: Spans, kinds, keys (uint64 [N, 2], stages/kernels/key_set.py)
Cost:   about 3 ns per byte
Source: the URL Standard (url.spec.whatwg.org) for what ends an authority; publicsuffix.org/list for its algorithm

A host is written in lower case for its key, without dots at its end. Bytes are taken in from the last to the first, so
that one pass gives the key of a host and of every domain above it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.key_set import KeySet, find, mix, step

# What a host is. ODD: not ASCII, percent-encoded or in brackets; Python has to write it in ASCII first.
NONE, NAME, ADDRESS, ODD = range(4)
# What a public suffix rule says of a name: `co.uk`, `*.ck` (of ck), `!www.ck` (of www.ck).
RULE, WILDCARD, EXCEPTION = 1, 2, 4
MAX_HOST_BYTES = 253
_MAX_LABELS = 128
_SLASH, _BACKSLASH, _QUESTION, _HASH, _AT, _COLON, _DOT, _PERCENT, _BRACKET, _END_BRACKET = b"/\\?#@:.%[]"
_ZERO = np.uint64(0)


def _bytes_of(characters: bytes) -> np.ndarray:
    table = np.zeros(256, np.bool_)
    table[list(characters)] = True
    return table


_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123))
_DIGITS = bytes(range(48, 58))
_IN_SCHEME = _bytes_of(_LETTERS + _DIGITS + b"+-.")
_IN_NAME = _bytes_of(_LETTERS + _DIGITS + b"-_.")
_ENDS_AUTHORITY = _bytes_of(b"/\\?#")


class Spans(NamedTuple):
    """Of URL n: `host_starts[n]:host_stops[n]` is its host, `rests[n]:ends[n]` what follows it. int64[N] each."""

    host_starts: np.ndarray
    host_stops: np.ndarray
    rests: np.ndarray
    ends: np.ndarray


class Suffixes(NamedTuple):
    """The public suffix rules: `flags` uint8[K], for each key of a name what rules there are of it."""

    names: KeySet
    flags: np.ndarray


def spans(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> Spans:
    """Where the hosts of the URLs `data[start:stop]` are, by syntax alone; without `//` a URL begins with its host."""
    found = Spans(*(np.zeros(len(starts), np.int64) for _ in Spans._fields))
    _spans(data, starts, stops, found)
    return found


def kinds(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """uint8[N]: NONE, NAME, ADDRESS or ODD, of each host `data[start:stop]`."""
    kind_N = np.zeros(len(starts), np.uint8)
    _kinds(data, starts, stops, kind_N)
    return kind_N


def host_keys(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """uint64[N, 2]; an empty host has one too."""
    key_N2 = np.zeros((len(starts), 2), np.uint64)
    _host_keys(data, starts, stops, key_N2)
    return key_N2


def registered_keys(
    data: np.ndarray, starts: np.ndarray, stops: np.ndarray, is_name_N: np.ndarray, suffixes: Suffixes
) -> tuple[np.ndarray, np.ndarray]:
    """(uint64[N, 2] keys of the registered domains, bool[N] which hosts have one); `is_name_N` bool."""
    key_N2, has_N = np.zeros((len(starts), 2), np.uint64), np.zeros(len(starts), np.bool_)
    _registered_keys(data, starts, stops, is_name_N, suffixes, key_N2, has_N)
    return key_N2, has_N


def below(data: np.ndarray, starts: np.ndarray, stops: np.ndarray, is_name_N: np.ndarray, names: KeySet) -> np.ndarray:
    """bool[N]: the host is one of the names, or is below one."""
    below_N = np.zeros(len(starts), np.bool_)
    if len(names.high):
        _below(data, starts, stops, is_name_N, names, below_N)
    return below_N


def url_keys(data: np.ndarray, rests: np.ndarray, ends: np.ndarray, host_N2: np.ndarray) -> np.ndarray:
    """uint64[N, 2]: keys of host and rest, so without scheme and user; nothing after the host is the same as `/`."""
    key_N2 = np.zeros_like(host_N2)
    _url_keys(data, rests, ends, host_N2, key_N2)
    return key_N2


@kernel
def _authority_start(data: np.ndarray, i: int, end: int) -> int:
    """Behind `scheme://` or `//`, or i where there is neither."""
    at = i
    while at < end and _IN_SCHEME[data[at]]:
        at += 1
    if at > i and at < end and data[at] == _COLON:
        at += 1
    elif at > i:
        return i
    if at + 1 < end and data[at] == _SLASH and data[at + 1] == _SLASH:
        return at + 2
    return i


@kernel
def _host_span(data: np.ndarray, start: int, stop: int) -> tuple[int, int, int]:
    """(first and last byte of the host in the authority data[start:stop], where the rest begins)."""
    for i in range(start, stop):
        if data[i] == _AT:
            start = i + 1
    rest = stop
    if start < stop and data[start] == _BRACKET:
        for i in range(start, stop):
            if data[i] == _END_BRACKET:
                return start, i + 1, i + 1
        return start, start, start
    for i in range(start, stop):
        if data[i] == _COLON:
            rest = i
            break
    stop = rest
    while stop > start and (data[stop - 1] == _DOT or data[stop - 1] <= 32):
        stop -= 1
    return start, stop, rest


@kernel
def _spans(data: np.ndarray, starts: np.ndarray, stops: np.ndarray, found: Spans) -> None:
    for n in range(len(starts)):
        i, end = starts[n], stops[n]
        while i < end and data[i] <= 32:
            i += 1
        while end > i and data[end - 1] <= 32:
            end -= 1
        start = _authority_start(data, i, end)
        stop = start
        while stop < end and not _ENDS_AUTHORITY[data[stop]]:
            stop += 1
        first, last, rest = _host_span(data, start, stop)
        found.host_starts[n], found.host_stops[n], found.ends[n] = first, last, end
        found.rests[n] = rest if last > first else i


@kernel
def _kind(data: np.ndarray, start: int, stop: int) -> int:
    if stop == start:
        return NONE
    if data[start] == _BRACKET:
        return ODD
    num_labels, num_numeric, value, is_numeric, label = 1, 0, 0, True, start
    for i in range(start, stop + 1):
        if i == stop or data[i] == _DOT:
            if i == label:
                return NONE
            num_numeric += is_numeric and value <= 255 and i - label <= 3
            if i < stop:
                num_labels, value, is_numeric, label = num_labels + 1, 0, True, i + 1
            continue
        byte = data[i]
        if byte >= 0x80 or byte == _PERCENT:
            return ODD
        if not _IN_NAME[byte]:
            return NONE
        if 48 <= byte <= 57:
            value = min(value * 10 + byte - 48, 256)
        else:
            is_numeric = False
    if is_numeric:  # a last label of digits alone is that of an address, and of nothing else
        return ADDRESS if num_labels == 4 and num_numeric == 4 else NONE
    return NAME if stop - start <= MAX_HOST_BYTES else NONE


@kernel
def _kinds(data: np.ndarray, starts: np.ndarray, stops: np.ndarray, kind_N: np.ndarray) -> None:
    for n in range(len(starts)):
        kind_N[n] = _kind(data, starts[n], stops[n])


@kernel
def _lower(byte: int) -> np.uint64:
    return np.uint64(byte + 32 if 65 <= byte <= 90 else byte)


@kernel
def _host_keys(data: np.ndarray, starts: np.ndarray, stops: np.ndarray, key_N2: np.ndarray) -> None:
    for n in range(len(starts)):
        high, low = _ZERO, _ZERO
        for i in range(stops[n] - 1, starts[n] - 1, -1):
            high, low = step(high, low, _lower(data[i]))
        key_N2[n, 0], key_N2[n, 1] = mix(high), mix(low)


@kernel
def _domains(data: np.ndarray, start: int, stop: int, key_L2: np.ndarray) -> int:
    """Keys of the domains of a host, from its last label to the whole; how many there are."""
    high, low = _ZERO, _ZERO
    num = 0
    for i in range(stop - 1, start - 1, -1):
        if data[i] == _DOT:
            key_L2[num, 0], key_L2[num, 1] = mix(high), mix(low)
            num += 1
        high, low = step(high, low, _lower(data[i]))
    key_L2[num, 0], key_L2[num, 1] = mix(high), mix(low)
    return num + 1


@kernel
def _num_suffix_labels(key_L2: np.ndarray, num: int, suffixes: Suffixes) -> int:
    """How many labels the public suffix has: the longest rule's, but an exception's less one; 1 without a rule."""
    suffix, is_below_wildcard = 1, False
    for k in range(num):
        at = find(suffixes.names, key_L2[k, 0], key_L2[k, 1])
        flags = suffixes.flags[at] if at >= 0 else 0
        if flags & EXCEPTION:
            return k
        if flags & RULE or is_below_wildcard:
            suffix = k + 1
        is_below_wildcard = flags & WILDCARD != 0
    return suffix


@kernel
def _registered_keys(
    data: np.ndarray, starts: np.ndarray, stops: np.ndarray, is_name_N: np.ndarray, suffixes: Suffixes,
    key_N2: np.ndarray, has_N: np.ndarray,
) -> None:  # fmt: skip
    key_L2 = np.zeros((_MAX_LABELS, 2), np.uint64)
    for n in range(len(starts)):
        if not is_name_N[n]:
            continue
        num = _domains(data, starts[n], stops[n], key_L2)
        suffix = _num_suffix_labels(key_L2, num, suffixes)
        if suffix < num:
            key_N2[n, 0], key_N2[n, 1], has_N[n] = key_L2[suffix, 0], key_L2[suffix, 1], True


@kernel
def _below(
    data: np.ndarray, starts: np.ndarray, stops: np.ndarray, is_name_N: np.ndarray, names: KeySet, below_N: np.ndarray
) -> None:
    key_L2 = np.zeros((_MAX_LABELS, 2), np.uint64)
    for n in range(len(starts)):
        if is_name_N[n]:
            for k in range(_domains(data, starts[n], stops[n], key_L2)):
                below_N[n] |= find(names, key_L2[k, 0], key_L2[k, 1]) >= 0


@kernel
def _url_keys(data: np.ndarray, rests: np.ndarray, ends: np.ndarray, host_N2: np.ndarray, key_N2: np.ndarray) -> None:
    for n in range(len(rests)):
        high, low = host_N2[n, 0], host_N2[n, 1]
        for i in range(rests[n], ends[n]):
            high, low = step(high, low, np.uint64(data[i]))
        if rests[n] == ends[n]:
            high, low = step(high, low, np.uint64(_SLASH))
        key_N2[n, 0], key_N2[n, 1] = mix(high), mix(low)
