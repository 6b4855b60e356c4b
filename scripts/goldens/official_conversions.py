"""Runs the official conversion tools, imported from their checkouts and not copied here.

Some do not run as they are: detection2panoptic and panoptic2semantic write numpy integers and bytes as JSON, which
Python 3 refuses; panoptic2detection wants a colour in every category, which COCO's own files lack; the scripts that need detectron2 only
need its table of COCO classes. This module gives them what they miss and changes no result.
"""

import json
import os
import runpy
import sys
import types
from pathlib import Path


def save_json(value, path):
    def plain(item):
        return item.decode() if isinstance(item, bytes) else int(item)

    Path(path).write_text(json.dumps(value, default=plain))


class Official:
    def __init__(self, panopticapi: Path, mask2former: Path, detectron2: Path, cityscapesscripts: Path):
        self.mask2former, self.detectron2, self.categories = mask2former, detectron2, None
        sys.path[:0] = [str(panopticapi), str(panopticapi / "converters"), str(cityscapesscripts)]

    def panoptic_to_detection(self, panoptic: Path, pngs: Path, categories: Path, out: Path, things_only: bool):
        import panoptic2detection_coco_format as tool

        with_colours = json.loads(panoptic.read_text())
        for category in with_colours["categories"]:
            category.setdefault("color", [0, 0, 0])
        patched = out.with_suffix(".input.json")
        patched.write_text(json.dumps(with_colours))
        tool.convert_panoptic_to_detection_coco_format(
            str(patched), str(pngs), str(out), str(categories), things_only
        )
        patched.unlink()

    def detection_to_panoptic(self, detection: Path, categories: Path, out: Path, pngs: Path):
        import detection2panoptic_coco_format as tool

        tool.save_json = save_json
        tool.convert_detection_to_panoptic_coco_format(str(detection), str(pngs), str(out), str(categories))

    def panoptic_to_semantic(self, panoptic: Path, pngs: Path, categories: Path, out: Path, things_other: bool):
        """`out` is a JSON file or a folder."""
        import panoptic2semantic_segmentation as tool

        tool.save_json = save_json
        to = (str(out), None) if out.suffix == ".json" else (None, str(out))
        tool.extract_semantic(str(panoptic), str(pngs), *to, str(categories), things_other)

    def semantic_contiguous(self, panoptic: Path, pngs: Path, categories: Path, out: Path):
        path = self.mask2former / "datasets/prepare_coco_semantic_annos_from_panoptic_annos.py"
        self._separate(path, panoptic, pngs, categories, out)

    def semantic_stuff(self, panoptic: Path, pngs: Path, categories: Path, out: Path):
        self._separate(self.detectron2 / "datasets/prepare_panoptic_fpn.py", panoptic, pngs, categories, out)

    def _separate(self, script: Path, panoptic: Path, pngs: Path, categories: Path, out: Path):
        names = ["fvcore", "fvcore.common", "fvcore.common.download", "detectron2", "detectron2.data"]
        names += ["detectron2.data.datasets", "detectron2.data.datasets.builtin_meta"]
        for name in names:
            sys.modules.setdefault(name, types.ModuleType(name))
        sys.modules["fvcore.common.download"].download = None
        sys.modules["detectron2.data.datasets.builtin_meta"].COCO_CATEGORIES = []
        module = types.ModuleType(script.stem)  # importable by name, as its worker processes need
        sys.modules[script.stem] = module
        exec(compile(script.read_text(), str(script), "exec"), module.__dict__)
        table = json.loads(categories.read_text())
        module.separate_coco_semantic_from_panoptic(str(panoptic), str(pngs), str(out), table)

    def cityscapes_panoptic(self, gt_fine: Path, out: Path, train_ids: bool, sets: list[str]):
        from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic

        convert2panoptic(str(gt_fine), str(out), train_ids, sets)

    def cityscapes_draw(self, polygons: Path, out: Path, encoding: str):
        from cityscapesscripts.preparation.json2labelImg import json2labelImg

        json2labelImg(str(polygons), str(out), encoding)

    def ade20k(self, kind: str, data: Path):
        """`kind` is sem, pan or ins; `data` holds ADEChallengeData2016 with both splits."""
        before = os.getcwd()
        os.environ["DETECTRON2_DATASETS"] = str(data.resolve())
        os.chdir(self.mask2former)
        try:
            runpy.run_path(f"datasets/prepare_ade20k_{kind}_seg.py", run_name="__main__")
        finally:
            os.chdir(before)
