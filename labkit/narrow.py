"""Narrow versions of torchvision's nets, for images of 32 pixels a side: the same blocks under the same names."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.squeezenet import Fire, SqueezeNet
from torchvision.models.vgg import VGG, cfgs, make_layers


class NarrowResNet(ResNet):
    """torchvision's ResNet with an eighth of the channels, for images of 32 pixels a side.

    (B, 3, 32, 32) -> (B, n_classes). Modules, their names and forward are torchvision's; the first convolution is
    3x3 with stride 2, and there is no pooling after it. Stages give 32, 64, 128 and 256 channels at 16, 8, 4 and 2
    pixels a side.

    Source: He et al. 2016, arXiv:1512.03385; stride in the 3x3 convolution as in torchvision.
    """

    def __init__(self, blocks: tuple[int, int, int, int], n_classes: int) -> None:
        nn.Module.__init__(self)  # ResNet's own would first build and fill the wide layers
        self._norm_layer = nn.BatchNorm2d
        self.inplanes, self.dilation, self.groups, self.base_width = 16, 1, 1, 64
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity()
        self.layer1 = self._make_layer(Bottleneck, 8, blocks[0])
        self.layer2 = self._make_layer(Bottleneck, 16, blocks[1], stride=2)
        self.layer3 = self._make_layer(Bottleneck, 32, blocks[2], stride=2)
        self.layer4 = self._make_layer(Bottleneck, 64, blocks[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(64 * Bottleneck.expansion, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class NarrowVGG(VGG):
    """torchvision's VGG16 with a quarter of the channels, for images of 32 pixels a side.

    (B, 3, 32, 32) -> (B, n_classes). Modules, their numbers and forward are torchvision's `vgg16`, or `vgg16_bn` with
    `batch_norm`. Blocks give 16, 32, 64, 128 and 128 channels at 32, 16, 8, 4 and 2 pixels a side, the last pooling leaves
    one position (VGG16's: 7 x 7), the two hidden layers of the classifier have 384 units (4096), and a tenth of them is
    dropped (half). Weights start as He et al. propose, all biases at 0.

    Source: Simonyan and Zisserman 2015, arXiv:1409.1556, configuration D; He et al. 2015, arXiv:1502.01852.
    """

    def __init__(self, n_classes: int, *, batch_norm: bool = False) -> None:
        nn.Module.__init__(self)  # VGG's own would first build a layer of 100 million weights
        shape: list[Any] = [entry if entry == "M" else int(entry) // 4 for entry in cfgs["D"]]
        hidden, dropout = 384, 0.1
        self.features = make_layers(shape, batch_norm=batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Sequential(
            nn.Linear(shape[-2], hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class NarrowSqueezeNet(SqueezeNet):
    """torchvision's SqueezeNet 1.1 with a quarter of the channels, for images of 32 pixels a side.

    (B, 3, 32, 32) -> (B, n_classes), and larger images as well. Modules, their numbers and forward are torchvision's
    `squeezenet1_1`, but for three: the first convolution keeps all 32 pixels, the third pooling is left out, so that the
    last maps have 8 x 8 positions (SqueezeNet's: 13 x 13), and no ReLU follows the last convolution, for a class whose score
    is 0 everywhere would have no gradient. With `batch_norm` each convolution of `features` stands in a Sequential with its
    batch normalisation. Weights start as He et al. propose, the last layer's small, all biases at 0.

    Source: Iandola et al. 2016, arXiv:1602.07360; He et al. 2015, arXiv:1502.01852.
    """

    def __init__(self, n_classes: int, *, batch_norm: bool = False) -> None:
        nn.Module.__init__(self)  # SqueezeNet's own would first build the wide layers
        self.num_classes = n_classes
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),
            Fire(16, 4, 16, 16),
            Fire(32, 4, 16, 16),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),
            Fire(32, 8, 32, 32),
            Fire(64, 8, 32, 32),
            nn.Identity(),
            Fire(64, 12, 48, 48),
            Fire(96, 12, 48, 48),
            Fire(96, 16, 64, 64),
            Fire(128, 16, 64, 64),
        )
        last = nn.Conv2d(128, n_classes, kernel_size=1)
        self.classifier = nn.Sequential(nn.Dropout(0.1), last, nn.Identity(), nn.AdaptiveAvgPool2d((1, 1)))
        for name, module in list(self.named_modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(cast(Tensor, module.bias))
                if batch_norm and module is not last:
                    self.set_submodule(name, nn.Sequential(module, nn.BatchNorm2d(module.out_channels)))
        nn.init.normal_(last.weight, std=0.01)
