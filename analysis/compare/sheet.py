"""Lays out two trees side by side."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from analysis.compare.compare import IN_PART, Change, Compared, shared_seeds
from analysis.compare.differing import Setting
from analysis.select.conditions import conditions_text, past_notes
from analysis.select.groups import Key
from analysis.select.inventory import noted
from analysis.select.metrics import Metric
from analysis.select.remarks import comparison_notes, confounding_notes
from analysis.sheets.notes import Kind, Note
from analysis.sheets.places import EMPTY, difference_place, mean_place, p_place
from analysis.sheets.sheet import Column, Sheet, Text
from analysis.sheets.words import as_text, capital, count
from analysis.statistics.differences import Difference, Sample, mean_and_sd


def lay_out_compared(compared: Compared) -> list[Sheet]:
    """The numbers, and below them what differs besides."""
    return [_numbers(compared), _settings(compared)]


def lay_out_numbers(compared: Compared) -> list[Sheet]:
    """The numbers alone, with what differs besides among the notes."""
    numbers = _numbers(compared)
    lines = (f"differs: {one.what}: A {one.values[0]}; B {one.values[1]}" for one in _differing(compared))
    differing = (Note(Kind.DIFFERS, line) for line in lines)
    return [replace(numbers, notes=(*numbers.notes, *differing))]


def _differing(compared: Compared) -> tuple[Setting, ...]:
    return (*compared.settings, *compared.records)


def _numbers(compared: Compared) -> Sheet:
    several = len(compared.metrics) > 1
    heads = [Column(name, head=True) for name in (*compared.rows, *(["metric"] if several else []))]
    titles = ("A", "n", "B", "n", "B - A [95 % CI]", "p (Holm)", "compared by", "verdict")
    aside = ("n", "compared by")
    short = {"compared by": "by", "B - A [95 % CI]": "Δ [95 % CI]"}
    metrics = {metric.name: metric for metric in compared.metrics}
    rows = [_row(change, metrics[change.metric], several) for change in compared.changes]
    labels = capital(" and ".join(metric.label for metric in compared.metrics))
    conditions = f"{capital(conditions_text(compared.conditions))}."
    caption = f"{labels}: mean ± sample sd over runs. A: {compared.names[0]}; B: {compared.names[1]}. {conditions}"
    columns = (*heads, *(Column(title, short=short.get(title, ""), aside=title in aside) for title in titles))
    notes = tuple(remarks(compared))
    return Sheet(caption, columns, tuple(rows), notes=notes, left_out=compared.left_out, conditions=conditions)


def _row(change: Change, metric: Metric, several: bool) -> tuple[Text, ...]:
    heads = [Text(as_text(value)) for value in change.key] + ([Text(metric.name)] if several else [])
    difference = change.difference
    texts = [*_side(change.a, metric), *_side(change.b, metric)]
    if difference is None:
        return (*heads, *texts, Text(EMPTY), Text(EMPTY), Text(), Text())
    texts += [difference_place(difference, metric.decimals), p_place(difference.p_holm), Text(str(difference))]
    return (*heads, *texts, Text(change.verdict, bold=change.verdict == "moved"))


def _side(sample: Sample, metric: Metric) -> list[Text]:
    mean, sd = mean_and_sd([value for _, value in sample])
    return [mean_place(mean, sd, metric.decimals), Text(str(len(sample)), number=True)]


def _settings(compared: Compared) -> Sheet:
    columns = (Column("what differs", head=True), Column("A"), Column("B"), Column("pairs of runs"))
    rows = tuple(
        (Text(one.what), *(Text(value) for value in one.values), Text("" if one.pairs is None else str(one.pairs)))
        for one in _differing(compared)
    )
    what = "Settings, devices, versions and commits" if rows else "No setting, device, version or commit"
    caption = f"{what} {'in which' if rows else 'differs between'} the runs{' differ' if rows else ''}."
    return Sheet(caption, columns, rows)


def remarks(compared: Compared) -> Iterator[Note]:
    """What to make of the numbers, and what is not among them."""
    for letter, counts in zip("AB", compared.counts, strict=True):
        yield Note(Kind.COUNTS, f"{letter}: {counts}")
    yield from _verdicts(compared)
    yield from comparison_notes([change.difference for change in compared.changes if change.difference])
    named_differences = ((_named_change(one, compared), one.difference) for one in compared.changes)
    yield from confounding_notes((name, difference) for name, difference in named_differences if difference)
    yield from compared.doubts
    yield from _blanks(compared)
    partial = [
        f"{named(change.key, compared)} ({shared_seeds(change)} of {len(change.a)} and {count(len(change.b), 'run')})"
        for change in compared.changes
        if change.metric == compared.metrics[0].name and shared_seeds(change) < max(len(change.a), len(change.b))
    ]
    yield from noted(Kind.UNSHARED_SEEDS, "not all seeds are on both sides: ", partial)
    yield from past_notes(compared.conditions)
    for letter, name, keys in zip("AB", compared.names, compared.only, strict=True):
        yield from noted(Kind.ONE_SIDE, f"in {letter} alone ({name}): ", (named(key, compared) for key in keys))


def _verdicts(compared: Compared) -> Iterator[Note]:
    for verdict, words in (
        ("moved", "moved beyond noise (p below 0.05, corrected)"),
        ("identical", "identical to the last digit on all shared seeds"),
        (IN_PART, "identical on the only shared seed, but the difference is of all runs, so it may not be zero"),
    ):
        names = [_named_change(change, compared) for change in compared.changes if change.verdict == verdict]
        if names or verdict != IN_PART:
            text = f"{words}: {len(names)} of {len(compared.changes)}" + (f": {'; '.join(names)}" if names else "")
            yield Note(Kind.VERDICT, text)


def _blanks(compared: Compared) -> Iterator[Note]:
    """Why a verdict or an interval that a reader looks for is not there."""
    silent, endless = [], []
    for change in compared.changes:
        name, difference = _named_change(change, compared), change.difference
        if not change.verdict:
            why = "not measured on a side" if difference is None else _why_untested(difference)
            silent.append(f"{name} ({why})")
        if difference and difference.is_endless:
            endless.append(name)
    yield from noted(Kind.NO_VERDICT, "no verdict: ", silent)
    yield from noted(Kind.NO_INTERVAL, "no 95 % interval, as nearly all paired differences are equal: ", endless)


def _why_untested(difference: Difference) -> str:
    if difference.is_confounded:
        return "settings differ, so no p"
    return "fewer than 2 shared seeds, so no p"


def _named_change(change: Change, compared: Compared) -> str:
    """A row, and the metric where there are several."""
    return named(change.key, compared) + (f" {change.metric}" if len(compared.metrics) > 1 else "")


def named(key: Key, compared: Compared) -> str:
    """A row in words: the kd_mode alone, the others with their columns."""
    pairs = zip(compared.rows, key, strict=True)
    return ", ".join(as_text(v) if column == "kd_mode" else f"{column}={as_text(v)}" for column, v in pairs)


def compared_records(compared: Compared) -> list[dict[str, Any]]:
    """One flat record a row and metric, in full precision; for CSV."""
    records = []
    for change in compared.changes:
        (mean_a, sd_a), (mean_b, sd_b) = (mean_and_sd([value for _, value in side]) for side in (change.a, change.b))
        d = change.difference
        records.append(
            {
                **dict(zip(compared.rows, change.key, strict=True)),
                "metric": change.metric,
                **{"mean_a": mean_a, "sd_a": sd_a, "n_a": len(change.a)},
                **{"mean_b": mean_b, "sd_b": sd_b, "n_b": len(change.b)},
                **{"diff": d and d.value, "ci_low": d and d.low, "ci_high": d and d.high},
                **{"p": d and d.p, "p_holm": d and d.p_holm, "compared_by": d and str(d)},
                "verdict": change.verdict or None,
            }
        )
    return records


def compared_content(compared: Compared) -> dict[str, Any]:
    """Everything, with the value of every seed; for JSON."""
    records = zip(compared_records(compared), compared.changes, strict=True)
    return {
        "a": compared.names[0],
        "b": compared.names[1],
        "rows": compared.rows,
        "metrics": [asdict(metric) for metric in compared.metrics],
        "changes": [record | {"a": _values(change.a), "b": _values(change.b)} for record, change in records],
        "only_a": [dict(zip(compared.rows, key, strict=True)) for key in compared.only[0]],
        "only_b": [dict(zip(compared.rows, key, strict=True)) for key in compared.only[1]],
        "settings": [asdict(one) for one in compared.settings],
        "records": [asdict(one) for one in compared.records],
        "conditions": compared.conditions,
        "notes": list(map(str, remarks(compared))),
        "left_out": compared.left_out,
    }


def _values(sample: Sample) -> list[dict[str, Any]]:
    return [{"seed": seed, "value": value} for seed, value in sample]
