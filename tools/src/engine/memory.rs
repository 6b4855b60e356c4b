//! Whether a pass fits into memory, asked before anything of it is allocated: what does not is refused with what would.
//!
//! Only on a CPU: there the system ends a process that takes too much, without a word. A GPU's allocator refuses by itself.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use rayon::prelude::*;
use smalti::free_memory::free_bytes;
use smalti::output::InputError;
use smalti_backbones::ModelError;
use smalti_configs::{RunConfig, SemanticMaskRun};
use smalti_datasets::DataError;
use smalti_datasets::transform::segments::SegmentEvalConfig;
use smalti_heads::mask::post::{Frame, SemanticMaskInferenceConfig};
use smalti_heads::{InferenceConfig, MaskConfig, MaskFootprint, SemanticFootprint, SlideConfig};
use smalti_ops::without_data::{WithoutData, peak_bytes};
use tch::{Device, Kind, Tensor, nn, no_grad};

/// Images are made smaller by this many pixels of their shorter edge: the coarsest stride, and the least that networks take.
const STEP: usize = 32;
/// The largest window that is proposed, where the recipe has no crop to go by.
const LARGEST_WINDOW: usize = 1024;

/// What the tensors of a network need for an image, and what makes them need less.
pub trait Needs {
    /// Bytes at the peak for an image of `size` (height, width).
    fn bytes(&self, size: [usize; 2]) -> Result<u64, ModelError>;

    /// What to do so that `room` bytes are enough; none if nothing helps.
    fn remedy(&self, size: [usize; 2], room: u64) -> Result<Option<String>, ModelError>;
}

/// What a process grows by beyond its tensors: oneDNN's and MKL's copies in layouts of their own and what the allocator does not fill
/// again. A quarter and a constant are within a fifth of what published networks took (`docs/benchmarks.md`).
const BESIDE: u64 = 64 << 20;

/// What a process grows by for so many bytes of tensors.
fn grown(tensors: u64) -> u64 {
    tensors + tensors / 4 + BESIDE
}

/// Bytes of tensors for which so much memory is enough.
fn room_in(free: u64) -> u64 {
    (u128::from(free.saturating_sub(BESIDE)) * 4 / 5) as u64
}

/// Asks of every image whether its prediction fits.
pub struct Room<N> {
    needs: N,
    device: Device,
    /// Most pixels that there was room for; images of fewer are not asked about.
    had: Cell<usize>,
}

impl<N: Needs> Room<N> {
    pub fn new(needs: N, device: Device) -> Self {
        Self { needs, device, had: Cell::new(0) }
    }

    /// Refuses an image whose prediction takes more than is free.
    ///
    /// # Errors
    /// An [`InputError`] naming the file, its size (height, width), both numbers of bytes, and what would fit.
    pub fn check(&self, file: &Path, size: [usize; 2]) -> Result<()> {
        let pixels = size[0] * size[1];
        if self.device != Device::Cpu || pixels <= self.had.get() {
            return Ok(());
        }
        let Some(free) = free_bytes() else { return Ok(()) };
        if let Some(text) = refusal(&self.needs, file, size, free)? {
            bail!(InputError::new(text));
        }
        self.had.set(pixels);
        Ok(())
    }

    /// [`check`](Self::check) of the largest of `count` images, given with what their headers say. One that can not be read is for
    /// the evaluation to complain of.
    pub fn check_largest(
        &self,
        count: usize,
        image: impl Fn(usize) -> (PathBuf, Result<[usize; 2], DataError>) + Sync + Send,
    ) -> Result<()> {
        if self.device != Device::Cpu {
            return Ok(());
        }
        let sizes = (0..count).into_par_iter().map(image).filter_map(|(file, size)| Some((file, size.ok()?)));
        match sizes.max_by_key(|(_, [height, width])| height * width) {
            Some((file, size)) => self.check(&file, size),
            None => Ok(()),
        }
    }
}

/// Why an image can not be predicted with so many bytes free; none if it can.
fn refusal(
    needs: &impl Needs,
    file: &Path,
    size: [usize; 2],
    free: u64,
) -> Result<Option<String>, ModelError> {
    let fits_into_free = |bytes| grown(bytes) <= free;
    let bytes = needs.bytes(size)?;
    if fits_into_free(bytes) {
        return Ok(None);
    }
    let smaller = largest(size, |size| Ok(fits_into_free(needs.bytes(size)?)))?;
    let fits = smaller.map_or("no size".to_owned(), |[height, width]| format!("{height}x{width}"));
    let remedy = needs.remedy(size, room_in(free))?.unwrap_or_else(|| "make the image smaller".to_owned());
    let [height, width] = size;
    Ok(Some(format!(
        "{}: expected an image whose prediction fits into the {} of memory that are free, got {height}x{width} (HxW), which takes \
         about {}; {fits} would fit; {remedy}",
        file.display(),
        megabytes(free),
        megabytes(grown(bytes)),
    )))
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

/// The largest size of the same aspect, by steps of the shorter edge, that is smaller than `size` and fits.
fn largest(
    size: [usize; 2],
    fits: impl Fn([usize; 2]) -> Result<bool, ModelError>,
) -> Result<Option<[usize; 2]>, ModelError> {
    let short = size[0].min(size[1]).max(1);
    let scaled = |steps: usize| size.map(|edge| (edge * steps * STEP / short).max(1));
    let (mut good, mut bad) = (0, short.div_ceil(STEP));
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        if fits(scaled(middle))? { good = middle } else { bad = middle }
    }
    Ok((good > 0).then(|| scaled(good)))
}

/// Of per-pixel classifiers.
pub struct SemanticNeeds<'a> {
    config: &'a RunConfig,
    footprint: SemanticFootprint,
}

impl<'a> SemanticNeeds<'a> {
    pub fn new(config: &'a RunConfig, num_classes: usize) -> Result<Self, ModelError> {
        Ok(Self { config, footprint: SemanticFootprint::new(&config.model, num_classes as i64)? })
    }
}

impl Needs for SemanticNeeds<'_> {
    fn bytes(&self, size: [usize; 2]) -> Result<u64, ModelError> {
        // Smaller ones are padded.
        self.footprint.predict(&self.config.inference, pair(size.map(|edge| edge.max(STEP))))
    }

    /// Windows as large as the recipe's crops, or smaller ones.
    fn remedy(&self, size: [usize; 2], room: u64) -> Result<Option<String>, ModelError> {
        let crop = self.config.data.crop_size().map_or(LARGEST_WINDOW, |[height, width]| height.min(width));
        let with = |edge: usize| {
            let (crop, stride) = (edge as i64, (edge * 2 / 3) as i64);
            let slide = Some(SlideConfig { crop: [crop; 2], stride: [stride; 2] });
            InferenceConfig { slide, ..self.config.inference.clone() }
        };
        // Not below the next step, so that the crop itself is tried.
        let window =
            largest([crop + 1; 2], |[edge, _]| Ok(self.footprint.predict(&with(edge), pair(size))? <= room))?;
        Ok(window.map(|[edge, _]| {
            let stride = edge * 2 / 3;
            format!("or predict by windows: --set 'inference.slide={{ crop = [{edge}, {edge}], stride = [{stride}, {stride}] }}'")
        }))
    }
}

/// Of mask classifiers of segments.
pub struct MaskNeeds {
    eval: SegmentEvalConfig,
    footprint: MaskFootprint,
}

impl MaskNeeds {
    /// Of images that enter the network at the sizes of `eval`.
    pub fn new(model: &MaskConfig, eval: &SegmentEvalConfig, num_classes: usize) -> Result<Self, ModelError> {
        Ok(Self { eval: eval.clone(), footprint: MaskFootprint::new(model, num_classes as i64)? })
    }

    fn with(&self, eval: &SegmentEvalConfig, size: [usize; 2]) -> Result<u64, ModelError> {
        self.footprint.predict(frame(eval.sizes(size), size))
    }
}

impl Needs for MaskNeeds {
    fn bytes(&self, size: [usize; 2]) -> Result<u64, ModelError> {
        self.with(&self.eval, size)
    }

    fn remedy(&self, size: [usize; 2], room: u64) -> Result<Option<String>, ModelError> {
        smaller_edges(&self.eval, size, |eval| Ok(self.with(eval, size)? <= room))
    }
}

/// Of mask classifiers that give every pixel a class.
pub struct SemanticMaskNeeds<'a> {
    inference: &'a SemanticMaskInferenceConfig,
    eval: SegmentEvalConfig,
    footprint: MaskFootprint,
}

impl<'a> SemanticMaskNeeds<'a> {
    pub fn new(config: &'a SemanticMaskRun, num_classes: usize) -> Result<Self, ModelError> {
        Ok(Self {
            inference: &config.inference,
            eval: config.data.eval.clone().unwrap_or_default(),
            footprint: MaskFootprint::new(&config.model, num_classes as i64)?,
        })
    }

    fn with(&self, eval: &SegmentEvalConfig, size: [usize; 2]) -> Result<u64, ModelError> {
        let scales = &self.inference.scales;
        let largest = scales.iter().copied().fold(0.0, f64::max);
        let view = frame(eval.sizes_at(size, largest), size);
        let window = self.inference.slide.map(|slide| {
            let (height, width) = slide.window_size(view.image);
            let window = [height as usize, width as usize];
            frame((window, eval.padded(window)), window)
        });
        self.footprint.predict_semantic(view, window, self.inference.looks().len() > 1)
    }
}

impl Needs for SemanticMaskNeeds<'_> {
    fn bytes(&self, size: [usize; 2]) -> Result<u64, ModelError> {
        self.with(&self.eval, size)
    }

    fn remedy(&self, size: [usize; 2], room: u64) -> Result<Option<String>, ModelError> {
        smaller_edges(&self.eval, size, |eval| Ok(self.with(eval, size)? <= room))
    }
}

/// A smaller image for the network, which `fits`; results are made at the image's own size.
fn smaller_edges(
    eval: &SegmentEvalConfig,
    size: [usize; 2],
    fits: impl Fn(&SegmentEvalConfig) -> Result<bool, ModelError>,
) -> Result<Option<String>, ModelError> {
    let edges = |[height, width]: [usize; 2]| (height.min(width), height.max(width));
    let network = largest(eval.resized(size), |network| {
        let (short, long) = edges(network);
        let (short_edge, max_long_edge) = (Some(short as u32), Some(long as u32));
        fits(&SegmentEvalConfig { short_edge, max_long_edge, ..eval.clone() })
    })?;
    Ok(network.map(|network| {
        let (short, long) = edges(network);
        format!("or let it enter the network smaller: --set data.eval.short_edge={short} --set data.eval.max_long_edge={long}")
    }))
}

/// The sizes of an image in the network, without and with padding, and of its results.
fn frame((valid, padded): ([usize; 2], [usize; 2]), size: [usize; 2]) -> Frame {
    Frame { padded: pair(padded), image: pair(valid), output: pair(size) }
}

fn pair([height, width]: [usize; 2]) -> (i64, i64) {
    (height as i64, width as i64)
}

/// Any network's pass over a batch, with all that it leaves.
struct BatchNeeds<P> {
    pass: P,
    batch: i64,
}

impl<P: Fn(&Tensor) -> Result<Vec<(String, Tensor)>>> Needs for BatchNeeds<P> {
    fn bytes(&self, [height, width]: [usize; 2]) -> Result<u64, ModelError> {
        let _mode = WithoutData::enter()?;
        let images = Tensor::zeros([self.batch, 3, height as i64, width as i64], (Kind::Float, Device::Cpu));
        let (results, peak) = peak_bytes(|| no_grad(|| (self.pass)(&images)))?;
        // What can not be run without data is for the real pass to complain of.
        let values: usize = results.iter().flatten().map(|(_, tensor)| tensor.numel()).sum();
        // Results are copied once more, into the file's bytes.
        Ok(peak.max(2 * 4 * values as u64))
    }

    fn remedy(&self, _: [usize; 2], _: u64) -> Result<Option<String>, ModelError> {
        Ok((self.batch > 1).then(|| format!("or pass fewer than {} images", self.batch)))
    }
}

/// Refuses images `[B, 3, H, W]` of `file` if the pass of the network that `build` makes does not fit.
///
/// # Errors
/// As [`Room::check`], and what `build` refuses.
pub fn check_batch<M>(
    file: &Path,
    images: &Tensor,
    build: impl Fn(&nn::Path<'_>) -> Result<M, ModelError>,
    pass: impl Fn(&M, &Tensor) -> Result<Vec<(String, Tensor)>>,
) -> Result<()> {
    let (batch, _, height, width) = images.size4()?;
    let model = {
        let _mode = WithoutData::enter()?;
        build(&nn::VarStore::new(Device::Cpu).root())?
    };
    let needs = BatchNeeds { pass: |images: &Tensor| pass(&model, images), batch };
    Room::new(needs, images.device()).check(file, [height as usize, width as usize])
}

#[cfg(test)]
mod tests {
    use smalti_configs::AnyRun;
    use smalti_datasets::recipe::Recipe;

    use super::*;

    /// A kilobyte a pixel, and nothing helps.
    struct Kilobyte;

    impl Needs for Kilobyte {
        fn bytes(&self, [height, width]: [usize; 2]) -> Result<u64, ModelError> {
            Ok(1000 * (height * width) as u64)
        }

        fn remedy(&self, _: [usize; 2], _: u64) -> Result<Option<String>, ModelError> {
            Ok(None)
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let ask = |size, free| refusal(&Kilobyte, Path::new("a.jpg"), size, free).unwrap();
        assert_eq!(ask([1000, 2000], grown(2_000_000_000)), None);
        // 544 * 1088 pixels are 592 MB of tensors, 576 * 1152 are 664 MB.
        assert_eq!(
            ask([1000, 2000], 820_000_000).unwrap(),
            "a.jpg: expected an image whose prediction fits into the 820 MB of memory that are free, got 1000x2000 (HxW), \
             which takes about 2568 MB; 544x1088 would fit; make the image smaller"
        );
        assert!(ask([2000, 1000], 1000).unwrap().contains("; no size would fit;"));
    }

    #[test]
    fn room_is_what_grows_to_all_that_is_free() {
        for free in [BESIDE, BESIDE + 1, 1_000_000_000, 999_999_999_999] {
            let room = room_in(free);
            assert!(grown(room) <= free && free < grown(room + 2), "{free}: {room}");
        }
        assert_eq!(room_in(0), 0);
    }

    fn run(recipe: &str, overrides: &[String]) -> AnyRun {
        let recipe = Recipe::from_text(recipe, Path::new("a.toml"), overrides).expect("TOML");
        AnyRun::from_recipe(&recipe).expect("a valid recipe")
    }

    /// The settings of a remedy, as `--set` takes them.
    fn settings(remedy: &str) -> Vec<String> {
        let of = |text: &str| text.trim().trim_matches('\'').to_owned();
        remedy.split("--set ").skip(1).map(of).collect()
    }

    #[test]
    fn windows_are_proposed_that_fit() {
        const RECIPE: &str = "data = { benchmark = \"ade20k\" }\nmodel.decode = { channels = 64 }\n\
            model.backbone = { family = \"nat\", variant = \"nano\" }\n";
        let size = [1000, 1500];
        let AnyRun::Semantic(config) = run(RECIPE, &[]) else { panic!("semantic is the default") };
        let needs = SemanticNeeds::new(&config, 9).unwrap();
        let whole = needs.bytes(size).unwrap();
        assert_eq!(refusal(&needs, Path::new("a.jpg"), size, grown(whole)).unwrap(), None);
        let free = whole * 2 / 3;
        let text = refusal(&needs, Path::new("a.jpg"), size, grown(free)).unwrap().unwrap();
        let AnyRun::Semantic(config) = run(RECIPE, &settings(&text)) else { panic!("no other task was set") };
        assert!(config.inference.slide.is_some(), "{text}");
        let windows = SemanticNeeds::new(&config, 9).unwrap().bytes(size).unwrap();
        assert!(windows <= free, "{windows} of {free}: {text}");
        // The scores of all classes at the image's size alone.
        assert_eq!(needs.remedy(size, 4 * 9 * 1_500_000).unwrap(), None);
    }

    #[test]
    fn edges_are_proposed_that_fit() {
        const RECIPE: &str = "task = \"panoptic\"\ndata = { benchmark = \"coco\" }\n\
            model.backbone = { family = \"nat\", variant = \"nano\" }\n";
        let size = [1500, 1000];
        let AnyRun::Mask(config) = run(RECIPE, &[]) else { panic!("the task was set") };
        let needs = MaskNeeds::new(&config.model, &config.data.eval, 9).unwrap();
        let whole = needs.bytes(size).unwrap();
        let free = whole * 9 / 10;
        let text = refusal(&needs, Path::new("a.jpg"), size, grown(free)).unwrap().unwrap();
        let AnyRun::Mask(config) = run(RECIPE, &settings(&text)) else { panic!("no other task was set") };
        assert!(config.data.eval.short_edge.is_some_and(|edge| edge < 1000), "{text}");
        let smaller = MaskNeeds::new(&config.model, &config.data.eval, 9).unwrap().bytes(size).unwrap();
        assert!(smaller <= free, "{smaller} of {free}: {text}");
    }

    /// Of a larger view there is more, of several a sum beside them, of windows less than of the whole.
    #[test]
    fn views_and_windows_are_told() {
        const RECIPE: &str = "data = { benchmark = \"ade20k\" }\nmodel.head = {}\n\
            model.backbone = { family = \"nat\", variant = \"nano\" }\n";
        const SCALES: &str = "inference.scales=[0.5, 1.5]";
        let size = [800, 1200];
        let config = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
            let AnyRun::SemanticMask(config) = run(RECIPE, &overrides) else { panic!("it has a head") };
            config
        };
        let bytes = |overrides: &[&str]| {
            let config = config(overrides);
            let needs = SemanticMaskNeeds::new(&config, 9).unwrap();
            needs.bytes(size).unwrap()
        };
        let plain = bytes(&[]);
        let flipped = bytes(&["inference.flip=true"]);
        assert_eq!(flipped - plain, 4 * 9 * 800 * 1200);
        let windows = bytes(&["inference.slide={ crop = [256, 256], stride = [128, 128] }"]);
        assert!(windows < plain, "{windows}, {plain}");

        // The largest of several views counts, and edges are proposed at which it fits.
        let several = config(&[SCALES]);
        let needs = SemanticMaskNeeds::new(&several, 9).unwrap();
        let scaled = needs.bytes(size).unwrap();
        assert!(scaled > flipped, "{scaled}, {flipped}");
        let free = scaled * 9 / 10;
        let edges = settings(&needs.remedy(size, free).unwrap().expect("a smaller view fits"));
        let smaller: Vec<&str> = edges.iter().map(String::as_str).chain([SCALES]).collect();
        assert!(bytes(&smaller) <= free, "{edges:?}");
    }
}
