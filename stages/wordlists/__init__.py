"""What the filters by lists share: reading the lists, host names, public suffixes."""
