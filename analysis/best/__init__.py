"""The winner of a search: how sure it is, and how to find out whether it holds."""
