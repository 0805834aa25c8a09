"""What a sweep tells a person."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.sweep.fakes import config, open_sweep, search
from tffd.data import DataChanged
from tffd.sweep.display import SweepDisplay, TrialLine
from tffd.sweep.plan import SweepPlan


def test_the_commands_of_a_summary_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    directory = tmp_path / "two words"
    directory.mkdir()
    settings, plan = config(), search(1)
    sweep = open_sweep(directory, plan, settings)
    assert sweep.run() == 0
    output = io.StringIO()
    whole = SweepPlan(settings, [], [plan], settings.sweep.objectives)
    console = Console(file=output, width=300, soft_wrap=True)
    SweepDisplay(whole, sweep.studies, directory, "the command", console).summarise()
    assert output.getvalue().splitlines()[-3:] == [
        f"Results:  {directory}",
        f"Table:    python -m analysis table '{directory}'",
        f"Best:     python -m analysis best '{directory}'",
    ]


def test_text_of_others_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    """Values come from a study that others may write, reasons from records: neither markup nor control sequences."""
    hostile = "\x1b]0;owned\x07[bold]x[/nonsense] :boom:\u202e"
    shown = r"\x1b]0;owned\x07[bold]x[/nonsense] :boom:\u202e"
    settings, plan = config(), search(1)
    sweep = open_sweep(tmp_path, plan, settings)
    whole = SweepPlan(settings, [], [plan], settings.sweep.objectives)
    terminal = Console(file=io.StringIO(), width=200, force_terminal=True, soft_wrap=True)
    line = TrialLine("search", 0, {hostile: hostile}, tmp_path, 2)
    with pytest.raises(KeyboardInterrupt), SweepDisplay(whole, sweep.studies, tmp_path, hostile, terminal) as display:
        display.started(line)
        display.refresh()
        display.lost(line, hostile)
        display.retried(line, hostile, 1, 2)
        display.failed(line, hostile)
        display._next_refresh = 0.0
        display.refresh()
        raise KeyboardInterrupt
    output = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "owned\x07" not in output and "\u202e" not in output
    assert output.count(shown) >= 6  # the heading and the value of two tables, two reasons, and the command
    plain = Console(file=io.StringIO(), width=200, soft_wrap=True)
    with SweepDisplay(whole, sweep.studies, tmp_path, hostile, plain) as display:
        display.failed(line, hostile)
    last = plain.file.getvalue().splitlines()[-1]  # type: ignore[attr-defined]
    assert last == f"[0/1] search/0000  {shown}={shown}  FAILED  {shown}"


def test_a_smaller_total_counts_the_trials_that_are_there(tmp_path: Path) -> None:
    settings = config()
    open_sweep(tmp_path, search(2), settings).run()
    plan, output = search(1), io.StringIO()
    sweep = open_sweep(tmp_path, plan, settings)
    whole = SweepPlan(settings, [], [plan], settings.sweep.objectives)
    with SweepDisplay(whole, sweep.studies, tmp_path, "again", Console(file=output, width=300)) as display:
        display.summarise()
    assert f"{settings.name}: 2 trials, 2 of them done before" in output.getvalue()
    assert "search: 2 of 2 trials complete" in output.getvalue()


def test_one_of_a_thing_is_not_many(tmp_path: Path) -> None:
    sweep = open_sweep(tmp_path, search(1), config())
    assert sweep.run() == 0
    output = io.StringIO()
    whole = SweepPlan(config(), [], [search(1)], ["val_top1"])
    SweepDisplay(whole, sweep.studies, tmp_path, "again", Console(file=output, width=300)).summarise()
    assert "search: 1 of 1 trial complete" in output.getvalue()
    wide = Console(file=output, width=300, soft_wrap=True)
    with pytest.raises(DataChanged), SweepDisplay(whole, sweep.studies, tmp_path, "again", wide):
        raise DataChanged("the pictures have changed")
    assert "1 of 1 trial is done, on what was there before. Restore" in output.getvalue()
