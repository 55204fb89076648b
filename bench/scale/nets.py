# SPDX-License-Identifier: Apache-2.0
"""Parameters and multiply-adds of nets, counted from the shapes in their papers.

A layer is (parameters, multiply-adds for an image), first to last. ReLU, pooling, LRN and the arithmetic of batch
normalisation are not counted; its two parameters a channel are.
"""
from model import Timeline


def conv(channels, outputs, kernel, pixels, bias=True, groups=1):
    weights = channels // groups * outputs * kernel * kernel
    return weights + (outputs if bias else 2 * outputs), weights * pixels * pixels


def linear(inputs, outputs):
    return inputs * outputs + outputs, inputs * outputs


def caffenet():
    return [conv(3, 96, 11, 55), conv(96, 256, 5, 27, groups=2), conv(256, 384, 3, 13), conv(384, 384, 3, 13, groups=2),
            conv(384, 256, 3, 13, groups=2), linear(9216, 4096), linear(4096, 4096), linear(4096, 1000)]


def googlenet():
    """Szegedy et al. 2014, table 1, without the two auxiliary classifiers."""
    layers = [conv(3, 64, 7, 112), conv(64, 64, 1, 56), conv(64, 192, 3, 56)]
    channels = 192
    for pixels, one, three_in, three, five_in, five, pool in [
            (28, 64, 96, 128, 16, 32, 32), (28, 128, 128, 192, 32, 96, 64),
            (14, 192, 96, 208, 16, 48, 64), (14, 160, 112, 224, 24, 64, 64), (14, 128, 128, 256, 24, 64, 64),
            (14, 112, 144, 288, 32, 64, 64), (14, 256, 160, 320, 32, 128, 128),
            (7, 256, 160, 320, 32, 128, 128), (7, 384, 192, 384, 48, 128, 128)]:
        layers += [conv(channels, one, 1, pixels), conv(channels, three_in, 1, pixels), conv(three_in, three, 3, pixels),
                   conv(channels, five_in, 1, pixels), conv(five_in, five, 5, pixels), conv(channels, pool, 1, pixels)]
        channels = one + three + five + pool
    return layers + [linear(1024, 1000)]


def resnet50():
    """He et al. 2015, table 1; the stride is in the first 1x1 convolution of a stage."""
    layers = [conv(3, 64, 7, 112, bias=False)]
    channels = 64
    for width, blocks, pixels in [(64, 3, 56), (128, 4, 28), (256, 6, 14), (512, 3, 7)]:
        for block in range(blocks):
            if block == 0:
                layers.append(conv(channels, 4 * width, 1, pixels, bias=False))
            layers += [conv(channels, width, 1, pixels, bias=False), conv(width, width, 3, pixels, bias=False),
                       conv(width, 4 * width, 1, pixels, bias=False)]
            channels = 4 * width
    return layers + [linear(2048, 1000)]


NETS = {"CaffeNet": caffenet, "GoogLeNet": googlenet, "ResNet-50": resnet50}


def counted(name, batch, flops, memory):
    """The timeline on a device that reaches `flops` multiply-adds and additions a second, and `memory` bytes a second in the
    update (weight, gradient and momentum read, two of them written)."""
    layers = NETS[name]()
    seconds = [2 * macs * batch / flops for _, macs in layers]
    firsts = [sum(p for p, _ in layers[:i]) for i in range(len(layers))]
    forward = [(seconds[i - 1] if i > 0 else 0.0, firsts[i], layers[i][0]) for i in range(len(layers))]
    gradients = [(seconds[i] * (2 if i > 0 else 1), firsts[i], layers[i][0]) for i in reversed(range(len(layers)))]
    parameters = sum(p for p, _ in layers)
    return Timeline(forward, seconds[-1], gradients, 0.0, 20 * parameters / memory, parameters, name=name)
