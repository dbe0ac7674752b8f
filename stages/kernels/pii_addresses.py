"""Public IPv4 and IPv6 addresses in the bytes of a text.

Reads:  bytes of one text
Writes: nothing; `ipv4_end` and `ipv6_end` give the end of an address
Cost:   at most 60 bytes are looked at per call
Source: IANA's special-purpose address registries (RFC 6890, 8190, 9637); RFC 4291 for the notation

Left alone: private, shared, loopback, link-local, documentation, benchmarking, multicast and reserved addresses, and of
IPv6 all that is not in 2000::/3, which alone is given out: `a::b` is C++ far more often than an address.
"""

from __future__ import annotations

import ipaddress

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.pii_gap import (
    AT,
    COLON,
    DOT,
    HYPHEN,
    PERCENT,
    PLUS,
    Gap,
    byte_at,
    digits_end,
    is_digit,
    word_after,
    word_before,
)

SPECIAL_IPV4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
)  # fmt: skip
SPECIAL_IPV6 = ("2001::/23", "2001:db8::/32", "3fff::/20")  # inside 2000::/3; the first 32 bits decide

_IPV4 = [ipaddress.IPv4Network(network) for network in SPECIAL_IPV4]
_IPV4_LOW = np.array([int(network[0]) for network in _IPV4])
_IPV4_HIGH = np.array([int(network[-1]) for network in _IPV4])
_IPV6 = [ipaddress.IPv6Network(network) for network in SPECIAL_IPV6]
_IPV6_LOW = np.array([int(network[0]) >> 96 for network in _IPV6])
_IPV6_HIGH = np.array([int(network[-1]) >> 96 for network in _IPV6])


@kernel
def ipv4_end(data: np.ndarray, gap: Gap, i: int) -> int:
    """The end of the public IPv4 address at the digit data[i]; -1 if there is none."""
    if word_before(data, gap, i) or byte_at(data, gap, i - 1) == DOT:
        return -1
    end, address = _quad(data, i, gap.limit)
    if end < 0 or word_after(data, gap, end) or (byte_at(data, gap, end) == DOT and _digit_after(data, gap, end)):
        return -1
    for r in range(len(_IPV4_LOW)):
        if _IPV4_LOW[r] <= address <= _IPV4_HIGH[r]:
            return -1
    return end


@kernel
def _digit_after(data: np.ndarray, gap: Gap, i: int) -> bool:
    return i < gap.limit and is_digit(byte_at(data, gap, i + 1))


@kernel
def _quad(data: np.ndarray, i: int, limit: int) -> tuple[int, int]:
    """(end, value) of four decimal numbers up to 255 with dots between them; end -1 if they are not there. A number
    with a zero before it is none: it may be octal."""
    value = 0
    for part in range(4):
        end = digits_end(data, i, min(limit, i + 3))
        if end == i or (end - i > 1 and data[i] == 48):
            return -1, 0
        number = 0
        for k in range(i, end):
            number = number * 10 + data[k] - 48
        if number > 255:
            return -1, 0
        value = value << 8 | number
        i = end
        if part < 3:
            if i >= limit or data[i] != DOT:
                return -1, 0
            i += 1
    return i, value


@kernel
def _hex(byte: int) -> int:
    """The value of a hexadecimal digit; -1 if it is none."""
    if is_digit(byte):
        return byte - 48
    if 97 <= byte | 32 <= 102 and byte < 0x80:
        return (byte | 32) - 87
    return -1


@kernel
def ipv6_end(data: np.ndarray, gap: Gap, i: int) -> int:
    """The end of the public IPv6 address at the digit data[i]; -1 if there is none."""
    before = byte_at(data, gap, i - 1)
    if before in (COLON, DOT) or word_before(data, gap, i):
        return -1
    end, high = _groups(data, i, gap.limit)
    if end < 0 or word_after(data, gap, end):
        return -1
    after = byte_at(data, gap, end)
    if after == COLON and end < gap.limit:
        following = byte_at(data, gap, end + 1)
        if following == COLON or _hex(following) >= 0:
            return -1
    if (after == DOT and _digit_after(data, gap, end)) or high >> 29 != 1:
        return -1
    if data[end - 1] == COLON and after in (AT, DOT, HYPHEN, PERCENT, PLUS):  # with a digit there, an e-mail address
        return -1
    for r in range(len(_IPV6_LOW)):
        if _IPV6_LOW[r] <= high <= _IPV6_HIGH[r]:
            return -1
    return end


@kernel
def _groups(data: np.ndarray, i: int, limit: int) -> tuple[int, int]:
    """(end, first 32 bits) of the IPv6 address that begins with a group at data[i]; end -1 if there is none."""
    num_groups, compressed, high = 0, False, 0
    while num_groups < 8:
        first, value = i, 0
        while i < limit and i - first < 4 and _hex(data[i]) >= 0:
            value = value << 4 | _hex(data[i])
            i += 1
        if i == first:
            return -1, 0
        if i < limit and data[i] == DOT:
            end, _ = _quad(data, first, limit)
            if end >= 0:
                i, num_groups = end, num_groups + 2
                break
        if num_groups < 2 and not compressed:
            high |= value << (16 * (1 - num_groups))
        num_groups += 1
        if i + 1 >= limit or data[i] != COLON:
            break
        if data[i + 1] == COLON:
            if compressed:
                return -1, 0
            compressed = True
            i += 2
            if i >= limit or _hex(data[i]) < 0:
                break
        elif _hex(data[i + 1]) >= 0:
            i += 1
        else:
            break
    complete = num_groups == 8 and not compressed
    return (i, high) if complete or (compressed and num_groups < 8) else (-1, 0)
