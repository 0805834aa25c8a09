"""Runs with configs as the trainer writes them, as far as these tests look at them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from analysis.means.table import Table

WriteRun = Callable[..., Path]

SEVEN = [60.0, 61.0, 62.0, 63.0, 64.0, 65.0, 66.0]
BETTER = [value + 1 + seed / 8 for seed, value in enumerate(SEVEN)]

CONFIG = """\
name: {name}
results_dir: /results/{name}
seed: {seed}
device: cpu
model:
  _target_: tffd.models.create_model
  name: resnet20
  weights: null
dataset:
  name: digits
  root: {root}
  cache: {root}/cache
  source:
    _target_: tffd.data.sources.ImageFolder
    root: ${{dataset.root}}
  val_fraction: 0.3
lambda_intra: {idle}
kd_mode:
  name: {kd_mode}
{arguments}trainer:
  name: quick
  batch_size: 32
  lr: {lr}
  checkpoint_every: {seed}
protocol:
  name: validation
  val_fraction: {val_fraction}
sweep:
  n_jobs: {seed}
"""


def write_configured(
    write_run: WriteRun, path: str, kd_mode: str, values: Sequence[float], first_seed: int = 0, **settings: Any
) -> None:
    """Write runs of one kd_mode, a value a seed, below a directory.

    Args:
        write_run: The fixture.
        path: Of the directory.
        kd_mode: Of all runs.
        values: Their val_top1.
        first_seed: The seeds follow from it.
        settings: Parts of the config (lr, root, arguments, val_fraction, name, and as idle a lambda that the kd_mode
            does not use); others are fields of `result.json`.
    """
    parts = {"lr": 0.1, "root": "data", "arguments": "", "name": "demo", "val_fraction": "${dataset.val_fraction}"}
    parts["idle"] = 8e-4
    parts |= {key: settings.pop(key) for key in list(settings) if key in parts}
    arguments = "".join(f"  {line}\n" for line in str(parts.pop("arguments")).splitlines())
    for seed, value in enumerate(values, start=first_seed):
        fields = {"kd_mode": kd_mode, "seed": seed, "val_top1": value, "name": parts["name"]} | settings
        hashed = f"{kd_mode} {parts['lr']} {arguments} {fields.get('data')} {parts['root']} {parts['val_fraction']}"
        run = write_run(f"{path}/{seed}", settings_hash=hashed, config_hash=f"{path} {seed}", **fields)
        config = CONFIG.format(**parts, kd_mode=kd_mode, arguments=arguments, seed=seed)
        (run / ".hydra" / "config.yaml").write_text(config)


def compared_values(table: Table) -> dict[tuple[Any, ...], tuple[float, float | None]]:
    """The difference and the p-value of each row that has a baseline."""
    return {cell.row: (cell.difference.value, cell.difference.p) for cell in table.cells if cell.difference}
