"""Labels from snippets: places worked out by hand."""

from __future__ import annotations

from stages.html.training.snippets import snippet_labels

NAVIGATION = "Home Sports"
BODY = "The match ended in a draw after a late goal by the visitors, who had waited for it all day."


def test_snippet_labels_snippets_in_one_block_each_label_it_and_no_other() -> None:
    labels = snippet_labels([NAVIGATION, BODY, "Imprint"], ["ended in a draw"], ["Imprint"])
    assert labels.tolist() == [-1, 1, 0]


def test_snippet_labels_over_block_borders_and_line_breaks_label_all_with_text() -> None:
    labels = snippet_labels(["Dear\n all,", "", "it is over", "now"], ["all, it  is\nover"], [])
    assert labels.tolist() == [1, -1, 1, -1]


def test_snippet_labels_wanted_in_navigation_too_takes_the_place_by_the_article() -> None:
    labels = snippet_labels(["Late draw", NAVIGATION, "Late draw", BODY], ["Late draw", "waited for it"], [])
    assert labels.tolist() == [-1, -1, 1, 1]


def test_snippet_labels_wanted_in_several_places_without_others_are_unknown() -> None:
    assert snippet_labels(["Late draw", NAVIGATION, "Late draw"], ["Late draw"], []).tolist() == [-1, -1, -1]


def test_snippet_labels_unwanted_tag_named_in_the_article_is_unwanted_as_a_tag_only() -> None:
    labels = snippet_labels([BODY, "visitors", "more"], [], ["visitors"])
    assert labels.tolist() == [-1, 0, -1]


def test_snippet_labels_unwanted_everywhere_in_longer_blocks_is_unwanted_unless_one_is_wanted() -> None:
    blocks = [BODY, "visitors were also seen by the gate"]
    assert snippet_labels(blocks, [], ["visitors"]).tolist() == [0, 0]
    assert snippet_labels(blocks, ["ended in a draw"], ["visitors"]).tolist() == [1, -1]


def test_snippet_labels_wanted_and_unwanted_in_one_block_is_unknown() -> None:
    assert snippet_labels([BODY, NAVIGATION], ["ended in a draw"], ["all day."]).tolist() == [-1, -1]


def test_snippet_labels_inside_words_only_where_there_is_no_other_place() -> None:
    assert snippet_labels(["Mailing", "Mai"], [], ["Mai"]).tolist() == [-1, 0]
    assert snippet_labels(["Mailing", "June"], [], ["Mai"]).tolist() == [0, -1]


def test_snippet_labels_missing_or_blank_snippets_label_nothing() -> None:
    assert snippet_labels([BODY], ["not there", " \n"], [""]).tolist() == [-1]
    assert snippet_labels([], ["a"], ["b"]).tolist() == []


def test_snippet_labels_soft_hyphens_and_decomposed_letters_are_found() -> None:
    assert snippet_labels(["Ver\xadnatsch in Mu\u0308nchen"], ["Vernatsch in M\u00fcnchen"], []).tolist() == [1]
