"""Words that several messages share."""


def counted(number: int, noun: str) -> str:
    """As in "1 trial", "2 trials"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
