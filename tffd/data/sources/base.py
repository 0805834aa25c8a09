"""What a data set must be able to do."""

from typing import Protocol, runtime_checkable

from tffd.data.arrays import Arrays, Summary


class DataChanged(ValueError):
    """Pictures are not those that they were when a run was planned."""


class Source(Protocol):
    """A data set that can be decoded into `Arrays`."""

    def check(self) -> Summary:
        """Say what is there, without decoding. Raises ValueError with what to do if it cannot be read."""
        ...

    def fingerprint(self) -> str:
        """A text that changes whenever `read` may return something else, found without reading; it names the cache."""
        ...

    def content(self) -> str:
        """A text that is equal for equal data alone, wherever it lies: it tells whether two runs saw the same."""
        ...

    def read(self) -> Arrays:
        """Decode everything. Raises ValueError with what to do."""
        ...


@runtime_checkable
class ReadsFiles(Protocol):
    """A data set in files that a user may edit. To know its content they must be read, so that is remembered."""

    def files(self) -> dict[str, tuple[int, ...]]:
        """Every file that `read` reads, by a name that people know, with what tells that it may have changed."""
        ...
