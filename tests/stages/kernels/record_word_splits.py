"""Records what spaCy splits strings into, per language, for test_language_words.py.

Run it with `.peers/bin/python -m tests.stages.kernels.record_word_splits`.
"""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

FILE = Path(__file__).with_name("word_splits.json.gz")
_LANGUAGES = """af am ar bg ca cs da de el en es fa fi fo fr ga grc hsb hu id it ky la lij lt mk ms nb nl pl pt ro
ru sr sv ti tl tn tr tt uk xx"""
_PIECES = """don't l'eau d'un c'est L’ n' s’il qu'on aujourd'hui z.B. d.h. e.g. p.ej. t.o.v. т.е. и т.д. т.ч.
5km 5% $ US$ c' € £5 3.14 1,000 a,b ... .. … . ' '' " “ ” ’ ‘ „ « » - -- --- — —— – ~ / = < > : ;
:) ( ) [ ] { } + * ^ # @ & _ ! ? ° °C. ² km² www.a.com http:// https://x.org/a?b=c a@b.co foo.bar
Foo.Bar foo.Bar A b 1 23 é Ж ж 中 你好 。 ， © ★ 😀 ́ ’s 's Dr. Hr. M. a. 10. 2. XIV XIV. 10.5.2020
10:30 Mr. и/или 192.168.1.1 ABC. aB. -vous -il -ce porte- saut-de-lit entr'acte faux- 't z'n ke-2
's-Hertogenbosch buku-buku -nya se- Rp10 10-15 x² 50° %5 ,, `` ¿ ¡ , . , - ' der die das il la el
кг EE. UU. в ₽ № ½ ª º"""
LANGUAGES, PIECES = tuple(_LANGUAGES.split()), tuple(_PIECES.split())


def strings(exceptions: list[str], rng: random.Random, num_strings: int) -> list[str]:
    """Half of pieces alone, half with a language's exceptions among them; some with spaces."""
    pieces = [*PIECES, *" " * 6]
    with_exceptions = [rng.choice(exceptions) for _ in range(len(pieces))] + pieces
    halves = (pieces, with_exceptions)
    return ["".join(rng.choice(halves[n % 2]) for _ in range(rng.randint(1, 7))) for n in range(num_strings)]


def main() -> None:
    import spacy  # type: ignore[import-not-found,unused-ignore]

    recorded = {}
    for language in LANGUAGES:
        tokenizer = spacy.blank(language).tokenizer
        texts = strings(sorted(k for k in tokenizer.rules if k.strip()), random.Random(language), 200)
        recorded[language] = [[text, [w.text for w in tokenizer(text) if w.text.strip()]] for text in texts]
    text = json.dumps(recorded, ensure_ascii=False, separators=(",", ":"))
    FILE.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
