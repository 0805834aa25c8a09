"""Searches and grids: one engine, studies that can be left and taken up again."""
