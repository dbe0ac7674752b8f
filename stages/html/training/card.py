"""The model's card: what it is, what it was learned from, how it does on pages it has not seen.

Reads:  the model, the examples, figures of cross-validation where there are any
Writes: Markdown; the notes that the model file keeps
Cost:   none
Source: Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv 1810.03993)
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import catboost
import numpy as np

from stages.html.model import Model
from stages.html.training.cross_validation import ALL, Figures
from stages.html.training.examples import Examples
from stages.html.training.gold import broken_gold
from stages.html.training.scoring import Score
from stages.html.training.settings import Settings
from stages.kernels.html_second import FEATURE_NAMES, NUM_FIRST

_TEXT = Path(__file__).with_name("card.md")
_UNMEASURED = "Not measured in the run that wrote this model; `--cross-validate` does."


def about(examples: Examples, settings: Settings) -> dict[str, Any]:
    """What the model file says of its making."""
    pages = Counter(page.gold.source for page in examples.pages if page.gold.uri not in broken_gold())
    return {
        "settings": settings.as_json(),
        "pages": dict(sorted(pages.items())),
        "sites": len(set(examples.site_P.tolist())),
        "blocks": int((~np.isnan(examples.label_B)).sum()),
        "catboost": catboost.__version__,
    }


def card(model: Model, num_bytes: int, figures: Figures | None) -> str:
    """Markdown. `num_bytes`: of the model file."""
    return _TEXT.read_text(encoding="utf-8").format_map(
        {
            "size": f"{num_bytes / 1000:,.0f} KB",
            "weights": ", ".join(_weights(model, name) for name in ("structure", "vocabulary", "following")),
            "num_first_trees": len(model.first.leaf),
            "num_second_trees": len(model.second.leaf),
            "num_first_features": NUM_FIRST,
            "num_features": len(FEATURE_NAMES),
            "num_pages": f"{sum(model.about['pages'].values()):,}",
            "num_sites": f"{model.about['sites']:,}",
            "num_blocks": f"{model.about['blocks']:,}",
            "num_broken": len(broken_gold()),
            "threshold": model.about["settings"]["threshold"],
            "pages": _pages(model.about["pages"]),
            "catboost": model.about["catboost"],
            "figures": _UNMEASURED if figures is None else _figures(figures),
        }
    )


def _weights(model: Model, name: str) -> str:
    table = getattr(model, name)
    return f"{name} {np.count_nonzero(table):,} of {len(table):,}"


def _pages(pages: dict[str, int]) -> str:
    return ", ".join(f"{source} {count:,}" for source, count in pages.items())


def _figures(figures: Figures) -> str:
    lines = [
        "| pages | number | F1 by site | precision | recall | F1 by source | precision | recall |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for source, of_site in figures.out_of_fold.items():
        cells = (source if source != ALL else "**all**", f"{of_site.num_pages:,}", *_cells(of_site))
        lines.append(f"| {' | '.join((*cells, *_cells(figures.leave_one_source_out[source])))} |")
    tried = ", ".join(f"{threshold}: {f1:.4f}" for threshold, f1 in figures.f1_by_threshold.items())
    lines += [
        "",
        f"F1 of all pages by site, by threshold: {tried}. With each fold's threshold chosen on the other folds: "
        f"{figures.f1_threshold_unseen:.4f}.",
    ]
    return "\n".join(lines)


def _cells(of: Score) -> tuple[str, str, str]:
    return f"{of.f1:.4f}", f"{of.precision:.3f}", f"{of.recall:.3f}"
