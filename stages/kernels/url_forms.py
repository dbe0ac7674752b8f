r"""URLs in one way of writing, so that those that lead to the same page by the rules of URLs are equal.

Reads:  URLs' bytes, and where their hosts are (stages/kernels/url_hosts.py)
Writes: the normal forms' bytes, and where each begins and ends
Cost:   about 3 ns per byte; the output takes at most three bytes per byte of input and one more per URL
Source: RFC 3986, 6.2.2 and 6.2.3: letter case, percent-encoding, dot segments, default port, empty path; the URL
        Standard (url.spec.whatwg.org) for `\` in paths and for characters that have to be percent-encoded

Only what no server can tell apart is made equal; everything else stays: http or https, `www.`, a slash at the end, an
empty query, the order of parameters, parameters that track. A fragment, which is not sent, goes, but for one that
begins with `!` or `/`: by these, pages that are put together in the browser are told apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.url_hosts import Spans

_SLASH, _BACKSLASH, _QUESTION, _HASH, _COLON, _DOT, _PERCENT, _BANG = b"/\\?#:.%!"
_HEX = np.frombuffer(b"0123456789ABCDEF", np.uint8)
_IS_UNRESERVED = np.zeros(256, np.bool_)
_IS_UNRESERVED[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")] = True
_HTTPS = np.frombuffer(b"https", np.uint8)
_MAX_PORT = 65535


def normal_forms(
    data: np.ndarray, starts: np.ndarray, spans: Spans, host_data: np.ndarray, host_starts: np.ndarray,
    host_stops: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(data, offsets int64[N + 1]) of the normal forms of the URLs that begin at `data[starts[n]]` and have `spans`.

    `host_data[host_starts[n]:host_stops[n]]` is the host in ASCII. A URL without one there, or that is neither http nor
    https, or has no number for a port, is written as it is, without white space around it."""
    num_bytes = 3 * int((spans.ends - starts).sum() + (host_stops - host_starts).sum()) + len(starts)
    out, offsets = np.empty(num_bytes, np.uint8), np.zeros(len(starts) + 1, np.int64)
    _normal_forms(data, starts, spans, host_data, host_starts, host_stops, out, offsets)
    return out[: offsets[-1]], offsets


@kernel
def _normal_forms(
    data: np.ndarray, starts: np.ndarray, spans: Spans, host_data: np.ndarray, host_starts: np.ndarray,
    host_stops: np.ndarray, out: np.ndarray, offsets: np.ndarray,
) -> None:  # fmt: skip
    at = 0
    for n in range(len(starts)):
        i, end = starts[n], spans.ends[n]
        while i < end and data[i] <= 32:
            i += 1
        scheme = _scheme_length(data, i, end)
        port_end, port = _port(data, spans.rests[n], end)
        if scheme == 0 or host_starts[n] == host_stops[n] or port < 0:
            at = _copy(data, i, end, False, out, at)
        else:
            at = _copy(data, i, i + scheme, True, out, at)
            at = _copy(data, i + scheme, spans.host_starts[n], False, out, at)
            at = _copy(host_data, host_starts[n], host_stops[n], True, out, at)
            if port > 0 and port != (80 if scheme == 4 else 443):
                out[at], at = _COLON, at + 1
                at = _write_number(port, out, at)
            path_end, at = _write_path(data, port_end, end, out, at)
            at = _write_rest(data, path_end, end, out, at)
        offsets[n + 1] = at


@kernel
def _lower(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte


@kernel
def _copy(data: np.ndarray, start: int, end: int, lower: bool, out: np.ndarray, at: int) -> int:
    for i in range(start, end):
        out[at + i - start] = _lower(data[i]) if lower else data[i]
    return at + end - start


@kernel
def _scheme_length(data: np.ndarray, i: int, end: int) -> int:
    """4 where `http://` stands at i, 5 for `https://`, in any case; 0 for anything else."""
    k = 0
    while k < 5 and i + k < end and _lower(data[i + k]) == _HTTPS[k]:
        k += 1
    if k < 4 or i + k + 2 >= end or data[i + k] != _COLON or data[i + k + 1] != _SLASH or data[i + k + 2] != _SLASH:
        return 0
    return k


@kernel
def _port(data: np.ndarray, i: int, end: int) -> tuple[int, int]:
    """(where the path begins, the port; 0 without one, -1 where it is none) of a URL whose host ends at i."""
    port = 0
    if i < end and data[i] == _COLON:
        i += 1
        first = i
        while i < end and 48 <= data[i] <= 57:
            port = min(port * 10 + data[i] - 48, _MAX_PORT + 1)
            i += 1
        if port > _MAX_PORT or (port == 0 and i > first):
            return i, -1
    if i == end or data[i] == _SLASH or data[i] == _BACKSLASH or data[i] == _QUESTION or data[i] == _HASH:
        return i, port
    return i, -1


@kernel
def _write_number(number: int, out: np.ndarray, at: int) -> int:
    scale = 1
    while scale * 10 <= number:
        scale *= 10
    while scale:
        out[at], at = 48 + number // scale % 10, at + 1
        scale //= 10
    return at


@kernel
def _digit(byte: int) -> int:
    """The value of a hexadecimal digit, -1 for what is none."""
    if 48 <= byte <= 57:
        return byte - 48
    byte = _lower(byte)
    return byte - 87 if 97 <= byte <= 102 else -1


@kernel
def _write_character(data: np.ndarray, i: int, end: int, out: np.ndarray, at: int) -> tuple[int, int]:
    """Write the character at i, percent-encoded where it has to be; (the position after it, after what was written)."""
    byte: Any = np.int64(data[i])
    if byte == _PERCENT:
        if i + 2 >= end or _digit(data[i + 1]) < 0 or _digit(data[i + 2]) < 0:
            out[at] = _PERCENT
            return i + 1, at + 1
        byte = _digit(data[i + 1]) * 16 + _digit(data[i + 2])
        i += 2
        if _IS_UNRESERVED[byte]:
            out[at] = byte
            return i + 1, at + 1
    elif 32 < byte < 127:
        out[at] = byte
        return i + 1, at + 1
    out[at], out[at + 1], out[at + 2] = _PERCENT, _HEX[byte >> 4], _HEX[byte & 15]
    return i + 1, at + 3


@kernel
def _write_path(data: np.ndarray, i: int, end: int, out: np.ndarray, at: int) -> tuple[int, int]:
    """Write the path at i, `/` where there is none; (where it ends, position after what was written)."""
    first = at
    out[at] = _SLASH
    at, segment = at + 1, at + 1
    if i < end and (data[i] == _SLASH or data[i] == _BACKSLASH):
        i += 1
    while True:
        is_end = i == end or data[i] == _QUESTION or data[i] == _HASH
        if not is_end and data[i] != _SLASH and data[i] != _BACKSLASH:
            i, at = _write_character(data, i, end, out, at)
            continue
        num_dots = 0
        while segment + num_dots < at and out[segment + num_dots] == _DOT:
            num_dots += 1
        if at - segment == num_dots and 1 <= num_dots <= 2:
            at = segment
            if num_dots == 2 and at > first + 1:
                at -= 1
                while out[at - 1] != _SLASH:
                    at -= 1
        elif not is_end:
            out[at] = _SLASH
            at += 1
        if is_end:
            return i, at
        i, segment = i + 1, at


@kernel
def _write_rest(data: np.ndarray, i: int, end: int, out: np.ndarray, at: int) -> int:
    """Write query and fragment; the position after it."""
    in_fragment = False
    while i < end:
        if data[i] == _HASH and not in_fragment:
            if i + 1 == end or (data[i + 1] != _BANG and data[i + 1] != _SLASH):
                break
            in_fragment = True
        i, at = _write_character(data, i, end, out, at)
    return at
