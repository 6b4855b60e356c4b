"""The pipelines of `smalti bench loader` as torch data sets, with the images in Pillow, OpenCV or torchvision.

Order and arithmetic are Mask2Former's on detectron2 (large-scale jitter) and mmsegmentation's (crops); Pillow and OpenCV stand
for how the two read and resize. Whole images are resized and then cropped, outlines become masks by pycocotools, as there.
Images leave as normalised floats, as smalti's do, or with `as_bytes` as they are.
"""

import json
import random
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torch.utils.data import Dataset
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as transforms
from torchvision.transforms.v2 import functional

LSJ = 1024
CROP = 512
IGNORE = 255
TRIES = 10
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)


class Pillow:
    """Images as [H, W, 3] arrays, resized with Pillow's antialiased filter."""

    @staticmethod
    def read(path):
        return np.asarray(Image.open(path).convert("RGB"))

    @staticmethod
    def resize(image, size):
        return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))

    @staticmethod
    def resize_labels(labels, size):
        return np.asarray(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))

    @staticmethod
    def flip(image):
        return image[:, ::-1]

    @staticmethod
    def hue_and_saturation(image, saturation, hue):
        bands = list(Image.fromarray(image).convert("HSV").split())
        bands[0] = bands[0].point([(v + round(hue * 256 / 180)) % 256 for v in range(256)])
        bands[1] = bands[1].point([min(255, int(v * saturation)) for v in range(256)])
        return np.asarray(Image.merge("HSV", bands).convert("RGB"))

    @classmethod
    def photometric(cls, image):
        image = linear(image, 1, random.uniform(-32, 32)) if coin() else image
        first = coin()
        contrast = random.uniform(0.5, 1.5) if coin() else 1
        image = linear(image, contrast, 0) if first and contrast != 1 else image
        saturation = random.uniform(0.5, 1.5) if coin() else 1
        hue = random.randrange(-18, 18) if coin() else 0
        image = cls.hue_and_saturation(image, saturation, hue) if saturation != 1 or hue else image
        return linear(image, contrast, 0) if not first and contrast != 1 else image

    @staticmethod
    def finish(image, edge, as_bytes):
        """[3, edge, edge], padded at the bottom and on the right."""
        height, width = image.shape[:2]
        out = np.zeros((edge, edge, 3), np.uint8 if as_bytes else np.float32)
        out[:height, :width] = image if as_bytes else (image.astype(np.float32) - MEAN) / STD
        return torch.from_numpy(np.ascontiguousarray(out.transpose(2, 0, 1)))


class OpenCv(Pillow):
    """The same in OpenCV."""

    @staticmethod
    def read(path):
        return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

    @staticmethod
    def resize(image, size):
        return cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)

    @staticmethod
    def resize_labels(labels, size):
        return cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST)

    @staticmethod
    def flip(image):
        return cv2.flip(image, 1)

    @staticmethod
    def hue_and_saturation(image, saturation, hue):
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 1] = linear(hsv[..., 1], saturation, 0)
        hsv[..., 0] = (hsv[..., 0].astype(int) + hue) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


class TorchVision:
    """Images as [3, H, W] tensors, resized with antialiasing as its transforms do; its own colour jitter."""

    JITTER = transforms.ColorJitter(brightness=0.125, contrast=0.5, saturation=0.5, hue=0.1)

    @staticmethod
    def read(path):
        return decode_image(str(path), ImageReadMode.RGB)

    @staticmethod
    def resize(image, size):
        return functional.resize(image, list(size), InterpolationMode.BILINEAR, antialias=True)

    @staticmethod
    def resize_labels(labels, size):
        if labels.dtype != np.uint8:  # torchvision resizes bytes and floats only
            return OpenCv.resize_labels(labels, size)
        tensor = torch.from_numpy(np.ascontiguousarray(labels))[None]
        return functional.resize(tensor, list(size), InterpolationMode.NEAREST)[0].numpy()

    @staticmethod
    def flip(image):
        if isinstance(image, np.ndarray):
            return image[:, ::-1]
        return functional.horizontal_flip(image)

    @classmethod
    def photometric(cls, image):
        return cls.JITTER(image)

    @staticmethod
    def finish(image, edge, as_bytes):
        height, width = image.shape[-2:]
        if not as_bytes:
            image = functional.normalize(image.float(), MEAN.tolist(), STD.tolist())
        return functional.pad(image, [0, 0, edge - width, edge - height])


LIBRARIES = {"Pillow": Pillow, "OpenCV": OpenCv, "torchvision": TorchVision}


class LargeScaleJitter(Dataset):
    """Flip, resize to 0.1 to 2 times 1024x1024, crop or pad to it; masks [N, 1024, 1024] and classes."""

    def __init__(self, library, root: Path, as_bytes: bool):
        self.library, self.as_bytes = library, as_bytes
        self.images = root / "train2017"
        self.open(root / "annotations")

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        record = self.records[index]
        image = self.library.read(self.images / record["file_name"])
        size = size_of(image)
        mirrored = coin()
        factor = random.uniform(0.1, 2) * min(LSJ / size[0], LSJ / size[1])
        target = tuple(max(1, round(edge * factor)) for edge in size)
        share = random.random()
        top, left = (round(max(0, edge - LSJ) * share) for edge in target)
        image = self.library.flip(image) if mirrored else image
        image = crop(self.library.resize(contiguous(image), target), top, left, LSJ)
        masks, classes = self.masks(record, mirrored, size, target, (top, left))
        image = self.library.finish(image, LSJ, self.as_bytes)
        return image, torch.from_numpy(masks), torch.tensor(classes)


class Instances(LargeScaleJitter):
    """Of COCO's instance file, crowds left out."""

    def open(self, annotations: Path):
        file = json.loads((annotations / "instances_train2017.json").read_text())
        objects = {image["id"]: [] for image in file["images"]}
        for instance in file["annotations"]:
            if not instance.get("iscrowd"):
                objects[instance["image_id"]].append((instance["category_id"], instance["segmentation"]))
        self.records = [image | {"objects": objects[image["id"]]} for image in file["images"]]

    def masks(self, record, mirrored, size, target, offset):
        scale = [target[1] / size[1], target[0] / size[0]]
        masks, classes = [], []
        for category, outlines in record["objects"]:
            moved = [self.moved(outline, mirrored, size[1], scale, offset) for outline in outlines]
            mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(moved, LSJ, LSJ)))
            mask[target[0] :], mask[:, target[1] :] = 0, 0
            if mask.any():
                masks.append(mask)
                classes.append(category)
        return stack(masks), classes

    @staticmethod
    def moved(outline, mirrored, width, scale, offset):
        points = np.array(outline, np.float64).reshape(-1, 2)
        if mirrored:
            points[:, 0] = width - points[:, 0]
        return (points * scale - offset[::-1]).reshape(-1).tolist()


class Panoptic(LargeScaleJitter):
    """Of COCO's panoptic PNGs, crowds left out."""

    def open(self, annotations: Path):
        self.pngs = annotations / "panoptic_train2017"
        file = json.loads((annotations / "panoptic_train2017.json").read_text())
        names = {image["id"]: image["file_name"] for image in file["images"]}
        self.records = [
            {"file_name": names[found["image_id"]], "png": found["file_name"], "segments": found["segments_info"]}
            for found in file["annotations"]
        ]

    def masks(self, record, mirrored, size, target, offset):
        colours = self.library.read(self.pngs / record["png"])
        if isinstance(colours, torch.Tensor):
            colours = colours.permute(1, 2, 0).numpy()
        colours = colours.astype(np.int32)
        ids = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
        ids = self.library.flip(ids) if mirrored else ids
        ids = crop(self.library.resize_labels(np.ascontiguousarray(ids), target), *offset, LSJ)
        padded = np.zeros((LSJ, LSJ), np.int32)
        padded[: ids.shape[0], : ids.shape[1]] = ids
        masks, classes = [], []
        for segment in record["segments"]:
            if not segment["iscrowd"]:
                mask = padded == segment["id"]
                if mask.any():
                    masks.append(mask.view(np.uint8))
                    classes.append(segment["category_id"])
        return stack(masks), classes


class Crops(Dataset):
    """Resize to (2048, 512) x 0.5 to 2, crop 512 with category limit 0.75, flip, photometric; labels [512, 512]."""

    def __init__(self, library, pairs: list[list[str]], ignore: int, as_bytes: bool):
        self.library, self.pairs, self.as_bytes = library, pairs, as_bytes
        self.table = np.arange(256, dtype=np.uint8)
        self.table[ignore] = IGNORE

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        image, labels = self.pairs[index]
        image, labels = self.library.read(image), self.table[read_labels(self.library, labels)]
        size, ratio = size_of(image), random.uniform(0.5, 2)
        factor = min(int(2048 * ratio) / max(size), int(512 * ratio) / min(size))
        target = tuple(int(edge * factor + 0.5) for edge in size)
        image = self.library.resize(image, target)
        labels = self.library.resize_labels(labels, target)
        for _ in range(TRIES):
            top, left = (random.randint(0, max(0, edge - CROP)) for edge in target)
            cut = crop(labels, top, left, CROP)
            counts = np.bincount(cut.reshape(-1), minlength=256)[:IGNORE]
            if counts.max() < counts.sum() and counts.max() < 0.75 * counts.sum():
                break
        image = crop(image, top, left, CROP)
        if coin():
            image, cut = self.library.flip(image), cut[:, ::-1]
        image = self.library.photometric(contiguous(image))
        padded = np.full((CROP, CROP), IGNORE, np.uint8)
        padded[: cut.shape[0], : cut.shape[1]] = cut
        return self.library.finish(image, CROP, self.as_bytes), torch.from_numpy(padded)


def collate(samples):
    """Images are stacked, and so are label maps; masks and classes stay a list."""
    images, *targets = zip(*samples, strict=True)
    if len(targets) == 1:
        return torch.stack(images), torch.stack(targets[0])
    return torch.stack(images), *targets


def read_labels(library, path):
    if library is OpenCv:
        return cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if library is TorchVision:
        return decode_image(path, ImageReadMode.UNCHANGED)[0].numpy()
    return np.asarray(Image.open(path))


def size_of(image):
    return tuple(image.shape[-2:]) if isinstance(image, torch.Tensor) else image.shape[:2]


def contiguous(image):
    return image if isinstance(image, torch.Tensor) else np.ascontiguousarray(image)


def crop(image, top, left, edge):
    if isinstance(image, torch.Tensor):
        return image[:, top : top + edge, left : left + edge]
    return image[top : top + edge, left : left + edge]


def stack(masks):
    return np.stack(masks) if masks else np.zeros((0, LSJ, LSJ), np.uint8)


def linear(values, alpha, beta):
    return np.clip(values.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)


def coin() -> bool:
    return random.random() < 0.5
