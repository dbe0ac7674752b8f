"""The stages of a pipeline: one file each, none of which imports another."""
