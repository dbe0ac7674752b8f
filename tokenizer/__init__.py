"""Training and use of byte-level BPE tokenizers; knows neither Ray nor the engine."""
