"""Commands of `python -m analysis`, a file each: what `argparse` needs, and what the command does.

Each imports what it needs when it runs: pandas would make --help slow.
"""
