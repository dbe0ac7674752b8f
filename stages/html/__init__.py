"""From a page's HTML to its main text, its metadata and the reasons. No stages here; `stages/extract.py` uses them."""
