"""Reading WARC and ARC files so that every byte of a file belongs to exactly one record or quarantined gap.

members.py: a byte stream into inflated pieces; records.py: pieces into records; response.py: an HTTP message into its
body; pages.py: a record into a page, or the reason why it is none.
"""
