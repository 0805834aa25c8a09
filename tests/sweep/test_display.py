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
