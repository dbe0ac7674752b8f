"""Reading corpora that already are text: lines of JSON, Parquet tables, text files."""
