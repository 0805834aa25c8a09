"""One trial: config to parts, parts to training, training to a record, record to objective."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from omegaconf import DictConfig

from tffd import records
from tffd.build import Parts, build_parts, uses_teacher
from tffd.config import Config, require_config
from tffd.teacher import find_teacher, measure_teacher
from tffd.training.checkpoint import Checkpoint, load_checkpoint, save_atomically, save_checkpoint
from tffd.training.loop import Progress, make_optimizer, train, train_first_stage
from tffd.training.progress import EpochReporter
from tffd.training.saliency import saliency_by_rank
from tffd.training.step import Learners

_SECONDS_TO_WAIT_FOR_A_DYING_RUN = 5  # workers of a killed sweep end within one


class RunInUse(ValueError):
    """Another process is training this very run."""


class RunInterrupted(Exception):
    """The sweep asked a run to stop for now; its checkpoint is written."""


def run_trial(
    cfg: DictConfig, run_dir: Path, reporter: EpochReporter, *, study: str | None = None, trial: int | None = None
) -> dict[str, Any]:
    """Run a trial in its directory, or go on with it, or return its result if it has already ended.

    A directory whose run is complete or pruned is left alone. One with a checkpoint goes on from it, with the number of
    threads that it began with. A failure is recorded in result.json before it is raised; the next call tries again.

    Args:
        cfg: Composed config.
        run_dir: Where the record goes.
        reporter: Told about every epoch.
        study, trial: Which study and which of its trials this is, for the record.
    Returns:
        The content of result.json.
    Raises:
        ConfigError: If the config does not fit the schema.
        ValueError: If the directory holds a run of another configuration, or the run diverges.
        RunInUse: If another process trains this run.
        RunInterrupted: If the sweep asked the run to stop; it goes on from its checkpoint.
    """
    return _run(require_config(cfg), run_dir, reporter, (run_dir,), study=study, trial=trial)


def _run(
    config: Config,
    run_dir: Path,
    reporter: EpochReporter,
    stops: Sequence[Path],
    *,
    study: str | None,
    trial: int | None = None,
) -> dict[str, Any]:
    """As `run_trial`.

    Args:
        stops: Directories in which the sweep may ask to stop: the run's, and of a teacher also its student's.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run_dir / ".lock", timeout=_SECONDS_TO_WAIT_FOR_A_DYING_RUN), records.beating(run_dir):
            return _run_locked(config, run_dir, reporter, stops, study=study, trial=trial)
    except Timeout:
        raise RunInUse(f"{run_dir}: another process is training this very run") from None


def _run_locked(
    config: Config,
    run_dir: Path,
    reporter: EpochReporter,
    stops: Sequence[Path],
    *,
    study: str | None,
    trial: int | None,
) -> dict[str, Any]:
    earlier = records.read_result(run_dir)
    if earlier is not None:
        _require_same_config(earlier, records.hash_config(config).run, run_dir)
        if earlier["status"] in (records.COMPLETE, records.PRUNED):
            reporter.already_complete(earlier, run_dir)
            return earlier

    result = records.describe_run(config, study=study, trial=trial, started=records.now())
    progress = Progress(epoch=0, history=[], seconds=0.0)
    try:
        parts = _train(config, run_dir, reporter, progress, result, stops)
    except RunInterrupted:
        raise
    except Exception as error:  # whatever it was, the record must say so; it is raised again
        result |= {"status": records.FAILED, "error": f"{type(error).__name__}: {error}"}
        result |= _measurements(config, progress) | {"finished": records.now()}
        records.write_json(run_dir / records.RESULT, result)
        raise
    status = records.COMPLETE if progress.epoch == config.trainer.epochs else records.PRUNED
    result |= {"status": status, "finished": records.now()} | _measurements(config, progress)
    if status == records.COMPLETE:
        student, held_out = parts.learners.student, parts.data.val or parts.data.train
        records.write_saliency(run_dir, saliency_by_rank(student, held_out, parts.recipe.bf16))
        save_atomically({"model": student.state_dict(), "epoch": progress.epoch}, run_dir / records.WEIGHTS)
    records.write_json(run_dir / records.RESULT, result)
    for name in (records.CHECKPOINT, records.STOP):
        (run_dir / name).unlink(missing_ok=True)
    reporter.finished(result, run_dir)
    return result


def record_loss(cfg: DictConfig, run_dir: Path, reason: str, *, study: str | None, trial: int | None) -> None:
    """Record that the process of a run ended without a word, as when the system kills it for its memory.

    Raises:
        RunInUse: If it is still at work.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    lost = records.describe_run(require_config(cfg), study=study, trial=trial, started=records.now())
    lost |= {"status": records.FAILED, "error": reason, "finished": records.now()}
    lost["epochs_run"] = int(records.read_last_metrics(run_dir).get("epoch", 0))
    try:
        with FileLock(run_dir / ".lock", timeout=0):
            if records.read_result(run_dir) is None:  # else it came to its end after all
                records.write_json(run_dir / records.RESULT, lost)
    except Timeout:
        raise RunInUse(f"{run_dir}: another process is training this very run") from None


def _train(
    config: Config,
    run_dir: Path,
    reporter: EpochReporter,
    progress: Progress,
    result: dict[str, Any],
    stops: Sequence[Path],
) -> Parts:
    """Train to the last epoch; keep metrics.csv, the checkpoint and what is known of the result up to date."""
    path = run_dir / records.CHECKPOINT
    checkpoint = load_checkpoint(path, result["config_hash"])
    if threads := (checkpoint.threads if checkpoint else config.threads):
        torch.set_num_threads(threads)
    teacher = _teacher_weights(config, run_dir, reporter, stops) if uses_teacher(config) else None
    parts = build_parts(config, teacher)
    learners = parts.learners
    if checkpoint:
        progress.epoch, progress.history = checkpoint.epoch, checkpoint.history
        progress.seconds, progress.first_stage = checkpoint.seconds, checkpoint.first_stage
    first_stage = _is_in_first_stage(learners, progress)
    optimizer = make_optimizer(learners, parts.recipe, first_stage)
    if checkpoint:
        learners.student.load_state_dict(checkpoint.model)
        learners.distillation.load_state_dict(checkpoint.modes)
        optimizer.load_state_dict(checkpoint.optimizer)
        torch.set_rng_state(checkpoint.rng)
    if parts.device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.cuda.reset_peak_memory_stats()
    result |= {
        "split": parts.data.split.record(),
        "parameters": _count(learners.student),
        "mode_parameters": _count(learners.distillation),
        "device": device_name(parts.device),
        "threads": torch.get_num_threads(),
    }
    if teacher is not None:
        result |= _teacher_record(config, parts, teacher)
    records.write_metrics(run_dir, progress.history)

    def keep(optimizer: torch.optim.Optimizer, epoch: int) -> bool:
        """Write a checkpoint where one is due; tell whether the run is to end here."""
        asked = [records.asked_to_stop(directory) for directory in stops]
        interrupted, every = records.INTERRUPT in asked, config.trainer.checkpoint_every
        if interrupted or (every and epoch % every == 0):
            save_checkpoint(_checkpoint(result, progress, parts, optimizer), path)
        if interrupted:
            raise RunInterrupted(f"asked to stop after epoch {epoch}")
        return records.PRUNE in asked

    if config.trainer.compile and (uncompiled := learners.distillation.uncompiled):
        reporter.note(f"trainer.compile=true: not with kd_mode={'+'.join(uncompiled)}, whose steps run as they are")
    with reporter.run(config, resumed_at=progress.epoch):
        if first_stage:
            for _ in train_first_stage(learners, parts.data, parts.recipe, optimizer, progress):
                records.write_metrics(run_dir, progress.first_stage, records.FIRST_STAGE)
                if _is_in_first_stage(learners, progress):
                    keep(optimizer, len(progress.first_stage))
            optimizer = make_optimizer(learners, parts.recipe)
        for _ in train(learners, parts.data, parts.recipe, optimizer, progress):
            records.write_metrics(run_dir, progress.history)
            reporter.epoch(progress.history[-1])
            if progress.epoch == config.trainer.epochs or keep(optimizer, progress.epoch):
                break
    result["peak_memory_mb"] = _peak_memory_mb(parts.device)
    result["images_per_second"] = len(parts.data.train) * progress.epoch / progress.seconds
    return parts


def _is_in_first_stage(learners: Learners, progress: Progress) -> bool:
    stage = learners.distillation.first_stage
    return stage is not None and len(progress.first_stage) < stage.epochs


def _teacher_weights(config: Config, run_dir: Path, reporter: EpochReporter, stops: Sequence[Path]) -> Path:
    """Return the teacher's weights, once they are there: this process, or another one, trains them first.

    Raises:
        RunInterrupted: If the sweep asked the run to stop meanwhile.
        ValueError: If the teacher cannot be trained.
    """
    while (found := find_teacher(config)) is None:
        run = records.teacher_run(config)
        directory = run_dir.parent / records.run_name(run)
        records.write_config(directory, run)
        try:
            _run(run, directory, reporter, (directory, *stops), study=records.TEACHER)
        except RunInUse:  # it is being trained; its lock was waited for
            if any(records.asked_to_stop(directory) == records.INTERRUPT for directory in stops):
                raise RunInterrupted("asked to stop while another process trained the teacher") from None
    return found


def _teacher_record(config: Config, parts: Parts, weights: Path) -> dict[str, Any]:
    teacher, digest = parts.learners.teacher, records.file_digest(weights)
    assert teacher is not None
    measured = measure_teacher(teacher, parts.data, digest=digest, cache=config.dataset.cache, bf16=parts.recipe.bf16)
    return {"teacher_digest": digest[:16], "teacher_top1": measured.top1, "teacher_split": measured.split}


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _checkpoint(
    result: dict[str, Any], progress: Progress, parts: Parts, optimizer: torch.optim.Optimizer
) -> Checkpoint:
    return Checkpoint(
        config_hash=result["config_hash"],
        epoch=progress.epoch,
        history=progress.history,
        seconds=progress.seconds,
        threads=torch.get_num_threads(),
        model=parts.learners.student.state_dict(),
        optimizer=optimizer.state_dict(),
        rng=torch.get_rng_state(),
        modes=parts.learners.distillation.state_dict(),
        first_stage=progress.first_stage,
    )


def _measurements(config: Config, progress: Progress) -> dict[str, Any]:
    every_epoch = config.protocol.test == "every_epoch"
    return {
        "epochs_run": progress.epoch,
        "train_seconds": round(progress.seconds, 3),
        **records.summarise_history(progress.history, test_every_epoch=every_epoch),
    }


def _require_same_config(earlier: dict[str, Any], config_hash: str, run_dir: Path) -> None:
    if earlier.get("config_hash") != config_hash:
        raise ValueError(
            f"{run_dir} already holds a run of another configuration ({earlier.get('config_hash')}, this one is "
            f"{config_hash}). Choose another name=..., or remove that directory."
        )


def device_name(device: torch.device) -> str:
    """What a device is called by its maker."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({_processor()})"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _peak_memory_mb(device: torch.device) -> float:
    peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else records.peak_host_memory_mb()
    return round(peak, 1)
