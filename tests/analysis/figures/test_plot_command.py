"""`python -m analysis plot`: files, messages, exit status, and what it costs to start."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis.__main__ import main

ROOT = Path(analysis.__file__).parents[1]


def test_files_are_named_and_the_rest_is_explained(search: Path, capsys: Any) -> None:
    (search / "search/0003/seed0/metrics.csv").write_text("epoch,val_top1\n1,6")
    assert main(["plot", str(search), "--kind", "history,ablation", "--format", "pdf"]) == 0
    out, err = capsys.readouterr()
    path = search / "figures" / "history.pdf"
    assert out.splitlines() == [str(path)]
    assert path.read_bytes().startswith(b"%PDF")
    assert err.splitlines() == [
        f"skipped: {search / 'search/0003/seed0/metrics.csv'} ends in the middle of a line",
        "not drawn: ablation: an ablation compares 2 to 30 settings; there is 1 outside of a search",
    ]


def test_pages_load_the_script_beside_them(tmp_path: Path, write_terms: Any, capsys: Any) -> None:
    write_terms(none=[60.0, 61.0], tfd=[62.0, 63.0])
    out = tmp_path / "pages"
    assert main(["plot", str(tmp_path), "--kind", "ablation", "--format", "html", "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "plotly.min.js"), str(out / "ablation.html")]
    assert 'src="plotly.min.js"' in (out / "ablation.html").read_text()
    assert len((out / "plotly.min.js").read_bytes()) > 1_000_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "landscap"], "unknown kind 'landscap'; the nearest: landscape"),
        (["--kind", "landscape"], "nothing can be drawn"),
        (["--metric", "val_top"], "unknown metric 'val_top'; the nearest: val_top"),
        (["--metric", "model"], "model is not a metric: its values are not numbers"),
        (["--metric", "test_top1"], "test_top1 is null in all 2 complete runs"),
        (["--kind", "learning", "--out", "file/x"], "choose another --out"),
    ],
)
def test_mistakes_end_with_status_2(
    tmp_path: Path, write_terms: Any, capsys: Any, monkeypatch: Any, arguments: list[str], message: str
) -> None:
    write_terms(none=[60.0, 61.0])
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    assert main(["plot", "demo", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count(message) == 1


def test_columns_of_metrics_csv_and_of_configs_can_be_drawn(tmp_path: Path, write_terms: Any, capsys: Any) -> None:
    write_terms(none=[60.0, 61.0], tfd=[62.0, 63.0])
    for config in tmp_path.rglob("config.yaml"):
        config.write_text("trainer: {lr: 0.1}\n")
    for metric in ("train_ce", "trainer.lr"):
        assert main(["plot", str(tmp_path), "--kind", "ablation,learning", "--metric", metric]) == 0
        assert "ablation.png" in capsys.readouterr().out


def test_a_directory_without_runs(tmp_path: Path, capsys: Any) -> None:
    assert main(["plot", str(tmp_path)]) == 2
    assert "holds no run: nothing below it has a result.json" in capsys.readouterr().err


def test_help_and_tables_import_no_drawing_library(tmp_path: Path, write_terms: Any) -> None:
    write_terms(none=[60.0, 61.0])
    code = (
        "import sys\n"
        "from analysis.__main__ import main\n"
        "heavy = {'torch', 'tffd', 'hydra', 'optuna', 'sklearn', 'matplotlib', 'plotly'}\n"
        "try: main(['plot', '--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "print(sorted((heavy | {'pandas', 'scipy', 'numpy'}) & set(sys.modules)))\n"
        f"main(['table', {str(tmp_path)!r}])\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        f"main(['plot', {str(tmp_path)!r}, '--kind', 'learning'])\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    lines = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, check=True, capture_output=True).stdout
    found = [line for line in lines.splitlines() if line.startswith("[")]
    assert found == ["[]", "[]", "['matplotlib']"]
