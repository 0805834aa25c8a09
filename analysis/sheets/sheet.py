"""A table of texts, before it is written in any format."""

from dataclasses import dataclass

from analysis.sheets.notes import Note


@dataclass(frozen=True)
class Text:
    """The content of one place.

    Attributes:
        text: May hold ±.
        number: Whether it is a number, an interval or the like, which LaTeX sets as mathematics.
        bold: Whether it stands out.
    """

    text: str = ""
    number: bool = False
    bold: bool = False


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: What it shows.
        above: Titles above that one, which neighbours share.
        head: Whether it names the row.
        short: A title where room is scarce, which a note explains; "" for the same.
        aside: Whether notes may tell what it says where many rows say the same.
        share: Of a line's width, where its texts are broken into lines; 0 where it is as wide as its longest text.
    """

    title: str
    above: tuple[str, ...] = ()
    head: bool = False
    short: str = ""
    aside: bool = False
    share: float = 0.0


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        caption: What it shows, and under which conditions.
        columns: From the left; those with `head` come first. All have as many titles above.
        rows: As many texts as columns each.
        breaks: Numbers of rows that begin a new part, such as the published ones.
        notes: What belongs beside the numbers.
        left_out: What was not used, by path: of no interest to a reader of a paper.
        conditions: The end of the caption that tells conditions, which may stand among the notes.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Text, ...], ...]
    breaks: tuple[int, ...] = ()
    notes: tuple[Note, ...] = ()
    left_out: tuple[str, ...] = ()
    conditions: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The notes as text, a line each."""
        return tuple(map(str, self.notes))

    @property
    def levels(self) -> int:
        """Number of lines in the header."""
        return 1 + len(self.columns[0].above)

    def header(self, level: int) -> list[tuple[str, int]]:
        """Titles of one line of the header, the topmost being 0, each with the number of columns that it spans.

        What stands above the columns that name rows is empty.
        """
        spans: list[tuple[tuple[str, ...], int]] = []
        for column in self.columns:
            titles = (*column.above, column.title)[: level + 1]
            lowest = level == self.levels - 1
            if spans and spans[-1][0] == titles and not lowest:
                spans[-1] = (titles, spans[-1][1] + 1)
            else:
                spans.append((titles, 1))
        return [(titles[-1], span) for titles, span in spans]


def one_line(text: str) -> str:
    r"""Text without line breaks, and with \x1b and the like spelt out: a terminal or a compiler would obey them."""
    return spelt_out(" ".join(text.split()))


def spelt_out(text: str) -> str:
    """Text with every character that is not printable spelt out, line breaks included."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def spelt_lines(text: str) -> str:
    """Text of several lines, with all else that is not printable spelt out, such as marks that turn the direction."""
    return "\n".join(map(spelt_out, text.split("\n")))
