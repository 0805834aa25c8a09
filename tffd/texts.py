"""Text for people: words that messages share, and what a terminal shows and does not obey."""


def printable(text: object) -> str:
    r"""Text on one line, with what is not printable, as \n and \x1b, spelt out: a name may come from anywhere."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, as in "1 trial" and "2 trials"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
