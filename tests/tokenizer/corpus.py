"""A small corpus, the same every time: English and Chinese sentences with numbers, marks and markup among them."""

from __future__ import annotations

import random

_SENTENCE = """the quick brown fox jumps over lazy dog while people write letters about weather trade and machines that
learn from data every day because reading is the best way to understand how things work in practice don't we'll isn't"""
_ENGLISH = _SENTENCE.split()
_CHINESE = "我们今天在学校学习自然语言处理的方法并且写了一个小程序来统计每个字出现的次数"
_MARKS = (", ", ". ", " - ", "! ", " (", ") ", "\n\n", "; ", " <b>", "</b> ", "\t", "  ")


def texts(number: int, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [_text(rng) for _ in range(number)]


def _text(rng: random.Random) -> str:
    parts = []
    for _ in range(rng.randrange(5, 120)):
        kind = rng.random()
        if kind < 0.75:
            parts.append(rng.choice(_ENGLISH) + " ")
        elif kind < 0.85:
            start = rng.randrange(len(_CHINESE) - 6)
            parts.append(_CHINESE[start : start + rng.randrange(1, 6)])
        elif kind < 0.92:
            parts.append(str(rng.randrange(10**6)))
        else:
            parts.append(rng.choice(_MARKS))
    return "".join(parts)
