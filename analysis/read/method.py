"""What a setting is to a comparison, told by its name: the method, another cause of numbers, or neither."""

from collections.abc import Iterable

METHOD = ("kd_mode", "lambda_intra", "lambda_inter")  # columns of every run
DEFAULT_BY = ("model", "dataset", "train_size", "protocol", "epochs", *METHOD)  # what tells the rows of a table apart
_METHOD_SECTIONS = ("kd_mode", "teacher", "lambdas")  # of the config, with all their arguments

# Columns of a run that have another name in its config.
KEYS = {
    "model": "model.name",
    "dataset": "dataset.name",
    "train_size": "dataset.train_size",
    "protocol": "protocol.name",
    "epochs": "trainer.epochs",
}
DATA = "data"  # digest of the pictures and labels
_IDLE = (
    *("name", "results_dir", "seed", "device", "threads", "dataset.cache", "dataset.source.mirror"),
    *("trainer.name", "trainer.checkpoint_every", "trainer.eval_batch_size"),
)
_IDLE_SECTIONS = ("hydra", "sweep", "ablation", "experiment", "tracker")
_RECORDS = ("versions", "split", "weights", "term_weights")  # objects of result.json, whose fields are no settings
_WHERE_DATA_LIES = ("dataset", "dataset.name", "dataset.root", "dataset.source", "dataset.source.root")


def is_method(key: str) -> bool:
    """Whether a column or a key of the config belongs to the method: its kd_mode, arguments, teacher or lambdas."""
    return key in METHOD or key.partition(".")[0] in _METHOD_SECTIONS


def as_choice(composition: str) -> str:
    """The name of one or more kd_modes, such as "st+tfd", as it is typed: "[st,tfd]"."""
    return f"[{composition.replace('+', ',')}]" if "+" in composition else composition


def as_composition(choice: str) -> str:
    """What is typed for kd_mode, such as "[tfd,st]", as records name it: "st+tfd"."""
    names = choice.strip("[]").split(",")
    return "+".join(sorted(name.strip() for name in names))


def weight_of(column: str, keys: Iterable[str]) -> str:
    """The key among some that sets a column: of a lambda the weight in its kd_mode, `kd_mode.tfd.weights.intra`."""
    term = column.removeprefix("lambda_")
    own = (key for key in keys if key.startswith("kd_mode.") and key.endswith(f".weights.{term}"))
    return next(own, column) if column in METHOD[1:] else column


def changes_numbers(key: str) -> bool:
    """Whether a key of the config can change what a run measures; the seed, which pairs runs, does not count."""
    return key not in _IDLE and key.partition(".")[0] not in _IDLE_SECTIONS


def is_setting(column: str) -> bool:
    """Whether a column of the runs is a setting of their configs, or stands for their data."""
    section, dot, _ = column.partition(".")
    return column == DATA or (bool(dot) and section not in _RECORDS and changes_numbers(column))


def is_compared(column: str, compared: Iterable[str]) -> bool:
    """Whether a column of the runs is part of what is compared by some columns."""
    return any(covers(one, KEYS.get(column, column)) for one in compared)


def covers(column: str, key: str) -> bool:
    """Whether a setting is part of what is compared where runs are compared by a column.

    The method is one thing, and the name of a section (`model`, `trainer.name`) stands for all of it.
    """
    if is_method(column):
        return is_method(key)
    if key == DATA:
        return column == DATA or column in _WHERE_DATA_LIES
    return key == KEYS.get(column, column) or key.startswith(f"{column.removesuffix('.name')}.")
