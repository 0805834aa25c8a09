"""Which runs, columns, groups, metrics and trials a question is about, and what else differs between them."""
