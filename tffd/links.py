"""Links and odd files in a run's directory: through a link files are written elsewhere, and a FIFO holds a run up."""

from pathlib import Path


def require_no_links(run_dir: Path) -> None:
    """Refuse a run's directory in which a name that is about to be written to is a link, a FIFO or a device.

    Hydra and the logs open files by their names, and what is opened through a link is somebody else's file; a FIFO
    lets whoever opens it wait. Links above the directory, such as a results directory on another disk, are nobody's
    business but their owner's.

    Raises:
        ValueError: If the directory, its `.hydra` or anything directly in them is a link, or neither file nor folder.
    """
    for folder in (run_dir, run_dir / ".hydra"):
        if folder.is_symlink():
            _refuse(folder)
        if folder.is_dir():
            for path in folder.iterdir():
                if path.is_symlink():
                    _refuse(path)
                if path.exists() and not path.is_file() and not path.is_dir():
                    raise ValueError(f"{path} is a device, a FIFO or a socket; remove it, or choose another name=...")


def _refuse(path: Path) -> None:
    raise ValueError(f"{path} is a link, and the run would write through it; remove it, or choose another name=...")
