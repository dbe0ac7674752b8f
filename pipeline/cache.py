"""Where crawlmill keeps what it can make or fetch again: hashes of files, fetched models, the sample crawl."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder `name` in crawlmill's part of the user's cache ($XDG_CACHE_HOME, else ~/.cache); not yet created."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crawlmill" / name
