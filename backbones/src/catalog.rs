//! Every variant of every family by name, with what can be worked out about it.

use smalti_ops::flops::{self, FlopCount};
use smalti_ops::without_data::WithoutData;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor, no_grad};

use crate::published::{self, Dense, ImageNet};
use crate::{
    BackboneConfig, Classifier, ConvNextConfig, ConvNextVariant, DatConfig, DatVariant, DavitConfig,
    DavitVariant, DinatSConfig, DinatSVariant, ModelError, NatConfig, NatVariant, ResNetConfig,
    ResNetVariant, SwinConfig, SwinVariant,
};

/// A named size of a family.
#[derive(Debug, Clone)]
pub struct Variant {
    /// `family` in configs.
    pub family: &'static str,
    /// `variant` in configs.
    pub name: &'static str,
    /// The config that names it and sets nothing else.
    pub config: BackboneConfig,
}

/// All variants, family by family.
pub fn variants() -> Vec<Variant> {
    macro_rules! family {
        ($family:literal, $variants:ident, $kind:ident($config:ident)) => {
            $variants::ALL.iter().map(|&variant| Variant {
                family: $family,
                name: variant.name(),
                config: BackboneConfig::$kind($config { variant: Some(variant), ..$config::default() }),
            })
        };
    }
    family!("nat", NatVariant, Nat(NatConfig))
        .chain(family!("dinat_s", DinatSVariant, DinatS(DinatSConfig)))
        .chain(family!("dat", DatVariant, Dat(DatConfig)))
        .chain(family!("davit", DavitVariant, Davit(DavitConfig)))
        .chain(family!("swin", SwinVariant, Swin(SwinConfig)))
        .chain(family!("convnext", ConvNextVariant, ConvNext(ConvNextConfig)))
        .chain(family!("resnet", ResNetVariant, ResNet(ResNetConfig)))
        .collect()
}

impl Variant {
    /// What is reported of its classifiers; the first is what the variant is named for.
    pub fn imagenet(&self) -> impl Iterator<Item = &'static ImageNet> {
        let model = (self.family, self.name);
        published::imagenet().iter().filter(move |row| row.model == model)
    }

    /// What is reported of dense prediction with it.
    pub fn dense(&self) -> impl Iterator<Item = &'static Dense> {
        let model = (self.family, self.name);
        published::dense().filter(move |row| row.model == model)
    }

    /// Side of the images that its arithmetic is told for: that of the first reported classifier, else 224.
    pub fn image_size(&self) -> i64 {
        self.imagenet().next().map_or(224, |row| row.size)
    }
}

/// Counts the multiply-adds of one image's way through the classifier of `config` by running it without data: every op that
/// a real image would meet, in milliseconds.
///
/// # Errors
/// [`ModelError::Config`] if no network can be built from the config.
pub fn count_classifier(
    config: &BackboneConfig,
    num_classes: i64,
    [height, width]: [i64; 2],
) -> Result<FlopCount, ModelError> {
    let _mode = WithoutData::enter()?;
    let store = VarStore::new(Device::Cpu);
    let classifier = Classifier::new(&store.root(), config, num_classes)?;
    let images = Tensor::zeros([1, 3, height, width], (Kind::Float, Device::Cpu));
    let (_logits, count) = flops::count(|| no_grad(|| classifier.forward_t(&images, false)))?;
    Ok(count)
}
