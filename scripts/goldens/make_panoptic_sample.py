#!/usr/bin/env python3
"""Makes evaluation/tests/goldens/panoptic/coco_sample.json: panopticapi's numbers on real COCO annotations.

    git clone https://github.com/cocodataset/panopticapi /tmp/panopticapi        # 7bb4655
    pip install numpy pillow
    PYTHONPATH=/tmp/panopticapi python scripts/goldens/make_panoptic_sample.py DATA/coco-sample

Only numbers are written, nothing of the data. The predictions are the ground truth of val2017, spoilt by rules that the
test (evaluation/tests/panoptic/data.rs) repeats: shifted 3 pixels down and 5 right, with void where nothing came from;
segments whose id is a multiple of 7 are void; those of a multiple of 11 get the next category of the file.
"""

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from panopticapi.evaluation import pq_compute

OUT = Path(__file__).parents[2] / "evaluation" / "tests" / "goldens" / "panoptic" / "coco_sample.json"


def spoilt(ids):
    out = np.zeros_like(ids)
    out[3:, 5:] = ids[:-3, :-5]
    out[out % 7 == 0] = 0
    return out


def main():
    annotations = Path(sys.argv[1]) / "annotations"
    gt_json, gt_dir = annotations / "panoptic_val2017.json", annotations / "panoptic_val2017"
    gt = json.loads(gt_json.read_text())
    categories = [category["id"] for category in gt["categories"]]
    following = dict(zip(categories, categories[1:] + categories[:1]))
    with tempfile.TemporaryDirectory() as folder:
        pred = []
        for annotation in gt["annotations"]:
            rgb = np.array(Image.open(gt_dir / annotation["file_name"]).convert("RGB"), np.uint32)
            ids = spoilt(rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2])
            left = set(np.unique(ids).tolist())
            segments = []
            for segment in annotation["segments_info"]:
                if segment["id"] in left:
                    category = segment["category_id"]
                    category = following[category] if segment["id"] % 11 == 0 else category
                    segments.append({"id": segment["id"], "category_id": category})
            rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)
            Image.fromarray(rgb).save(Path(folder) / annotation["file_name"])
            keys = ("image_id", "file_name")
            pred.append({**{key: annotation[key] for key in keys}, "segments_info": segments})
        pred_json = Path(folder) / "pred.json"
        pred_json.write_text(json.dumps({"annotations": pred}))
        with contextlib.redirect_stdout(io.StringIO()):
            result = pq_compute(str(gt_json), str(pred_json), str(gt_dir), folder)
    out = {
        "images": len(pred),
        "groups": {name: [result[name][key] for key in ("pq", "sq", "rq")] for name in ("All", "Things", "Stuff")},
        "classes": {
            str(category): [value["pq"], value["sq"], value["rq"]]
            for category, value in sorted(result["per_class"].items())
        },
    }
    OUT.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
