"""One trial: config to parts, parts to training, training to a record, record to objective."""

import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from omegaconf import DictConfig

from tffd import records
from tffd.build import Parts, build_parts
from tffd.config import Config, require_config
from tffd.data import DataChanged, digest_content
from tffd.devices import pick_device
from tffd.memory import peak_memory_mb, reset_peak_memory
from tffd.training.checkpoint import Checkpoint, load_checkpoint, save_atomically, save_checkpoint
from tffd.training.loop import Progress, make_optimizer, train
from tffd.training.progress import EpochReporter
from tffd.training.saliency import saliency_by_rank

_SECONDS_TO_WAIT_FOR_A_DYING_RUN = 5  # workers of a killed sweep end within one


class RunInUse(ValueError):
    """Another process is training this very run."""


class RunInterrupted(Exception):
    """The sweep asked a run to stop for now; its checkpoint is written."""


def run_trial(
    cfg: DictConfig,
    run_dir: Path,
    reporter: EpochReporter,
    *,
    study: str | None = None,
    trial: int | None = None,
    planned: str | None = None,
) -> dict[str, Any]:
    """Run a trial in its directory, or go on with it, or return its result if it has already ended.

    A directory whose run is complete or pruned is left alone. One with a checkpoint goes on from it, with the number of
    threads that it began with. A failure is recorded in result.json before it is raised; the next call tries again.

    Args:
        cfg: Composed config.
        run_dir: Where the record goes.
        reporter: Told about every epoch.
        study, trial: Which study and which of its trials this is, for the record.
        planned: Hash of the config when a sweep planned the run, if one did.
    Returns:
        The content of result.json.
    Raises:
        ConfigError: If the config does not fit the schema.
        ValueError: If the directory holds a run of another configuration, or the run diverges.
        DataChanged: If pictures or weights are not those that the run was planned with.
        RunInUse: If another process trains this run.
        RunInterrupted: If the sweep asked the run to stop; it goes on from its checkpoint.
    """
    config = require_config(cfg)
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run_dir / records.LOCK, timeout=_SECONDS_TO_WAIT_FOR_A_DYING_RUN), records.beating(run_dir):
            return _run_locked(config, run_dir, reporter, study=study, trial=trial, planned=planned)
    except Timeout:
        raise RunInUse(f"{run_dir}: another process is training this very run") from None


def _run_locked(
    config: Config,
    run_dir: Path,
    reporter: EpochReporter,
    *,
    study: str | None,
    trial: int | None,
    planned: str | None,
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
        if planned not in (None, result["config_hash"]):
            result["config_hash"] = planned  # it is that run which cannot be had
            raise DataChanged("the pictures, or the weights to start from, have changed since this run was planned")
        parts = _train(config, run_dir, reporter, progress, result)
    except RunInterrupted:
        raise
    except Exception as error:  # whatever it was, the record must say so; it is raised again
        result |= {"status": records.FAILED, "error": f"{type(error).__name__}: {error}"}
        result |= _measurements(config, progress) | {"finished": records.now()}
        with suppress(OSError):  # a full disk takes no record either; the error says so by itself
            records.write_json(run_dir / records.RESULT, result)
        raise
    status = records.COMPLETE if progress.epoch == config.trainer.epochs else records.PRUNED
    result |= {"status": status, "finished": records.now()} | _measurements(config, progress)
    if status == records.COMPLETE:
        held_out = parts.data.val or parts.data.train
        records.write_saliency(run_dir, saliency_by_rank(parts.model, held_out, parts.recipe.bf16))
        weights = {"model": parts.model.state_dict(), "epoch": progress.epoch, "provenance": parts.provenance}
        save_atomically(weights, run_dir / records.WEIGHTS)
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
        with FileLock(run_dir / records.LOCK, timeout=0):
            if records.read_result(run_dir) is None:  # else it came to its end after all
                records.write_json(run_dir / records.RESULT, lost)
    except Timeout:
        raise RunInUse(f"{run_dir}: another process is training this very run") from None


def _train(config: Config, run_dir: Path, reporter: EpochReporter, progress: Progress, result: dict[str, Any]) -> Parts:
    """Train to the last epoch; keep metrics.csv, the checkpoint and what is known of the result up to date."""
    reset_peak_memory(pick_device(config.device))  # before anything is loaded
    path = run_dir / records.CHECKPOINT
    checkpoint = load_checkpoint(path, result["config_hash"])
    if threads := (checkpoint.threads if checkpoint else config.threads):
        torch.set_num_threads(threads)
    parts = build_parts(config)
    if digest_content(parts.data.content) != result["data"]:
        raise DataChanged("the pictures changed while the run began. Start again when nothing writes to them.")
    optimizer = make_optimizer(parts.model, parts.recipe)
    if checkpoint:
        parts.model.load_state_dict(checkpoint.model)
        optimizer.load_state_dict(checkpoint.optimizer)
        torch.set_rng_state(checkpoint.rng)
        progress.epoch, progress.history = checkpoint.epoch, checkpoint.history
        progress.seconds = checkpoint.seconds
    if parts.device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    result |= {
        "split": parts.data.split_record,
        "weights": parts.start.record() if parts.start else None,
        "parameters": sum(parameter.numel() for parameter in parts.model.parameters()),
        "classes": len(parts.data.classes),
        "device": device_name(parts.device),
        "threads": torch.get_num_threads(),
    }
    records.write_metrics(run_dir, progress.history)
    with reporter.run(config, resumed_at=progress.epoch):
        for _ in train(parts.model, parts.mode, parts.data, parts.recipe, optimizer, progress):
            records.write_metrics(run_dir, progress.history)
            reporter.epoch(progress.history[-1])
            if progress.epoch == config.trainer.epochs:
                break
            stop, every = records.asked_to_stop(run_dir), config.trainer.checkpoint_every
            if stop == records.INTERRUPT or (every and progress.epoch % every == 0):
                save_checkpoint(_checkpoint(result, progress, parts, optimizer), path)
            if stop == records.INTERRUPT:
                raise RunInterrupted(f"asked to stop after epoch {progress.epoch}")
            if stop == records.PRUNE:
                break
    result["peak_memory_mb"] = peak_memory_mb(parts.device)
    result["images_per_second"] = len(parts.data.train) * progress.epoch / progress.seconds
    return parts


def _checkpoint(
    result: dict[str, Any], progress: Progress, parts: Parts, optimizer: torch.optim.Optimizer
) -> Checkpoint:
    return Checkpoint(
        config_hash=result["config_hash"],
        epoch=progress.epoch,
        history=progress.history,
        seconds=progress.seconds,
        threads=torch.get_num_threads(),
        model=parts.model.state_dict(),
        optimizer=optimizer.state_dict(),
        rng=torch.get_rng_state(),
        provenance=parts.provenance,
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
