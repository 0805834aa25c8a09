"""Passwords in addresses: what counts as one, and how it is shown."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.support import places, run_py
from tffd.passwords import refuse_passwords, refuse_passwords_in, without_password
from tffd.refusal import ConfigError


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql+psycopg://user:secret@host:5432/db", "postgresql+psycopg://user:***@host:5432/db"),
        ("postgresql://user:p%40ss@host/db?sslmode=require", "postgresql://user:***@host/db?sslmode=require"),
        ("postgresql+psycopg://user:a/b@host/db", "postgresql+psycopg://user:***@host/db"),
        ("postgresql+psycopg://user:a?b@host/db", "postgresql+psycopg://user:***@host/db"),
        ("postgresql+psycopg://user:a'b#c@d@host/db", "postgresql+psycopg://user:***@host/db"),
        ("postgresql://user:secret@host:port/db", "postgresql://user:***@host:port/db"),
        # SQLAlchemy takes all from the colon to the @ for a password, and b for the host.
        ("postgresql://host:5432/db?user=a@b", "postgresql://host:***@b"),
        ("postgresql://host/db?user=u&password=secret&x=y", "postgresql://host/db?user=u&password=***&x=y"),
        ("postgresql://host/db?sslpassword=secret", "postgresql://host/db?sslpassword=***"),
        ("postgresql://host/db?a=b&%70assword=secret", "postgresql://host/db?a=b&%70assword=***"),
        ("postgresql://host/db?oauth_client_secret=x", "postgresql://host/db?oauth_client_secret=***"),
        ("postgresql://host/db?dbname=password%3Dx", "postgresql://host/db?dbname=***"),
        ("[sqlite:///x,postgresql://u:p@h/d]", "[sqlite:///x,postgresql://u:***@h/d]"),
        ("https://user:token@host/pictures.zip", "https://user:***@host/pictures.zip"),
    ],
)
def test_a_password_is_not_shown_and_is_refused_wherever_it_stands(address: str, shown: str) -> None:
    assert without_password(address) == shown
    for refused in (
        lambda: refuse_passwords_in(["model=resnet8", f"sweep.storage={address}"]),
        lambda: refuse_passwords(OmegaConf.create({"sweep": {"storage": address}})),
        lambda: refuse_passwords(OmegaConf.create({"hydra": {"overrides": {"task": [f"a={address}"]}}})),
    ):
        with pytest.raises(ConfigError) as caught:
            refused()
        (fault,) = caught.value.faults
        assert f"={shown}: holds a password" in fault
        assert "put it into ~/.pgpass or into the environment variable PGPASSWORD" in fault


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://user@host/db",
        "postgresql://user:@host/db",
        "postgresql://user:***@host/db",
        "postgresql+psycopg://user@host:5432/db?sslmode=require&passfile=/home/u/.pgpass",
        "https://host:8080/a@b",
        "journal",
        "journal:///tmp/a:b@c",
        "sqlite:////tmp/x y.db",
        "s3://bucket/key@2",
        "null",
    ],
)
def test_what_holds_no_password_is_shown_as_it_is_and_taken(address: str) -> None:
    assert without_password(address) == address
    refuse_passwords_in([f"sweep.storage={address}"])
    refuse_passwords(OmegaConf.create({"sweep": {"storage": address}}))


def test_things_that_are_no_text_are_shown_too() -> None:
    assert without_password(Path("/tmp/study.db")) == "/tmp/study.db"
    assert without_password(None) == "None"


@pytest.mark.parametrize("argument", ["hydra.job.env_set.PGPASSWORD=hunter2", "+dataset.source.password=hunter2"])
def test_a_setting_that_is_named_a_password_is_refused(argument: str) -> None:
    key = argument.partition("=")[0].lstrip("+")
    for refused in (
        lambda: refuse_passwords_in([argument]),
        lambda: refuse_passwords(OmegaConf.from_dotlist([argument.lstrip("+")])),
    ):
        with pytest.raises(ConfigError) as caught:
            refused()
        assert f"{key}=***: holds a password" in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_an_address_that_is_put_together_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "hunter2")
    address = "postgresql://user${at}host/db"
    config = OmegaConf.create({"at": ":${oc.env:MY_PASSWORD}@", "sweep": {"storage": address}})
    with pytest.raises(ConfigError) as caught:
        refuse_passwords(config)
    assert "sweep.storage=postgresql://user:***@host/db: holds a password" in str(caught.value)


SWEEP_FILE = """
# @package _global_
defaults: [lambdas]
sweep: {storage: "postgresql+psycopg://user:%s@127.0.0.1:1/db"}
"""
SECRET = "hunt?er'2"
ADDRESS = f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/db"


@pytest.mark.parametrize(
    "arguments",
    [
        (f"sweep.storage={ADDRESS}",),
        ("-m", "seed=0,1", f"sweep.storage='{ADDRESS}'"),
        ("-m", "hydra/sweeper=optuna", "lambda_intra=0,1", f"+hydra.sweeper.storage={ADDRESS}"),
        ("sweep=shared",),
        ("-m", "sweep=shared"),
        ("-m", "sweep=shared", "hydra/sweeper=optuna"),
    ],
    ids=["run", "sweep", "stock", "run from a file", "sweep from a file", "stock from a file"],
)
def test_no_command_leaves_a_password_anywhere(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "conf" / "sweep").mkdir(parents=True)
    file = tmp_path / "conf" / "sweep" / "shared.yaml"
    file.write_text(SWEEP_FILE.lstrip() % SECRET)
    done = run_py(*arguments, "--config-dir", str(tmp_path / "conf"), *places(tmp_path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "sweep" in done.stderr
    assert "storage=" in done.stderr
    assert "user:***@127.0.0.1:1/db" in done.stderr
    assert "~/.pgpass" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in left if path == file or SECRET in path.read_text(errors="ignore")] == [file]
    assert left == [file]
