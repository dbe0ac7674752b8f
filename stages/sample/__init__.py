"""The sample crawl and the labelled texts written by this project; see card.md."""
