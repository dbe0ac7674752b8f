"""A card of documents that are made on the spot, without the step that learns the tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.store import Folder
from stages.vocab.measuring import TOKENIZER, Measuring, described
from stages.vocab.selection import Documents
from tests.stages.pack_context import HereContext, write_documents

Document = tuple[bytes, str | None, str]


def card_of(
    shards: Sequence[Sequence[Document]], location: Path, tokenizer_json: bytes, from_share: float = 0.5
) -> tuple[dict[str, Any], str]:
    """The card as it is in card.json, and its page."""
    artifact = write_documents(f"{location}/documents", shards)
    output = Folder(f"{location}/vocabulary")
    output.write_bytes(TOKENIZER, tokenizer_json)
    ctx = HereContext(inputs={"documents": artifact}, output=output, work=Folder(f"{location}/work"))
    measuring = Measuring(documents=Documents(folder=artifact.folder, seed=1), from_share=from_share)
    vocab = json.loads(tokenizer_json)
    vocab_size = len(vocab["model"]["vocab"]) + len(vocab["added_tokens"])
    card = described(ctx, measuring, artifact.shards(), vocab_size)
    return json.loads(json.dumps(card)), output.read_bytes("card.html").decode()
