# SPDX-License-Identifier: Apache-2.0
"""A job that takes a second, for tests that drive the program `crema`."""
import random, struct, subprocess

NET = """name: "small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.00390625 } data_param { source: "small-images-idx3-ubyte" batch_size: 16 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.00390625 } data_param { source: "small-images-idx3-ubyte" batch_size: 50 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "drop" dropout_param { dropout_ratio: 0.2 } }
layer { name: "ip" type: "InnerProduct" bottom: "drop" top: "ip" inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt"
test_iter: 20 test_interval: 1000000 test_initialization: false
base_lr: 0.02 momentum: 0.9 weight_decay: 0.0005 lr_policy: "inv" gamma: 0.0001 power: 0.75
max_iter: {max_iter} snapshot: {snapshot} snapshot_prefix: "{prefix}" display: 100 random_seed: 3
"""


def write_data(folder, bad_labels=()):
    """330 images of 12 x 12 in four classes: a bright quarter and noise. Images in `bad_labels` get a class that the net has not."""
    r = random.Random(1)
    pixels, labels = bytearray(), bytearray()
    for i in range(330):
        label = i % 4
        labels.append(9 if i in bad_labels else label)
        for y in range(12):
            for x in range(12):
                bright = (y >= 6) * 2 + (x >= 6) == label
                pixels.append(r.randrange(120) + 80 * bright)
    (folder / "small-images-idx3-ubyte").write_bytes(struct.pack(">HBBIII", 0, 8, 3, 330, 12, 12) + pixels)
    (folder / "small-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 330) + labels)


def write_mean(path):
    """A mean image that is zero, a BlobProto: channels, height, width, and 144 floats."""
    path.write_bytes(b"\x10\x01\x18\x0c\x20\x0c\x2a" + bytes([576 % 128 + 128, 576 // 128]) + bytes(576))


def write_lmdb(program, folder, images, header=b"P5 12 12 255\n"):
    """folder/small_lmdb: a database of these (pixels, label), made by `crema convert` from image files that begin with `header`."""
    (folder / "pictures").mkdir()
    lines = []
    for i, (pixels, label) in enumerate(images):
        (folder / "pictures" / f"{i:03}.pgm").write_bytes(header + pixels)
        lines.append(f"{i:03}.pgm {label}\n")
    (folder / "list.txt").write_text("".join(lines))
    gray = ["--gray"] if header.startswith(b"P5") else []
    subprocess.run([program, "convert", *gray, folder / "pictures", folder / "list.txt", folder / "small_lmdb"], check=True, capture_output=True)
