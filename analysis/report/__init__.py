"""The report: one HTML page on a directory of runs that works without a network.

Data flows one way: gathered runs, content (texts and numbers, tested), page. Its style and script lie beside this file.
"""
