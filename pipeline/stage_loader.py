"""`uses: stages.minhash` -> the Stage that module defines. Only modules of this distribution can be named."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import CrawlmillError, DagError, close_match
from pipeline.stage import Stage

DISTRIBUTION = "crawlmill"
PACKAGES = ("pipeline", "stages", "tokenizer", "pretrain")
STAGE_PACKAGES = ("stages", "pretrain")
_DECLARES = re.compile(r"^@(source|narrow|wide)\b", re.MULTILINE)
_USES = re.compile(r"(stages|pretrain)\.[a-z][a-z0-9_]*")


PageExplainer = Callable[[Any, Mapping[str, Any]], str]  # (config, row of PAGE); raises DataError


def check_packages_are_ours() -> None:
    """The import names are generic: another distribution that installs one of them would be run instead of ours."""
    owners = importlib.metadata.packages_distributions()
    for package in PACKAGES:
        intruders = sorted({d for d in owners.get(package, []) if d.lower() != DISTRIBUTION})
        if intruders:
            raise CrawlmillError(
                f"the package {package!r} also comes from {', '.join(intruders)}", where="the Python environment",
                expected=f"{package!r} from {DISTRIBUTION} alone", mend=f"Run: pip uninstall {' '.join(intruders)}",
            )  # fmt: skip


def known_stages() -> list[str]:
    """Names of the modules that declare a stage, told from their text: importing all of them would take seconds."""
    names = []
    for package in STAGE_PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            files = sorted(Path(folder).glob("*.py"))
            names += [f"{package}.{file.stem}" for file in files if _DECLARES.search(file.read_text(encoding="utf-8"))]
    return sorted(names)


def load_stage(uses: str, where: str) -> Stage:
    """The one Stage of module `uses`; DagError at `where` when there is none."""
    if not _USES.fullmatch(uses) or importlib.util.find_spec(uses) is None:
        known = known_stages()
        raise DagError(
            f"unknown stage {uses!r}", where=where, expected=f"one of {', '.join(known)}",
            mend=close_match(uses, known),
        )  # fmt: skip
    module = importlib.import_module(uses)
    found = [value for value in vars(module).values() if isinstance(value, Stage)]
    if len(found) != 1:
        raise DagError(
            f"{uses} is no stage", where=where, expected="a module with one @source, @narrow or @wide function"
        )
    return found[0]


def page_explainer(stage: Stage) -> PageExplainer | None:
    """The `explain_page` of a stage's module, if it has one: of the step's config and a page's row it makes an HTML
    page, as text, that tells what the stage makes of it and why. DataError where these settings explain nothing."""
    found: PageExplainer | None = stage.function.__globals__.get("explain_page")
    return found
