"""Small checkpoints of every format that exists, good ones and hostile ones, for the tests of the crate `checkpoints`.

    python scripts/goldens/make_checkpoints.py [OUT]

OUT is checkpoints/tests/fixtures. `read/` holds files that must be read, and read.json their tensors as torch and numpy see
them; `refused/` holds files that must not, and refused.json the kind of refusal and words of its message. The hostile
pickles are harmless to make, and must never be loaded with Python's own pickle.
"""

import argparse
import io
import json
import os
import pathlib
import pickle
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import safetensors.torch
import torch
from torch import nn

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "checkpoints/tests/fixtures")
READ: dict[str, dict] = {}
REFUSED: dict[str, dict] = {}

NAMES = {
    torch.float64: "f64", torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16", torch.int64: "i64",
    torch.int32: "i32", torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8", torch.bool: "bool",
}  # fmt: skip


def described(value) -> list:
    """Element type, shape and the bytes in row order."""
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))
    value = value.detach().contiguous()
    raw = value.reshape(-1).view(torch.uint8) if value.numel() else torch.empty(0, dtype=torch.uint8)
    return [NAMES[value.dtype], list(value.shape), bytes(raw.tolist()).hex()]


def read(name: str, data: bytes | None, weights: dict, **expected) -> None:
    if data is not None:
        path = OUT / "read" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    entry = {"wrapper": "", "prefix": "", **expected}
    entry["tensors"] = {key: described(value) for key, value in weights.items()}
    READ[name] = entry


def refused(name: str, data: bytes, kind: str, *words: str) -> None:
    path = OUT / "refused" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    REFUSED[name] = {"kind": kind, "words": list(words)}


def saved(value, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def weights() -> OrderedDict:
    """One of everything: element types, views, shared storages, parameters."""
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 7
    shared = torch.arange(6, dtype=torch.float32) - 2.5
    state = OrderedDict()
    for dtype, name in NAMES.items():
        state[f"type.{name}"] = (torch.arange(4) - (0 if name in ("u8", "bool") else 2)).to(dtype)
    state["scalar"] = torch.tensor(0.1)
    state["empty"] = torch.zeros(0, 3)
    state["base"] = base
    state["transposed"] = base.t()
    state["sliced"] = base[1:, ::2]
    state["expanded"] = torch.tensor(7.0).expand(2, 3)
    state["tied.a"] = shared[:4]
    state["tied.b"] = shared[2:].reshape(2, 2)
    state["channels_last"] = torch.arange(16.0).reshape(1, 2, 2, 4).contiguous(memory_format=torch.channels_last)
    state["parameter"] = nn.Parameter(torch.tensor([1.5, -2.5]))
    state["grad"] = torch.tensor([3.0], requires_grad=True)
    return state


def rezipped(data: bytes, change=lambda name, content: content, method=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w", method) as target:
        for entry in source.infolist():
            content = change(entry.filename, source.read(entry))
            if content is not None:
                target.writestr(zipfile.ZipInfo(entry.filename), content, method)
    return buffer.getvalue()


def torch_zip() -> None:
    state = weights()
    read("zip.pth", saved(state), state, format="torch (zip)")
    for protocol in (3, 4, 5):
        few = {key: state[key] for key in ("base", "transposed", "parameter")}
        read(f"zip_protocol{protocol}.pth", saved(few, pickle_protocol=protocol), few, format="torch (zip)")
    few = OrderedDict((key, state[key]) for key in ("type.bf16", "transposed", "tied.b"))
    whole = {
        "state_dict": OrderedDict((f"module.{key}", value) for key, value in few.items()),
        "state_dict_ema": OrderedDict((f"module.{key}", value) for key, value in few.items()),
        "best_acc": torch.tensor(81.25),
        "epoch": 299,
        "lr": 1e-3,
        "huge": 1 << 80,
        "note": "glass \u00e9\u20ac",
        "flags": (True, None, b"\x00\xff", {1, 2}, frozenset([3]), bytearray(b"ab")),
        "args": argparse.Namespace(model="nat_tiny", out=pathlib.PurePosixPath("runs/out"), opt=[1, 2.5]),
        "counts": defaultdict(int, {"a": 1}),
        "optimizer": {"state": {0: {"step": torch.tensor(5.0), "exp_avg": state["base"]}}, "param_groups": [{"lr": 0.1}]},
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "numpy": np.float32(0.5),
    }
    read("wrapped.pth", saved(whole), few, format="torch (zip)", wrapper="state_dict", prefix="module.", all=9)
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[[[0.5]]], [[[-0.25]]]])), model[0].bias.zero_()
    read("module.pth", saved(model.state_dict()), model.state_dict(), format="torch (zip)")
    read("tuple.pth", saved((few, 7)), few, format="torch (zip)", wrapper="0")
    read("nested.pth", saved({"model": {"state_dict": dict(few)}}), few, format="torch (zip)", wrapper="model.state_dict")
    read("odd_name.pth", saved({"backbone_weights": dict(few), "epoch": 1}), few, format="torch (zip)", wrapper="backbone_weights")
    foreign = {"w": torch.ones(2), "rng": torch.ones(2, dtype=torch.uint16), "eight": torch.ones(3).to(torch.float8_e4m3fn),
               "complex": torch.ones(1, dtype=torch.complex64)}  # fmt: skip
    read("foreign.pth", saved({"model": {"w": foreign["w"]}, "other": foreign}), {"w": foreign["w"]}, format="torch (zip)", wrapper="model", all=2)
    packed = {"zeros": torch.zeros(64), **few}
    read("deflated.pth", rezipped(saved(packed), method=zipfile.ZIP_DEFLATED), packed, format="torch (zip)")
    limits = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = 0, 0
    read("zip64.pth", rezipped(saved(few)), few, format="torch (zip)")
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = limits

    plain = saved(few)
    big = lambda name, content: b"big" if name.endswith("byteorder") else content  # noqa: E731
    refused("big_endian.pth", rezipped(plain, big), "Unsupported", "record byteorder: expected little, got big")
    lost = lambda name, content: None if name.endswith("data/0") else content  # noqa: E731
    refused("lost_storage.pth", rezipped(plain, lost), "Damaged", "a record data/0 in the archive")
    short = lambda name, content: content[:-2] if name.endswith("data/0") else content  # noqa: E731
    refused("short_storage.pth", rezipped(plain, short), "Damaged", "`type.bf16`", "storage `0` of 4 elements")
    script = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.ReLU()), script)
    # Its code is large and of no interest: the records that tell it apart are enough.
    keep = lambda name, content: content if name.endswith((".pkl", "version")) else None  # noqa: E731
    refused("torchscript.pt", rezipped(script.getvalue(), keep), "Unsupported", "a TorchScript program", "torch.jit.load")
    arrays = io.BytesIO()
    np.savez(arrays, a=np.zeros(1))
    refused("arrays.npz", arrays.getvalue(), "Unsupported", "numpy.savez")
    refused("rezipped_twice.pth", twice(plain), "Damaged", "each name once")
    refused("pickled_module.pth", saved(nn.ReLU()), "Forbidden", "torch.nn.modules.activation.ReLU", "data.pkl at byte")
    refused("foreign_weights.pth", saved(foreign), "Unsupported", "tensor `rng`", "uint16")


def twice(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as target:
        for entry in [*source.infolist(), source.infolist()[0]]:
            target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    return buffer.getvalue()


class Old(pickle._Pickler):
    """Names objects outside the pickle."""

    def __init__(self, file, outside):
        super().__init__(file, protocol=2)
        self.outside = outside

    def persistent_id(self, value):
        return self.outside(value)


def torch_legacy() -> None:
    state = weights()
    read("legacy.pth", saved(state, _use_new_zipfile_serialization=False), state, format="torch (before 1.6)")
    few = {key: state[key] for key in ("type.bf16", "transposed", "tied.a")}
    whole = {"model": few, "epoch": 3, "config": argparse.Namespace(a=1)}
    data = saved(whole, _use_new_zipfile_serialization=False)
    read("legacy_wrapped.pth", data, few, format="torch (before 1.6)", wrapper="model")
    refused("legacy_big_endian.pth", data.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89"), "Unsupported",
            "machine description: expected little-endian elements")  # fmt: skip
    refused("legacy_surplus.pth", data + b"\0", "Damaged", "storages at byte", "1 more bytes")

    # Views of storages, as torch 0.2 to 0.3 wrote them: a root storage and a part of it.
    class Storage:
        pass

    part = Storage()

    def outside(value):
        if value is part:
            return ("storage", torch.FloatStorage, "1", "cpu", 6, ("2", 2, 3))
        return None

    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor, (part, 1, (2,), (1,))

    buffer = io.BytesIO()
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    for value in (0x1950A86A20F9469CFC6C, 1001, system):
        pickle.dump(value, buffer, protocol=2)
    Old(buffer, outside).dump({"w": Tensor()})
    pickle.dump(["1"], buffer, protocol=2)
    buffer.write(struct.pack("<q6f", 6, *range(6)))
    loaded = torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert loaded["w"].tolist() == [3, 4], loaded
    read("legacy_views.pth", buffer.getvalue(), loaded, format="torch (before 1.6)")


def torch_tar() -> None:
    tensors = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]).t(), "b": torch.tensor([2.0, 3.0])}
    storages, table, objects = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pickle.dump(1, storages, protocol=2)
    pickle.dump((10, "cpu", torch.FloatStorage), storages, protocol=2)
    storages.write(struct.pack("<q4f", 4, 1, 2, 3, 4))
    pickle.dump([(11, 10, 1, 2)], storages, protocol=2)
    pickle.dump(2, table, protocol=2)
    pickle.dump((20, 10, torch.FloatTensor), table, protocol=2)
    table.write(struct.pack("<ii2q2qq", 2, 0, 2, 2, 1, 2, 0))
    pickle.dump((21, 11, torch.FloatTensor), table, protocol=2)
    table.write(struct.pack("<ii1q1qq", 1, 0, 2, 1, 0))
    names = {id(tensors["w"]): "20", id(tensors["b"]): "21"}
    Old(objects, lambda value: names.get(id(value))).dump(OrderedDict(tensors))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name, content in (("sys_info", b""), ("pickle", objects), ("tensors", table), ("storages", storages)):
            data = content if isinstance(content, bytes) else content.getvalue()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    # Python pads archives to 10 KiB; the format asks for two empty blocks.
    data = buffer.getvalue().rstrip(b"\0")
    data += b"\0" * (-len(data) % 512 + 1024)
    with tempfile.NamedTemporaryFile() as file:  # torch reads this format from real files only
        file.write(data), file.flush()
        loaded = torch.load(file.name, weights_only=False)
    assert all(torch.equal(loaded[key], value) for key, value in tensors.items()), loaded
    read("tar.pth", data, loaded, format="torch (tar, before 0.1.10)")
    other = io.BytesIO()
    with tarfile.open(fileobj=other, mode="w:") as tar:
        tar.addfile(tarfile.TarInfo("weights/model.pth"))
    refused("other.tar", other.getvalue()[:1536], "Unsupported", "a member `storages`", "weights/model.pth")


def arrays() -> dict:
    base = np.arange(6, dtype=np.float32).reshape(2, 3) / 3
    return {
        "f32": base,
        "fortran": np.asfortranarray(base),
        "fortran4": np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)),
        "view": base[:, ::2],
        "f64": np.array([0.1, -0.0, np.inf]),
        "f16": np.array([1.5], dtype=np.float16),
        "i64": np.array([-1, 1 << 40]),
        "i32": np.array([5], dtype=np.int32),
        "i8": np.array([-3], dtype=np.int8),
        "u8": np.array([200, 0x80, 10], dtype=np.uint8),
        "bool": np.array([True, False]),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 2), dtype=np.float32),
        "ascii": np.frombuffer(b"ABCDEFGH", dtype=np.uint8),
    }


def numpy_pickles() -> None:
    state = arrays()
    expect = {"format": "pickle with numpy arrays", "wrapper": "model"}
    whole = {
        "model": state,
        "__author__": "Smalti",
        "matching_heuristics": True,
        "scalars": [np.float64(0.25), np.float32(0.5), np.int64(-7), np.bool_(True), np.float16(2), np.uint8(9)],
        "random": np.random.RandomState(0).get_state()[:1] + (np.arange(3, dtype=np.uint32),),
    }
    for protocol in range(6):
        read(f"arrays_protocol{protocol}.pkl", pickle.dumps(whole, protocol), state, **expect)
    older = pickle.dumps({"model": state}, 2).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in older
    read("arrays_numpy1.pkl", older, state, **expect)

    # Python 2 wrote strings as bytes: keys and array contents alike.
    def text(words: bytes) -> bytes:
        return b"U" + bytes([len(words)]) + words

    dtype = b"cnumpy\ndtype\n" + text(b"f4") + b"K\x00K\x01\x87R(K\x03" + text(b"<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    content = np.array([1.5, -2.0], dtype=np.float32)
    state = b"(K\x01K\x02\x85" + dtype + b"\x89T" + struct.pack("<i", 8) + content.tobytes() + b"tb"
    data = b"\x80\x02}" + text(b"blobs") + b"}(" + text(b"conv1_w") + array + state + b"us."
    loaded = pickle.loads(data, encoding="latin1")
    assert (loaded["blobs"]["conv1_w"] == content).all()
    read("arrays_python2.pkl", data, loaded["blobs"], format="pickle with numpy arrays", wrapper="blobs")

    big = np.array([1.0, 2.0], dtype=">f4")
    refused("big_endian_array.pkl", pickle.dumps({"w": big}, 2), "Unsupported", "little-endian elements", "newbyteorder")
    refused("array_too_short.pkl", pickle.dumps({"w": content}, 4).replace(b"K\x02\x85", b"K\x03\x85"), "Damaged",
            "the f32 elements of shape [3], got 8 bytes")  # fmt: skip
    objects = np.array([object], dtype=object)
    refused("object_array.pkl", pickle.dumps({"w": objects}, 4), "Unsupported", "tensor `w`", "numpy O8")


def safetensors_files() -> None:
    state = {key: value.contiguous().clone() for key, value in weights().items()}
    data = safetensors.torch.save(state, {"format": "pt", "step": "3"})
    read("plain.safetensors", data, state, format="safetensors")
    names = sorted(state)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    folder = OUT / "read" / "sharded"
    folder.mkdir(parents=True, exist_ok=True)
    for file, keys in parts.items():
        (folder / file).write_bytes(safetensors.torch.save({key: state[key] for key in keys}))
    index = {"metadata": {"total_size": 1}, "weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    read("sharded", None, state, format="shards with an index")
    refused("surplus.safetensors", data + b"\0", "Damaged", "file: expected", "bytes")
    refused("cut.safetensors", data[:-1], "Damaged", "file: expected", "bytes")
    bad = safetensors.torch.save({"w": torch.ones(2)})
    refused("overlap.safetensors", bad.replace(b'"shape":[2]', b'"shape":[3]'), "Damaged", "header")


class Call:
    """Pickles as a call of a function by name."""

    def __init__(self, module: str, name: str, *args):
        self.callee = (module, name)
        self.args = args


def hostile(value, protocol: int) -> bytes:
    """A pickle that calls what `Call` names; the names are never imported here."""

    class Pickler(pickle._Pickler):
        def save(self, obj, save_persistent_id=True):
            if not isinstance(obj, Call):
                return super().save(obj)
            module, name = obj.callee
            if protocol >= 4:
                self.save(module), self.save(name), self.write(pickle.STACK_GLOBAL)
            else:
                self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
            self.save(tuple(obj.args))
            self.write(pickle.REDUCE)

    buffer = io.BytesIO()
    Pickler(buffer, protocol).dump(value)
    return buffer.getvalue()


def in_zip(data: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, content in {"data.pkl": data, "byteorder": b"little", **(storages or {})}.items():
            target.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return buffer.getvalue()


def hostile_pickles() -> None:
    command = Call("os", "system", "echo hello")
    never = "nothing was executed"
    for protocol in range(6):
        refused(f"system{protocol}.pkl", hostile({"w": command}, protocol), "Forbidden", "os.system", "at byte", never)
    refused("system.pth", in_zip(hostile({"model": [command]}, 2)), "Forbidden", "data.pkl at byte", "os.system", never)
    legacy = saved({"w": torch.ones(1)}, _use_new_zipfile_serialization=False)
    start = legacy.index(b"}q\x00X\x01\x00\x00\x00w")
    refused("system_legacy.pth", legacy[: start - 2] + hostile({"w": command}, 2), "Forbidden", "object at byte", "os.system")
    for module, name in (("builtins", "eval"), ("__builtin__", "exec"), ("builtins", "open"), ("torch.storage", "_load_from_bytes"),
                         ("torch.jit", "load"), ("numpy", "load"), ("functools", "partial"), ("operator", "attrgetter"),
                         ("torch._utils", "_rebuild_wrapper_subclass")):  # fmt: skip
        refused(f"{module}.{name}.pkl".replace("__", ""), hostile([Call(module, name, "1")], 2), "Forbidden", f"{module}.{name}")
    refused("instance.pkl", b"(lp0\n(S'echo'\nios\nsystem\n.", "Forbidden", "os.system")
    refused("object.pkl", b"\x80\x02(cos\nsystem\nX\x01\x00\x00\x00ao.", "Forbidden", "os.system")
    refused("dotted.pkl", b"\x80\x04\x8c\x08builtins\x8c\x0bobject.eval\x93.", "Forbidden", "builtins.object.eval")
    refused("called_result.pkl", b"\x80\x02cbuiltins\ngetattr\n]X\x01\x00\x00\x00a\x86RX\x01\x00\x00\x00b\x85R.", "Forbidden", "a call of an object of builtins.getattr")
    refused("called_dtype.pkl", b"\x80\x02ctorch\nfloat32\n)R.", "Forbidden", "a call of")
    refused("built_class.pkl", b"\x80\x02cbuiltins\nobject\n}b.", "Damaged", "an object that takes a state")
    refused("reconstructed.pkl", hostile(Call("copy_reg", "_reconstructor", "os", "system"), 2), "Forbidden", "an object of")
    refused("extension.pkl", b"\x80\x02\x82\x01.", "Unsupported", "opcode 0x82")
    refused("out_of_band.pkl", b"\x80\x05\x97.", "Unsupported", "opcode 0x97")
    refused("persistent.pkl", b"\x80\x02K\x01Q.", "Unsupported", "a persistent id")
    refused("whole_module.pth", in_zip(b"\x80\x02(X\x06\x00\x00\x00moduleNNNNtQ."), "Unsupported", "a whole pickled module")

    holding: list = []
    holding.append(holding)
    refused("itself_list.pkl", pickle.dumps(holding, 2), "Unsupported", "a container that holds itself")
    loop: dict = {}
    loop["a"] = [loop]
    refused("itself_dict.pkl", pickle.dumps(loop, 4), "Unsupported", "`a.0`", "a container that holds itself")
    level: list = ["glass"]
    for _ in range(32):
        level = [level] * 10
    refused("laughs.pkl", pickle.dumps(level, 4), "TooLarge", "bytes of memory")
    refused("deep.pkl", b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b".", "TooLarge", "at most 100 deep")
    refused("marks.pkl", b"\x80\x02" + b"(" * 10000 + b".", "Damaged", "an object on the stack")
    grown = b"\x80\x04\x8c\x10" + b"x" * 16 + b"\x94](" + b"h\x00" * 3 + b"e\x8c\x01a\x8c\x02bc\x86" + b"."
    refused("surplus_stack.pkl", grown + b"more", "Damaged", "4 more bytes")
    refused("twice_key.pkl", b"\x80\x02}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02u.", "Damaged", "each key once")
    refused("memo.pkl", b"\x80\x02h\x07.", "Damaged", "object 7 in the memo")
    refused("underflow.pkl", b"\x80\x02(0R.", "Damaged", "an object on the stack")
    refused("no_mark.pkl", b"\x80\x02e.", "Damaged", "a mark on the stack")
    refused("huge_string.pkl", b"\x80\x04\x8d" + b"\xff" * 8 + b"a.", "Damaged", "more bytes")
    refused("protocol9.pth", in_zip(b"\x80\x09N."), "Unsupported", "protocol 0 to 5")
    refused("no_utf8.pkl", b"\x80\x02X\x01\x00\x00\x00\xff.", "Damaged", "UTF-8")

    def tensor(offset, shape, stride, elements=4) -> bytes:
        class Storage:
            pass

        def outside(value):
            return ("storage", torch.FloatStorage, "0", "cpu", elements) if isinstance(value, Storage) else None

        class Tensor:
            def __reduce__(self):
                return torch._utils._rebuild_tensor_v2, (Storage(), offset, shape, stride, False, OrderedDict())

        buffer = io.BytesIO()
        Old(buffer, outside).dump({"w": Tensor()})
        return in_zip(buffer.getvalue(), {"data/0": struct.pack("<4f", 1, 2, 3, 4)})

    inside = "inside a storage of 4 elements of f32"
    refused("huge_shape.pth", tensor(0, (1 << 62, 4), (1, 1)), "Damaged", "`w`", inside)
    refused("large_shape.pth", tensor(0, (5,), (1,)), "Damaged", "`w`", inside)
    refused("large_offset.pth", tensor(4, (1,), (1,)), "Damaged", "`w`", inside)
    refused("huge_offset.pth", tensor((1 << 63) - 1, (1,), (1,)), "Damaged", "`w`", inside)
    refused("huge_stride.pth", tensor(0, (3,), ((1 << 63) - 1,)), "Damaged", "`w`", inside)
    refused("expanded.pth", tensor(0, (1 << 20, 1 << 20), (0, 0)), "TooLarge", "not larger than its storage")
    negative = "none negative"
    refused("negative_stride.pth", tensor(3, (4,), (-1,)), "Damaged", negative, "strides [-1]")
    refused("negative_offset.pth", tensor(-1, (1,), (1,)), "Damaged", negative, "offset -1")
    refused("negative_size.pth", tensor(0, (-1,), (1,)), "Damaged", negative, "shape [-1]")
    refused("few_strides.pth", tensor(0, (2, 2), (1,)), "Damaged", negative)
    refused("many_sizes.pth", tensor(0, (1,) * 40, (1,) * 40), "Damaged", negative)
    refused("huge_storage.pth", tensor(0, (1,), (1,), elements=1 << 61), "Damaged", "`w`", "16 bytes")

    refused("empty.bin", b"", "Unsupported", "an empty file")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    refused("pointer.bin", pointer, "Unsupported", "git lfs pull")
    refused("page.html", b"<!DOCTYPE html><title>Quota exceeded</title>", "Unsupported", "a web page")
    refused("config.json", b'{"architectures": []}', "Unsupported", "JSON that is no index")
    refused("packed.gz", b"\x1f\x8b\x08\x00", "Unsupported", "gzip")
    refused("noise.bin", bytes(range(100, 200)), "Unsupported", "something else")


def main() -> None:
    torch.manual_seed(0)
    for part in (torch_zip, torch_legacy, torch_tar, numpy_pickles, safetensors_files, hostile_pickles):
        part()
    for name, table in (("read", READ), ("refused", REFUSED)):
        lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(table.items()))
        (OUT / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    size = sum(os.path.getsize(path) for path in OUT.rglob("*") if path.is_file())
    print(f"{len(READ)} files to read, {len(REFUSED)} to refuse, {size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
