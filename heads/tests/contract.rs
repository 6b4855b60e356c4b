//! What heads, the semantic model, its loss and its inference, and Mask2Former promise.

#[path = "contract/config.rs"]
mod config;
#[path = "contract/inference.rs"]
mod inference;
#[path = "contract/loss.rs"]
mod loss;
#[path = "contract/mask.rs"]
mod mask;
#[path = "contract/mask_loss.rs"]
mod mask_loss;
#[path = "contract/mask_post.rs"]
mod mask_post;
#[path = "contract/model.rs"]
mod model;

use std::path::Path;

use smalti_backbones::{BackboneConfig, NatConfig, NatVariant, weights};
use smalti_heads::{FcnConfig, SemanticConfig, SemanticModel, UperConfig};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

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

/// The weights are the same in every run, whatever other tests draw at random meanwhile.
fn build(config: &SemanticConfig) -> (VarStore, SemanticModel) {
    let store = VarStore::new(Device::Cpu);
    let model = SemanticModel::new(&store.root(), config, CLASSES).unwrap_or_else(|error| panic!("{error}"));
    for (index, (name, parameter)) in weights::named_tensors(&store).iter().enumerate() {
        if parameter.dim() > 1 {
            // Enough that no class wins everywhere: predictions of one class would be equal whatever is done to them.
            let gain = if name.ends_with("conv_seg.weight") { 8.0 } else { 1.5 };
            fill(parameter, index, gain);
        }
    }
    (store, model)
}

/// Noise of a seed; the sum over the inputs of an output, `[output, inputs..]`, has the deviation `gain` and no bias.
fn fill(parameter: &Tensor, seed: usize, gain: f64) {
    let (count, outputs) = (parameter.size().iter().product::<i64>(), parameter.size()[0]);
    let phases = Tensor::arange(count, (Kind::Double, Device::Cpu)) * 12.9898 + seed as f64;
    let noise = (phases.sin() * 43758.5453).frac().reshape([outputs, -1]);
    let noise = &noise - noise.mean_dim(1, true, None::<Kind>);
    let values = noise * (gain * (3.0 * outputs as f64 / count as f64).sqrt());
    no_grad(|| parameter.shallow_clone().copy_(&values.reshape(parameter.size())));
}

/// Every value differs, and so do images of a batch.
fn image(batch: i64, height: i64, width: i64) -> Tensor {
    let flat = Tensor::arange(batch * 3 * height * width, (Kind::Float, Device::Cpu));
    (flat * 12.9898).sin().reshape([batch, 3, height, width]) * 2
}

/// Names and shapes of what is not the backbone against `tests/keys/FILE`.
fn keys_equal_the_snapshot(store: &VarStore, file: &str) {
    let named = weights::named_tensors(store);
    let (backbone, heads): (Vec<_>, Vec<_>) =
        named.iter().partition(|(name, _)| name.starts_with("backbone."));
    assert!(backbone.iter().any(|(name, _)| name == "backbone.patch_embed.proj.0.weight"));
    let lines: Vec<_> = heads.iter().map(|(name, tensor)| format!("{name} {:?}", tensor.size())).collect();
    let text = lines.join("\n") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(file);
    if std::env::var_os("UPDATE_KEYS").is_some() {
        std::fs::write(&path, &text).expect("the list of names is written");
    }
    assert_eq!(text, std::fs::read_to_string(&path).expect("the list of names"));
}
