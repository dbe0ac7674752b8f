"""Made-up sites through the whole: texts, figures, card, command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stages.html.model import load_model
from stages.html.training import __main__ as command
from stages.html.training import kept_models
from stages.html.training.cross_validation import (
    ALL,
    cross_validate,
    leave_one_source_out_texts,
    out_of_fold_texts,
)  # fmt: skip
from stages.html.training.examples import make_examples
from stages.html.training.gold import Gold, Snippets
from stages.html.training.held_out import by_site
from stages.html.training.kept_models import model_of
from stages.html.training.scoring import page_rates
from stages.html.training.settings import Settings
from tests.stages.html.training.gold_site import QUICK, pages, write_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    write_files(tmp_path / "data", pages())
    return tmp_path / "data"


@pytest.mark.parametrize("texts_of", [out_of_fold_texts, leave_one_source_out_texts])
def test_held_out_texts_of_made_up_sites_are_their_articles(
    texts_of: Callable[..., dict[str, str]], folder: Path, tmp_path: Path
) -> None:
    texts = texts_of(folder, folder, QUICK, models=tmp_path / "models")
    assert set(texts) == {page.gold.uri for page in pages()}
    for page in pages():
        if not isinstance(page.gold.main_text, Snippets):
            assert page_rates(page.gold.main_text, texts[page.gold.uri]).both > 0.9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "models"]
    assert len(list(folder.iterdir())) == 2


def test_cross_validate_scores_gold_without_a_page_as_empty() -> None:
    examples = make_examples(pages(), QUICK)
    gold = {page.gold.uri: page.gold for page in pages()}
    whole = cross_validate(examples, gold, QUICK)
    assert list(whole.out_of_fold) == [ALL, "cleaneval-dev", "dragnet", "trafilatura"]
    assert whole.out_of_fold[ALL].f1 > 0.95 and whole.leave_one_source_out[ALL].f1 > 0.95
    assert whole.threshold in QUICK.thresholds
    assert whole.f1_by_threshold[str(whole.threshold)] == whole.out_of_fold[ALL].f1
    missing = Gold("http://missing.com/", "dragnet", True, "Text that is nowhere to be found.")
    less = cross_validate(examples, gold | {missing.uri: missing}, QUICK)
    assert less.out_of_fold["dragnet"].num_pages == whole.out_of_fold["dragnet"].num_pages + 1
    assert less.out_of_fold["dragnet"].recall < whole.out_of_fold["dragnet"].recall
    assert less.leave_one_source_out["dragnet"].recall < whole.leave_one_source_out["dragnet"].recall


def test_model_of_a_folder_learns_once_for_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    examples = make_examples(pages(10), QUICK)
    split = by_site(examples)[0]
    learned = model_of(examples, split, QUICK, tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("learned again")

    monkeypatch.setattr(kept_models, "learn", refuse)
    assert (model_of(examples, split, QUICK, tmp_path).second.leaf == learned.second.leaf).all()
    with pytest.raises(AssertionError, match="learned again"):
        model_of(examples, split, replace(QUICK, seed=1), tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


def test_main_writes_a_model_its_card_and_figures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "Settings", lambda: QUICK)
    arguments = ["--pages", str(folder), "--gold", str(folder), "--output"]
    assert command.main([*arguments, str(tmp_path / "a.npz"), "--cross-validate"]) == 0
    assert command.main([*arguments, str(tmp_path / "b.npz")]) == 0
    figures = json.loads((tmp_path / "a.json").read_text())
    model = load_model(tmp_path / "a.npz")
    assert model.about["threshold"] == model.threshold
    assert model.about["settings"]["threshold"] == figures["threshold"]
    assert sum(model.about["pages"].values()) == len(pages())
    card = (tmp_path / "a.md").read_text()
    assert f"| {figures['out_of_fold']['dragnet']['f1']:.4f} |" in card
    assert "{" not in card and "Not measured" in (tmp_path / "b.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.md", "a.npz", "b.md", "b.npz", "data"]


def test_main_without_gold_says_so(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "gold-00.jsonl.zst").unlink()
    arguments = ["--pages", str(folder), "--gold", str(folder), "--output", str(tmp_path / "model.npz")]
    assert command.main(arguments) == 1
    assert "no page has gold" in capsys.readouterr().err


def test_settings_as_json_are_json() -> None:
    assert json.loads(json.dumps(Settings().as_json())) == Settings().as_json()
