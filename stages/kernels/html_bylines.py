"""Whether a short block names nothing but an author or a day: "By Ann Lee", "Published 5 May 2021, 10:30 GMT".

Reads:  the bytes of one block
Writes: yes or no
Cost:   about 100 ns; asked only of the few short blocks at a text's head
Source: our choice of words: months, weekdays and what stands before dates and names, in the languages with most pages
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_attributes import FNV_OFFSET, FNV_PRIME, token_hash
from stages.kernels.inlined import inlined

MOST_BYTES, MOST_NAME_WORDS = 120, 8
DATE_DIGITS = 6  # of a date without words: 12/05/21; fewer are a number

_DATE_WORDS = (
    "january february march april may june july august september october november december jan feb mar apr jun jul aug"
    " sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri"
    " sat sun am pm gmt utc est edt cst cdt mst mdt pst pdt bst cet cest ist st nd rd th on at of the published posted"
    " updated created modified last date edited by"
    " januar februar märz mai juni juli oktober dezember montag dienstag mittwoch donnerstag freitag samstag sonntag"
    " uhr um am vom den veröffentlicht aktualisiert stand erstellt"
    " janvier février mars avril juin juillet août septembre octobre novembre décembre lundi mardi mercredi jeudi"
    " vendredi samedi dimanche le à publié mis jour"
    " enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre lunes martes miércoles"
    " jueves viernes sábado domingo de del el publicado actualizado"
    " janeiro fevereiro março maio junho julho setembro outubro novembro dezembro em às"
    " gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre pubblicato il"
    " januari februari maart mei augustus op om"
    " января февраля марта апреля мая июня июля августа сентября октября ноября декабря года"
    " 年 月 日 時 分 时 发布 更新 年月日"
)  # fmt: skip
_NAME_WORDS = "by von par por di door av autor author text words 作者 文 автор"

NUM_SLOTS = 1024


def _slots(words: str) -> np.ndarray:
    """uint32[NUM_SLOTS]: the words' hashes."""
    keys = np.zeros(NUM_SLOTS, np.uint32)
    for word in dict.fromkeys(words.split()):
        slot = token_hash(word) % NUM_SLOTS
        while keys[slot]:
            slot = (slot + 1) % NUM_SLOTS
        keys[slot] = token_hash(word)
    return keys


_DATE_SLOTS, _NAME_SLOTS = _slots(_DATE_WORDS), _slots(_NAME_WORDS)


@inlined
def _is_among(word: int, slots: np.ndarray) -> bool:
    key = np.uint32(word)
    slot = np.int64(key) & (NUM_SLOTS - 1)
    while slots[slot]:
        if slots[slot] == key:
            return True
        slot = (slot + 1) & (NUM_SLOTS - 1)
    return False


@inlined
def is_byline(text: np.ndarray, start: int, end: int) -> bool:
    """Whether text[start:end] is a date, with words that go with dates at most, or a word like "by" and a name."""
    if end - start > MOST_BYTES:
        return False
    fresh = np.uint32(FNV_OFFSET)
    word: Any = fresh
    num_words = 0
    num_capitals: Any = 0
    num_digits: Any = 0
    in_word, all_of_dates, names_author = False, True, False
    is_capital: Any = False
    for i in range(start, end + 1):
        byte = text[i] if i < end else np.uint8(32)
        if 97 <= byte | 32 <= 122 or byte >= 0x80:
            if not in_word:
                is_capital = byte < 97 or byte >= 0x80
            low = byte | np.uint8(32) if byte < 0x80 else byte
            word = (word ^ np.uint32(low)) * np.uint32(FNV_PRIME)
            in_word = True
            continue
        num_digits += 48 <= byte <= 57
        if in_word:
            if not _is_among(word, _DATE_SLOTS):
                all_of_dates = False
            if num_words == 0:
                names_author = _is_among(word, _NAME_SLOTS)
            else:
                num_capitals += is_capital
            num_words += 1
            word, in_word = fresh, False
    if all_of_dates and num_digits >= (1 if num_words else DATE_DIGITS):
        return True
    ends_a_sentence = text[end - 1] == 46 or text[end - 1] == 33 or text[end - 1] == 63 or text[end - 1] == 58
    few = 2 <= num_words <= MOST_NAME_WORDS
    return names_author and few and 2 * num_capitals >= num_words - 1 and not ends_a_sentence
