"""Pages of the sample crawl that this project wrote: articles, copies of them, spam, insults, other languages.

Reads:  the article files beside this one, and the templates of the labelled texts
Writes: pages of the kinds `article`, `near_duplicate`, `exact_duplicate`, `spam`, `boilerplate`, `toxic` and `language`
Cost:   string formatting, under 1 s
Source: ours. Spam and insults come from the same templates as the labelled rows, with other choices and fillings
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from stages.sample.labelled import FOLDER, Group, compose, pick, read_grammar, sentences
from stages.sample.sites import Page, Site, forum, journal, paragraphs, tables

MAGAZINE = Site(host="slow-reading.example", name="Slow Reading", layout=journal)
MAGAZINE_ZH = Site(host="manman-du.example", name="慢慢读", layout=journal, lang="zh")
MIRRORS = (
    Site(host="mirror-one.example", name="Mirror One", layout=tables),
    Site(host="reading-room.example", name="The Reading Room", layout=journal),
    Site(host="text-archive.example", name="Text Archive", layout=forum),
)
FORUM = Site(host="loud-forum.example", name="The Loud Forum", layout=forum)
FORUM_ZH = Site(host="chaonao-luntan.example", name="吵闹论坛", layout=forum, lang="zh")
USERS = ("anna", "bo", "carla", "dmitri", "eve", "farid", "greta", "hugo")
NOTES = (
    "This copy was made with the kind permission of the author.",
    "Posted again because so many readers asked for it.",
    "Reading time is about four minutes.",
    "Corrections were made to the second paragraph.",
)


def articles(path: Path) -> list[tuple[str, list[str]]]:
    """(title, paragraphs) of every article of a file: `# title`, then paragraphs with empty lines between them."""
    found = []
    for part in re.split(r"^# ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        found.append((title, [p.replace("\n", " ") for p in text.strip().split("\n\n")]))
    return found


def article_pages() -> Iterator[Page]:
    """Every English and Chinese article once, and every short article in another language."""
    for site, name in ((MAGAZINE, "articles_en.txt"), (MAGAZINE_ZH, "articles_zh.txt")):
        texts = articles(FOLDER / name)
        links = [(f"/articles/{i}.html", title) for i, (title, _) in enumerate(texts)]
        for i, (title, body) in enumerate(texts):
            yield site.page("article", f"articles/{i}.html", title, paragraphs(body), links)
    for i, (heading, body) in enumerate(articles(FOLDER / "articles_other.txt")):
        lang, _, title = heading.partition(" ")
        site = Site(
            host=f"weltlesen-{lang}.example",
            name="Weltlesen",
            layout=journal,
            lang=lang if lang in "de fr ru" else "en",
        )
        yield site.page("language", f"{lang}/{i}.html", title, paragraphs(body))


def near_duplicates(originals: Sequence[Page], num: int) -> Iterator[Page]:
    """Edited copies: another site's frame, a note, and one paragraph in twelve missing."""
    for i in range(num):
        original = originals[pick(f"near {i}", len(originals))]
        html = original.body.decode()
        title = re.findall(r"<[hH][12][^>]*>(.*?)</", html)[0]
        body = [
            p for j, p in enumerate(re.findall(r"<p>[^\0]*?</p>", html)) if "&copy;" not in p and pick(f"{i} {j}", 12)
        ]
        body.insert(pick(f"place {i}", 2) * len(body), f"<p>{NOTES[pick(f'note {i}', len(NOTES))]}</p>")
        site = MIRRORS[i % len(MIRRORS)]
        yield site.page("near_duplicate", f"copies/{i}.html", title, "\n".join(body))


def exact_duplicates(originals: Sequence[Page], num: int) -> Iterator[Page]:
    """The same bytes under another address, as session ids and printer-friendly links make them."""
    for i in range(num):
        original = originals[pick(f"exact {i}", len(originals))]
        yield replace(original, kind="exact_duplicate", url=f"{original.url}?session={1000 + i}")


def bad_pages(num: int) -> Iterator[Page]:
    """Spam and link lists, English and Chinese, from the `bad` groups of quality.txt in turn."""
    words, groups = read_grammar(FOLDER / "quality.txt")
    bad = [g for g in groups if g.label == "bad"]
    for i in range(num):
        group = bad[i % len(bad)]
        site = Site(
            host=f"deals-{i % 17}.example",
            name=f"Best Deals {i % 17}",
            layout=(tables, journal)[i % 2],
            lang=group.lang,
        )
        if group.separator == "\n":
            texts = [compose(group, words, f"page {i} {j}") for j in range(5 + pick(f"length {i}", 8))]
            yield site.page("boilerplate", f"list/{i}.html", f"List {i}", paragraphs(texts))
        else:
            yield site.page("spam", f"offer/{i}.html", f"Offer {i}", _letter(words, group, f"page {i}"))


def toxic_pages(num: int) -> Iterator[Page]:
    """Quarrels on a message board and angry letters in turn, two English for each Chinese one."""
    words, groups = read_grammar(FOLDER / "toxicity.txt")
    for i in range(num):
        lang, site = (("en", FORUM), ("en", FORUM), ("zh", FORUM_ZH))[i % 3]
        clean, toxic = (next(g for g in groups if g.label == label and g.lang == lang) for label in ("clean", "toxic"))
        posts = _letter(words, toxic, f"letter {i}") if i % 2 else _posts(words, clean, toxic, f"thread {i}")
        yield site.page("toxic", f"thread/{i}.html", f"Thread {i}", posts)


def _posts(words: dict[str, list[str]], clean: Group, toxic: Group, key: str) -> str:
    posts = []
    for j in range(8 + pick(f"{key} posts", 8)):
        group = clean if pick(f"{key} calm {j}", 6) == 0 else toxic
        user = USERS[pick(f"{key} user {j}", len(USERS))]
        posts.append(
            f'<div class="post"><div class="user">{user}</div>{paragraphs([compose(group, words, f"{key} {j}")])}</div>'
        )
    return "\n".join(posts)


def _letter(words: dict[str, list[str]], group: Group, key: str) -> str:
    """Paragraphs of four sentences: text that passes for prose in every respect but its content."""
    said = sentences(group, words, key, 20)
    return paragraphs([("" if group.lang == "zh" else " ").join(said[i : i + 4]) for i in range(0, len(said), 4)])
