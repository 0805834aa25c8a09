"""What tests of several folders share. Torch is imported only where a test needs it: tests/analysis stays quick."""

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tests.golden_a import Pair

GOLDEN = Path(__file__).parent / "golden"

# So that a failed comparison in these helpers shows its numbers.
pytest.register_assert_rewrite("tests.golden_a", "tests.golden_c", "tests.distill.properties")


@pytest.fixture(autouse=True, scope="session")
def signals_of_a_terminal() -> None:
    """The tests do not inherit that a script's `command &` passes over Ctrl-C, and nohup the end of the terminal."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small tensors gain nothing from a second thread, and sums depend on their number."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture
def golden_figures() -> dict[str, Any]:
    """Return the numbers that the public Tf-FD script computed; see test_losses and test_golden_traces."""
    figures: dict[str, Any] = json.loads((GOLDEN / "reference_a.json").read_text(encoding="utf-8"))
    return figures


@pytest.fixture
def golden_student(tmp_path: Path) -> "tuple[nn.Module, Tensor, Tensor]":
    """Return the resnet20 those numbers belong to, 128 pictures as it takes them, and their labels."""
    import numpy as np
    import torch

    from tffd.data.augment import normalise
    from tffd.models import create_model

    arrays = {name: torch.from_numpy(array) for name, array in np.load(GOLDEN / "student_resnet20.npz").items()}
    state = {name.removeprefix("student/"): array for name, array in arrays.items() if name.startswith("student/")}
    torch.save({"net": state}, tmp_path / "student.pth")
    model = create_model("resnet20", 10, weights=tmp_path / "student.pth")
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])
    return model, normalise(arrays["images"], mean, std), arrays["labels"]


@pytest.fixture
def golden_pair(
    golden_student: "tuple[nn.Module, Tensor, Tensor]", golden_figures: dict[str, Any], tmp_path: Path
) -> "Pair":
    """Return that resnet20 and its teacher, with what the distillation modes of the reference computed on them."""
    import numpy as np
    import torch

    from tests.golden_a import Pair
    from tffd.models import create_model

    with np.load(GOLDEN / "teacher_resnet20.npz") as arrays:
        state = {name.removeprefix("teacher/"): torch.from_numpy(array) for name, array in arrays.items()}
    torch.save({"net": state}, tmp_path / "teacher.pth")
    student, inputs, _ = golden_student
    teacher = create_model("resnet20", 10, weights=tmp_path / "teacher.pth")
    return Pair(student, teacher, inputs[:16], golden_figures["kd"])
