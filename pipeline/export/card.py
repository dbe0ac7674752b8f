"""README.md of an export that is a folder of the Hugging Face Hub.

Reads:  what is exported, and the counts of its splits
Writes: the card's text
Cost:   -
Source: the Hub's manual configuration of data files, which `datasets.load_dataset(folder)` reads, too
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.export.session import RECORD, Receipt, split_counts
from pipeline.export.source import Source


def card(source: Source, receipts: Sequence[Receipt], data_files: Mapping[str, str], about: str) -> str:
    """The YAML head that says which files a split has, then what is in here. `about` may name the contract's fields."""
    head = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split, pattern in data_files.items():
        head += [f"  - split: {split}", f"    path: {pattern!r}"]
    names = sorted({name for receipt in receipts for name in receipt.counts})
    lines = [*head, "---", "", f"# {source.artifact.step}", "", about.format(**source.contract).rstrip(), ""]
    lines += ["| split | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for split, counts in split_counts(receipts).items():
        lines.append("| " + " | ".join([split, *(f"{counts[name]:,}" for name in names)]) + " |")
    if source.contract:
        lines += ["", "| contract | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in sorted(source.contract.items())]
    lines += ["", f"Exported by crawlmill from {source.title()}; `{RECORD}` says the same for machines.", ""]
    return "\n".join(lines)
