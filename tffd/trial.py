"""One trial: config to parts, parts to training, training to a record, record to objective."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from tffd import records
from tffd.data.sources import DataChanged
from tffd.failures import Failure
from tffd.files import WEIGHTS_LIMIT, read_regular, replacing
from tffd.identity import describe_run, hash_config, run_name, teacher_run
from tffd.instantiation import uses_teacher
from tffd.links import require_no_links
from tffd.records import RunInterrupted
from tffd.schema import Config
from tffd.teacher import find_teacher, find_trained
from tffd.training.progress import EpochReporter

if TYPE_CHECKING:
    from tffd.session import Session

_SECONDS_TO_WAIT_FOR_A_DYING_RUN = 5  # workers of a killed sweep end within one
_SECONDS_BETWEEN_LOOKS = 1  # of a run that waits while another process trains its teacher

_TEACHERS = ".teachers"
"""Below results_dir: a lock for each teacher, whatever the names of the sweeps that train it."""


class RunInUse(ValueError):
    """Another process is training this very run."""


def run_trial(
    config: Config,
    run_dir: Path,
    reporter: EpochReporter,
    *,
    study: str | None = None,
    trial: int | None = None,
    planned: str | None = None,
) -> dict[str, Any]:
    """Run a trial in its directory, or go on with it, or return its result if it has already ended.

    A directory whose run is complete or pruned is left alone. One with a checkpoint goes on from it, with the number of
    threads that it began with. A failure is recorded in result.json before it is raised; the next call tries again. A
    teacher whose weights are not there yet is trained first, in a run of its own.

    Args:
        config: The config of the run.
        run_dir: The directory of its record.
        reporter: Told about every epoch.
        study, trial: Which study and which of its trials this is, for the record.
        planned: Hash of the config when a sweep planned the run, if one did.
    Returns:
        The content of result.json.
    Raises:
        ValueError: If the directory holds a run of another configuration, or the run diverges.
        DataChanged: If pictures or weights are not those that the run was planned with.
        RunInUse: If another process trains this run.
        RunInterrupted: If the sweep asked the run to stop; it goes on from its checkpoint.
    """
    return _run(config, run_dir, reporter, (run_dir,), study=study, trial=trial, planned=planned)


def _run(
    config: Config,
    run_dir: Path,
    reporter: EpochReporter,
    stops: Sequence[Path],
    *,
    study: str | None,
    trial: int | None = None,
    planned: str | None = None,
) -> dict[str, Any]:
    """Run a trial as `run_trial` does, or the teacher of one.

    Args:
        stops: Directories in which the sweep may ask to stop: the run's, and of a teacher also its student's.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run_dir / records.LOCK, timeout=_SECONDS_TO_WAIT_FOR_A_DYING_RUN), records.beating(run_dir):
            earlier = records.read_result(run_dir)
            if earlier is not None:
                _require_same_config(earlier, hash_config(config).run, run_dir)
                if earlier["status"] in (records.COMPLETE, records.PRUNED):
                    reporter.already_complete(earlier, run_dir)
                    return earlier
            from tffd.session import Session  # with PyTorch, which a run that has ended does without

            result = describe_run(config, study=study, trial=trial, started=records.now())
            session = Session(config, run_dir, reporter, stops, result)
            with _only_trainer(session) if study == records.TEACHER else nullcontext():
                return _run_locked(session, planned)
    except Timeout:
        raise RunInUse(f"{run_dir}: another process is training this very run") from None


@contextmanager
def _only_trainer(session: "Session") -> Iterator[None]:
    """Wait while another process trains the same teacher below another name.

    Raises:
        RunInterrupted: If the sweep asked the run to stop meanwhile.
    """
    place = Path(session.config.results_dir) / _TEACHERS
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / f"{session.result['config_hash']}.lock")
    is_told = False
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_SECONDS_BETWEEN_LOOKS if is_told else 0)
        except Timeout:
            if session.is_asked(records.INTERRUPT):
                raise RunInterrupted("asked to stop while another process trained the teacher") from None
            if not is_told:
                session.reporter.note("Waiting: another process trains this teacher")
            is_told = True
    try:
        yield
    finally:
        lock.release()


def _run_locked(session: "Session", planned: str | None) -> dict[str, Any]:
    from tffd.training.checkpoint import save_atomically
    from tffd.training.saliency import saliency_by_rank

    config, run_dir, result, progress = session.config, session.run_dir, session.result, session.progress
    try:
        if planned not in (None, result["config_hash"]):
            result["config_hash"] = planned  # it is that run which cannot be had
            raise DataChanged("the pictures, or the weights to start from, have changed since this run was planned")
        if result["study"] == records.TEACHER and (trained := find_trained(config)):
            return _take_over(session, trained.parent)
        parts = session.train(_teacher_weights(session) if uses_teacher(config) else None)
    except RunInterrupted:
        raise
    except Exception as error:  # whatever it was, the record must say so; it is raised again
        result |= Failure.of(error).record()
        result |= session.measurements() | {"finished": records.now()}
        with suppress(OSError):  # a full disk takes no record either; the error says so by itself
            records.write_json(run_dir / records.RESULT, result)
        raise
    status = records.COMPLETE if progress.epoch == config.trainer.epochs else records.PRUNED
    result |= {"status": status, "finished": records.now()} | session.measurements()
    if status == records.COMPLETE:
        student, held_out = parts.learners.student, parts.data.val or parts.data.train
        records.write_saliency(run_dir, saliency_by_rank(student, held_out, parts.recipe.bf16))
        weights = {"model": student.state_dict(), "epoch": progress.epoch, "provenance": parts.provenance}
        save_atomically(weights, run_dir / records.WEIGHTS)
    _end(run_dir, result)
    session.reporter.finished(result, run_dir)
    return result


def _end(run_dir: Path, result: dict[str, Any]) -> None:
    records.write_json(run_dir / records.RESULT, result)
    for name in (records.CHECKPOINT, records.STOP):
        (run_dir / name).unlink(missing_ok=True)


def _take_over(session: "Session", trained: Path) -> dict[str, Any]:
    """Copy the run of a teacher that another process has trained meanwhile, and return its record."""
    run_dir, own = session.run_dir, {name: session.result[name] for name in ("name", "study", "trial")}
    for name in (records.METRICS, records.SALIENCY, records.WEIGHTS):
        with replacing(run_dir / name) as file:
            file.write(read_regular(trained / name, WEIGHTS_LIMIT))
    result = (records.read_result(trained) or {}) | own
    _end(run_dir, result)
    session.reporter.already_complete(result, trained)
    return result


def _teacher_weights(session: "Session") -> Path:
    """Return the teacher's weights, once they are there: this process, or another one, trains them first.

    Raises:
        RunInterrupted: If the sweep asked the run to stop meanwhile.
        ValueError: If the teacher cannot be trained, or its directory holds links.
    """
    config = session.config
    while (found := find_teacher(config)) is None:
        run = teacher_run(config)
        directory = Path(config.results_dir) / config.name / run_name(run)
        require_no_links(directory)
        records.write_config(directory, run)
        try:
            _run(run, directory, session.reporter, (directory, *session.stops), study=records.TEACHER)
        except RunInUse:  # it is being trained; its lock was waited for
            if session.is_asked(records.INTERRUPT):
                raise RunInterrupted("asked to stop while another process trained the teacher") from None
    return found


def record_loss(config: Config, run_dir: Path, failure: Failure, *, study: str | None, trial: int | None) -> None:
    """Record that the process of a run ended without a word, as when the system kills it for its memory.

    Raises:
        RunInUse: If it is still at work.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    lost = describe_run(config, study=study, trial=trial, started=records.now())
    lost |= failure.record() | {"finished": records.now()}
    lost["epochs_run"] = int(records.read_last_metrics(run_dir).get("epoch", 0))
    try:
        with FileLock(run_dir / records.LOCK, timeout=0):
            if records.read_result(run_dir) is None:  # else it came to its end after all
                records.write_json(run_dir / records.RESULT, lost)
    except Timeout:
        raise RunInUse(f"{run_dir}: another process is training this very run") from None


def _require_same_config(earlier: dict[str, Any], config_hash: str, run_dir: Path) -> None:
    if earlier.get("config_hash") != config_hash:
        raise ValueError(
            f"{run_dir} already holds a run of another configuration ({earlier.get('config_hash')}, this one is "
            f"{config_hash}). Choose another name=..., or remove that directory."
        )
