"""Short blocks that are dates or names of authors, and such as only look like them."""

from __future__ import annotations

import numpy as np
import pytest

from stages.kernels.compiled import kernel
from stages.kernels.html_bylines import MOST_BYTES, is_byline


@kernel
def asked(text: np.ndarray) -> bool:
    return is_byline(text, 0, len(text))


@pytest.mark.parametrize(
    "text",
    [
        "By Ann Lee", "by ANN LEE and Bo Ek", "Von Jörg Müller", "Text: Ann Lee", "5 May 2021", "2021-05-05",
        "05/05/21",
        "Published on Monday, 5th May 2021 at 10:30 am GMT", "Le 5 février 2021 à 10:30",
        "2021年5月1日",
        "1. September 2020, 10:00 Uhr",
        "5 января 2021 года", "Par Jean d'Arc",
    ],
)  # fmt: skip
def test_is_byline_dates_and_names_are(text: str) -> None:
    assert asked(np.frombuffer(text.encode(), np.uint8))


@pytest.mark.parametrize(
    "text",
    [
        "May", "<1>", "10:30", "By the numbers", "By", "By Ann Lee, who was there.", "In 2021 we won", "Ann Lee", "-",
        "",
        "By Monday it was clear to everyone in Town", "10 apples", "By Ann Lee:",
        "By " + "Ann " * 9,
        "5" * (MOST_BYTES + 1),
    ],
)  # fmt: skip
def test_is_byline_sentences_and_headings_are_not(text: str) -> None:
    assert not asked(np.frombuffer(text.encode(), np.uint8))
