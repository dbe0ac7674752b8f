"""The report's estimates against exact fractions and against pairs drawn at random whose similarity is known."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.report import StepReport
from pipeline.wide_context import ReportWriter
from stages import minhash, signatures
from stages.dedup import candidate_report, corpus
from stages.dedup.candidate_report import Candidates, _at_most
from stages.dedup.evidence import NUM_LEVELS, Verify
from stages.kernels.shingling import Shingling
from tests.stages.dedup.dedup_runs import laid_out, run_minhash, signed

RECALL = candidate_report.RECALL
PRECISION = "estimated precision of confirmed pairs"
SHINGLING = Shingling(ngram=5, normalisation="datatrove", shingles="words")
NUM_PAIRS = 60_000


def _report(similarity_P: np.ndarray, bands: int, rows: int, method: Any, threshold: float) -> StepReport:
    """What is reported of candidates of these measured similarities."""
    report = StepReport(step="test", uses="stages.minhash", kind="wide", produces="documents")
    counts, edges = (
        np.bincount((measured * NUM_LEVELS + 1e-9).astype(int), minlength=NUM_LEVELS + 1)
        for measured in (similarity_P, similarity_P[similarity_P >= threshold])
    )
    found = Candidates(count_L=counts, edge_L=edges, num_ties=0, num_unsigned=0)
    verify = Verify(method=method, num_rows=bands * rows, seed=1, shingling=SHINGLING)
    candidate_report.write(ReportWriter(report), found, bands, rows, verify, threshold)
    return report


def _binomial(successes: int, trials: int, chance: Fraction) -> Fraction:
    """P(X <= successes), term by term in exact fractions."""
    terms = (math.comb(trials, i) * chance**i * (1 - chance) ** (trials - i) for i in range(successes + 1))
    return sum(terms, Fraction(0))


@pytest.mark.parametrize("trials", [1, 2, 18, 112, 201])
@pytest.mark.parametrize("chance", [0.001, 0.3, 0.5, 0.7, 0.999])
def test_at_most_equals_the_sum_of_exact_fractions(trials: int, chance: float) -> None:
    for successes in {0, 1, trials // 3, int(trials * chance), trials - 1, trials}:
        exact = float(_binomial(min(successes, trials), trials, Fraction(chance)))
        assert _at_most(successes, trials, chance) == pytest.approx(exact, rel=1e-10, abs=1e-300)


def test_at_most_at_the_ends_is_zero_or_one() -> None:
    assert [_at_most(k, 5, 0.5) for k in (-1, 5, 9)] == [0.0, 1.0, 1.0]
    assert [_at_most(k, 5, 0.0) for k in (-1, 0, 4)] == [0.0, 1.0, 1.0]
    assert [_at_most(k, 5, 1.0) for k in (-1, 0, 4, 5)] == [0.0, 0.0, 0.0, 1.0]


def test_at_most_is_the_share_of_a_beta_distribution_above_the_chance() -> None:
    rng = np.random.default_rng(0)
    for equal, rows, threshold in ((79, 112, 0.7), (90, 112, 0.7), (14, 20, 0.8), (0, 20, 0.05)):
        share = float((rng.beta(equal + 1, rows - equal + 1, 200_000) >= threshold).mean())
        assert _at_most(equal, rows + 1, threshold) == pytest.approx(share, abs=4 * math.sqrt(0.25 / 200_000))


def _drawn(name: str, rng: np.random.Generator) -> np.ndarray:
    """Similarities of pairs: all alike likely, few near ones, near ones and others, all about the threshold."""
    match name:
        case "uniform":
            return rng.random(NUM_PAIRS)
        case "few near":
            return rng.beta(2, 4, NUM_PAIRS)
        case "two humps":
            return np.append(rng.beta(2, 8, NUM_PAIRS // 2), rng.beta(12, 2, NUM_PAIRS // 2))
        case _:
            return rng.uniform(0.6, 0.8, NUM_PAIRS)


@pytest.mark.parametrize("name", ["uniform", "few near", "two humps", "about the threshold"])
@pytest.mark.parametrize("bands, rows, threshold", [(14, 8, 0.7), (14, 8, 0.75), (9, 13, 0.7), (20, 5, 0.7)])
def test_recall_estimated_of_exact_similarities_is_the_share_compared(
    name: str, bands: int, rows: int, threshold: float
) -> None:
    """A pair is compared by the chance of its similarity; of all those above the threshold, this share was."""
    rng = np.random.default_rng(bands)
    similarity_P = _drawn(name, rng)
    compared_P = rng.random(NUM_PAIRS) < 1 - (1 - similarity_P**rows) ** bands
    near_P = similarity_P >= threshold
    true = (near_P & compared_P).sum() / near_P.sum()
    report = _report(similarity_P[compared_P], bands, rows, "exact", threshold)
    # four standard deviations of either share, more than half as much again for the weights of (9, 13)
    assert report.figures[RECALL] == pytest.approx(true, abs=0.006 + 3 * math.sqrt(0.25 / near_P.sum()))
    assert report.figures[PRECISION] == 1.0
    assert report.counters["confirmed_pairs"] == (near_P & compared_P).sum()


def _signed_pairs(
    similarity_P: np.ndarray, bands: int, rows: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(share of rows that agree, whether a band agrees), each row agreeing with the chance of the pair's similarity."""
    equal_PBR = rng.random((len(similarity_P), bands, rows)) < similarity_P[:, None, None]
    return np.mean(equal_PBR, axis=(1, 2)), np.any(np.all(equal_PBR, axis=2), axis=1)


@pytest.mark.parametrize("name", ["uniform", "two humps", "few near"])
@pytest.mark.parametrize("bands, rows", [(14, 8), (20, 5), (9, 13)])
def test_recall_estimated_of_signatures_is_near_the_share_compared(name: str, bands: int, rows: int) -> None:
    """Of the pairs whose signatures agree in enough rows, the share that is compared, whatever they are like."""
    rng = np.random.default_rng(rows)
    similarity_P = _drawn(name, rng)
    estimate_P, compared_P = _signed_pairs(similarity_P, bands, rows, rng)
    near_P = estimate_P >= 0.7
    true = (near_P & compared_P).sum() / near_P.sum()
    estimated = _report(estimate_P[compared_P], bands, rows, "signatures", 0.7).figures[RECALL]
    assert estimated == pytest.approx(true, abs=0.006 + 3 * math.sqrt(0.25 / near_P.sum()))


@pytest.mark.parametrize("bands, rows, threshold", [(14, 8, 0.7), (9, 13, 0.7), (20, 5, 0.8), (2, 3, 0.5)])
def test_precision_estimated_of_signatures_is_the_share_truly_near(bands: int, rows: int, threshold: float) -> None:
    """Similarities are uniform, as the estimate takes them to be; that only pairs that share a band are seen does not
    matter, since it depends on the rows that agree and not on the similarity behind them."""
    rng = np.random.default_rng(7)
    similarity_P = rng.random(NUM_PAIRS)
    estimate_P, compared_P = _signed_pairs(similarity_P, bands, rows, rng)
    edge_P = compared_P & (estimate_P >= threshold)
    true = (similarity_P >= threshold)[edge_P].mean()
    estimated = _report(estimate_P[compared_P], bands, rows, "signatures", threshold).figures[PRECISION]
    assert estimated == pytest.approx(true, abs=4 * math.sqrt(true * (1 - true) / edge_P.sum()))


def test_figures_without_candidates_are_those_of_the_settings_alone() -> None:
    for method in ("exact", "signatures"):
        report = _report(np.empty(0), 14, 8, method, 0.7)
        assert set(report.figures) == {"chance to be compared at the threshold", "LSH midpoint"}
        assert report.figures["chance to be compared at the threshold"] == pytest.approx(1 - (1 - 0.7**8) ** 14)
        assert report.figures["LSH midpoint"] == pytest.approx((1 / 14) ** (1 / 8))
        assert (report.counters["candidate_pairs"], report.counters["confirmed_pairs"]) == (0, 0)


@pytest.mark.parametrize("hundredths", range(1, 101))
def test_recall_counts_the_pairs_from_the_threshold_on_and_no_others(hundredths: int) -> None:
    """A thousand pairs a thousandth below the threshold and one at it: the estimate is that of the one alone."""
    threshold = hundredths / 100
    below = np.full(1_000, (10 * hundredths - 1) / 1_000)
    report = _report(np.append(below, threshold), 4, 1, "exact", threshold)
    assert report.counters["confirmed_pairs"] == 1
    assert report.figures[RECALL] == pytest.approx(1 - (1 - threshold) ** 4, rel=1e-9)


def test_recall_counts_no_pair_below_a_threshold_between_two_thousandths() -> None:
    """Of 1,010 candidates ten are edges, all of them 0.9 alike; the others are a hair below the threshold."""
    report = _report(np.append(np.full(1_000, 0.6665), np.full(10, 0.9)), 14, 8, "exact", 0.6667)
    assert (report.counters["candidate_pairs"], report.counters["confirmed_pairs"]) == (1_010, 10)
    assert report.figures[RECALL] == pytest.approx(1 - (1 - 0.9**8) ** 14, rel=1e-9)
    report = _report(np.append(np.full(1_000, 0.6665), np.full(10, 0.6668)), 14, 8, "exact", 0.6667)
    assert report.figures[RECALL] == pytest.approx(1 - (1 - 0.666**8) ** 14, rel=1e-9)


def test_precision_counts_no_pair_below_a_threshold_between_two_thousandths() -> None:
    """Of 1,000 rows 667 and more are at or above the threshold; 666 are not, and are no edge."""
    pairs = np.append(np.full(1_000, 0.666), np.full(10, 0.9))
    figures = _report(pairs, 100, 10, "signatures", 0.6665).figures
    assert figures[PRECISION] == pytest.approx(_at_most(900, 1_001, 0.6665), rel=1e-12)


@pytest.mark.parametrize("bands, rows", [(14, 8), (37, 21), (100, 10)])
def test_precision_of_a_pair_follows_from_the_rows_that_agree(bands: int, rows: int) -> None:
    """The similarities are counted in thousandths, from which the number of rows must come back."""
    num_rows = bands * rows
    for equal in range(math.ceil(0.7 * num_rows), num_rows + 1, max(1, num_rows // 97)):
        figures = _report(np.array([equal / num_rows]), bands, rows, "signatures", 0.7).figures
        assert figures[PRECISION] == pytest.approx(_at_most(equal, num_rows + 1, 0.7), rel=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
@pytest.mark.parametrize("method", ["exact", "signatures"])
def test_figures_at_the_ends_of_the_threshold_are_shares(method: str, threshold: float) -> None:
    report = _report(np.array([0.25, 0.5, 1.0]), 14, 8, method, threshold)
    assert report.figures["share of candidates confirmed"] == (1.0 if threshold == 0 else 1 / 3)
    for name in (RECALL, PRECISION):
        assert 0 <= report.figures[name] <= 1
    for line in report.series["LSH curve"]["lines"].values():
        assert all(0 <= chance <= 1 for chance in line)


def _texts() -> list[str]:
    """30 families of three: a text of 60 words, one with a word changed, and one with eight changed; one
    text twice, and four too short."""
    rng = np.random.default_rng(2)
    texts = []
    for _ in range(30):
        words = ["".join(letters) for letters in rng.choice(list("abcdefgh"), (60, 6))]
        for num_changed in (0, 1, 8):
            changed = set(rng.choice(60, num_changed, replace=False).tolist())
            texts.append(" ".join("changed" if i in changed else word for i, word in enumerate(words)))
    return [*texts, texts[0], "too short", "", "a", "a b c d"]


def test_report_of_a_run_counts_the_pairs_that_share_a_band(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No group of a band has more than eight members here, so every pair that shares one is a candidate."""
    monkeypatch.setattr(corpus, "TASK_DOCS", 30)
    table = signed(_texts(), signatures.Config(num_bands=10, rows_per_band=4))
    cfg = minhash.Config(num_bands=10, rows_per_band=4, threshold=0.6)
    report = run_minhash(cfg, laid_out(table, 5, 0), tmp_path).report
    rows = [row for row in table["signature"].to_pylist() if row is not None]
    expected = []
    for one, other in combinations(rows, 2):
        equal = [a == b for a, b in zip(one, other, strict=True)]
        if any(all(equal[i : i + 4]) for i in range(0, 40, 4)):
            expected.append(sum(equal))
    assert report.counters["without_signature"] == 4
    assert report.counters["candidate_pairs"] == len(expected) > 30
    assert report.counters["confirmed_pairs"] == sum(equal >= 24 for equal in expected)
    assert report.figures["share of candidates confirmed"] == sum(equal >= 24 for equal in expected) / len(expected)
    bars = report.bars["similarity of candidates"]
    assert bars["counts"] == [sum(min(equal // 2, 19) == b for equal in expected) for b in range(20)]
    assert 40 in expected, "a pair that is alike in all is in the last bin"
    assert (bars["labels"][0], bars["labels"][-1]) == ("0.00-0.05", "0.95-1.00")


@pytest.mark.parametrize("method", ["exact", "signatures"])
def test_report_of_a_run_shows_the_curve_of_its_bands_and_rows(tmp_path: Path, method: Any) -> None:
    table = signed(_texts(), signatures.Config(num_bands=10, rows_per_band=4))
    cfg = minhash.Config(num_bands=10, rows_per_band=4, threshold=0.6, verify=method)
    report = run_minhash(cfg, [table], tmp_path).report
    curve = report.series["LSH curve"]
    assert curve["x"] == pytest.approx([i / 100 for i in range(101)])
    shared = [1 - (1 - s**4) ** 10 for s in curve["x"]]
    assert curve["lines"]["chance to share a band"] == pytest.approx(shared)
    if method == "exact":
        confirmed = [float(i >= 60) for i in range(101)]
    else:
        confirmed = [1 - float(_binomial(23, 40, Fraction(i, 100))) for i in range(101)]
    expected = [a * b for a, b in zip(shared, confirmed, strict=True)]
    assert curve["lines"]["chance to be confirmed"] == pytest.approx(expected, abs=1e-9)


def test_report_of_a_run_without_documents_has_no_estimates(tmp_path: Path) -> None:
    table = signed(["a text of just five words"])
    report = run_minhash(minhash.Config(), [table.slice(0, 0), table.slice(0, 0)], tmp_path).report
    assert RECALL not in report.figures and report.counters["candidate_pairs"] == 0
    column = pa.nulls(1, table["signature"].type)
    unsigned = table.drop_columns("signature").append_column("signature", column)
    report = run_minhash(minhash.Config(), [unsigned], tmp_path / "unsigned").report
    assert report.counters["without_signature"] == 1
