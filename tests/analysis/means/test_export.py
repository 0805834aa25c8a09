"""What programs read: CSV and JSON, in full precision."""

import json
from dataclasses import replace

from analysis.commands.output import as_csv, as_json
from analysis.means.export import table_content, table_records
from analysis.means.published import PublishedCell
from tests.analysis.tables import across, down, publish


def test_csv() -> None:
    difference = down().cells[1].difference
    assert difference is not None
    interval = f"{difference.low!r},{difference.high!r}"
    assert as_csv(table_records(down())) == (
        "kd_mode,lambda_inter,metric,split,epoch_rule,mean,sd,n,"
        "diff,ci_low,ci_high,p,p_holm,compared_by,best,source\n"
        "none,0.0,val_top1,val,last,61.0,1.0,3,,,,,,,false,\n"
        f'tfd_plus,0.0005,val_top1,val,last,63.0,2.0,3,2.0,{interval},0.25,0.25,"3 paired seeds, t",true,\n'
        f"tfd,0.001,val_top1,val,last,60.999,,1,{60.999 - 61.0!r},,,,,means,false,\n"
        "at,,val_top1,val,last,,,0,,,,,,,false,\n"
    )


def test_csv_with_costs_and_published_numbers() -> None:
    lines = as_csv(table_records(across())).splitlines()
    assert lines[0].endswith("best,gpu_hours,cpu_hours,epochs_run,peak_memory_mb,time_ratio,source")
    assert lines[1] == "none,resnet20,test_top1,test,last,60.5,0.7071067811865476,2,,,,,,,false,0.5,,480,812.4,1.0,"
    assert lines[-1] == "tfd,vgg8,top1,test,best test,71.62,,,,,,,,,,,,,,,poster: not stated"


def test_csv_names_the_teacher_of_a_published_number() -> None:
    number = publish("vgg8", "st", 72.98, teacher="vgg13")
    table = replace(across(), published=(PublishedCell(("st",), ("vgg8",), "test_top1", number),))
    assert list(table_records(table))[-1]["source"] == "poster, teacher vgg13: not stated"


def test_json() -> None:
    content = json.loads(as_json(table_content(down())))
    assert list(content) == [
        "caption",
        "rows",
        "cols",
        "metrics",
        "baseline",
        "conditions",
        "cells",
        "notes",
        "left_out",
    ]
    assert content["baseline"] == {"kd_mode": "none"}
    assert content["conditions"] == {"dataset": ["digits"], "seed": [0, 1, 2]}
    cell = content["cells"][1]
    assert (cell["kd_mode"], cell["lambda_inter"], cell["mean"], cell["sd"]) == ("tfd_plus", 0.0005, 63.0, 2.0)
    assert (cell["diff"], cell["p"], cell["p_holm"], cell["best"]) == (2.0, 0.25, 0.25, True)
    assert cell["values"] == [{"seed": 0, "value": 61.0}, {"seed": 1, "value": 63.0}, {"seed": 2, "value": 65.0}]
    assert content["cells"][3]["mean"] is None
    assert content["metrics"][0]["split"] == "val"


def test_json_has_no_infinity() -> None:
    assert json.loads(as_json({"a": [float("nan"), 1.0], "b": (float("inf"),)})) == {"a": [None, 1.0], "b": [None]}


def test_nothing_is_a_header_alone() -> None:
    assert as_csv([], ("cell", "state")) == "cell,state\n"
    assert as_csv([{"a": None, "b": True}]) == "a,b\n,true\n"
