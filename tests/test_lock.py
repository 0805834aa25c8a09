"""`make lock`: from pip's report to requirements with hashes."""

import json
import subprocess
from pathlib import Path

from tests.support import REPOSITORY


def test_the_lock_holds_versions_and_hashes_and_no_addresses(tmp_path: Path) -> None:
    def package(name: str, version: str, **download: object) -> dict[str, object]:
        where = {"url": f"https://user:pw@index.example/{name}.whl", **download}
        return {"metadata": {"name": name, "version": version}, "download_info": where}

    report = {
        "install": [
            package("torch", "2.14.1+cpu", archive_info={"hashes": {"sha256": "ab"}}),
            package("Jinja2", "3.1.6", archive_info={"hashes": {"sha256": "cd"}}),
            package("tffd", "0.1", dir_info={"editable": True}),
        ]
    }
    path = tmp_path / "requirements.lock"
    subprocess.run([str(REPOSITORY / ".ci" / "lock"), str(path)], input=json.dumps(report), text=True, check=True)
    assert path.read_text() == "Jinja2==3.1.6 --hash=sha256:cd\ntorch==2.14.1+cpu --hash=sha256:ab\n"
