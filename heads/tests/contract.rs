//! What heads, the semantic model, its loss and its inference, and Mask2Former promise.

#[path = "contract/config.rs"]
mod config;
#[path = "contract/inference.rs"]
mod inference;
#[path = "contract/loss.rs"]
mod loss;
#[path = "contract/mask.rs"]
mod mask;
#[path = "contract/model.rs"]
mod model;

use smalti_backbones::{BackboneConfig, NatConfig, NatVariant};
use smalti_heads::{FcnConfig, SemanticConfig, SemanticModel, UperConfig};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 5;

/// A whole model, as small as it gets.
fn config() -> SemanticConfig {
    let nat = NatConfig {
        variant: Some(NatVariant::Nano),
        embed_dim: Some(8),
        depths: Some(vec![1, 1, 1, 1]),
        window: Some(3),
        ..NatConfig::default()
    };
    SemanticConfig {
        backbone: BackboneConfig::Nat(nat),
        decode: UperConfig { channels: 8, ..UperConfig::default() },
        auxiliary: Some(FcnConfig { channels: 6, ..FcnConfig::default() }),
        recompute: [false; 4],
    }
}

fn build(config: &SemanticConfig) -> (VarStore, SemanticModel) {
    let store = VarStore::new(Device::Cpu);
    let model = SemanticModel::new(&store.root(), config, CLASSES).unwrap_or_else(|error| panic!("{error}"));
    (store, model)
}

/// Every value differs, and so do images of a batch.
fn image(batch: i64, height: i64, width: i64) -> Tensor {
    let flat = Tensor::arange(batch * 3 * height * width, (Kind::Float, Device::Cpu));
    (flat * 12.9898).sin().reshape([batch, 3, height, width]) * 2
}
