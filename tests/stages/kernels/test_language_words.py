"""language_words against spaCy: recorded splits, and spaCy itself where the peers' environment is there."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import time

import numpy as np
import pyarrow as pa
import pytest

from stages.kernels import byte_masks, language_words, utf8, word_rules, words
from tests.shared_data import REPOSITORY
from tests.stages.kernels import record_word_splits

PEERS = REPOSITORY / ".peers" / "bin" / "python"
RECORDED: dict[str, list[tuple[str, list[str]]]] = json.loads(gzip.decompress(record_word_splits.FILE.read_bytes()))
CODES = {"tl": "fil", "xx": "ka", "ar": "acm", "tt": "ba"}  # codes datatrove gives these rules of spaCy to
HOSTILE = [*"a.()'-5é中…M", "a-", "a'", "l'", "5.", "a)", "((a", ":)", "a ", ") "]

SPLITS = [  # what spacy.blank(language) says, white space left out
    ("de", "Das ist z.B. gut, d.h. (sehr) gut.", "Das|ist|z.B.|gut|,|d.h.|(|sehr|)|gut|."),
    ("fr", "L'eau d'aujourd'hui va-t-il à Aix-en-Provence ?", "L'|eau|d'|aujourd'hui|va|-t|-il|à|Aix-en-Provence|?"),
    ("it", "Dell'acqua e l'amico.", "Dell'|acqua|e|l'|amico|."),
    ("es", "Viaja a EE. UU. el lunes.", "Viaja|a|EE. UU.|el|lunes|."),
    ("ru", "Это т.е. и/или так.", "Это|т.е.|и|/|или|так|."),
    ("tr", "Saat 10:30'da geldi.", "Saat|10:30'da|geldi|."),
]


def split(texts: list[str], codes: list[str], east_asian: bool = False) -> list[list[str]]:
    text = utf8.view(pa.array(texts, pa.large_string()))
    rules_N = np.array([word_rules.rules_of(CODES.get(code, code)) for code in codes], np.int8)
    text = utf8.padded(text)
    masks = byte_masks.survey(text.data, 0, int(text.offsets[-1]))
    found = words.split(text, masks, np.full(len(texts), east_asian), rules_N)
    every = []
    for n, given in enumerate(texts):
        spans, data = slice(found.begin[n], found.end[n]), given.encode()
        every.append([data[a:b].decode() for a, b in zip(found.starts[spans], found.ends[spans], strict=True)])
    return every


def by_tables(data: bytes, rules: int, single: int = 0) -> list[bytes]:
    """One text's words by a rule set's tables, English too."""
    starts, ends, room = (np.empty(len(data) + 1, np.int64) for _ in range(3))
    array = np.frombuffer(data, np.uint8)
    n = language_words.split_text(word_rules.load(), rules, array, 0, len(data), single, starts, ends, 0, room)
    return [data[a:b] for a, b in zip(starts[:n], ends[:n], strict=True)]


@pytest.mark.parametrize(("code", "text", "expected"), SPLITS)
def test_split_prose_splits_as_spacy(code: str, text: str, expected: str) -> None:
    assert split([text], [code]) == [expected.split("|")]


@pytest.mark.parametrize("language", RECORDED)
def test_split_recorded_strings_splits_as_spacy(language: str) -> None:
    texts, expected = zip(*RECORDED[language], strict=True)
    found = split(list(texts), [language] * len(texts))
    assert [(t, a) for t, a in zip(texts, found, strict=True)] == list(zip(texts, expected, strict=True))


def test_split_languages_mixed_in_a_batch_gives_same_words_as_alone() -> None:
    rows = [(text, code) for code, rows in RECORDED.items() for text, _ in rows[:5]]
    random.Random(1).shuffle(rows)
    texts, codes = (list(column) for column in zip(*rows, strict=True))
    assert split(texts, codes) == [split([t], [c])[0] for t, c in rows]


def test_split_unknown_language_splits_as_english() -> None:
    assert split(["I don't, d.h. l'eau"] * 2, ["qqq", "de"])[0] == ["I", "do", "n't", ",", "d.h", ".", "l'eau"]


def test_split_english_by_tables_equals_the_rules_written_out() -> None:
    rng = random.Random(11)
    texts = ["".join(rng.choice(record_word_splits.PIECES) for _ in range(rng.randint(1, 9))) for _ in range(5_000)]
    assert [[w.decode() for w in by_tables(t.encode(), word_rules.ENGLISH)] for t in texts] == split(
        texts, ["en"] * len(texts)
    )


def test_split_east_asian_characters_are_words_in_every_language() -> None:
    assert split(["我们z.B.在"], ["de"], east_asian=True) == [["我", "们", "z.B.", "在"]]


def test_split_invalid_bytes_are_covered_once_and_in_order() -> None:
    rng = np.random.default_rng(2)
    for rules in range(max(word_rules.rules_of(c) for c in ("ba", "uk")) + 1):
        data = rng.choice(np.frombuffer(b"\x93\xe2\xf0\x9fa'.- \xff5)", np.uint8), 3_000).tobytes()
        assert b"".join(by_tables(data, rules)) == data.replace(b" ", b"")


@pytest.mark.parametrize("rules", sorted({word_rules.rules_of(c) for c in ("fr", "hu", "tr", "id", "el", "ro", "de")}))
def test_split_hostile_text_takes_linear_time(rules: int) -> None:
    by_tables(b"warm", rules)
    for piece in HOSTILE:
        seconds = []
        for size in (10_000, 100_000):
            start = time.process_time()
            by_tables(piece.encode() * size, rules)
            seconds.append(time.process_time() - start)
        assert seconds[1] < 40 * seconds[0] + 0.05, (piece, seconds)


def test_split_letters_before_many_suffixes_takes_linear_time() -> None:
    start = time.process_time()
    for code in ("fr", "hu", "tr"):
        by_tables(b"a" * 200_000 + b")" * 200_000, word_rules.rules_of(code))
    assert time.process_time() - start < 5


@pytest.mark.slow
@pytest.mark.skipif(not PEERS.exists(), reason="the peers' environment, with spaCy, is not there")
def test_split_random_strings_splits_as_spacy_in_every_language() -> None:
    script = (
        "import json, random, sys, spacy\n"
        "from tests.stages.kernels.record_word_splits import LANGUAGES, strings\n"
        "for language in LANGUAGES:\n"
        "    split = spacy.blank(language).tokenizer\n"
        "    texts = strings(sorted(k for k in split.rules if k.strip()), random.Random('x' + language), 2000)\n"
        "    print(json.dumps([[t, [w.text for w in split(t) if w.text.strip()]] for t in texts]))"
    )
    answer = subprocess.run([PEERS, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    different = []
    for language, line in zip(record_word_splits.LANGUAGES, answer.stdout.splitlines(), strict=True):
        texts, expected = zip(*json.loads(line), strict=True)
        found = split(list(texts), [language] * len(texts))
        different += [(language, t, a, b) for t, a, b in zip(texts, found, expected, strict=True) if a != b]
    assert different == []
