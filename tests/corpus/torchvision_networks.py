"""The usual architectures for pictures, from torchvision, with seeded weights: where it is installed."""

import torch

from tests.corpus.torch_networks import TorchNetwork

for _name in ("nms", "qnms"):  # compiled parts of torchvision, which a build of torch for CPUs alone may lack
    torch.library.define(
        f"torchvision::{_name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    )

from torchvision import models  # noqa: E402

_PICTURE = ((1, 3, 224, 224),)

NETWORKS = {
    "resnet18": TorchNetwork(models.resnet18, _PICTURE),
    "mobilenet_v2": TorchNetwork(models.mobilenet_v2, _PICTURE),
    "mobilenet_v3_small": TorchNetwork(models.mobilenet_v3_small, _PICTURE),
    "efficientnet_b0": TorchNetwork(models.efficientnet_b0, _PICTURE),
    "squeezenet": TorchNetwork(models.squeezenet1_1, _PICTURE),
    "shufflenet_v2": TorchNetwork(models.shufflenet_v2_x1_0, _PICTURE),
    "mnasnet": TorchNetwork(models.mnasnet0_5, _PICTURE),
    "regnet_y": TorchNetwork(models.regnet_y_400mf, _PICTURE),
    "convnext_tiny": TorchNetwork(models.convnext_tiny, _PICTURE),
    "densenet121": TorchNetwork(models.densenet121, _PICTURE),
    "googlenet": TorchNetwork(lambda: models.googlenet(aux_logits=False, init_weights=False), _PICTURE),
    "vit": TorchNetwork(
        lambda: models.VisionTransformer(32, 8, 4, 4, 96, 192, num_classes=10), ((1, 3, 32, 32),)
    ),
}
