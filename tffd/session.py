"""One sitting of a run: its parts are built, it goes on from its checkpoint, and its files are kept up to date."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tffd import records
from tffd.build import Parts, build_parts
from tffd.data import DataChanged, digest_content
from tffd.files import file_digest
from tffd.machine import device_name, effective_device, peak_memory_mb, reset_peak_memory
from tffd.records import RunInterrupted
from tffd.schema import Config
from tffd.teacher import measure_teacher
from tffd.training.captured import uncaptured
from tffd.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tffd.training.loop import Progress, make_optimizer, train, train_first_stage
from tffd.training.progress import EpochReporter


class Session:
    """Trains a run from wherever its checkpoint stands.

    Args:
        config: The config of the run.
        run_dir: Its directory, which is locked.
        reporter: Told about every epoch.
        stops: Directories in which the sweep may ask to stop.
        result: What is known of result.json; updated in place.
    """

    def __init__(
        self, config: Config, run_dir: Path, reporter: EpochReporter, stops: Sequence[Path], result: dict[str, Any]
    ) -> None:
        self.config, self.run_dir, self.reporter, self.stops, self.result = config, run_dir, reporter, stops, result
        self.progress = Progress(epoch=0, history=[], seconds=0.0)

    def train(self, teacher: Path | None) -> Parts:
        """Train to the last epoch, or until the sweep asks to stop.

        Args:
            teacher: Weights of the teacher, where the kd_modes need one.
        Raises:
            RunInterrupted: If the sweep asked the run to stop for now.
        """
        config, progress = self.config, self.progress
        reset_peak_memory(effective_device(config.device))  # before anything is loaded
        checkpoint = load_checkpoint(self.run_dir / records.CHECKPOINT, self.result["config_hash"])
        if threads := (checkpoint.threads if checkpoint else config.threads):
            torch.set_num_threads(threads)
        parts = build_parts(config, teacher)
        if digest_content(parts.data.content) != self.result["data"]:
            raise DataChanged("the pictures changed while the run began. Start again when nothing writes to them.")
        optimizer = self._restore(parts, checkpoint)
        self._describe(parts, teacher)
        records.write_metrics(self.run_dir, progress.history)
        if config.trainer.compile and (uncompiled := parts.learners.distillation.uncompiled):
            modes = "+".join(uncompiled)
            self.reporter.note(f"trainer.compile=true: not with kd_mode={modes}, whose steps run as they are")
        if parts.recipe.cuda_graph and (names := uncaptured(parts.learners)):
            self.reporter.note(
                f"trainer.cuda_graph=true: not with {' and '.join(names)}, so steps are slower; "
                "parts of your own may say captures = True"
            )
        with self.reporter.run(config, resumed_at=progress.epoch):
            if (stage := parts.learners.distillation.first_stage) and self._is_in_first_stage(parts):
                for _ in train_first_stage(parts.learners, parts.data, parts.recipe, optimizer, progress):
                    records.write_metrics(self.run_dir, progress.first_stage, records.FIRST_STAGE)
                    self.reporter.first_stage(progress.first_stage[-1], stage.epochs)
                    if self._is_in_first_stage(parts):
                        self._keep(parts, optimizer, len(progress.first_stage))
                if not stage.keep_momentum:
                    optimizer = make_optimizer(parts.learners, parts.recipe)
            for _ in train(parts.learners, parts.data, parts.recipe, optimizer, progress):
                records.write_metrics(self.run_dir, progress.history)
                self.reporter.epoch(progress.history[-1])
                if progress.epoch == config.trainer.epochs or self._keep(parts, optimizer, progress.epoch):
                    break
        self.result["peak_memory_mb"] = peak_memory_mb(parts.device)
        self.result["images_per_second"] = len(parts.data.train) * progress.epoch / progress.seconds
        return parts

    def is_asked(self, how: str) -> bool:
        """Tell whether the sweep asked the run to stop in this way."""
        return any(records.asked_to_stop(directory) == how for directory in self.stops)

    def measurements(self) -> dict[str, Any]:
        """The fields of result.json that training has measured so far."""
        every_epoch = self.config.protocol.test == "every_epoch"
        return {
            "epochs_run": self.progress.epoch,
            "train_seconds": round(self.progress.seconds, 3),
            **records.summarise_history(self.progress.history, test_every_epoch=every_epoch),
        }

    def _is_in_first_stage(self, parts: Parts) -> bool:
        stage = parts.learners.distillation.first_stage
        return stage is not None and len(self.progress.first_stage) < stage.epochs

    def _restore(self, parts: Parts, checkpoint: Checkpoint | None) -> torch.optim.Optimizer:
        """Put everything where the checkpoint stands, and return the optimiser of that stage."""
        progress, learners = self.progress, parts.learners
        if checkpoint is None:
            return make_optimizer(learners, parts.recipe, self._is_in_first_stage(parts))
        progress.epoch, progress.history = checkpoint.epoch, checkpoint.history
        progress.seconds, progress.first_stage = checkpoint.seconds, checkpoint.first_stage
        optimizer = make_optimizer(learners, parts.recipe, self._is_in_first_stage(parts))
        learners.student.load_state_dict(checkpoint.model)
        learners.distillation.load_state_dict(checkpoint.modes)
        optimizer.load_state_dict(checkpoint.optimizer)
        torch.set_rng_state(checkpoint.rng)
        return optimizer

    def _describe(self, parts: Parts, teacher: Path | None) -> None:
        """Add to the result what is known once the parts are there."""
        self.result |= {
            "split": parts.data.split_record,
            "weights": parts.start.record() if parts.start else None,
            "parameters": _count(parts.learners.student),
            "mode_parameters": _count(parts.learners.distillation),
            "classes": len(parts.data.classes),
            "device": device_name(parts.device),
            "threads": torch.get_num_threads(),
        }
        if teacher is not None and parts.learners.teacher is not None and parts.taught is not None:
            measured = measure_teacher(
                parts.learners.teacher,
                parts.data,
                digest=file_digest(teacher),
                cache=self.config.dataset.cache,
                bf16=parts.recipe.bf16,
            )
            self.result |= {f"teacher_{name}": value for name, value in parts.taught.record().items()}
            self.result |= {"teacher_top1": measured.top1, "teacher_split": measured.split}

    def _keep(self, parts: Parts, optimizer: torch.optim.Optimizer, epoch: int) -> bool:
        """Write a checkpoint where one is due; tell whether the run is to end after this epoch."""
        interrupted, every = self.is_asked(records.INTERRUPT), self.config.trainer.checkpoint_every
        if interrupted or (every and epoch % every == 0):
            save_checkpoint(self._checkpoint(parts, optimizer), self.run_dir / records.CHECKPOINT)
        if interrupted:
            raise RunInterrupted(f"asked to stop after epoch {epoch}")
        return self.is_asked(records.PRUNE)

    def _checkpoint(self, parts: Parts, optimizer: torch.optim.Optimizer) -> Checkpoint:
        return Checkpoint(
            config_hash=self.result["config_hash"],
            epoch=self.progress.epoch,
            history=self.progress.history,
            seconds=self.progress.seconds,
            threads=torch.get_num_threads(),
            model=parts.learners.student.state_dict(),
            optimizer=optimizer.state_dict(),
            rng=torch.get_rng_state(),
            provenance=parts.provenance,
            modes=parts.learners.distillation.state_dict(),
            first_stage=self.progress.first_stage,
        )


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
