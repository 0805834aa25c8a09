"""PyTorch's optimiser without PyTorch's compiler, whose import (torch._dynamo) takes 1.5 s of each process that trains.

The first optimiser of a process imports it, to tell it that none of its methods is to be compiled.
"""

import sys

import torch
from torch.optim import SGD


def keep_compiler_out_of_sgd() -> None:
    """Let SGD in this process work without the compiler; not for runs that compile.

    The methods stay PyTorch's own. Where its version has them otherwise, or the compiler is there, nothing is changed.
    """
    step = getattr(SGD.step, "__wrapped__", None)
    if "torch._dynamo" in sys.modules or step is None or hasattr(SGD.step, "hooked"):
        return
    SGD.step = torch.no_grad()(step)  # type: ignore[method-assign]  # what surrounds it breaks graphs, and does this
    for method in (SGD.add_param_group, SGD.zero_grad, SGD.state_dict, SGD.load_state_dict):
        if (own := getattr(method, "__wrapped__", None)) is not None:
            vars(own).setdefault("__dynamo_disable", own)  # where the method looks for itself, made uncompilable
