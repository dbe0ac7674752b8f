"""Support of `crawlmill export`: artifacts in the formats of other trainers; cli_export.py is the command.

source.py finds what is exported; session.py keeps the state of an export, so that a killed one goes on; formats.py
lists the formats, a file each. token_shard.py and whole_documents.py read tokens, document_rows.py documents.
"""
