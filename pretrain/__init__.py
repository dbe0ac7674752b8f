"""Pretraining of a decoder-only transformer on packed token shards."""
