"""Support of stages/pack.py: the token shard writer."""
