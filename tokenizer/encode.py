"""Encode batches of texts, straight from Arrow's buffers, into one array of ids.

Reads:  a tokenizer.json; Arrow arrays of strings
Writes: ids uint32 and offsets int64
Cost:   one thread, 80 to 160 MB of text per second with gigatoken, 2 to 4 with `tokenizers`; the pretoken cache is
        dropped after every 64 MiB of text, which bounds it to about 0.5 GB even on random letters
Source: `tokenizers` is the definition. gigatoken encodes only where its ids were equal on a check batch at load.

Crawled text is not trusted: the name of a special token inside it is encoded as the plain characters it is made of.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenizer.errors import TokenizerError
from tokenizer.one_thread import one_thread

if TYPE_CHECKING:
    import tokenizers

# gigatoken keeps every pretoken it has met: 7 bytes per byte of random letters, measured.
CACHE_BYTES = 64 << 20
# `tokenizers` makes an object of about 100 bytes per token; so many texts of a batch are encoded at a time.
SLOW_BATCH = 64
CODE_POINTS = 0x110000
SURROGATES = range(0xD800, 0xE000)
CHECK_STRIDE = 61  # of the code points in the check batch: 18,000 of them, 0.1 s


class Encoder:
    """A loaded tokenizer. `name` says which library encodes, and why where it is not gigatoken.

    `vocab_size` counts every id there is, special tokens included.
    """

    def __init__(self, tokenizer_json: bytes, use_gigatoken: bool = True) -> None:
        self._reference = _reference(tokenizer_json)
        self.vocab_size: int = self._reference.get_vocab_size(with_added_tokens=True)
        self._plain_json = _without_special_tokens(tokenizer_json)
        self._fast: Any = None
        self._num_bytes = 0
        self.name = f"tokenizers {importlib.metadata.version('tokenizers')}"
        if use_gigatoken:
            reason = self._try_gigatoken(_check_batch(_special_tokens(tokenizer_json)))
            self.name += f" (gigatoken not used: {reason})" if reason else ""

    def encode(self, texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(ids uint32 [T], offsets int64 [N + 1]): text n is ids[offsets[n]:offsets[n + 1]]. Null is an empty text."""
        strings = pc.fill_null(texts.cast(pa.large_string()), "")
        return self._encode_slow(strings) if self._fast is None else self._encode_fast(strings)

    def _try_gigatoken(self, check: pa.Array) -> str:
        """Take gigatoken where it is installed, can load the file and agrees on the check batch; else why not."""
        try:
            self._load_fast()
        except ImportError:
            return "not installed"
        except (RuntimeError, ValueError) as error:  # what it raises for a tokenizer.json it has no code for
            return str(error).splitlines()[0]
        expected, found = self._encode_slow(check), self._encode_fast(check)
        if not all(np.array_equal(e, f) for e, f in zip(expected, found, strict=True)):
            self._fast = None
            return "its ids differ on the check batch"
        self.name = f"gigatoken {importlib.metadata.version('gigatoken')}"
        return ""

    def _load_fast(self) -> None:
        import gigatoken

        self._fast = gigatoken.Tokenizer.from_json(self._plain_json)
        self._num_bytes = 0

    def _encode_fast(self, strings: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        offsets, data = string_buffers(strings)
        if self._num_bytes > CACHE_BYTES:
            self._load_fast()
        self._num_bytes += int(offsets[-1] - offsets[0])
        layout = self._fast.backend.encode_batch(_awkward_strings(offsets, data), parallel=False).layout
        id_offsets = np.asarray(layout.offsets.data, np.int64)
        ids = np.asarray(layout.content.data, np.uint32)
        return ids[id_offsets[0] : id_offsets[-1]], id_offsets - id_offsets[0]

    def _encode_slow(self, strings: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        pieces: list[np.ndarray] = [np.empty(0, np.uint32)]
        lengths = [0]
        with one_thread():
            for first in range(0, len(strings), SLOW_BATCH):
                texts = strings[first : first + SLOW_BATCH].to_pylist()
                for encoding in self._reference.encode_batch_fast(texts, add_special_tokens=False):
                    pieces.append(np.array(encoding.ids, np.uint32))
                    lengths.append(len(pieces[-1]))
        return np.concatenate(pieces), np.cumsum(lengths, dtype=np.int64)


@functools.lru_cache(maxsize=1)
def load_encoder(tokenizer_json: bytes) -> Encoder:
    """The Encoder of a tokenizer.json; a worker that gets the same one again does not load it again."""
    return Encoder(tokenizer_json)


def _reference(tokenizer_json: bytes) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer

    # Checked here first: what `tokenizers` raises is a bare Exception, which no one should catch.
    try:
        parsed = json.loads(tokenizer_json)
    except ValueError as error:
        raise TokenizerError(f"no JSON ({error}); expected a tokenizer.json") from error
    model = parsed.get("model") if isinstance(parsed, dict) else None
    if not isinstance(model, dict) or model.get("type") not in ("BPE", "Unigram") or "vocab" not in model:
        raise TokenizerError("JSON without a model of type BPE or Unigram; expected a tokenizer.json")
    tokenizer = Tokenizer.from_str(tokenizer_json.decode())
    tokenizer.encode_special_tokens = True
    return tokenizer


def _special_tokens(tokenizer_json: bytes) -> list[str]:
    return [t["content"] for t in json.loads(tokenizer_json).get("added_tokens", [])]


def _without_special_tokens(tokenizer_json: bytes) -> str:
    """gigatoken has no switch for special tokens in text: it is given a tokenizer that has none."""
    return json.dumps(json.loads(tokenizer_json) | {"added_tokens": []})


def string_buffers(strings: pa.LargeStringArray | pa.LargeBinaryArray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets int64 [N + 1] and bytes uint8 of a string array, without a copy."""
    if not len(strings):
        return np.zeros(1, np.int64), np.empty(0, np.uint8)
    _, offsets, data = strings.buffers()
    offset_N = np.frombuffer(offsets, np.int64, len(strings) + 1, strings.offset * 8)
    return offset_N, np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)


def _awkward_strings(offsets: np.ndarray, data: np.ndarray) -> Any:
    """The same buffers as an awkward array of strings, the only array type gigatoken takes."""
    import awkward as ak

    characters = ak.contents.NumpyArray(data, parameters={"__array__": "char"})
    return ak.Array(
        ak.contents.ListOffsetArray(ak.index.Index64(offsets), characters, parameters={"__array__": "string"})
    )


def _check_batch(special_tokens: list[str]) -> pa.Array:
    """Texts on which two encoders would differ: scripts, marks, white space, digits, contractions, special tokens."""
    points = [c for c in (*range(0x250), *range(0x250, CODE_POINTS, CHECK_STRIDE)) if c not in SURROGATES]
    texts = ["".join(f"a{chr(c)}1 {chr(c)}{chr(c)}b " for c in points[i : i + 64]) for i in range(0, len(points), 64)]
    texts += [text for token in special_tokens for text in (token, f"a{token}b ", f" {token}\n{token}{token}")]
    return pa.array([*texts, *_HARD_TEXTS], pa.large_string())


_HARD_TEXTS = (
    "",
    " ",
    "   lead and trail   ",
    "tabs\t\there \t and\r\nlines\n\n\n  next\r\r\n",
    "I'm we'll they've he'd it's you're CAN'T I'LL 'S 'ſ it'ſ",
    "1 22 333 4444 55555 3.14159 1,000,000 ½ ٣٤٥ १२३ Ⅷ x² 10³",
    "中文,没有空格。日本語のテキスト、カタカナ 한국어 문장 ไทย العربية עברית हिन्दी Ελληνικά Русский",
    "e\u0301 n\u0303 \u0301alone Z\u0361a\u0300 \u1100\u1161\u11a8",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ✈️ © ™",
    '<div class="a">{x: [1, 2]}</div> // == != --> ... ---- ====== ``` $$ %% \\n',
    "\u00a0\u2003\u3000\u200b\ufeff\u2028\u2029\x85\x00\x01\x7f\x1c\x1d",
    "https://example.org/a_b-c?d=e&f=%20#g user@example.org C:\\path\\file snake_case camelCase",
    "a" * 1000 + " " * 1000 + "=" * 1000 + "7" * 1000 + "\n" * 1000,
)
