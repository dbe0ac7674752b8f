"""What stages.repeated_spans is made of: its phases, the cutting, the report."""
