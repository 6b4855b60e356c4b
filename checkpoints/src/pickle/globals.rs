//! The names that a pickle may use. Everything that is not here is refused.

use std::fmt;

use crate::dtype::{Dtype, StatedDtype};

/// A name of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Global {
    /// `torch._utils._rebuild_tensor` and `_v2`, whose first four arguments are the same.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`: the storage is untyped, and the seventh argument is the element type.
    RebuildTensorV3,
    /// `torch._utils._rebuild_parameter`, also with the attributes of a parameter.
    RebuildParameter,
    /// `torch.FloatStorage` and its like.
    TypedStorage(StatedDtype),
    /// `torch.UntypedStorage`.
    UntypedStorage,
    /// `torch.float32` and its like.
    TorchDtype(StatedDtype),
    /// `torch.Size`: a tuple.
    Size,
    /// `collections.OrderedDict` and `dict`.
    Dict,
    /// `collections.defaultdict`, whose first argument is a factory.
    DefaultDict,
    /// `list`, `tuple`, `set`, `frozenset`.
    List,
    Tuple,
    Set,
    /// `bytearray` and `bytes`.
    ByteString,
    /// `_codecs.encode`: how protocols 0 to 2 write bytes.
    Encode,
    /// `copyreg._reconstructor`: how protocols 0 and 1 make an object of a class.
    Reconstructor,
    /// `copyreg.__newobj__`: the same with arguments.
    NewObject,
    /// `numpy.core.multiarray._reconstruct`: an array whose content follows.
    ArrayReconstruct,
    /// `numpy.core.numeric._frombuffer`: an array, since protocol 5.
    ArrayFromBuffer,
    /// `numpy.core.multiarray.scalar`.
    ArrayScalar,
    /// `numpy.dtype`.
    ArrayType,
    /// `numpy.ndarray`, only ever an argument.
    Array,
    /// Settings and records: kept by name, with what they were made of.
    Inert(String),
}

impl fmt::Display for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inert(name) => f.write_str(name),
            Self::TorchDtype(dtype) => write!(f, "torch {dtype}"),
            Self::TypedStorage(dtype) => write!(f, "torch storage of {dtype}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Classes of plain settings, counters, paths and times that training code leaves in checkpoints.
///
/// None is imported: the node keeps name and arguments. `getattr` is in the loss histories of mmengine, where it fetches a
/// method; here it is a word like any other, and calling what it would have fetched is refused.
const INERT: [(&str, &[&str]); 30] = [
    (
        "builtins",
        &[
            "object", "int", "long", "float", "str", "bool", "complex", "slice", "range", "type", "getattr",
            "Ellipsis",
        ],
    ),
    ("collections", &["Counter", "deque"]),
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("typing", &["Any"]),
    ("datetime", &["datetime", "date", "time", "timedelta", "timezone"]),
    ("pathlib", PATHS),
    ("pathlib._local", PATHS),
    ("yacs.config", &["CfgNode"]),
    ("fvcore.common.config", &["CfgNode"]),
    ("detectron2.config.config", &["CfgNode"]),
    ("easydict", &["EasyDict"]),
    ("addict.addict", &["Dict"]),
    ("mmcv.utils.config", &["ConfigDict", "Config"]),
    ("mmengine.config.config", &["ConfigDict", "Config"]),
    ("mmengine.logging.history_buffer", &["HistoryBuffer"]),
    ("omegaconf.dictconfig", &["DictConfig"]),
    ("omegaconf.listconfig", &["ListConfig"]),
    ("omegaconf.base", &["ContainerMetadata", "Metadata"]),
    ("omegaconf.nodes", &["AnyNode", "IntegerNode", "FloatNode", "BooleanNode", "StringNode", "PathNode"]),
    ("torch", &["device", "Generator", "strided", "contiguous_format"]),
    ("torch", TENSOR_TYPES),
    ("torch.nn.parameter", &["Parameter"]),
    ("torch.torch_version", &["TorchVersion"]),
    ("torch.serialization", &["_get_layout"]),
    ("numpy", SCALAR_TYPES),
    ("numpy.random._pickle", RANDOM_STATES),
    ("numpy.random", RANDOM_STATES),
    ("numpy.random._mt19937", &["MT19937"]),
    ("numpy.random._pcg64", &["PCG64"]),
];

const PATHS: &[&str] = &["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"];
const TENSOR_TYPES: &[&str] = &[
    "Tensor",
    "FloatTensor",
    "DoubleTensor",
    "HalfTensor",
    "LongTensor",
    "IntTensor",
    "ShortTensor",
    "CharTensor",
    "ByteTensor",
];
const SCALAR_TYPES: &[&str] =
    &["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool_"];
const RANDOM_STATES: &[&str] = &["__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor"];

/// Finds a name.
pub(crate) fn lookup(module: &str, name: &str) -> Option<Global> {
    // Python 2 called these otherwise, and protocols up to 2 still do.
    let module = match module {
        "__builtin__" => "builtins",
        "copy_reg" => "copyreg",
        "numpy._core.multiarray" => "numpy.core.multiarray",
        "numpy._core.numeric" => "numpy.core.numeric",
        other => other,
    };
    let known = match (module, name) {
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTensorV3,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::RebuildParameter,
        ("torch", "Size") => Global::Size,
        ("torch" | "torch.storage", "UntypedStorage") => Global::UntypedStorage,
        ("collections", "OrderedDict") | ("builtins", "dict") => Global::Dict,
        ("collections", "defaultdict") => Global::DefaultDict,
        ("builtins", "list") => Global::List,
        ("builtins", "tuple") => Global::Tuple,
        ("builtins", "set" | "frozenset") => Global::Set,
        ("builtins", "bytearray" | "bytes") => Global::ByteString,
        ("_codecs", "encode") => Global::Encode,
        ("copyreg", "_reconstructor") => Global::Reconstructor,
        ("copyreg", "__newobj__") => Global::NewObject,
        ("numpy.core.multiarray", "_reconstruct") => Global::ArrayReconstruct,
        ("numpy.core.multiarray", "scalar") => Global::ArrayScalar,
        ("numpy.core.numeric", "_frombuffer") => Global::ArrayFromBuffer,
        ("numpy", "dtype") => Global::ArrayType,
        ("numpy", "ndarray") => Global::Array,
        ("torch" | "torch.cuda", name) if name.ends_with("Storage") => typed_storage(name)?,
        _ if INERT.iter().any(|(m, names)| *m == module && names.contains(&name)) => {
            Global::Inert(format!("{module}.{name}"))
        }
        ("torch", name) => Global::TorchDtype(torch_dtype(name)?),
        _ => return None,
    };
    Some(known)
}

fn typed_storage(name: &str) -> Option<Global> {
    let element = name.strip_suffix("Storage")?;
    if let Some(dtype) = Dtype::from_storage(element) {
        return Some(Global::TypedStorage(StatedDtype::Known(dtype)));
    }
    let size = match element {
        "ComplexDouble" => 16,
        "ComplexFloat" => 8,
        "QInt32" => 4,
        "QInt8" | "QUInt8" | "QUInt4x2" | "QUInt2x4" => 1,
        _ => return None,
    };
    let dtype = StatedDtype::Other { name: element.to_ascii_lowercase(), size: Some(size) };
    Some(Global::TypedStorage(dtype))
}

fn torch_dtype(name: &str) -> Option<StatedDtype> {
    if let Some(dtype) = Dtype::from_torch(name) {
        return Some(StatedDtype::Known(dtype));
    }
    let size = match name {
        "complex128" => 16,
        "complex64" | "cfloat" | "uint64" => 8,
        "complex32" | "chalf" | "uint32" | "qint32" => 4,
        "uint16" => 2,
        "qint8" | "quint8" => 1,
        _ if name.starts_with("float8_") => 1,
        _ => return None,
    };
    Some(StatedDtype::Other { name: name.to_owned(), size: Some(size) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_not_on_the_list() {
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("nt", "system"),
            ("subprocess", "Popen"),
            ("builtins", "eval"),
            ("__builtin__", "exec"),
            ("builtins", "open"),
            ("builtins", "__import__"),
            ("builtins", "compile"),
            ("torch.storage", "_load_from_bytes"),
            ("torch", "load"),
            ("torch.hub", "load"),
            ("torch", "jit.load"),
            ("numpy", "load"),
            ("numpy.f2py.crackfortran", "myeval"),
            ("pickle", "loads"),
            ("runpy", "_run_code"),
            ("operator", "attrgetter"),
            ("functools", "partial"),
            ("torch", "nn.Module"),
            ("torch._utils", "_rebuild_wrapper_subclass"),
            ("", ""),
        ] {
            assert_eq!(lookup(module, name), None, "{module}.{name}");
        }
    }

    #[test]
    fn names_of_python_2_and_numpy_2_are_known() {
        assert_eq!(lookup("__builtin__", "set"), Some(Global::Set));
        assert_eq!(lookup("numpy._core.multiarray", "scalar"), Some(Global::ArrayScalar));
        assert_eq!(lookup("torch", "bfloat16"), Some(Global::TorchDtype(StatedDtype::Known(Dtype::BF16))));
        assert!(matches!(
            lookup("torch", "float8_e4m3fn"),
            Some(Global::TorchDtype(StatedDtype::Other { size: Some(1), .. }))
        ));
        assert_eq!(
            lookup("torch.cuda", "HalfStorage"),
            Some(Global::TypedStorage(StatedDtype::Known(Dtype::F16)))
        );
    }
}
