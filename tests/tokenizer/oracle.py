"""What `tokenizers` learns from texts: the reference for tokenizer/train.py."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, pre_tokenizers, trainers

from tokenizer.one_thread import one_thread
from tokenizer.train import Options, untrained


def train_with_tokenizers(texts: Iterable[str], options: Options) -> bytes:
    """The tokenizer.json of its BpeTrainer."""
    tokenizer = untrained(options)
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocab_size - len(options.special_tokens),
        min_frequency=options.min_frequency,
        # the trainer makes tokens shorter than this, whatever its documentation says
        max_token_length=None if options.max_token_length is None else options.max_token_length + 1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    with one_thread():
        tokenizer.train_from_iterator(iter(texts), trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in options.special_tokens])
    return bytes(tokenizer.to_str(), "utf-8")
