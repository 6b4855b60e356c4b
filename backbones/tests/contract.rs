//! What every NAT variant promises: sizes, gradients, determinism, parameter counts and names, config and weight errors.

#[path = "contract/config.rs"]
mod config;
#[path = "contract/forward.rs"]
mod forward;
#[path = "contract/parameters.rs"]
mod parameters;
#[path = "contract/weights.rs"]
mod weights;

use smalti_backbones::{NatConfig, NatVariant, Purpose, Staged};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// The variant's layer scale, MLP ratio and number of heads in the smallest network that has them.
fn shrunken(variant: NatVariant) -> NatConfig {
    let row = NatConfig { variant: Some(variant), ..NatConfig::default() };
    let heads = row.arch().expect("a published variant").heads;
    NatConfig { embed_dim: Some(4 * heads[0]), depths: Some(vec![1, 2, 1, 1]), ..row }
}

fn build(config: &NatConfig) -> (VarStore, Staged) {
    let store = VarStore::new(Device::Cpu);
    let nat =
        config.build(&store.root(), Purpose::Dense).unwrap_or_else(|error| panic!("{config:?}: {error}"));
    (store, nat)
}

/// The seed is the test's own; `tch::manual_seed` would be shared with tests that run at the same time.
fn image(batch: i64, height: i64, width: i64) -> Tensor {
    let flat = Tensor::arange(batch * 3 * height * width, (Kind::Float, Device::Cpu));
    (flat * 12.9898).sin().reshape([batch, 3, height, width]) * 2
}
