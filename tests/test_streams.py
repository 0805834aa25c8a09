"""Standard streams that are not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import REPOSITORY
from tffd.streams import LastingStream

OPENS_A_FILE = """
import sys
from tffd.streams import open_streams
open_streams()
file = open(sys.argv[1], "w")
print("printed")
print("complained", file=sys.stderr)
assert sys.stdin.read() == ""
sys.exit(file.fileno())
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_process_without_a_stream_can_print_and_hits_no_file(tmp_path: Path, closed: str) -> None:
    command = f'exec "$0" -c "$1" "$2" {closed}'
    arguments = [sys.executable, OPENS_A_FILE, str(tmp_path / "file")]
    done = subprocess.run(["sh", "-c", command, *arguments], cwd=REPOSITORY, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode > 2  # the number of its file
    assert (tmp_path / "file").read_text() == ""


def test_a_stream_whose_reader_has_gone_takes_what_is_written_on() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as pipe:
        stream = LastingStream(pipe)
        for _ in range(3):
            assert stream.write("a line\n") == 7
            stream.flush()
        assert stream.encoding == "utf-8"
        assert not stream.isatty()


def test_a_stream_with_a_reader_is_read() -> None:
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as pipe:
        stream = LastingStream(pipe)
        stream.write("a line\n")
        stream.flush()
        assert os.read(reading, 100) == b"a line\n"
    os.close(reading)
