"""畳み込みネットワーク (convolutional networks): LeNet から VGG、GoogLeNet、ResNet まで。

VGG、GoogLeNet、ResNet のパラメータの名前、形、数は torchvision と同じで、公開されている重みが

    model.load_state_dict(mg.load("resnet18.safetensors"))

で読める。どれもロジット (logits) を返し、`num_classes`、`in_channels`、`width` を変えられるので、
幅を狭めて 28 × 28 の数字でも学習できる。

>>> import micrograd_jp as mg
>>> model = mg.nn.models.resnet_small(8, in_channels=1, width=4)
>>> model(mg.zeros(2, 1, 28, 28)).shape
(2, 10)
"""

from typing import TYPE_CHECKING

from micrograd_jp.nn.models.googlenet import GoogLeNet as GoogLeNet
from micrograd_jp.nn.models.googlenet import GoogLeNetOutputs as GoogLeNetOutputs
from micrograd_jp.nn.models.googlenet import googlenet as googlenet
from micrograd_jp.nn.models.resnet import ResNet as ResNet
from micrograd_jp.nn.models.resnet import resnet18 as resnet18
from micrograd_jp.nn.models.resnet import resnet34 as resnet34
from micrograd_jp.nn.models.resnet import resnet50 as resnet50
from micrograd_jp.nn.models.resnet import resnet101 as resnet101
from micrograd_jp.nn.models.resnet import resnet152 as resnet152
from micrograd_jp.nn.models.small import DeepConvNet as DeepConvNet
from micrograd_jp.nn.models.small import LeNet as LeNet
from micrograd_jp.nn.models.small_resnet import SmallResNet as SmallResNet
from micrograd_jp.nn.models.small_resnet import resnet_small as resnet_small
from micrograd_jp.nn.models.vgg import VGG as VGG
from micrograd_jp.nn.models.vgg import vgg11 as vgg11
from micrograd_jp.nn.models.vgg import vgg11_bn as vgg11_bn
from micrograd_jp.nn.models.vgg import vgg13 as vgg13
from micrograd_jp.nn.models.vgg import vgg13_bn as vgg13_bn
from micrograd_jp.nn.models.vgg import vgg16 as vgg16
from micrograd_jp.nn.models.vgg import vgg16_bn as vgg16_bn
from micrograd_jp.nn.models.vgg import vgg19 as vgg19
from micrograd_jp.nn.models.vgg import vgg19_bn as vgg19_bn
from micrograd_jp.on_demand import teller

if not TYPE_CHECKING:  # it knows every name that is not here
    __getattr__ = teller(__name__)
