"""From a page's bytes to its text: charsets and main-content engines. No stages here; `stages/extract.py` uses them."""
