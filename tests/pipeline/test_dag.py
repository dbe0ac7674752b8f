"""Every mistake in a DAG file is one message with file:line, what was found, what was expected, the close match."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.dag import load_dag
from pipeline.errors import DagError
from pipeline.stage import NarrowContext

GOOD = """\
version: 1
output: runs/x
steps:
  books:
    uses: stages.documents
    with: {source: books}
  quality:
    uses: stages.gopher_quality
    inputs: books
  vocabulary: {uses: stages.vocabulary, inputs: quality, with: {vocab_size: 1000}}
  chunks:
    uses: stages.pack
    inputs: {documents: quality, vocabulary: vocabulary}
resources:
  default: {num_cpus: 0.5}
"""


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "dag.yaml"
    path.write_text(text)
    return str(path)


def test_load_dag_good_file_has_typed_steps(tmp_path: Path) -> None:
    dag = load_dag(write(tmp_path, GOOD))
    assert list(dag.steps) == ["books", "quality", "vocabulary", "chunks"]
    assert dag.steps["vocabulary"].config.vocab_size == 1000
    assert dag.steps["chunks"].inputs == {"documents": "quality", "vocabulary": "vocabulary"}
    assert dag.steps["books"].where.endswith("dag.yaml:4")
    assert dag.resources_of("chunks").num_cpus == 0.5
    assert "text" in dag.columns["quality"]


@pytest.mark.parametrize(
    "old, new, line, words",
    [
        ("stages.documents", "stages.docments", 5, ["unknown stage 'stages.docments'", "mean 'stages.documents'?"]),
        ("stages.documents", "os.system", 5, ["unknown stage 'os.system'"]),
        ("stages.documents", "stages.kernels", 5, ["stages.kernels is no stage"]),
        ("inputs: books", "inputs: boks", 9, ["names no step: 'boks'", "Did you mean 'books'?"]),
        ("    inputs: books\n", "", 7, ["lacks the input 'documents'"]),
        ("{documents: quality, vocabulary", "{docs: quality, vocabulary", 13, ["unknown input 'docs'", "documents"]),
        ("inputs: quality, with", "inputs: chunks, with", 7, ["a cycle"]),
        ("{source: books}", "{sorce: books}", 6, ["unknown field 'sorce'", "Did you mean 'source'?"]),
        ("vocab_size: 1000", "vocab_size: many", 10, ["vocab_size is 'many'", "a whole number"]),
        ("with: {source: books}", "wiht: {source: books}", 6, ["unknown field 'wiht'", "Did you mean 'with'?"]),
        ("  quality:\n", "  books:\n", 7, ["'books' is given twice", ":4"]),
        ("version: 1", "version: 2", 1, ["expected version: 1"]),
        ("output: runs/x", "outptu: runs/x", 2, ["Did you mean 'output'?"]),
        ("documents: quality, vocabulary: vocabulary", "documents: vocabulary, vocabulary: vocabulary", 11,
         ["makes vocabulary", "a step that makes documents"]),
        ("inputs: books", "inputs: &a books", 9, ["an anchor or alias"]),
        ("num_cpus: 0.5", "num_cpu: 0.5", 15, ["Did you mean 'num_cpus'?"]),
        ("default: {", "defualt: {", 15, ["resources for 'defualt'"]),
        ("inputs: books", "inputs: books\n    with: 3", 10, ["steps.quality.with is '3'", "a mapping"]),
        ("num_cpus: 0.5", "num_cpus: -1", 15, ["a number above 0"]),
        ("output: runs/x", "output: https://somewhere.example/x", 2, ["expected a folder, s3://bucket/prefix"]),
        ("output: runs/x", "output: ''", 2, ["expected a folder"]),
        ("source: books", 'source: "a\\0b"', 6, ["expected text"]),
        ("version: 1", "version: [1", 2, ["expected valid YAML"]),
        ("version: 1", "version: !!python/object/apply:os.system [ls]", 1, ["expected version: 1"]),
    ],
)  # fmt: skip
def test_load_dag_mistake_is_one_message_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, words: list[str]
) -> None:
    assert old in GOOD
    with pytest.raises(DagError) as caught:
        load_dag(write(tmp_path, GOOD.replace(old, new, 1)))
    message = str(caught.value)
    for word in words:
        assert word in message
    if "a cycle" not in message:
        assert f"dag.yaml:{line}: " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "old, new, line, words",
    [
        ("inputs: books\n", "inputs: books\n    annotate: 1\n", 10, ["steps.quality.annotate is '1'", "true or false"]),
        ("source: books}\n", "source: books}\n    annotate: true\n", 7,
         ["stages.documents is no filter", "stages.gopher_quality", "stages.language"]),
        ("inputs: quality, with", "annotate: true, inputs: quality, with", 10, ["stages.vocabulary is no filter"]),
        ("inputs: books\n", "inputs: books\n    anotate: true\n", 10, ["Did you mean 'annotate'?"]),
    ],
)  # fmt: skip
def test_load_dag_annotate_where_nothing_is_measured_is_refused(
    tmp_path: Path, old: str, new: str, line: int, words: list[str]
) -> None:
    with pytest.raises(DagError) as caught:
        load_dag(write(tmp_path, GOOD.replace(old, new, 1)))
    for word in (f"dag.yaml:{line}: ", *words):
        assert word in str(caught.value)


def test_load_dag_annotate_adds_the_measures_and_the_reason(tmp_path: Path) -> None:
    more = (
        "  clean: {uses: stages.c4_quality, inputs: quality, annotate: true}\n"
        "  tongue: {uses: stages.language, inputs: clean, annotate: true}\nresources:"
    )
    dag = load_dag(write(tmp_path, GOOD.replace("resources:", more)))
    before, clean, tongue = (list(dag.columns[name]) for name in ("quality", "clean", "tongue"))
    assert clean == [*before, "clean_lorem_ipsum", "clean_curly_brackets", "clean_num_sentences", "clean_reason"]
    assert tongue == [*clean, "language", "language_score", "tongue_language_score", "tongue_reason"]
    assert not dag.steps["quality"].annotate


@pytest.mark.parametrize(
    "more, column",
    [
        ("  a: {uses: stages.language, inputs: quality}\n"
         "  language: {uses: stages.classify, inputs: a, annotate: true, with: {column: score, model: m}}\n",
         "language_score"),
        ("  a: {uses: stages.classify, inputs: quality, annotate: true, with: {column: reason, model: m}}\n",
         "a_reason"),
        ("  a: {uses: stages.classify, inputs: quality, annotate: true, with: {column: a_reason, model: m}}\n",
         "a_reason"),
    ],
)  # fmt: skip
def test_load_dag_annotated_column_that_is_there_already_is_refused(tmp_path: Path, more: str, column: str) -> None:
    with pytest.raises(DagError, match=f"would annotate column '{column}', which is there already.*Rename the step"):
        load_dag(write(tmp_path, GOOD.replace("resources:", more + "resources:")))


def test_load_dag_column_that_no_step_adds_says_who_does(tmp_path: Path) -> None:
    text = GOOD.replace("stages.documents", "stages.commoncrawl").replace("stages.gopher_quality", "stages.minhash")
    with pytest.raises(
        DagError, match=r"reads column 'signature'.*Put a step with `uses: stages.signatures` before it"
    ):
        load_dag(write(tmp_path, text))


@pytest.mark.parametrize("uses", ["stages.exact", "stages.repeated_spans"])
def test_load_dag_policy_without_its_column_is_refused(tmp_path: Path, uses: str) -> None:
    def dag(keep: str) -> str:
        more = f"  kept: {{uses: {uses}, inputs: quality, with: {{keep: {keep}}}}}\nresources:"
        return write(tmp_path, GOOD.replace("resources:", more))

    with pytest.raises(DagError, match=rf"dag.yaml:14: step 'kept' \({uses}\) reads column 'quality'"):
        load_dag(dag("quality"))
    assert "kept" in load_dag(dag("latest")).steps


@pytest.mark.parametrize(
    "override, value",
    [
        ("steps.vocabulary.with.vocab_size=512", 512),
        ("steps.vocabulary.with.vocab_size=1_024", 1024),
    ],
)
def test_override_replaces_a_field(tmp_path: Path, override: str, value: int) -> None:
    assert load_dag(write(tmp_path, GOOD), [override]).steps["vocabulary"].config.vocab_size == value


@pytest.mark.parametrize("settings", ["{column: quality}", "{column: quality, model: m.bin}"])
def test_load_dag_classifier_with_no_model_or_two_is_refused(tmp_path: Path, settings: str) -> None:
    ports = "{documents: quality, model: model}" if "model" in settings else "quality"
    more = (
        "  model: {uses: stages.train_classifier, with: {data: 'sample:quality', positive: [good]}}\n"
        f"  scored: {{uses: stages.classify, inputs: {ports}, with: {settings}}}\nresources:"
    )
    with pytest.raises(DagError, match=r"dag.yaml:15: steps.scored.with.model: .*; expected one model"):
        load_dag(write(tmp_path, GOOD.replace("resources:", more)))


@pytest.mark.parametrize("empty", ["", " null", " {}"])
def test_override_below_an_empty_mapping_takes_effect(tmp_path: Path, empty: str) -> None:
    text = GOOD.replace("    inputs: {documents", f"    with:{empty}\n    inputs: {{documents")
    dag = load_dag(write(tmp_path, text), ["steps.chunks.with.overlap=32"])
    assert dag.steps["chunks"].config.overlap == 32


def test_load_dag_step_that_would_rewrite_a_column_s_type_is_refused(tmp_path: Path) -> None:
    more = "  scored: {uses: stages.classify, inputs: quality, with: {column: text, model: m.bin}}\nresources:"
    with pytest.raises(DagError, match="would write 'text' as float; it is there as large_string"):
        load_dag(write(tmp_path, GOOD.replace("resources:", more)))


def test_override_creates_a_missing_mapping(tmp_path: Path) -> None:
    dag = load_dag(write(tmp_path, GOOD), ["steps.chunks.with.overlap=32", "resources.chunks.num_cpus=2"])
    assert dag.steps["chunks"].config.overlap == 32
    assert dag.resources_of("chunks").num_cpus == 2


@pytest.mark.parametrize(
    "override, words",
    [
        ("steps.vocabulry.with.vocab_size=5", ["no step 'vocabulry'", "Did you mean 'vocabulary'?"]),
        ("steps.vocabulary.with.vocab_siz=5", ["unknown field 'vocab_siz'", "--set steps.vocabulary.with.vocab_siz"]),
        ("steps.vocabulary.with.vocab_size", ["PATH=VALUE"]),
        ("steps.vocabulary.with.vocab_size=big", ["--set steps.vocabulary.with.vocab_size", "a whole number"]),
    ],
)
def test_override_mistake_names_the_flag(tmp_path: Path, override: str, words: list[str]) -> None:
    with pytest.raises(DagError) as caught:
        load_dag(write(tmp_path, GOOD), [override])
    for word in words:
        assert word in str(caught.value)


def test_shipped_dag_loads_and_its_sources_open(tmp_path: Path) -> None:
    dag = load_dag(str(Path(__file__).resolve().parents[2] / "dag.yaml"))
    assert "model" in dag.steps
    source = dag.steps["crawl"]
    assert source.stage.function(source.config, NarrowContext(step="crawl")) is not None
