"""torchvision と同じ名前と形を持つ、torch.nn だけで書いた参照 (torchvision 0.2x の設計)。"""

from torch import cat, flatten, nn


def vgg(repeats, width, hidden, num_classes, batch_norm, pooled):
    layers, before = [], 3
    for times, wider in zip(repeats, (1, 2, 4, 8, 8)):
        for _ in range(times):
            layers += [nn.Conv2d(before, width * wider, 3, padding=1)]
            layers += [nn.BatchNorm2d(width * wider)] if batch_norm else []
            layers += [nn.ReLU(inplace=True)]
            before = width * wider
        layers += [nn.MaxPool2d(2, 2)]

    class VGG(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(*layers)
            self.avgpool = nn.AdaptiveAvgPool2d(pooled)
            self.classifier = nn.Sequential(
                nn.Linear(before * pooled**2, hidden),
                nn.ReLU(True),
                nn.Dropout(),
                nn.Linear(hidden, hidden),
                nn.ReLU(True),
                nn.Dropout(),
                nn.Linear(hidden, num_classes),
            )

        def forward(self, x):
            return self.classifier(flatten(self.avgpool(self.features(x)), 1))

    return VGG()


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, before, planes, stride, downsample):
        super().__init__()
        self.conv1 = nn.Conv2d(before, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + (self.downsample(x) if self.downsample else x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, before, planes, stride, downsample):
        super().__init__()
        self.conv1 = nn.Conv2d(before, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        return self.relu(out + (self.downsample(x) if self.downsample else x))


class ResNet(nn.Module):
    def __init__(self, block, layers, width, num_classes):
        super().__init__()
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for i, blocks in enumerate(layers):
            stage = self._make_layer(block, width * 2**i, blocks, 1 if i == 0 else 2)
            setattr(self, f"layer{i + 1}", stage)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width * 8 * block.expansion, num_classes)

    def _make_layer(self, block, planes, blocks, stride):
        out, downsample = planes * block.expansion, None
        if stride != 1 or self.inplanes != out:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )
        made = [block(self.inplanes, planes, stride, downsample)]
        self.inplanes = out
        made += [block(out, planes, 1, None) for _ in range(blocks - 1)]
        return nn.Sequential(*made)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(flatten(self.avgpool(x), 1))


class BasicConv2d(nn.Module):
    def __init__(self, before, after, **options):
        super().__init__()
        self.conv = nn.Conv2d(before, after, bias=False, **options)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class Inception(nn.Module):
    def __init__(self, before, ch1x1, red3, ch3, red5, ch5, pool):
        super().__init__()
        one, three = {"kernel_size": 1}, {"kernel_size": 3, "padding": 1}
        self.branch1 = BasicConv2d(before, ch1x1, **one)
        self.branch2 = nn.Sequential(
            BasicConv2d(before, red3, **one), BasicConv2d(red3, ch3, **three)
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(before, red5, **one), BasicConv2d(red5, ch5, **three)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv2d(before, pool, **one)
        )

    def forward(self, x):
        return cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    def __init__(self, before, channels, num_classes):
        super().__init__()
        self.conv = BasicConv2d(before, channels, kernel_size=1)
        self.fc1 = nn.Linear(channels * 16, channels * 8)
        self.fc2 = nn.Linear(channels * 8, num_classes)

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(x, (4, 4))
        return self.fc2(self.fc1(flatten(self.conv(x), 1)).relu())


class GoogLeNet(nn.Module):
    """`divided` で割ったチャネル数。ドロップアウトはない。"""

    def __init__(self, divided, num_classes, transform_input):
        super().__init__()
        d = divided

        def inception(before, *sizes):
            return Inception(before // d, *(n // d for n in sizes))

        self.transform_input = transform_input
        self.conv1 = BasicConv2d(3, 64 // d, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(64 // d, 64 // d, kernel_size=1)
        self.conv3 = BasicConv2d(64 // d, 192 // d, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = inception(832, 384, 192, 384, 48, 128, 128)
        self.aux1 = InceptionAux(512 // d, 128 // d, num_classes)
        self.aux2 = InceptionAux(528 // d, 128 // d, num_classes)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(1024 // d, num_classes)

    def forward(self, x):
        if self.transform_input:
            x_ch0 = x[:, 0].unsqueeze(1) * (0.229 / 0.5) + (0.485 - 0.5) / 0.5
            x_ch1 = x[:, 1].unsqueeze(1) * (0.224 / 0.5) + (0.456 - 0.5) / 0.5
            x_ch2 = x[:, 2].unsqueeze(1) * (0.225 / 0.5) + (0.406 - 0.5) / 0.5
            x = cat((x_ch0, x_ch1, x_ch2), 1)
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        x = self.inception4a(self.maxpool3(self.inception3b(self.inception3a(x))))
        aux1 = self.aux1(x) if self.training else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        aux2 = self.aux2(x) if self.training else None
        x = self.inception5b(self.inception5a(self.maxpool4(self.inception4e(x))))
        x = self.fc(flatten(self.avgpool(x), 1))
        return (x, aux2, aux1) if self.training else x
