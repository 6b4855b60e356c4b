//! What deformable attention adds to the score of a query and a key for their distance: read from a table between its
//! entries, or computed by a small network from the distance on a logarithmic scale. `G` is the number of groups of heads
//! that share their keys, `M` that of heads, `L` of queries, `N` of keys.

use tch::nn::{self, Init};
use tch::{TchError, Tensor};

use super::config::{DatArch, LOG_CPB_HIDDEN, PositionBias};
use super::positions::position_kind;
use crate::ModelError;
use crate::fields::bad;

/// Most elements of a tensor that holds something for every pair of a query and a key: 16 MiB of f32.
const AT_ONCE: i64 = 1 << 22;

/// The position bias of one attention.
#[derive(Debug)]
pub(super) struct RelativeBias {
    source: Source,
    heads: i64,
    groups: i64,
}

#[derive(Debug)]
enum Source {
    Table(Tensor), // [M, 2 Ht - 1, 2 Wt - 1] for maps of Ht x Wt
    LogCpb { hidden: nn::Linear, out: nn::Linear },
}

impl RelativeBias {
    pub(super) fn new(p: &nn::Path<'_>, arch: &DatArch, stage: usize) -> Option<Self> {
        let (heads, groups) = (arch.heads[stage], arch.groups[stage]);
        let source = match arch.position_bias {
            PositionBias::Table => {
                let side = arch.table_side(stage);
                Source::Table(p.var(
                    "rpe_table",
                    &[heads, side, side],
                    Init::Randn { mean: 0.0, stdev: 0.01 },
                ))
            }
            PositionBias::LogCpb => {
                let p = p / "rpe_table";
                Source::LogCpb {
                    hidden: default_linear(&(&p / 0), 2, LOG_CPB_HIDDEN, true),
                    out: default_linear(&(&p / 2), LOG_CPB_HIDDEN, heads / groups, false),
                }
            }
            PositionBias::None => return None,
        };
        Some(Self { source, heads, groups })
    }

    /// How many queries to ask for at once, so that nothing gets larger than [`AT_ONCE`].
    pub(super) fn queries_at_once(&self, batch: i64, keys: i64) -> i64 {
        let of_pair = match self.source {
            Source::Table(_) => self.heads.max(2 * self.groups), // biases, displacements
            Source::LogCpb { .. } => LOG_CPB_HIDDEN * self.groups,
        };
        (AT_ONCE / (batch * keys * of_pair).max(1)).max(1)
    }

    // queries [L, 2], keys [B * G, N, 2], points as (x, y) -> [B, M, L, N]
    pub(super) fn forward(&self, queries: &Tensor, keys: &Tensor) -> Tensor {
        let (points, count, _) = keys.size3().expect("keys [B * G, N, 2] by construction");
        let (batch, of_group) = (points / self.groups, self.heads / self.groups);
        let shape = [batch, self.heads, queries.size()[0], count];
        match &self.source {
            Source::Table(table) => {
                let (_, rows, columns) =
                    table.size3().expect("a table [M, 2 H - 1, 2 W - 1] by construction");
                let tables = table
                    .to_kind(position_kind(table))
                    .reshape([1, self.groups, of_group, rows, columns])
                    .expand([batch, -1, -1, -1, -1], false)
                    .reshape([points, of_group, rows, columns]);
                let displacements = displacements(queries, keys, 0.5); // half: the table spans [-2, 2]
                let (bilinear, zeros, align_corners) = (0, 0, true);
                tables.grid_sampler(&displacements, bilinear, zeros, align_corners).reshape(shape)
            }
            Source::LogCpb { hidden, out } => {
                // The network reads (y, x).
                let far = displacements(&queries.flip([-1]), &keys.flip([-1]), 4.0);
                let log = far.sign() * (far.abs() + 1.0).log2() / 3.0; // [B * G, L, N, 2], log2(8) = 3
                let biases = log.to_kind(hidden.ws.kind()).apply(hidden).relu_().apply(out); // [B * G, L, N, M / G]
                biases.permute([0, 3, 1, 2]).reshape(shape).contiguous()
            }
        }
    }
}

// (query - key) * scale for every pair: [L, 2], [B * G, N, 2] -> [B * G, L, N, 2]
fn displacements(queries: &Tensor, keys: &Tensor, scale: f64) -> Tensor {
    // Powers of two are exact: scaled before, so that no second tensor of this size is needed. In memory x and y are planes of
    // their own: loops over pairs of numbers take twice as long, here and in what reads them.
    let queries = (queries * scale).transpose(0, 1).contiguous().unsqueeze(-1); // [2, L, 1]
    let keys = (keys * scale).transpose(1, 2).contiguous().unsqueeze(2); // [B * G, 2, 1, N]
    (queries - keys).permute([0, 2, 3, 1])
}

/// A linear layer initialised as PyTorch does by default.
fn default_linear(p: &nn::Path<'_>, inputs: i64, outputs: i64, bias: bool) -> nn::Linear {
    let bound = (inputs as f64).powf(-0.5);
    let uniform = Init::Uniform { lo: -bound, up: bound };
    let config = nn::LinearConfig { ws_init: uniform, bs_init: bias.then_some(uniform), bias };
    nn::linear(p, inputs, outputs, config)
}

/// A position bias table `[M, H, W]` bicubically resized to `[M, side, side]`, for weights of another
/// [`image_size`](super::DatConfig::image_size): what the reference does when it loads such weights. The side that a network
/// wants is [`DatArch::table_side`].
///
/// # Errors
/// A table of other dimensions or a side below 1; libtorch's refusal of the table's type.
pub fn resize_position_table(table: &Tensor, side: i64) -> Result<Tensor, ModelError> {
    if table.dim() != 3 || table.numel() == 0 {
        return Err(ModelError::config(
            "rpe_table",
            "a table [heads, rows, columns]",
            format!("{:?}", table.size()),
        ));
    }
    if side < 1 {
        return Err(bad("image_size", "a table of at least one row", side));
    }
    let resized: Result<Tensor, TchError> =
        table.unsqueeze(0).f_upsample_bicubic2d([side, side], false, None::<f64>, None::<f64>);
    Ok(resized?.squeeze_dim(0))
}

#[cfg(test)]
mod tests {
    use tch::nn::VarStore;
    use tch::{Device, Kind};

    use super::*;
    use crate::{DatConfig, DatVariant};

    fn bias(position_bias: PositionBias) -> RelativeBias {
        let config = DatConfig {
            variant: Some(DatVariant::Tiny),
            position_bias: Some(position_bias),
            image_size: Some(64),
            ..DatConfig::default()
        };
        RelativeBias::new(&VarStore::new(Device::Cpu).root(), &config.arch().unwrap(), 3).unwrap()
    }

    /// 16 heads, 8 groups, 8 images of 2048 keys: 262,144 biases a query, and twice as many hidden values of `log_cpb`.
    #[test]
    fn no_tensor_of_pairs_is_larger_than_allowed() {
        assert_eq!(bias(PositionBias::Table).queries_at_once(8, 2048), 16);
        assert_eq!(bias(PositionBias::LogCpb).queries_at_once(8, 2048), 1);
        assert_eq!(bias(PositionBias::LogCpb).queries_at_once(1, 2048), 8);
        assert_eq!(bias(PositionBias::Table).queries_at_once(1, 1 << 40), 1, "one query is the least");
    }

    /// A map of 4x4 pixels has a table of 7x7: at its own size, pixel (y, x) reads entry (3 + y - yk, 3 + x - xk) of a key at
    /// pixel (yk, xk), exactly; stage 3 of images of 128 has such maps.
    #[test]
    fn a_table_of_the_maps_size_is_read_at_its_entries() {
        let config =
            DatConfig { variant: Some(DatVariant::Tiny), image_size: Some(128), ..DatConfig::default() };
        let bias = RelativeBias::new(&VarStore::new(Device::Cpu).root(), &config.arch().unwrap(), 3).unwrap();
        let Source::Table(table) = &bias.source else { panic!("a table") };
        assert_eq!(table.size(), [16, 7, 7]);
        let queries = super::super::positions::query_positions(4, 4, (Kind::Float, Device::Cpu));
        let keys = queries.get(6).expand([8, 1, 2], false); // y 1, x 2 in all groups
        let read = bias.forward(&queries, &keys).squeeze(); // [M, 16]
        let expected = table.narrow(1, 2, 4).narrow(2, 1, 4).reshape([16, 16]);
        assert!((read - expected).abs().max().double_value(&[]) < 1e-7);
    }
}
