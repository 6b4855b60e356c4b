//! Multi-head attention with the parameters of `torch.nn.MultiheadAttention`: one packed projection of queries, keys and values.

use tch::Tensor;
use tch::nn;

use super::layers::{linear, xavier};

/// Which rows of the packed projection a token goes through.
#[derive(Clone, Copy)]
enum Role {
    Query,
    Key,
    Value,
}

#[derive(Debug)]
pub(super) struct Attention {
    in_proj_weight: Tensor, // [3 * C, C], rows of queries, keys, values
    in_proj_bias: Tensor,   // [3 * C]
    out_proj: nn::Linear,
    heads: i64,
}

impl Attention {
    pub(super) fn new(p: &nn::Path<'_>, channels: i64, heads: i64) -> Self {
        let zero = nn::Init::Const(0.0);
        Self {
            in_proj_weight: p.var(
                "in_proj_weight",
                &[3 * channels, channels],
                xavier(channels, 3 * channels),
            ),
            in_proj_bias: p.var("in_proj_bias", &[3 * channels], zero),
            out_proj: linear(&(p / "out_proj"), channels, channels, xavier(channels, channels), zero),
            heads,
        }
    }

    /// Queries `[B, Q, C]` attend to keys and values `[B, N, C]`: `[B, Q, C]`.
    ///
    /// `allowed` `[B, 1, Q, N]`, true where a query may look, holds for all heads; every query must be allowed something.
    pub(super) fn forward(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        allowed: Option<&Tensor>,
    ) -> Tensor {
        let q = self.project(queries, Role::Query);
        let k = self.project(keys, Role::Key);
        let v = self.project(values, Role::Value);
        let (scale, grouped) = (None, false); // D^-0.5; as many keys as queries
        let out = Tensor::scaled_dot_product_attention(&q, &k, &v, allowed, 0.0, false, scale, grouped);
        let size = queries.size();
        out.transpose(1, 2).reshape(size.as_slice()).apply(&self.out_proj) // [B, M, Q, D] -> [B, Q, C]
    }

    // [B, N, C] -> [B, M, N, D]
    fn project(&self, x: &Tensor, role: Role) -> Tensor {
        let (batch, tokens, channels) = x.size3().expect("tokens [B, N, C] by construction");
        let first = role as i64 * channels;
        let weight = self.in_proj_weight.narrow(0, first, channels);
        let bias = self.in_proj_bias.narrow(0, first, channels);
        x.linear(&weight, Some(&bias))
            .reshape([batch, tokens, self.heads, channels / self.heads])
            .transpose(1, 2)
    }
}
