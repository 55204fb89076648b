#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A folder of JPEGs and what somebody knows about them, made of pictures that need no download: the ten clothes of
Fashion-MNIST's test images, and photographs of scikit-image and scikit-learn cut into patches.

    make_images.py FOLDER [--train 60] [--held-out 60]          for each tag; needs Pillow, and those two

FOLDER/jpegs/*.jpg, and FOLDER/labels.csv with file, tag and split. A net that was trained on Fashion-MNIST's train images
has seen none of them. Training patches come from a photograph's left half, those held out from its right half.
"""
import argparse, csv, gzip, importlib.util, random
from pathlib import Path

from PIL import Image

CLOTHES = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
PHOTOS = {
    "skimage/data": {"brick": "bricks", "chelsea": "cat", "coffee": "coffee", "coins": "coins", "grass": "grass", "gravel": "gravel",
                     "hubble_deep_field": "galaxies", "page": "page of a book"},
    "sklearn/datasets/images": {"china": "palace", "flower": "flower"},
}
PATCH = 96  # pixels

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("--train", type=int, default=60)
parser.add_argument("--held-out", type=int, default=60)
parser.add_argument("--data", type=Path, default="/usr/share/datasets/fashion-mnist")
arguments = parser.parse_args()
jpegs = arguments.folder / "jpegs"
jpegs.mkdir(parents=True)
splits = ["train"] * arguments.train + ["held-out"] * arguments.held_out
labels = []


def save(image, tag, number, split):
    file = f"{tag.replace(' ', '-')}-{number:04}.jpg"
    image.save(jpegs / file, quality=95)
    labels.append((file, tag, split))


with gzip.open(arguments.data / "t10k-images-idx3-ubyte.gz") as images, gzip.open(arguments.data / "t10k-labels-idx1-ubyte.gz") as classes:
    pixels, kinds = images.read()[16:], classes.read()[8:]
for kind, tag in enumerate(CLOTHES):
    found = [i for i, k in enumerate(kinds) if k == kind]
    for number, (i, split) in enumerate(zip(found, splits)):
        save(Image.frombytes("L", (28, 28), pixels[784 * i:784 * (i + 1)]), tag, number, split)

chance = random.Random(1)
for place, name, tag in [(place, *photo) for place, photos in PHOTOS.items() for photo in photos.items()]:
    package, folder = place.split("/", 1)  # only its files are wanted: it is not imported
    photo = Image.open(next((Path(importlib.util.find_spec(package).origin).parent / folder).glob(name + ".*")))
    middle = photo.width // 2
    for number, split in enumerate(splits):
        left, right = (0, middle) if split == "train" else (middle, photo.width)
        x, y = chance.randint(left, right - PATCH), chance.randint(0, photo.height - PATCH)
        save(photo.crop((x, y, x + PATCH, y + PATCH)), tag, number, split)

with open(arguments.folder / "labels.csv", "w", newline="") as file:
    csv.writer(file).writerows([("file", "tag", "split"), *labels])
print(f"{len(labels)} JPEGs of {len({tag for _, tag, _ in labels})} tags are in {jpegs}")
