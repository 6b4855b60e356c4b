//! Image classification.

use std::path::Path;
use std::sync::Arc;

use smalti_datasets::recipe::Recipe;
use smalti_datasets::{ImageDataConfig, ImageFolder, ImageSource};
use smalti_heads::{ClassificationConfig, ClassificationLossConfig};
use smalti_training::{ClassificationTask, Precision};
use tch::{Device, nn};

use crate::support::{StopAt, Trained, assert_resumes, backbone, train, turn};

/// Three classes of four 40x48 images, each of a colour of its class, and a recipe with every transform.
fn data(root: &Path) -> ImageDataConfig {
    for (split, count) in [("train", 4), ("val", 3)] {
        for (class, name) in ["blue", "green", "red"].into_iter().enumerate() {
            let folder = root.join(split).join(name);
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..count {
                let image = image::RgbImage::from_fn(40, 48, |x, y| {
                    let mut pixel = [(x * 3) as u8, (y * 2 + i * 9) as u8, 60];
                    pixel[2 - class] = 220;
                    image::Rgb(pixel)
                });
                image.save(folder.join(format!("{i}.png"))).unwrap();
            }
        }
    }
    let text = format!(
        r#"
        [data]
        root = "{}"
        loader = {{ batch_size = 4, workers = 2 }}
        eval = {{ size = 32 }}
        mix = {{}}
        augment = [
            {{ op = "random_resized_crop", size = 32 }},
            {{ op = "flip" }},
            {{ op = "color_jitter" }},
            {{ op = "rand_augment" }},
            {{ op = "random_erasing", prob = 0.5 }},
        ]
        "#,
        root.display()
    );
    Recipe::from_text(text, Path::new("recipe.toml"), &[]).unwrap().table("data").unwrap()
}

/// One process's worth of training: a fresh model, the run's folder, then the trainer.
fn start(data: &ImageDataConfig, out: &Path, resume: bool, watch: &mut StopAt) -> Trained {
    tch::manual_seed(5);
    let store = nn::VarStore::new(Device::Cpu);
    let config = ClassificationConfig { backbone: backbone(), recompute: [true, false, false, true] };
    let model = config.build(&store.root(), 3).unwrap();
    let [images, validation] = ImageFolder::open_both(data, None).unwrap();
    let task = ClassificationTask {
        model: &model,
        loss: ClassificationLossConfig { label_smoothing: 0.1 },
        precision: Precision::F32,
        device: Device::Cpu,
        validation: Arc::new(validation),
        data: data.clone(),
    };
    let source = ImageSource::new(Arc::new(images), data);
    let result = train(&task, &store, source, &data.loader, out, resume, watch);
    (result, store)
}

#[test]
fn a_classifier_stopped_and_resumed_equals_one_never_stopped() {
    let _turn = turn();
    tch::set_num_threads(2);
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    // Evaluated in batches of 4.
    let (summary, lines) =
        assert_resumes(folder.path(), 8, |out, resume, watch| start(&data, out, resume, watch));
    assert_eq!(summary.last.metric, "top1");
    let last = lines.last().unwrap();
    assert!(last["top1"].is_number() && last["top5"] == 1.0, "of three classes all are among five: {last}");
    assert!(last["classes"]["red"]["top1"].is_number(), "{last}");
}
