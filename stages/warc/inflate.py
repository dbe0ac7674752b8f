"""The inflater: isal's zlib, which inflates web pages about twice as fast as zlib (docs/log.md).

Reads:  deflate data in one of the wrappers below
Writes: an object with zlib's interface: `decompress(data, max_length)`, `eof`, `unused_data`, `unconsumed_tail`
Source: RFC 1950 (zlib), 1951 (deflate), 1952 (gzip)
"""

from __future__ import annotations

from isal import isal_zlib

GZIP_WBITS = 31  # zlib's codes for the wrapper around the deflate data
ZLIB_WBITS = 15
RAW_WBITS = -15

inflater = isal_zlib.decompressobj
InflateError: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # isal's stub calls it an instance
