"""Small pieces that the network families share."""

from torch import Tensor, nn
from torch.nn import functional as F


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Return a padded 3x3 convolution without bias, for use before or after a batch norm."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    """Return a 1x1 convolution without bias, the projection of a shortcut."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)


def global_average(x: Tensor) -> Tensor:
    """Average every map over its positions, [B, C, H, W] to [B, C]; any input size will do."""
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def init_convolutions(model: nn.Module) -> None:
    """Draw convolution weights from N(0, 2 / fan_out) and zero their biases.

    fan_out is kernel area times output channels. Batch norms keep PyTorch's weight 1 and bias 0, which is
    what the references set. Linear layers differ from family to family, so each network sets its own.

    Source: He et al. 2015, section 2.2; RepDistiller (models/ at b84f547) and train_kd.py at 3427f98.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
