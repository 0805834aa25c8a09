"""Links in a run's directory: whoever may write there could have its files written anywhere else."""

from pathlib import Path


def require_no_links(run_dir: Path) -> None:
    """Refuse a run's directory in which a name that is about to be written to is a link.

    Hydra and the logs open files by their names, and what is opened through a link is somebody else's file. Links
    above the directory, such as a results directory on another disk, are nobody's business but their owner's.

    Raises:
        ValueError: If the directory, its `.hydra` or anything directly in them is a link.
    """
    for folder in (run_dir, run_dir / ".hydra"):
        if folder.is_symlink():
            _refuse(folder)
        if folder.is_dir():
            for path in folder.iterdir():
                if path.is_symlink():
                    _refuse(path)


def _refuse(path: Path) -> None:
    raise ValueError(f"{path} is a link, and the run would write through it; remove it, or choose another name=...")
