"""The command line: run, plan, why, report, explain, index, export, sample, generate, evaluate, verify.

Exit 0: done. 2: the DAG or a flag is wrong, nothing ran. 1: the run failed; what was finished stays.
`--json` prints one machine-readable object.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import cli_budget, cli_evaluate, cli_export, cli_generate, cli_index, explain_text
from pipeline.artifact import open_artifact, verify
from pipeline.backend import Backend, LocalBackend
from pipeline.dag import load_dag
from pipeline.errors import CrawlmillError, DagError, DataError, StoreError
from pipeline.explain import explain, format_fate
from pipeline.folder_lock import locked
from pipeline.plan import Plan, make_plan, why
from pipeline.progress import ProgressKind, open_progress
from pipeline.report_limits import kept_elsewhere
from pipeline.run_file import last_run
from pipeline.run_summary import INDEX, is_current, now, read_reports, summarise, write_page, write_summary
from pipeline.runner import Execution
from pipeline.stage_loader import check_packages_are_ours
from pipeline.store import Folder


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        check_packages_are_ours()
        return int(args.verb(args))
    except DagError as error:
        return _fail(args, error, 2)
    except CrawlmillError as error:
        return _fail(args, error, 1)
    except BrokenPipeError:
        # Whoever read the output has gone; the interpreter's last flush must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        found = StoreError(error.strerror or str(error), where=str(error.filename or ""), expected="files as asked for")
        return _fail(args, found, 1)
    except KeyboardInterrupt:
        print("interrupted; what was finished stays, and the next run resumes", file=sys.stderr)
        return 1


def _fail(args: argparse.Namespace, error: CrawlmillError, code: int) -> int:
    if args.json:
        fields = ("where", "found", "expected", "mend")
        print(json.dumps({"error": {name: getattr(error, name) for name in fields}, "exit": code}))
    else:
        print(f"crawlmill: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="crawlmill", description="From crawl to trained model in one DAG, on Ray.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, function: Any, about: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=about, description=about)
        sub.set_defaults(verb=function)
        sub.add_argument("--json", action="store_true", help="print one machine-readable object")
        return sub

    def dag_verb(name: str, function: Any, about: str) -> argparse.ArgumentParser:
        sub = verb(name, function, about)
        sub.add_argument("dag", help="the DAG file, such as dag.yaml")
        sub.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", dest="overrides",
                         help="override a field, as in steps.crawl.with.num_shards=1")  # fmt: skip
        return sub

    run = dag_verb("run", _run, "Run what is not fresh, and write the report.")
    run.add_argument("--address", help="a Ray cluster to run on (`auto` on one of its nodes); default: a local Ray")
    run.add_argument("--workers", type=_positive, help="tasks at a time of the local Ray; default: one per CPU")
    run.add_argument("--in-process", action="store_true", help="run every task in this process, without Ray")
    run.add_argument("--plain", action="store_true", help="plain lines instead of the live display")
    cli_budget.add_arguments(dag_verb("plan", _plan, "Show what would run, what is fresh, and why."))
    dag_verb("why", _why, "Show what makes a step run.").add_argument("step")
    verb(
        "report",
        _report,
        "Tell what each limit keeps, and would keep elsewhere; write the report page of the last run again.",
    ).add_argument("output")
    about_document = verb("explain", _explain, "Tell one document's fate.")
    about_document.add_argument("url", help="its URL, or its id in hexadecimal; with --text also a file, or -")
    about_document.add_argument("--output", default="runs/demo", help="the output folder of the run")
    about_document.add_argument("--members", action="store_true", help="compare other members of its clusters, too")
    explain_text.add_arguments(about_document)
    cli_index.add_verbs(
        verbs.add_parser("index", help="Look at an index of earlier runs, remove documents from it, merge indexes.")
    )
    cli_export.add_arguments(
        verb("export", cli_export.run, "Write tokens or documents of the last run in another trainer's format.")
    )
    verb("verify", _verify, "Check every file of the last run against its manifest.").add_argument("output")
    sample = verb("sample", _sample, "Write the sample crawl as WARC files.")
    sample.add_argument("folder")
    cli_generate.add_arguments(verb("generate", cli_generate.run, "Continue texts with a trained model."))
    cli_evaluate.add_arguments(verb("evaluate", cli_evaluate.run, "Measure a model's bits per byte and perplexity."))
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number from 1")
    return int(text)


def _run(args: argparse.Namespace) -> int:
    started, start = now(), time.perf_counter()
    dag = load_dag(args.dag, args.overrides)
    kind: ProgressKind = "silent" if args.json else "plain" if args.plain else "auto"
    with _locked(Folder(dag.output)), _backend(args) as backend:
        plan = make_plan(dag)  # within the lock: what another run has just finished is seen
        with open_progress(kind, sys.stdout) as progress:
            run = _execute(Execution(plan=plan, backend=backend, progress=progress), started)
    if args.json:
        print(json.dumps(run))
        return 0
    if not plan.segments:
        print(f"nothing to do: all {len(plan.steps)} steps are fresh ({time.perf_counter() - start:.1f} s)")
    print(f"report: {Folder(dag.output).shown(INDEX)}")
    return 0


def _execute(execution: Execution, started: str) -> dict[str, Any]:
    """Run, and write the summary however it ends."""
    output, status, error = execution.plan.output, "failed", "stopped by an unexpected error or a signal"
    try:
        execution.run()
        status, error = "done", ""
    except CrawlmillError as problem:
        error = str(problem)
        raise
    finally:
        run = summarise(execution, started, status, error or None)
        if not is_current(output, run):
            write_summary(output, run)
    return run


@contextlib.contextmanager
def _backend(args: argparse.Namespace) -> Iterator[Any]:
    """A function that opens the backend at its first call; what it opened is closed at the end."""
    opened: list[Backend] = []

    def open_once() -> Backend:
        if not opened:
            if args.in_process:
                opened.append(LocalBackend())
            else:
                from pipeline.ray_backend import RayBackend

                opened.append(RayBackend(address=args.address, num_workers=args.workers))
        return opened[0]

    try:
        yield open_once
    finally:
        for backend in opened:
            backend.close()


def _locked(output: Folder) -> contextlib.AbstractContextManager[None]:
    """Keep a second run out of a local output folder."""
    return locked(
        output, "another run is writing here", expected="one run at a time per output folder",
        mend="Wait for it, or choose another `output`.",
    )  # fmt: skip


def _plan(args: argparse.Namespace) -> int:
    plan = make_plan(load_dag(args.dag, args.overrides))
    training = cli_budget.training(plan, args)
    if args.json:
        steps = [
            {
                "step": name, "state": p.state, "reason": p.reason, "fingerprint": p.fingerprint,
                "written_with": p.written_with, "num_shards": len(plan.source_shards.get(name, ())),
            }
            for name, p in plan.steps.items()
        ]  # fmt: skip
        segments = [[s.name for s in g.chain] for g in plan.segments]
        print(json.dumps({"steps": steps, "segments": segments, **({"training": training} if args.train else {})}))
        return 0
    width = max(map(len, plan.steps))
    for name, planned in plan.steps.items():
        print(f"{name:{width}}  {planned.state:8}  {planned.reason}")
    for segment in plan.segments:
        print("will run: " + " + ".join(step.name for step in segment.chain))
    if not plan.segments:
        print("nothing to do: every step is fresh")
    for line in cli_budget.lines(training):
        print(line)
    return 0


def _why(args: argparse.Namespace) -> int:
    plan = make_plan(load_dag(args.dag, args.overrides))
    _check_step(plan, args.step)
    lines = why(plan, args.step)
    print(json.dumps({"step": args.step, "because": lines}) if args.json else "\n".join(lines))
    return 0


def _check_step(plan: Plan, step: str) -> None:
    if step not in plan.steps:
        from pipeline.errors import close_match

        raise DagError(f"no step {step!r}", where=plan.dag.path, expected=f"one of {', '.join(plan.steps)}",
                       mend=close_match(step, plan.steps))  # fmt: skip


def _report(args: argparse.Namespace) -> int:
    folder, run = last_run(args.output)
    page = write_page(folder, run)
    kept = kept_elsewhere(read_reports(folder, run))
    if args.json:
        print(json.dumps({"report": page, "limits": kept}))
        return 0
    for limit in kept:
        print(f"{limit['step']}: {limit['measure']}: {limit['words']}")
    print(f"report: {page}")
    return 0


def _explain(args: argparse.Namespace) -> int:
    if args.text:
        return explain_text.run(args)
    folder, _ = last_run(args.output)
    comparison = importlib.import_module("stages.dedup.comparison")
    fates = explain(folder, args.url, comparison, args.members)
    if args.json:
        print(json.dumps([fate.to_json() for fate in fates]))
    else:
        print("\n\n".join(format_fate(fate) for fate in fates))
    return 0


def _verify(args: argparse.Namespace) -> int:
    folder, run = last_run(args.output)
    names = dict.fromkeys(step["artifact"] for step in run["steps"] if step["artifact"])
    if not names:
        raise DataError(
            "no finished step", where=Folder(args.output).shown(), expected="a run that finished at least one step"
        )
    problems, num_files = [], 0
    for name in names:
        artifact = open_artifact(folder.child(name))
        if artifact is None:
            problems.append(f"{folder.shown(name)}: no artifact.json; expected a finished artifact")
            continue
        num_files += len(artifact.manifest["files"])
        problems += verify(artifact)
    if args.json:
        print(json.dumps({"files": num_files, "problems": problems}))
    else:
        print("\n".join(problems) or f"{num_files} files are as their manifests say")
    return 1 if problems else 0


def _sample(args: argparse.Namespace) -> int:
    importlib.import_module("stages.sample.build").write_sample_crawl(Path(args.folder))
    print(json.dumps({"folder": args.folder}) if args.json else f"sample crawl: {args.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
