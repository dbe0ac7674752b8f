"""What the dedup stages share: how documents are numbered, which of a cluster is kept, and how that is applied."""
