"""C4's bad words, with harmless ones: by hand, datatrove on real texts in many languages, fractions, hostile texts."""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from pipeline.config import fingerprint_fields
from pipeline.dag import load_dag
from pipeline.errors import DataError, FieldError
from pipeline.plan import make_plan
from pipeline.stage import NarrowContext, Verdict
from stages.c4_badwords import Config, c4_badwords
from tests.shared_data import REPOSITORY, SHARED, needs_shared
from tests.stages.batches import reasons
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts

PEERS = REPOSITORY / ".peers" / "bin" / "python"
needs_peers = pytest.mark.skipif(not PEERS.exists(), reason="the peers' environment, with datatrove, is not there")
PEER_SCRIPT = """
import json, sys
from datatrove.data import Document
from datatrove.pipeline.filters import C4BadWordsFilter
from datatrove.pipeline.filters import c4_filters
asked = json.load(sys.stdin)
c4_filters.cached_asset_path_or_download = lambda url, **_: asked["lists"][url.rpartition("/")[2]]
c4_filters._BADWORDS_LANGS = list(asked["lists"])
heuristic = C4BadWordsFilter(fail_on_missing_language=False)
documents = [Document(text=t, id="0", metadata={"language": l}) for t, l in zip(asked["texts"], asked["languages"])]
json.dump([heuristic.filter(d) is True for d in documents], sys.stdout)
"""


def write(folder: Path, **entries: Sequence[str]) -> dict[str, str]:
    for language, phrases in entries.items():
        (folder / language).write_text("\n".join(phrases), encoding="utf-8")
    return {language: str(folder / language) for language in entries}


def batch(texts: Sequence[str | None] | pa.Array, languages: Sequence[str | None] | None = None) -> pa.RecordBatch:
    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
    ids = [random.Random(n).randbytes(16) for n in range(len(array))]
    columns = {"id": pa.array(ids, pa.binary(16)), "text": array}
    return pa.record_batch(columns if languages is None else columns | {"language": pa.array(languages, pa.string())})


def judge(rows: pa.RecordBatch, config: Config) -> Verdict:
    return c4_badwords.function(config, NarrowContext(step="test"))(rows)


@pytest.mark.parametrize(
    ("text", "num"),
    [
        ("A turnip.", 1), ("TURNIP", 1), ("turnips", 0), ("_turnip", 0), ("(turnip)", 1), ("éturnip", 0),
        ("turnip turnip", 2), ("a green bean here", 1), ("a green  bean", 0), ("green\nbean", 0), ("evergreen bean", 0),
        ("c++ is", 1), ("c++11", 0),
        ("xc++", 0), ("turnip-green bean", 2), ("GROßE", 1), ("İ turnip", 1), ("中turnip", 0),
        ("。turnip。", 1), ("", 0), (None, 0), ("ἈΒΓΔΣ", 1), ("bean stew", 1), ("green bean stew", 2),
    ],
)  # fmt: skip
def test_c4_badwords_text_matches_at_word_boundaries(tmp_path: Path, text: str | None, num: int) -> None:
    lists = write(tmp_path, en=["Turnip", "green bean", "bean stew", "c++", "große", "ἀβγδς", "# bean", ""])
    verdict = judge(batch([text]), Config(lists=lists))
    assert verdict.measures["num_bad_words"].value_N.tolist() == [num]
    assert reasons(verdict) == ["bad_word" if num else None]


def test_c4_badwords_document_is_held_against_its_languages_list(tmp_path: Path) -> None:
    lists = write(tmp_path, en=["turnip"], de=["rübe"], zh=["芜菁", "性"], th=["หัว"])
    rows = [
        ("turnip", "en", "turnip"), ("turnip", "de", None), ("Eine RÜBE!", "de", "rübe"), ("大芜菁头", "zh", "芜菁"),
        ("性", "zh", None), ("turnip", None, "turnip"), ("turnip", "fr", None), ("xหัวx", "th", "หัว"),
        ("rübe", "und", None),
    ]  # fmt: skip
    verdict = judge(batch([r[0] for r in rows], [r[1] for r in rows]), Config(lists=lists))
    assert [reason is not None for reason in reasons(verdict)] == [word is not None for _, _, word in rows]
    assert verdict.tallies["bad_word"].to_pylist() == [word for _, _, word in rows if word]
    assert verdict.counters == {"no_list_for_language": 2, "kept_with_bad_words": 0}
    assert np.isnan(verdict.measures["num_bad_words"].value_N).tolist() == [r[1] in ("fr", "und") for r in rows]


def test_c4_badwords_without_a_language_column_takes_the_default(tmp_path: Path) -> None:
    lists = write(tmp_path, de=["rübe"])
    assert reasons(judge(batch(["Rübe"]), Config(lists=lists, default_language="de"))) == ["bad_word"]
    assert judge(batch(["Rübe"]), Config(lists=lists)).counters["no_list_for_language"] == 1


def test_c4_badwords_share_limit_keeps_a_page_that_merely_mentions_a_word(tmp_path: Path) -> None:
    config = Config(lists=write(tmp_path, en=["turnip"], zh=["芜菁"]), max_bad_words=None, max_share=0.1)
    texts = ["turnip " + "stew " * 9, "turnip " + "stew " * 8, "***", "芜菁" + "头" * 8, "芜菁" + "头" * 7]
    verdict = judge(batch(texts, ["en", "en", "en", "zh", "zh"]), config)
    assert reasons(verdict) == [None, "too_many_bad_words", None, None, "too_many_bad_words"]
    np.testing.assert_allclose(verdict.measures["bad_word_share"].value_N, [0.1, 1 / 9, 0, 0.1, 1 / 9])


def test_c4_badwords_kept_fraction_follows_from_id_and_seed(tmp_path: Path) -> None:
    lists = write(tmp_path, en=["turnip"])
    rows = batch(["turnip"] * 4000 + ["stew"])
    kept = {seed: judge(rows, Config(lists=lists, keep_fraction=0.25, seed=seed)) for seed in (1, 2)}
    mask_N = np.array([reason is None for reason in reasons(kept[1])])
    assert 900 < mask_N.sum() < 1100 and mask_N[-1]
    assert kept[1].counters["kept_with_bad_words"] == mask_N.sum() - 1
    assert reasons(kept[2]) != reasons(kept[1])
    order = np.random.default_rng(1).permutation(len(mask_N))
    shuffled = judge(rows.take(pa.array(order)), Config(lists=lists, keep_fraction=0.25))
    assert [reason is None for reason in reasons(shuffled)] == mask_N[order].tolist()


def real_texts() -> tuple[list[str], list[str]]:
    """(texts, their languages): sentences in 75 languages, pages in some, several texts to a document."""
    texts, languages = [], []
    for name, every in (("langid-00", 4), ("langid-01", 4), ("quality-00", 6), ("quality-02", 6), ("lm-00", 4)):
        data = zstandard.ZstdDecompressor().stream_reader((SHARED / f"data/text/{name}.jsonl.zst").read_bytes()).read()
        for line in data.decode().rstrip("\n").split("\n")[::every]:
            row = json.loads(line)
            texts.append(row["text"])
            languages.append((row.get("lang") or "en").partition("-")[0])
    return texts, languages


def lists_of(texts: list[str], languages: list[str], rng: random.Random) -> dict[str, list[str]]:
    """For each language that datatrove has a list for: words of its texts, cut pieces of them, phrases, punctuation."""
    found: dict[str, list[str]] = {}
    for language in ("ar", "cs", "de", "en", "es", "fa", "hi", "ja", "ko", "ru", "th", "tr", "zh"):
        own = [t.lower() for t, x in zip(texts, languages, strict=True) if x == language]
        words = [word for text in own for word in re.findall(r"\w+", text)]
        lines = [text for text in own if len(text.strip()) > 3 and "\n" not in text]
        cuts = [(line, rng.randrange(len(line) - 2)) for line in rng.choices(lines, k=15)]
        pieces = [line[cut : cut + rng.randint(2, 9)].strip() for line, cut in cuts]
        spaced = [" ".join(t.split()[:2]) for t in rng.choices(lines, k=8)]
        listed = [w for w in [*rng.choices(words, k=20), *pieces, *spaced, "c++", "a.b"] if w and not w.startswith("#")]
        # one character would hit every page of a language without spaces, and a sigma is ours alone
        found[language] = sorted({w for w in listed if len(w) > 1 and "ς" not in w})
    return found


@needs_peers
@needs_shared
@pytest.mark.slow
def test_c4_badwords_real_texts_get_datatroves_verdicts(tmp_path: Path) -> None:
    rng = random.Random(4)
    texts, languages = real_texts()
    lists = write(tmp_path, **lists_of(texts, languages, rng))
    marks = [" ", ".", "\n", "_", "İ", "ß", "-", "1", "", "é", "\u0307", "中"]
    listed = {language: Path(path).read_text("utf-8").split("\n") for language, path in lists.items()}
    for _ in range(6000):  # listed phrases in other case, among characters of all kinds
        language = rng.choice(sorted(listed))
        words = [rng.choice((str.upper, str.title, str))(rng.choice(listed[language])) for _ in range(3)]
        texts.append("".join(rng.choice(marks) + word + rng.choice(marks) for word in words))
        languages.append(language)
    asked = json.dumps({"texts": texts, "languages": languages, "lists": lists})
    answer = subprocess.run([PEERS, "-c", PEER_SCRIPT], input=asked, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    ours = [reason is None for reason in reasons(judge(batch(texts, languages), Config(lists=lists)))]
    theirs = json.loads(answer.stdout)
    different = [row for row in zip(languages, texts, ours, theirs, strict=True) if row[2] != row[3]]
    assert different == []
    assert 2000 < sum(ours) < len(ours) - 4000


def test_c4_badwords_batch_gives_each_row_what_it_gets_alone(tmp_path: Path) -> None:
    lists = write(tmp_path, en=["a", "5km", "don't", "\ufffd"])
    run = c4_badwords.function(Config(lists=lists), NarrowContext(step="test"))
    rows = batch(raw_texts(hostile_rows(3, 80), b"do", b"n't"))
    whole = run(rows)
    for n in range(rows.num_rows):
        alone = run(rows.slice(n, 1))
        assert alone.measures["num_bad_words"].value_N[0] == whole.measures["num_bad_words"].value_N[n]
    assert reasons(run(rows.slice(10, 7))) == reasons(whole)[10:17]
    assert reasons(run(rows.slice(0, 0))) == []


@pytest.mark.slow
def test_c4_badwords_huge_text_of_one_kind_takes_linear_time(tmp_path: Path) -> None:
    growing = " ".join("a" * k for k in range(1, 60))
    lists = write(tmp_path, en=["a " * 200 + "b", "a" * 3000, growing], zh=["中" * 3000 + "文"])
    run = c4_badwords.function(Config(lists=lists), NarrowContext(step="test"))
    for unit in ("a", "a ", " ", "中", "\n", "İ", "."):
        text = unit * (50_000_000 // len(unit.encode()))
        start = time.process_time()
        run(batch([text, text[:10]], ["en", "zh"]))
        run(batch([text], ["zh"]))
        assert time.process_time() - start < 12


def test_c4_badwords_configs_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    lists = write(tmp_path, en=["# nothing"])
    with pytest.raises(FieldError, match="at least one language"):
        Config()
    with pytest.raises(FieldError, match="a limit here"):
        Config(lists=lists, max_bad_words=None)
    with pytest.raises(FieldError, match="0 to 1"):
        Config(lists=lists, keep_fraction=1.5)
    with pytest.raises(FieldError, match="0 or more"):
        Config(lists=lists, max_bad_words=-1)
    with pytest.raises(DataError, match="no entries"):
        judge(batch(["x"]), Config(lists=lists))


DAG = """\
version: 1
output: {folder}/out
steps:
  books: {{uses: stages.documents, with: {{source: {folder}/books.jsonl}}}}
  words: {{uses: stages.c4_badwords, inputs: books, with: {{lists: {{{lists}}}}}}}
"""


def test_c4_badwords_fingerprint_follows_content_and_language_of_lists(tmp_path: Path) -> None:
    (tmp_path / "books.jsonl").write_text('{"text": "A page."}\n')
    write(tmp_path, one=["a"], two=["b"])

    def fingerprint(lists: str) -> str:
        path = tmp_path / "dag.yaml"
        path.write_text(DAG.format(folder=tmp_path, lists=lists.replace(": ", f": {tmp_path}/")))
        return make_plan(load_dag(str(path))).steps["words"].fingerprint

    same = fingerprint("en: one")
    assert fingerprint("en: one") == same
    different = ["en: one", "en: two", "de: one", "en: one, de: two", "en: two, de: one"]
    assert len({fingerprint(lists) for lists in different}) == len(different)
    write(tmp_path, one=["c"])
    assert fingerprint("en: one") != same


def test_c4_badwords_lists_moved_elsewhere_give_the_same_fingerprint(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    moved = [fingerprint_fields(Config(lists=write(folder, en=["turnip"]))) for folder in folders]
    assert moved[0] == moved[1]
    assert fingerprint_fields(Config(lists=write(tmp_path, de=["turnip"]))) != moved[0]


def test_c4_badwords_key_that_is_no_language_names_the_field(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="lists"):
        Config(lists=write(tmp_path, english=["turnip"]))
