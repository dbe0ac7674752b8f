"""The engine: reads a DAG, plans it, runs it on Ray, and accounts for every document. Knows nothing about text."""
