"""Support of stages/vocabulary.py: choosing documents, counting their pretokens, measuring what was learned."""
