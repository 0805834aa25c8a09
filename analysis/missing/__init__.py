"""What lacks a complete run, and the command that fills it."""
