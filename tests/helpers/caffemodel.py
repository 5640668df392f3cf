"""Caffe's binary files, written by messages as its caffe.proto has them: numbers are numbers."""

from functools import cache
from itertools import chain

import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from helpers.colorizers import CHANNELS, fill, torch_blocks

INT32, INT64, FLOAT, DOUBLE, STRING, BOOL, MESSAGE = 5, 3, 2, 1, 9, 8, 11
# {message: {field: (number, type or message, "", "repeated" or "packed")}}, of those in use.
MESSAGES = {
    "BlobShape": {"dim": (1, INT64, "packed")},
    "BlobProto": {
        **{
            name: (i, INT32, "") for i, name in enumerate(("num", "channels", "height", "width"), 1)
        },
        "data": (5, FLOAT, "packed"),
        "diff": (6, FLOAT, "packed"),
        "shape": (7, "BlobShape", ""),
        "double_data": (8, DOUBLE, "packed"),
    },
    "LayerParameter": {
        "name": (1, STRING, ""),
        "type": (2, STRING, ""),
        "bottom": (3, STRING, "repeated"),
        "top": (4, STRING, "repeated"),
        "blobs": (7, "BlobProto", "repeated"),
        "phase": (10, INT32, ""),
    },
    "V1LayerParameter": {
        "bottom": (2, STRING, "repeated"),
        "top": (3, STRING, "repeated"),
        "name": (4, STRING, ""),
        "type": (5, INT32, ""),
        "blobs": (6, "BlobProto", "repeated"),
        "blobs_lr": (7, FLOAT, "repeated"),
    },
    "NetParameter": {
        "name": (1, STRING, ""),
        "layers": (2, "V1LayerParameter", "repeated"),
        "input": (3, STRING, "repeated"),
        "input_dim": (4, INT32, "repeated"),
        "force_backward": (5, BOOL, ""),
        "layer": (100, "LayerParameter", "repeated"),
    },
}


@cache
def net_parameter():
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, how) in fields.items():
            one = message.field.add(name=field, number=number, label=3 if how else 1)
            one.type = MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                one.type_name = f".caffe.{kind}"
            one.options.packed = how == "packed"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


def network(seed=0, channels=CHANNELS):
    """The authors' network in torch, batch norm without affine, on L - 50; filled."""
    net = torch.nn.Sequential(*chain(*torch_blocks(channels, False, affine=False)))
    fill(net, seed)
    with torch.no_grad():
        net[0].weight /= 20
    return net


def layers(net, factor=977.5):
    """[(name, type, arrays)] of the layers of `network`; statistics are sums, times `factor`."""
    found, block, place = [], 1, 1
    for layer in net:
        if isinstance(layer, torch.nn.BatchNorm2d):
            sums = [layer.running_mean * factor, layer.running_var * factor]
            arrays = [*sums, torch.tensor([float(factor)])]
            found.append((f"conv{block}_{place - 1}norm", "BatchNorm", arrays))
            block, place = block + 1, 1
        elif hasattr(layer, "weight"):
            deconvolution = isinstance(layer, torch.nn.ConvTranspose2d)
            name = "conv8_313" if layer.weight.shape[0] == 313 else f"conv{block}_{place}"
            name = "bw_conv1_1" if name == "conv1_1" else name
            kind = "Deconvolution" if deconvolution else "Convolution"
            found.append((name, kind, [layer.weight, layer.bias]))
            place += 1
        elif block > 1 or place > 1:
            found.append((f"relu{block}_{place - 1}", "ReLU", []))
    return found


def encoded(parts, old=False, double=False):
    """Bytes of a file with the layers (name, type, arrays); `old` as Caffe wrote before 2014."""
    net = net_parameter()(name="LtoAB", input=["data_l"], input_dim=[1, 1, 224, 224])
    for name, kind, arrays in parts:
        layer = (net.layers if old else net.layer).add(name=name, bottom=["x"], top=[name])
        if old:
            layer.type = 4
        else:
            layer.type = kind
        for array in arrays:
            blob = layer.blobs.add()
            values = array.detach().numpy()
            (blob.double_data if double else blob.data).extend(values.ravel().tolist())
            if old:
                sizes = (1,) * (4 - values.ndim) + values.shape
                blob.num, blob.channels, blob.height, blob.width = sizes
            else:
                blob.shape.dim.extend(values.shape)
    return net.SerializeToString()
