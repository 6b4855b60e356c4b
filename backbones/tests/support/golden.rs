//! Golden files (made by scripts/goldens) and the comparison with them; the heads' parity test includes this file too.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use smalti_backbones::safetensors_io;
use tch::{Kind, Tensor};

/// Both precisions that goldens hold, and the relative error allowed in each.
pub const PRECISIONS: [(&str, Kind, f64); 2] = [("f32", Kind::Float, 1e-4), ("f64", Kind::Double, 1e-9)];

/// The tensors of one golden file by name.
pub struct Golden {
    name: String,
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
}

impl Golden {
    /// Reads `goldens/<name>.safetensors` beside the tests; a missing file fails the test.
    pub fn read(tests: &Path, name: &str) -> Self {
        let path = tests.join("goldens").join(format!("{name}.safetensors"));
        let file = safetensors_io::read(&path).unwrap_or_else(|error| panic!("golden {name}: {error}"));
        Self { name: name.into(), tensors: file.tensors.into_iter().collect(), metadata: file.metadata }
    }

    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// One tensor; a missing one fails the test.
    pub fn get(&self, key: &str) -> &Tensor {
        self.tensors.get(key).unwrap_or_else(|| panic!("golden {} has no tensor {key}", self.name))
    }

    /// All tensors whose names start with `prefix`, without it.
    pub fn below(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let below =
            self.tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
        below.map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone())).collect()
    }

    /// `prefix0`, `prefix1`, ... as many as there are.
    pub fn list(&self, prefix: &str) -> Vec<Tensor> {
        (0..).map_while(|i| self.tensors.get(&format!("{prefix}{i}")).map(Tensor::shallow_clone)).collect()
    }
}

/// The largest errors of a set of comparisons.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deviation {
    /// Largest |got - expected|.
    pub absolute: f64,
    /// Largest |got - expected| / (|expected| + RMS of the expected tensor).
    pub relative: f64,
}

impl Deviation {
    pub fn merge(&mut self, other: Self) {
        self.absolute = self.absolute.max(other.absolute);
        self.relative = self.relative.max(other.relative);
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "max abs {:.1e}, max rel {:.1e}", self.absolute, self.relative)
    }
}

/// Fails unless every entry obeys |got - expected| <= `rtol` * (|expected| + RMS of expected); names the worst entry.
pub fn assert_close(what: &str, got: &Tensor, expected: &Tensor, rtol: f64) -> Deviation {
    close(what, got, expected, rtol).unwrap_or_else(|message| panic!("{message}"))
}

/// [`assert_close`] that returns its message.
///
/// The root mean square keeps entries that happen to lie near 0 from asking for more than sums in this precision give.
pub fn close(what: &str, got: &Tensor, expected: &Tensor, rtol: f64) -> Result<Deviation, String> {
    assert_eq!(got.size(), expected.size(), "{what}: shape");
    assert_eq!(got.kind(), expected.kind(), "{what}: dtype");
    let (got, expected) = (got.detach().to_kind(Kind::Double), expected.to_kind(Kind::Double));
    let rms = expected.square().mean(Kind::Double).sqrt();
    let error = (&got - &expected).abs();
    let relative = &error / (expected.abs() + rms).clamp_min(f64::MIN_POSITIVE);
    let worst = relative.argmax(None, false).int64_value(&[]); // NaN counts as the largest
    let at = |t: &Tensor| t.reshape([-1]).double_value(&[worst]);
    let deviation =
        Deviation { absolute: error.max().double_value(&[]), relative: relative.max().double_value(&[]) };
    if deviation.relative <= rtol {
        return Ok(deviation);
    }
    Err(format!(
        "{what}: {deviation}, allowed rel {rtol:e}; worst at {:?} of {:?}: got {:e}, expected {:e}",
        unravel(worst, &expected.size()),
        expected.size(),
        at(&got),
        at(&expected),
    ))
}

fn unravel(flat: i64, shape: &[i64]) -> Vec<i64> {
    let mut rest = flat;
    let mut index: Vec<i64> = shape
        .iter()
        .rev()
        .map(|&size| {
            let position = rest % size;
            rest /= size;
            position
        })
        .collect();
    index.reverse();
    index
}

/// The scalar whose gradients the goldens hold: the sum of all outputs times their probes.
pub fn probe_loss(outputs: &[Tensor], probes: &[Tensor]) -> Tensor {
    assert_eq!(outputs.len(), probes.len(), "outputs and probes");
    let terms = outputs.iter().zip(probes).map(|(output, probe)| {
        assert_eq!(output.size(), probe.size(), "output and probe");
        (output * probe.to_kind(output.kind())).sum(output.kind())
    });
    terms.reduce(|a, b| a + b).expect("at least one output")
}

/// A leaf that collects gradients.
pub fn leaf(tensor: &Tensor, kind: Kind) -> Tensor {
    tensor.to_kind(kind).copy().set_requires_grad(true)
}
