"""Lays out what a search found: a table, what to make of it, and the commands that follow."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.best.best import Best, Entry, Measured
from analysis.read.values import as_number
from analysis.select.conditions import condition_notes, conditions_of, conditions_text
from analysis.select.doubts import doubtful_numbers
from analysis.select.metrics import Metric
from analysis.select.remarks import confounding_notes
from analysis.sheets.markdown import render_markdown
from analysis.sheets.notes import Kind, Note
from analysis.sheets.numbers import fixed, interval_text
from analysis.sheets.places import EMPTY, difference_place, mean_place
from analysis.sheets.sheet import Column, Sheet, Text
from analysis.sheets.words import are, as_text, capital, count, ranges


def render_best(best: Best) -> str:
    """Markdown; the commands stand in blocks of their own, so that they can be copied as they are."""
    again = best.retraining
    seeds = ", ".join(map(str, again.seeds))
    beside = ", the baseline beside it" if again.has_baseline else ""
    first = f"trial {best.front[0].trial}" + (f", best in {best.metrics[0].name}" if len(best.metrics) > 1 else "")
    parts = [
        render_markdown(lay_out_best(best)),
        f"Train {first}, on fresh seeds ({seeds}){beside}; protocol=final reads the test set, once a run:\n",
        _block(again.train),
        "Then tabulate that:\n",
        _block([again.tabulate]),
    ]
    return "\n".join(parts)


def _block(commands: Sequence[str]) -> str:
    return "\n".join(["```", *commands, "```", ""])


def lay_out_best(best: Best) -> Sheet:
    """A row a trial of the front, and one for each baseline."""
    columns = [Column("trial", head=True), Column("settings", head=True)]
    for metric in best.metrics:
        columns.append(Column(metric.label))
    columns.append(Column("n"))
    single = len(best.metrics) == 1
    if single:
        columns += [Column("95 % CI of the mean"), Column("difference to baseline [95 % CI]")]
    rows = [_row(entry, best) for entry in (*best.front, *best.baselines)]
    conditions = capital(conditions_text(conditions_of(best.runs, best.metrics)))
    caption = f"{_headline(best)}: mean ± sample sd over runs. {conditions}."
    return Sheet(caption, tuple(columns), tuple(rows), notes=tuple(remarks(best)))


def _headline(best: Best) -> str:
    if len(best.metrics) == 1:
        return f"Best trial of {best.sweep} so far" if _is_open(best) else f"Best trial of {best.sweep}"
    return f"Pareto front of {best.sweep} ({count(len(best.front), 'trial')})"


def _is_open(best: Best) -> bool:
    ended = sum(best.statuses.get(status, 0) for status in ("complete", "pruned", "failed"))
    return ended < sum(best.statuses.values()) or (best.planned or 0) > ended


def _row(entry: Entry, best: Best) -> tuple[Text, ...]:
    metrics = best.metrics
    name = "baseline" if entry.trial is None else f"{entry.trial}, in {os.path.relpath(entry.directory, best.sweep)}"
    settings = " ".join(f"{key}={_short(value)}" for key, value in entry.settings.items())
    texts = [Text(name), Text(settings)]
    texts += [_mean(entry.measured.get(metric.name), metric) for metric in metrics]
    texts.append(Text(str(max(one.n for one in entry.measured.values())), number=True))
    if len(metrics) > 1:
        return tuple(texts)
    measured = entry.measured[metrics[0].name]
    texts.append(Text(_interval(measured, metrics[0]) or "unknown", number=measured.low is not None))
    return (*texts, difference_place(entry.difference, metrics[0].decimals))


def _short(text: str) -> str:
    """A fraction of many digits as in every table, as the command below has them all; other settings as they are."""
    number = as_number(text) if len(text) > 8 and ("." in text or "e-" in text) else None
    return text if number is None else as_text(number)


def _mean(measured: Measured | None, metric: Metric) -> Text:
    return Text(EMPTY) if measured is None else mean_place(measured.mean, measured.sd, metric.decimals)


def _interval(measured: Measured, metric: Metric) -> str:
    if measured.low is None or measured.high is None:
        return ""
    return interval_text(measured.low, measured.high, metric.decimals)


def remarks(best: Best) -> Iterator[Note]:
    """What to make of the numbers."""
    yield Note(Kind.PROGRESS, _progress(best))
    if best.complete > 1:
        also = " and its difference to the baseline" if best.baselines else ""
        text = f"picked for its score as the best of {best.complete} complete trials, which flatters it{also}"
        yield Note(Kind.PICKED, text)
    else:
        yield Note(Kind.PICKED, "the only complete trial so far: nothing was picked yet")
    yield from best.cautions
    compared = ((f"trial {entry.trial}", entry.difference) for entry in best.front)
    named_differences = ((name, difference) for name, difference in compared if difference)
    yield from confounding_notes(named_differences, flag="analysis table --mix")
    for metric in best.metrics:
        yield Note(Kind.CERTAINTY, _certainty(best, metric))
    if not best.baselines:
        yield Note(Kind.NO_BASELINE, "no baseline has been measured beside the search")
    again = best.retraining
    if not again.has_baseline:
        yield Note(Kind.NO_BASELINE, "the search has no baseline, so none is trained beside it")
    text = f"seeds used so far: {ranges(again.used) or 'none'}; fresh: {ranges(again.seeds)}"
    yield Note(Kind.SEEDS, text)
    yield from doubtful_numbers(best.runs, best.metrics)
    yield from condition_notes(conditions_of(best.runs), ())


def _progress(best: Best) -> str:
    words = {"missing": "with seeds to come"}
    others = "".join(
        f", {number} {words.get(status, status)}" for status, number in best.statuses.items() if status != "complete"
    )
    complete = best.statuses.get("complete", 0)
    of_all = "" if best.planned is None else f"{complete} of "
    number = complete if best.planned is None else best.planned
    going = "; the search goes on, and the best may change" if _is_open(best) else ""
    return f"{of_all}{count(number, 'trial')} {are(number)} complete{others}{going}"


def _certainty(best: Best, metric: Metric) -> str:
    """How far the best's value may be from what its settings are worth."""
    measured = best.front[0].measured[metric.name]
    lead = f"{metric.name}: " if len(best.metrics) > 1 else ""
    if measured.sd is not None:
        seeds = ranges(sorted(seed for seed, _ in measured.sample if seed is not None))
        sd, interval = fixed(measured.sd, metric.decimals), _interval(measured, metric)
        return (
            f"{lead}over {measured.n} seeds ({seeds}): sample sd {sd}, 95 % t interval of the mean {interval}, which "
            "does not know of the picking"
        )
    known = [entry.measured[metric.name] for entry in best.baselines if metric.name in entry.measured]
    beside = next((one for one in known if one.sd is not None), None)
    if beside is None or beside.sd is None:
        return f"{lead}a single run: its own spread is unknown, and no runs of a baseline tell how large it may be"
    return (
        f"{lead}a single run: its own spread is unknown; the only yardstick is the sample sd of the baseline's "
        f"{beside.n} runs, {fixed(beside.sd, metric.decimals)}"
    )


def best_content(best: Best) -> dict[str, Any]:
    """Everything in full precision, for JSON."""
    again = best.retraining
    return {
        "sweep": best.sweep,
        "objectives": [asdict(metric) for metric in best.metrics],
        "best": _content(best.front[0]),
        "front": [_content(entry) for entry in best.front],
        "baselines": [_content(entry) for entry in best.baselines],
        "complete_trials": best.complete,
        "planned_trials": best.planned,
        "trials": dict(best.statuses),
        "finished": not _is_open(best),
        "conditions": conditions_of(best.runs, best.metrics),
        "retrain": asdict(again),
        "notes": list(map(str, remarks(best))),
    }


def _content(entry: Entry) -> dict[str, Any]:
    return {
        "trial": entry.trial,
        "directory": entry.directory,
        "settings": dict(entry.settings),
        "measured": {name: _numbers(measured) for name, measured in entry.measured.items()},
        "difference": entry.difference and asdict(entry.difference),
    }


def _numbers(measured: Measured) -> Mapping[str, Any]:
    values = [{"seed": seed, "value": value} for seed, value in measured.sample]
    ends = {"ci_low": measured.low, "ci_high": measured.high}
    return {"mean": measured.mean, "sd": measured.sd, "n": measured.n, **ends, "values": values}
