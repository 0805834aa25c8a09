"""What a data set must be able to do."""

from typing import Protocol

from tffd.data.arrays import Arrays, Summary


class Source(Protocol):
    """A data set that can be decoded into `Arrays`."""

    def check(self) -> Summary:
        """Say what is there, without decoding. Raises ValueError with what to do if it cannot be read."""
        ...

    def fingerprint(self) -> str:
        """A text that changes whenever `read` would return something else; it names the cache."""
        ...

    def content(self) -> str:
        """The same, but equal for a copy in another place: it tells whether two runs saw the same pictures."""
        ...

    def read(self) -> Arrays:
        """Decode everything. Raises ValueError with what to do."""
        ...
