"""The report's tables of the largest clusters against families of texts whose members and edits are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.schemas import EXCERPT_CHARS
from stages import minhash
from stages.dedup import corpus
from stages.dedup.decisions import LARGEST
from stages.dedup.exhibits import DIFFERENCES, MEMBERS
from stages.dedup.text_difference import CONTEXT_WORDS, MAX_SHARED_CHARS, SHOWN_WORDS
from tests.stages.dedup.dedup_runs import hashed_ids, laid_out, run_minhash, signed

CFG = minhash.Config(threshold=0.5)
CLUSTERS, DIFFERENT = "largest clusters", "where members first differ"
NUM_WORDS, EDITED = 120, 60
MOST_CHARS = 400  # what a cell of the report's tables shows


@dataclass(frozen=True)
class Families:
    """Texts of `sizes` families: member n of one has word EDITED changed to `edit{n}`; nothing else is changed."""

    sizes: Sequence[int]
    words: list[list[str]]

    def texts(self) -> list[str]:
        return [self.text(f, n) for f, size in enumerate(self.sizes) for n in range(size)]

    def text(self, family: int, member: int) -> str:
        words = self.words[family]
        return " ".join([*words[:EDITED], f"edit{'abcdefghijklmnopqrstuvwxyz'[member]}", *words[EDITED + 1 :]])

    def members(self, family: int) -> list[tuple[bytes, int]]:
        """(id, number) by id: all texts of a family are of one length, so the first one is the representative."""
        first = sum(self.sizes[:family])
        ids = hashed_ids(sum(self.sizes))
        return sorted((ids[n], n) for n in range(first, first + self.sizes[family]))


def _families(sizes: Sequence[int]) -> Families:
    rng = np.random.default_rng(len(sizes))
    return Families(sizes, [["".join(w) for w in rng.choice(list("ghijklmn"), (NUM_WORDS, 7))] for _ in sizes])


def _url(number: int) -> str:
    return f"https://site.example/{number}"


def _tables(table: pa.Table, folder: Path, num_shards: int = 4) -> dict[str, Any]:
    tables: dict[str, Any] = run_minhash(CFG, laid_out(table, num_shards, num_shards), folder).report.tables
    return tables


def test_largest_clusters_name_members_size_and_what_they_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "TASK_DOCS", 12)
    families = _families([3, 1, 14, 2, 7, 1])
    rows = _tables(signed(families.texts()), tmp_path)[CLUSTERS]
    assert [row["documents"] for row in rows] == [14, 7, 3, 2]
    for row, family in zip(rows, (2, 4, 0, 3), strict=True):
        (id_, number), *others = families.members(family)
        first = sum(families.sizes[:family])
        words = families.words[family]
        assert (row["representative"], row["url"]) == (id_.hex(), _url(number))
        assert row["other members"] == [_url(n) for _, n in others[:MEMBERS]]
        assert row["text they share"] == " ".join(words[:EDITED])[:MAX_SHARED_CHARS] + "…"
        assert row["excerpt"] == families.text(family, number - first)[:EXCERPT_CHARS].strip()


@pytest.mark.parametrize("num_shards, task_docs", [(1, 10**6), (4, 1), (4, 10**6)])
def test_largest_clusters_begin_with_the_representative_whatever_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int, task_docs: int
) -> None:
    """The longest of twenty texts is kept; its id is the greatest."""
    monkeypatch.setattr(corpus, "TASK_DOCS", task_docs)
    families = _families([20])
    *others, (id_, number) = families.members(0)
    texts = families.texts()
    texts[number] += " longest"
    tables = _tables(signed(texts), tmp_path, num_shards)
    [row] = tables[CLUSTERS]
    assert (row["representative"], row["url"], row["excerpt"]) == (
        id_.hex(),
        _url(number),
        texts[number][:EXCERPT_CHARS].strip(),
    )
    assert row["other members"] == [_url(n) for _, n in others[:MEMBERS]]
    assert [row["one"] for row in tables[DIFFERENT]] == [_url(number)] * DIFFERENCES


def test_first_differences_show_the_edit_side_by_side_with_the_similarity(tmp_path: Path) -> None:
    """116 shingles of five words each; the edited word is in five of them: 111 of 121 are in both."""
    families = _families([2, 5])
    rows = _tables(signed(families.texts()), tmp_path)[DIFFERENT]
    assert len(rows) == DIFFERENCES + 1
    expected = []
    for family in (1, 0):
        (_, number), *others = families.members(family)
        expected += [(family, number, other) for _, other in others[:DIFFERENCES]]
    for row, (family, number, other) in zip(rows, expected, strict=True):
        words, first = families.words[family], sum(families.sizes[:family])
        assert (row["one"], row["other"]) == (_url(number), _url(other))
        for cell, n in ((row["one reads"], number), (row["the other reads"], other)):
            edited = families.text(family, n - first).split()
            shown = " ".join(edited[EDITED : EDITED + SHOWN_WORDS])
            assert cell == f"… {' '.join(words[EDITED - CONTEXT_WORDS : EDITED])} ▸ {shown} …"
        assert row["similarity"] == 111 / 121
        assert abs(row["estimate"] - 111 / 121) < 0.12 and (row["estimate"] * 112).is_integer()


@pytest.mark.parametrize("num_shards, task_docs", [(1, 10**6), (3, 1), (7, 20), (40, 5)])
def test_tables_are_the_same_for_any_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int, task_docs: int
) -> None:
    table = signed(_families([2, 9, 4, 20, 3, 2, 2]).texts())
    whole = _tables(table, tmp_path / "whole", 2)
    monkeypatch.setattr(corpus, "TASK_DOCS", task_docs)
    assert _tables(table, tmp_path / "other", num_shards) == whole
    assert [row["documents"] for row in whole[CLUSTERS]] == [20, 9, 4, 3, 2, 2, 2]


def test_more_clusters_than_are_listed_leave_out_the_smallest(tmp_path: Path) -> None:
    sizes = [2 + n % 4 for n in range(LARGEST + 8)]
    families = _families(sizes)
    rows = _tables(signed(families.texts()), tmp_path)[CLUSTERS]
    best = sorted((-size, families.members(f)[0][0].hex()) for f, size in enumerate(sizes))[:LARGEST]
    assert [(-row["documents"], row["representative"]) for row in rows] == best


def test_no_clusters_give_no_tables(tmp_path: Path) -> None:
    report = run_minhash(CFG, [signed(_families([1, 1, 1]).texts())], tmp_path).report
    assert not {CLUSTERS, DIFFERENT} & set(report.tables)


def test_members_without_url_are_named_by_id(tmp_path: Path) -> None:
    families = _families([3])
    tables = _tables(signed(families.texts(), url=pa.nulls(3, pa.string())), tmp_path)
    (first, _), *others = families.members(0)
    [row] = tables[CLUSTERS]
    assert row["url"] is None and row["other members"] == [id_.hex() for id_, _ in others]
    assert [(row["one"], row["other"]) for row in tables[DIFFERENT]] == [(first.hex(), id_.hex()) for id_, _ in others]


def test_members_alike_in_words_have_no_row_of_differences(tmp_path: Path) -> None:
    text = _families([1]).texts()[0]
    table = signed([text, text.replace(" ", "\n"), text.replace(" ", " \t ")])
    tables = _tables(table, tmp_path)
    [row] = tables[CLUSTERS]
    assert tables[DIFFERENT] == []
    assert (row["documents"], row["text they share"]) == (3, text[:MAX_SHARED_CHARS] + "…")
    assert len(row["excerpt"]) > 100 and text.startswith(row["excerpt"]), "blanks are single in an excerpt"


def test_members_that_share_no_passage_show_none(tmp_path: Path) -> None:
    """Case and punctuation differ everywhere: the shingles are the same, the words are not."""
    text = " ".join(f"{a}{b}" for a in "ghijklmn" for b in "opqrstuv")
    [row] = _tables(signed([text, text.title()]), tmp_path)[CLUSTERS]
    assert (row["documents"], row["text they share"]) == (2, "")


PLAIN = " ".join(f"{a}{b}" for a in "abcdefg" for b in "opqrstu")
HOSTILE = {
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(2)> & &amp; \" ' </table> " * 3,
    "control characters": "nul \x00 bell \x07 escape \x1b[31m turned \u202e\u2066 line \u2028 mark \ufeff",
    "word of 5 MB": f"{PLAIN} " + "w" * 5_000_000,
    "5 MB of one word": f"{PLAIN} " + "word " * 1_000_000,
    "long words": " ".join("abcdefgh"[n] * 20_000 for n in range(8)),
    "Chinese": "今天天气很好我们一起去公园散步吧明天再来" * 400,
    "emoji": "🙂 👩‍👩‍👧 🇩🇪 e\u0301 ﷽ " * 5,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_tables_of_hostile_texts_are_short_and_valid(tmp_path: Path, name: str) -> None:
    texts = [HOSTILE[name], HOSTILE[name] + " end", HOSTILE[name] + " stop", "", " "]
    urls = pa.array(["javascript:alert(1)", "https://a.example/\x00<b>", None, None, ""])
    tables = _tables(signed(texts, url=urls), tmp_path, 2)
    assert [row["documents"] for row in tables[CLUSTERS]] == [3]
    json.dumps(tables, allow_nan=False).encode()
    for row in [*tables[CLUSTERS], *tables[DIFFERENT]]:
        for cell in row.values():
            assert not isinstance(cell, str) or len(cell) <= MOST_CHARS
    assert all(0 <= row["similarity"] <= 1 for row in tables[DIFFERENT])
