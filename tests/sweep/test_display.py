"""What a sweep tells a person."""

import io
from pathlib import Path

from rich.console import Console

from tests.sweep.fakes import config, open_sweep, search
from tffd.sweep.display import SweepDisplay
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
