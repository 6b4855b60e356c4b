//! Image classification.

use std::path::Path;
use std::sync::Arc;

use smalti_datasets::recipe::Recipe;
use smalti_datasets::{ImageDataConfig, ImageFolder, ImageSource};
use smalti_heads::{ClassificationConfig, ClassificationLossConfig};
use smalti_training::signals::Signal;
use smalti_training::trainer::Summary;
use smalti_training::{ClassificationTask, Precision, TrainError};
use tch::{Device, nn};

use crate::support::{StopAt, assert_same, backbone, log, train, turn};

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
fn start(
    data: &ImageDataConfig,
    out: &Path,
    resume: bool,
    watch: &mut StopAt,
) -> (Result<Summary, TrainError>, nn::VarStore) {
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
    let whole_run = folder.path().join("whole");
    let (summary, whole) = start(&data, &whole_run, false, &mut StopAt::default());
    let summary = summary.unwrap();
    assert_eq!(summary.last.metric, "top1");
    let lines = log(&whole_run);
    assert_eq!(lines.len(), 3 + 2, "records at 3, 6, 8 and evaluations at 4, 8");
    let last = lines.last().unwrap();
    assert!(last["top1"].is_number() && last["top5"] == 1.0, "of three classes all are among five: {last}");
    assert!(last["classes"]["red"]["top1"].is_number(), "{last}");

    for stop_after in [1, 4, 7] {
        let out = folder.path().join(format!("stopped-{stop_after}"));
        let (result, _) =
            start(&data, &out, false, &mut StopAt { after_step: Some(stop_after), ..StopAt::default() });
        assert!(
            matches!(result, Err(TrainError::Interrupted { signal: Signal::Usr1, step }) if step == stop_after)
        );
        let (resumed, store) = start(&data, &out, true, &mut StopAt::default());
        assert_eq!(resumed.unwrap().best, summary.best);
        assert_same(&store, &whole);
        assert_eq!(log(&out), lines, "stopped after {stop_after}");
    }
}

#[test]
fn a_stop_during_the_evaluation_of_a_classifier_repeats_it() {
    let _turn = turn();
    tch::set_num_threads(2);
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder.path().join("set"));
    let (_, whole) = start(&data, &folder.path().join("whole"), false, &mut StopAt::default());
    let out = folder.path().join("stopped");
    // Evaluated in batches of 4.
    let (result, _) = start(&data, &out, false, &mut StopAt { in_evaluation: Some(8), ..StopAt::default() });
    assert!(matches!(result, Err(TrainError::Interrupted { signal: Signal::Term, step: 4 })));
    let (resumed, store) = start(&data, &out, true, &mut StopAt::default());
    resumed.unwrap();
    assert_same(&store, &whole);
    assert_eq!(log(&out), log(&folder.path().join("whole")));
}
