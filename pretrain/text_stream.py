"""Text out of token ids as they come: whole characters only, and nothing of what a stop string would take back.

Reads:  a tokenizer, and one id after another
Writes: pieces that join up to the decoded text, up to the first stop string
Cost:   decodes the tokens since the piece before the last one, not all of them
Source: the two marks are vLLM's (`detokenize_incrementally`)
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

PROMPT_IDS = 8  # of the prompt, decoded with the first piece
CUT = "\N{REPLACEMENT CHARACTER}"  # what a decoder makes of a character's first bytes


class TextStream:
    """One text. `stopped` is set once a stop string was met; the text ends before it."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = (), prompt_ids: Sequence[int] = ()) -> None:
        assert all(stop), "an empty stop string"
        self._tokenizer, self._stop = tokenizer, tuple(stop)
        # decoded along with what follows: by themselves, tokens in sentencepiece's manner lose a space in front
        self._ids = list(prompt_ids[-PROMPT_IDS:])
        self._start, self._end = 0, len(self._ids)  # what decodes to the piece before the last one
        self._held = ""
        self.stopped = False

    def push(self, id: int) -> str:
        """What is certain after this token, often nothing."""
        self._ids.append(id)
        new = self._decoded()
        if new.endswith(CUT):
            return ""
        self._start, self._end = self._end, len(self._ids)
        return self._certain(new)

    def rest(self) -> str:
        """What was held back; a character that lacks bytes is the sign for one that is none."""
        if self.stopped:
            return ""
        text = self._certain(self._decoded())
        self._end = len(self._ids)
        held, self._held = self._held, ""
        return text + held

    def _decoded(self) -> str:
        before = self._tokenizer.decode(self._ids[self._start : self._end])
        return self._tokenizer.decode(self._ids[self._start :])[len(before) :]

    def _certain(self, new: str) -> str:
        """`new` after what was held, without what could be the beginning of a stop string; the rest is held."""
        text = self._held + new
        self._held = ""
        met = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if met:
            self.stopped = True
            return text[: min(met)]
        num_held = max((_overlap(text, stop) for stop in self._stop), default=0)
        certain = text[: len(text) - num_held]
        self._held = text[len(certain) :]
        return certain


def _overlap(text: str, stop: str) -> int:
    """How many of the last characters of `text` begin `stop`."""
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)
