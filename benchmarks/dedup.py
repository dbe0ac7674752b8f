"""Near-duplicate removal: what it finds beside exact similarities, its speed beside libraries, its cost as it grows.

usage: python -m benchmarks.dedup [--json] [--quick] [--part truth|speed|scale ...] [--debian DIR] [--documents N]
                                  [--rounds N] [--truth-documents N] [--scale-documents N] [--shard-rows N]

truth: real pages (../shared/data/warc), Debian's manuals in two editions and planted edits (dedup_corpus.py). The exact
    Jaccard similarities of all pairs are found by brute force (dedup_truth.py); `stages.minhash` runs over the same
    documents with `verify: signatures` and `verify: exact`, with 14 bands of 8 rows and 144 rows more for verification,
    as dag.yaml has it; datasketch's MinHashLSH, and `signature_112`, over signatures of 112 rows.
    `recall_at_0.8_over_lsh_curve`: of the pairs of 0.8 and more, the share in one cluster, over the share that the LSH
    curve leads one to expect of these very pairs (more than 1: clusters join pairs that share no band).
    `precision_exact`, `precision_signature`: of the edges confirmed, the share with a similarity of 0.7 or more.
speed: drawn signatures (dedup_scale.py, without its boilerplate cluster, which libraries that compare all pairs of a
    bucket do not end with): ours reads the documents from Parquet, deduplicates them on Ray with a worker per CPU and
    writes the kept ones; the libraries (dedup_peers.py says what each does) start with the signatures in memory and end
    with clusters. All in turn, in one session. `vs_datasketch_lsh`, `vs_rensa_lsh`: their wall time over ours, medians;
    `..._cpu`: the same of CPU time, of all processes; `..._to_clusters`: ours until the clusters are known, without the
    report on them and the writing of documents, which the libraries have no part in.
scale: drawn signatures with known clusters, one of them of 1% of the documents: 1, 2, 4, 8 times `--scale-documents`.
    `time_per_doc_8x_over_1x`: wall time per document at 8x over that at 1x; `cpu_per_doc_8x_over_1x` of CPU time. Then
    8x once more with the clusters found as they are where their edges fit no single process, for the extrapolation.

Last line with --json: {"figures": {...}, "raw": {...}}.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import dedup_corpus, dedup_scale, dedup_truth
from benchmarks.dedup_compare import Outcome, compare, compare_known, print_recall
from benchmarks.dedup_run import EXTRA_ROWS, NGRAM, SEED, edges_of, labels_of, ray_backend, run_dedup

REPOSITORY = Path(__file__).resolve().parents[1]
PEER_PYTHON = REPOSITORY / ".peers" / "bin" / "python"
PEER_SCRIPT = REPOSITORY / "benchmarks" / "dedup_peers.py"
PEERS = ("datasketch", "datasketch_stream", "rensa", "rensa_deduplicator")
PARTS = ("truth", "speed", "scale")
NARROW = "signature_112"
VERIFY: dict[str, dict[str, Any]] = {
    "signature": {"verify": "signatures", "extra_rows": EXTRA_ROWS},
    "exact": {"verify": "exact", "extra_rows": EXTRA_ROWS},
    NARROW: {"verify": "signatures"},
}
QUICK = {"documents": 20_000, "truth_documents": 2_000, "scale_documents": 20_000, "shard_rows": 5_000, "rounds": 1}
FULL = {
    "documents": 1_000_000, "truth_documents": 20_000, "scale_documents": 1_250_000, "shard_rows": 50_000, "rounds": 3,
}  # fmt: skip
SAMPLE_PAIRS = 500  # of the brute force, compared with Python's sets


def run_peer(name: str, signatures: Path, edges: Path) -> dict[str, Any]:
    """The JSON a contender prints; it runs in the peers' environment, away from this package."""
    command = [str(PEER_PYTHON), "-P", str(PEER_SCRIPT), name, str(signatures), str(edges)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=signatures.parent, env=_peer_environment())
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _peer_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def truth(given: argparse.Namespace, folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    debian = given.debian or dedup_corpus.fetch_manuals(folder / "debian")
    rows: dict[str, dict[str, Any]] = {}
    with ray_backend(folder) as backend:
        corpus = dedup_corpus.build(given.truth_documents, debian, folder / "corpus", backend)
        start = time.perf_counter()
        sets = dedup_truth.shingle_sets(corpus.texts, NGRAM)
        pairs = dedup_truth.all_pairs(sets)
        dedup_truth.check_sample(sets, pairs, SAMPLE_PAIRS, SEED)
        num_documents = len(corpus.texts)
        print(f"{num_documents:,} documents ({corpus.manuals:,} pages of manuals, {corpus.planted:,} planted), "
              f"{len(sets.hashes):,} distinct shingles in them, {len(pairs.left):,} pairs from {dedup_truth.LEAST} on, "
              f"{int((pairs.similarity >= 0.8).sum()):,} from 0.8 on; "
              f"brute force took {time.perf_counter() - start:.1f} s")  # fmt: skip
        for name, settings in VERIFY.items():
            documents = corpus.narrow_artifact if name == NARROW else corpus.artifact
            run = run_dedup(settings, documents, folder / name, backend)
            rows[name] = compare(pairs, Outcome(labels_of(run), *edges_of(run))) | {
                "wall_s": run.wall_s, "cpu_s": run.cpu_s,
                "phases": [dedup_scale.phase_row(phase, num_documents) for phase in run.phases],
            }  # fmt: skip
    rows["datasketch"] = compare(pairs, _datasketch(corpus, folder))
    print_recall(rows)
    recall = {f"{name}": row["at_0.8"]["recall_over_lsh_curve"] for name, row in rows.items()}
    below = {f"{name}": row["at_0.8_below_1"]["recall_over_lsh_curve"] for name, row in rows.items()}
    figures = {
        "recall_at_0.8_over_lsh_curve": recall["signature"],
        "recall_at_0.8_over_lsh_curve_exact": recall["exact"],
        "recall_at_0.8_over_lsh_curve_datasketch": recall["datasketch"],
        "recall_at_0.8_below_1_over_lsh_curve": below["signature"],
        "recall_at_0.8_below_1_over_lsh_curve_exact": below["exact"],
        "precision_exact": rows["exact"]["precision"],
        "precision_signature": rows["signature"]["precision"],
        "precision_signature_112": rows[NARROW]["precision"],
        "precision_datasketch": rows["datasketch"]["precision"],
    }
    raw = {
        "documents": num_documents, "manuals": corpus.manuals, "planted": corpus.planted,
        "true_pairs": int((pairs.similarity >= 0.8).sum()), "recall": rows["signature"]["at_0.8"]["recall"],
        "lsh_curve": rows["signature"]["at_0.8"]["lsh_curve"], **rows,
    }  # fmt: skip
    return figures, raw


def _datasketch(corpus: dedup_corpus.Corpus, folder: Path) -> Outcome:
    """datasketch over the documents that are signed."""
    signed_S = np.flatnonzero(corpus.signatures.is_valid().to_numpy(zero_copy_only=False))
    signatures = corpus.signatures.drop_null()
    np.save(folder / "signatures.npy", signatures.flatten().to_numpy().reshape(len(signatures), -1))
    run_peer("datasketch", folder / "signatures.npy", folder / "edges.npy")
    left_E, right_E = signed_S[np.load(folder / "edges.npy")].T
    return Outcome(_components(len(corpus.texts), left_E, right_E), left_E, right_E)


def _components(num_documents: int, left_E: np.ndarray, right_E: np.ndarray) -> np.ndarray:
    """Each document's cluster: the least document it is connected to, by passing the least number on."""
    label_N = np.arange(num_documents)
    while True:
        before_N = label_N.copy()
        np.minimum.at(label_N, left_E, before_N[right_E])
        np.minimum.at(label_N, right_E, label_N[left_E])
        label_N = label_N[label_N]
        if (label_N == before_N).all():
            return label_N


def speed(given: argparse.Namespace, folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    num_documents = given.documents
    clusters = dedup_scale.draw_clusters(num_documents, 0.0, SEED)
    documents = dedup_scale.draw_artifact(clusters, min(given.shard_rows, -(-num_documents // 4)), folder / "in")
    np.save(folder / "signatures.npy", dedup_scale.draw_signatures(clusters, 0))
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in ("ours", "ours_to_clusters", *PEERS)}
    known: dict[str, float] = {}
    for _ in range(given.rounds):
        with ray_backend(folder) as backend:
            run = run_dedup(VERIFY[NARROW], documents, folder / "run", backend)
        known = compare_known(clusters, labels_of(run))
        shutil.rmtree(folder / "run")
        phases = [dedup_scale.phase_row(phase, num_documents) for phase in run.phases]
        taken["ours"].append({"wall_s": run.wall_s, "cpu_s": run.cpu_s, "phases": phases})
        decided = run.to_clusters()
        taken["ours_to_clusters"].append(
            {"wall_s": sum(phase.wall_s for phase in decided), "cpu_s": sum(phase.cpu_s for phase in decided)}
        )
        for name in PEERS:
            taken[name].append(run_peer(name, folder / "signatures.npy", folder / "edges.npy"))
    print(f"{num_documents:,} documents, {given.rounds} rounds; known clusters found by ours: {known}")
    median = {
        (name, unit): statistics.median(row[unit] for row in rows)
        for name, rows in taken.items()
        for unit in ("wall_s", "cpu_s")
    }
    print(f"{'':20}{'wall, s':>10}{'CPU, s':>10}")
    for name in taken:
        print(f"{name:20}{median[name, 'wall_s']:10.2f}{median[name, 'cpu_s']:10.2f}")
    figures = {}
    for name in PEERS:
        title = f"vs_{name}_lsh" if name in ("datasketch", "rensa") else f"vs_{name}"
        figures[title] = median[name, "wall_s"] / median["ours", "wall_s"]
        figures[f"{title}_cpu"] = median[name, "cpu_s"] / median["ours", "cpu_s"]
        figures[f"{title}_to_clusters"] = median[name, "wall_s"] / median["ours_to_clusters", "wall_s"]
    return figures, {"documents": num_documents, "known": known, **taken}


def scale(given: argparse.Namespace, folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    rows = dedup_scale.measure(given.scale_documents, given.shard_rows, folder)
    table = dedup_scale.extrapolate(rows)
    print("\n".join(["", *table, ""]))
    small, large = rows[0], rows[len(dedup_scale.SIZES) - 1]
    figures = {
        "time_per_doc_8x_over_1x": large["wall_us_per_document"] / small["wall_us_per_document"],
        "cpu_per_doc_8x_over_1x": large["cpu_us_per_document"] / small["cpu_us_per_document"],
        "peak_memory_8x_over_1x": large["peak_memory_mb"] / small["peak_memory_mb"],
        "known_pairs_found_8x": large["known"]["pairs_found"],
        "known_clusters_equal_8x": large["known"]["clusters_equal"],
        "known_clusters_equal_8x_stars": rows[-1]["known"]["clusters_equal"],
    }
    return figures, {"sizes": rows, "extrapolation": table}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--quick", action="store_true", help="small sizes: about a minute")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="only these")
    parser.add_argument("--debian", type=Path, metavar="DIR", help="where Debian's packages are unpacked already")
    helps = {
        "documents": "signatures of the speed part", "rounds": "runs of each contender of the speed part",
        "truth_documents": "least documents of the truth part", "scale_documents": "documents at 1x of the scale part",
        "shard_rows": "documents a shard of the speed and the scale part",
    }  # fmt: skip
    for name, text in helps.items():
        default = f" ({FULL[name]:,}; quick: {QUICK[name]:,})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=text + default)
    given = parser.parse_args()
    for name, value in (QUICK if given.quick else FULL).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    return given


def main() -> None:
    given = parse()
    if "scale" not in given.part and not PEER_PYTHON.exists():
        raise SystemExit("needs the peers' environment: run `make peers` first")
    if "truth" in given.part and not dedup_corpus.WARC.is_dir():
        raise SystemExit("needs ../shared/data/warc")
    figures: dict[str, float] = {}
    raw: dict[str, Any] = {}
    for part, measure in (("truth", truth), ("speed", speed), ("scale", scale)):
        if part not in given.part:
            continue
        print(f"--- {part}", flush=True)
        with dedup_corpus.temporary_folder() as folder:
            found, raw[part] = measure(given, Path(folder))
        figures |= found
    for name, value in figures.items():
        print(f"{name:45} {value:.4f}")
    if given.json:
        rounded = {name: round(value, 5) for name, value in figures.items()}
        print(json.dumps({"figures": rounded, "raw": raw}))


if __name__ == "__main__":
    main()
