//! `smalti bench model --config`: the network of a recipe, whole, and with `--train` its loss on made-up objects.

use std::path::Path;

use anyhow::{Result, bail};
use smalti::cli::{BatchSize, BenchModelArgs};
use smalti::output::{InputError, Progress};
use smalti_backbones::{ModelError, weights};
use smalti_configs::AnyRun;
use smalti_heads::mask::MaskCriterion;
use smalti_heads::mask::criterion::MaskLossConfig;
use smalti_heads::mask::targets::MaskTarget;
use smalti_heads::{MaskConfig, MaskModel, SemanticLoss, SemanticModel};
use smalti_ops::bench_cases::Timer;
use smalti_ops::flops;
use smalti_ops::without_data::WithoutData;
use smalti_training::Precision;
use tch::nn::{self, VarStore};
use tch::{Device, Kind, Tensor, no_grad};

use super::network::{Case, Measured};

/// Times the recipe's network at every batch size asked for.
pub fn measure(args: &BenchModelArgs, path: &Path, timer: &Timer) -> Result<Vec<Measured>> {
    let bench = Bench { args, path, timer };
    match AnyRun::load(path, &args.set)? {
        AnyRun::Mask(run) => bench.masks(&run.model, &run.loss, run.train.precision),
        AnyRun::SemanticMask(run) => bench.masks(&run.model, &run.loss, run.train.precision),
        AnyRun::Semantic(run) => {
            let loss = SemanticLoss::new(run.loss.auxiliary_weight, None, timer.device);
            let build = |p: &nn::Path<'_>| SemanticModel::new(p, &run.model, args.classes);
            bench.all("upernet", build, |model, images, train| {
                let output = {
                    let _autocast = run.train.precision.guard(timer.device)?;
                    model.forward_t(images, train)
                };
                Ok(train.then(|| loss.forward(&output, &labels(images, args.classes)).total))
            })
        }
        AnyRun::Classification(_) => bail!(InputError::new(format!(
            "{}: a classifier has no head to time; `smalti bench model FAMILY` times it",
            path.display()
        ))),
    }
}

struct Bench<'a> {
    args: &'a BenchModelArgs,
    path: &'a Path,
    timer: &'a Timer,
}

impl Bench<'_> {
    fn masks(
        &self,
        config: &MaskConfig,
        loss: &MaskLossConfig,
        precision: Precision,
    ) -> Result<Vec<Measured>> {
        let (classes, device) = (self.args.classes, self.timer.device);
        let criterion = MaskCriterion::new(loss, classes)?;
        let build = |p: &nn::Path<'_>| MaskModel::new(p, config, classes);
        self.all("mask2former", build, |model, images, train| {
            let output = {
                let _autocast = precision.guard(device)?;
                model.forward_t(images, train)?
            };
            if !train {
                return Ok(None);
            }
            let (batch, side) = (images.size()[0], images.size()[2]);
            let objects = i64::from(self.args.objects);
            let targets: Vec<_> = (0..batch).map(|_| boxes(objects, side, classes, device)).collect();
            let num_masks = criterion.num_masks(&targets)?;
            Ok(Some(criterion.forward(&output.layers(), &targets, num_masks)?.total))
        })
    }

    /// `pass` runs the network and gives the loss if it is asked to train.
    fn all<M>(
        &self,
        family: &str,
        build: impl Fn(&nn::Path<'_>) -> Result<M, ModelError>,
        pass: impl Fn(&M, &Tensor, bool) -> Result<Option<Tensor>>,
    ) -> Result<Vec<Measured>> {
        let Self { args, path, timer } = self;
        let variant = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let bar = Progress::new("bench", args.batch.len() as u64);
        let mut results = Vec::new();
        for &batch in &args.batch {
            let BatchSize { images, side } = batch;
            bar.message(&format!("{variant}, {images}x{side}"));
            let multiply_adds = {
                let _mode = WithoutData::enter()?;
                let model = build(&VarStore::new(Device::Cpu).root())?;
                let image = Tensor::zeros([1, 3, side, side], (Kind::Float, Device::Cpu));
                let (done, count) = flops::count(|| no_grad(|| pass(&model, &image, false)))?;
                done?;
                count.multiply_adds()
            };
            let store = VarStore::new(timer.device);
            let model = build(&store.root())?;
            if let Some(file) = &args.weights {
                weights::load(&store, file)?;
            }
            let input = Tensor::randn([images, 3, side, side], (Kind::Float, timer.device));
            let mut parameters = store.trainable_variables();
            let case = Case { family, variant: &variant, batch, multiply_adds, train: args.train };
            results.push(case.measure(timer, || {
                if args.train {
                    pass(&model, &input, true)?.iter().for_each(Tensor::backward);
                    parameters.iter_mut().for_each(Tensor::zero_grad);
                } else {
                    no_grad(|| pass(&model, &input, false))?;
                }
                Ok(())
            })?);
            bar.inc(1);
        }
        bar.finish();
        Ok(results)
    }
}

/// Rectangles of a half to a sixth of the side, spread over the image; some overlap, as objects of instance sets do.
fn boxes(objects: i64, side: i64, classes: i64, device: Device) -> MaskTarget {
    let masks = Tensor::zeros([objects, side, side], (Kind::Uint8, device)); // [N, H, W]
    for object in 0..objects {
        let (height, width) = (side / (2 + object % 5), side / (2 + object % 3));
        let (top, left) =
            (object * 37 % 100 * (side - height) / 100, object * 61 % 100 * (side - width) / 100);
        drop(masks.get(object).narrow(0, top, height).narrow(1, left, width).fill_(1));
    }
    MaskTarget {
        classes: Tensor::arange(objects, (Kind::Int64, device)).remainder(classes),
        masks,
        labelled: None,
    }
}

/// A random class for every pixel of images `[B, 3, H, W]`: `[B, H, W]`.
fn labels(images: &Tensor, classes: i64) -> Tensor {
    let size = images.size();
    Tensor::randint(classes, [size[0], size[2], size[3]], (Kind::Int64, images.device()))
}
