"""Configs of tests, by the dotted names of their fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pretrain.config import Config


def changed(config: Config, **values: Any) -> Config:
    """The config with other values: `parallel__world_size=2` sets `parallel.world_size`."""
    groups: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        group, _, field = name.rpartition("__")
        groups.setdefault(group, {})[field] = value
    top = groups.pop("", {})
    nested = {name: replace(getattr(config, name), **fields) for name, fields in groups.items()}
    return replace(config, **nested, **top)
