"""words.split against spaCy: recorded splits, and spaCy itself where the peers' environment is there."""

from __future__ import annotations

import json
import random
import subprocess

import numpy as np
import pyarrow as pa
import pytest

from stages.kernels import byte_masks, chunks, utf8, words
from tests.shared_data import REPOSITORY

PEERS = REPOSITORY / ".peers" / "bin" / "python"

SPLITS = [  # what spacy.blank("en") says, white space left out
    ("Hello, world!", "Hello|,|world|!"),
    ("I don't think they've gone; we'll see.", "I|do|n't|think|they|'ve|gone|;|we|'ll|see|."),
    ("It’s John's (the dog's) bone.", "It|’s|John|'s|(|the|dog|'s|)|bone|."),
    ("He can't, cannot and wont.", "He|ca|n't|,|can|not|and|wo|nt|."),
    ("U.S. firms, e.g. Apple Inc., paid $5.", "U.S.|firms|,|e.g.|Apple|Inc.|,|paid|$|5|."),
    ("See http://www.example.com/a-b?c=d, or a.b@mail.org.", "See|http://www.example.com/a-b?c=d|,|or|a.b@mail.org|."),
    ("foo.Bar foo.bar well-known 1990-95 and/or x/y", "foo|.|Bar|foo.bar|well|-|known|1990|-|95|and/or|x|/|y"),
    ("Wait... what?! No--never…", "Wait|...|what|?|!|No|--|never|…"),
    ("At 10am it was 5km, 20% or 3.5°C.", "At|10|am|it|was|5|km|,|20|%|or|3.5|°|C|."),
    ("Smile :) (8) x:) vitamin-a.", "Smile|:)|(|8)|x|:)|vitamin|-|a."),
    ("US$5 5US$ C++ 1+1 +5 +a", "US$|5|5|US$|C++|1|+|1|+5|+|a"),
    ("8.8.8.8 10.0.0.1:80 http://8.8.8.8:80/x", "8.8.8.8|10.0.0.1:80|http://8.8.8.8:80/x"),
    ("a\u00a0b\u3000c\td\ne", "a|b|c|d|e"),
    ("...dots ''quoted'' ABC. aB.", "...|dots|''|quoted|''|ABC|.|aB."),
    ("", ""),
    (" \n\t ", ""),
]


def words_of(text: utf8.Utf8, east_asian: bool = False) -> words.Words:
    text = utf8.padded(text)
    masks = byte_masks.survey(text.data, int(text.offsets[0]), int(text.offsets[-1]))
    return words.split(text, masks, np.full(len(text), east_asian), np.zeros(len(text), np.int8))


def split(texts: list[str], east_asian: bool = False) -> list[list[str]]:
    found = words_of(utf8.view(pa.array(texts, pa.large_string())), east_asian)
    every = []
    for n, text in enumerate(texts):
        spans = slice(found.begin[n], found.end[n])
        data = text.encode()
        every.append([data[a:b].decode() for a, b in zip(found.starts[spans], found.ends[spans], strict=True)])
    return every


@pytest.mark.parametrize(("text", "expected"), SPLITS)
def test_split_recorded_text_splits_as_spacy(text: str, expected: str) -> None:
    assert split([text]) == [[w for w in expected.split("|") if w]]


def test_split_batch_gives_same_words_as_alone() -> None:
    texts = [text for text, _ in SPLITS]
    assert split(texts) == [split([text])[0] for text in texts]


def test_split_sliced_array_sees_only_its_rows() -> None:
    text = utf8.view(pa.array(["one two", "three, four", "five"], pa.large_string()).slice(1, 1))
    found = words_of(text)
    assert (found.begin.tolist(), found.end.tolist(), found.starts.tolist()) == ([0], [3], [0, 5, 7])


def test_split_east_asian_every_han_and_kana_character_is_a_word() -> None:
    assert split(["我们在2024年去了New York。カナ、한국 사람!"], east_asian=True) == [
        ["我", "们", "在", "2024", "年", "去", "了", "New", "York", "。", "カ", "ナ", "、", "한국", "사람", "!"]
    ]


def test_split_words_cover_all_but_white_space() -> None:
    rng = random.Random(5)
    texts = ["".join(rng.choice("ab1.'-,:/()é中。 \n…") for _ in range(40)) for _ in range(500)]
    for east_asian in (False, True):
        assert ["".join(w) for w in split(texts, east_asian)] == ["".join(t.split()) for t in texts]


def test_split_words_says_what_they_are_made_of() -> None:
    found = words_of(utf8.view(pa.array(["naïve, 中 ... 3 。 ⁇ don't a1 (x"], pa.large_string())))
    letter, first, high = chunks.HAS_LETTER, chunks.BEGINS_CHUNK, chunks.NON_ASCII
    symbol, ends = chunks.IS_SYMBOL | chunks.IS_PUNCTUATION, chunks.ENDS_SENTENCE
    assert found.kinds.tolist() == [
        letter | first | high, symbol, letter | first | high, symbol | first, first, symbol | ends | first | high,
        symbol | ends | first | high, letter | first, letter, letter | first, symbol | first, letter,
    ]  # fmt: skip


@pytest.mark.parametrize("position", [0, 1, 55, 62, 63, 64, 65, 127])
def test_split_long_words_and_group_edges_change_nothing(position: int) -> None:
    for chunk in ("don't", "x" * 63, "x" * 64, "x" * 200, "U.S.", "(a,b)", "é" * 40, "1" * 70):
        before, after = ["y"] * (position // 2), ["zz", "."]
        text = " " * (position % 2) + "y " * (position // 2) + chunk + " zz."
        assert split([text]) == [before + split([chunk])[0] + after]


PIECES = """don't can't I'm he's it’s U.S. e.g. 10a.m. 5km 5% $ US$ C$ € £5 3.14 1,000 a,b ... .. … …… . ' '' " “ ” ’ ‘
- -- --- — —— – ~ / = < > : ; :) :-) ( ) [ ] { } 8) ^_^ >.< o.O + * ^ # @ & _ ! ? ° °C. ² km² m/s www.a.com http://
https://x.org/a?b=c a@b.co foo.bar Foo.Bar foo.Bar A b 1 23 é Ж ж 中 你好 。 ， の 한국 © ★ 😀 ́ ’s 's n't and/or C++
Mr. Ph.D. a. \\n | ` § 10.0.0.1 192.168.1.1 8.8.8.8 :8080 // :// cannot wont gonna ¯\\(ツ)/¯ (╯°□°）╯︵┻━┻ кг كم ABC.
aB."""


@pytest.mark.slow
@pytest.mark.skipif(not PEERS.exists(), reason="the peers' environment, with spaCy, is not there")
def test_split_random_chunks_splits_as_spacy() -> None:
    rng = random.Random(7)
    pieces = PIECES.split()
    texts = ["".join(rng.choice(pieces) for _ in range(rng.randint(1, 9))) for _ in range(20_000)]
    script = (
        "import json, sys, spacy\nsplit = spacy.blank('en').tokenizer\n"
        "json.dump([[w.text for w in split(t) if w.text.strip()] for t in json.load(sys.stdin)], sys.stdout)"
    )
    answer = subprocess.run([PEERS, "-c", script], input=json.dumps(texts), capture_output=True, text=True, check=True)
    different = [(t, a, b) for t, a, b in zip(texts, split(texts), json.loads(answer.stdout), strict=True) if a != b]
    assert different == []
