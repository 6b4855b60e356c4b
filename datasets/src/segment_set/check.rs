//! Reads a whole split of an instance or panoptic set and lists everything that training or scoring would trip over.
//!
//! Where [`SegmentSet::open`](super::SegmentSet::open) ends with the first thing that is wrong, this goes on: a record that
//! is none is written down and left out. Lists are checked first; then each image is decoded once, its masks are drawn, and
//! nothing of it is kept but counts, findings and a [`Fingerprint`].

mod frames;
mod geometry;
mod hints;
mod instances;
mod panoptic;
mod report;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::value::RawValue;

use super::benchmark::{self, Files};
use super::cityscapes::Frames;
use super::panoptic::Unseen;
use super::{Place, SegmentBenchmark, SegmentDataConfig, SegmentFiles, SegmentTask};
use crate::check::Hint;
use crate::classes::ClassTable;
use crate::coco::Category;
use crate::config::Split;
use crate::decode;
use crate::error::DataError;
use crate::json_blocks::JsonBlocks;
use crate::likeness::{self, Fingerprint};
use crate::stats::SizeCount;
use instances::Instances;
use panoptic::Panoptic;
use report::Findings;
use tables::Listed;

pub use report::{CategoryCount, Finding, Kind, SegmentReport, Severity};

/// A split whose lists were read, ready for its images to be.
#[derive(Debug)]
pub struct SegmentCheck {
    name: String,
    task: SegmentTask,
    source: Source,
    findings: Findings,
    hints: Vec<Hint>,
}

#[derive(Debug)]
enum Source {
    Instances(Instances),
    Panoptic(Panoptic),
    Frames(Frames),
}

/// Where to look for files that are not found, and what to call the setting then.
struct Search<'a> {
    root: &'a Path,
    /// `data.train` or `data.val`; the options of the command for files without a recipe, as they are called.
    key: Option<Split>,
}

/// What was found on one image.
#[derive(Default)]
struct Seen {
    found: Vec<(Kind, String)>,
    /// Class and pixels of each object.
    objects: Vec<(u16, u64)>,
    void_pixels: u64,
    size: Option<(usize, usize)>,
    print: Option<Fingerprint>,
}

impl Seen {
    fn add(&mut self, kind: Kind, text: impl Into<String>) {
        self.found.push((kind, text.into()));
    }
}

/// Which kind of annotations a file has; `None` if it has none.
///
/// # Errors
/// A file that cannot be read or is no JSON up to its first annotation.
pub fn task_of(annotations: &Path) -> Result<Option<SegmentTask>, DataError> {
    for block in JsonBlocks::open(annotations)? {
        let block = block?;
        if block.member.as_deref() != Some("annotations") || !block.is_list {
            continue;
        }
        // Text that is no JSON is for the reader of the whole file to complain of.
        let records: Vec<&RawValue> = serde_json::from_slice(&block.text).unwrap_or_default();
        let keys = records.first().and_then(|record| {
            serde_json::from_str::<BTreeMap<String, &RawValue>>(record.get()).ok().map(|map| {
                [("segments_info", SegmentTask::Panoptic), ("segmentation", SegmentTask::Instance)]
                    .into_iter()
                    .find_map(|(key, task)| map.contains_key(key).then_some(task))
            })
        });
        return Ok(keys.flatten());
    }
    Ok(None)
}

/// Whether a set has the folder of a split's images. Sets of one's own have the splits that their recipe names.
///
/// # Errors
/// A root that is not there.
pub fn has_split(
    cfg: &SegmentDataConfig,
    task: SegmentTask,
    split: Split,
    data_root: Option<&Path>,
) -> Result<bool, DataError> {
    match &cfg.files {
        SegmentFiles::Benchmark { benchmark, .. } => {
            let place = Place::find(&cfg.files, split.key(), task, split, data_root)?;
            Ok(place.root.join(benchmark.image_folder(split)).is_dir())
        }
        SegmentFiles::Own(files) => Ok(!files.split(split).is_empty()),
    }
}

impl SegmentCheck {
    /// Reads the lists of a recipe's split.
    ///
    /// # Errors
    /// Only what leaves nothing to look at: missing folders and annotation files, annotations of another task, files that are
    /// no JSON or lack a list.
    pub fn open(
        cfg: &SegmentDataConfig,
        task: SegmentTask,
        split: Split,
        data_root: Option<&Path>,
    ) -> Result<Self, DataError> {
        let Place { root, benchmark, files } = Place::find(&cfg.files, split.key(), task, split, data_root)?;
        let name = split.to_string();
        match files {
            Some(files) => {
                Self::of_lists(name, task, &files, benchmark, &Search { root: &root, key: Some(split) })
            }
            None => Ok(Self {
                name,
                task,
                source: Source::Frames(Frames::find(&root, task, split)?),
                findings: Findings::default(),
                hints: vec![],
            }),
        }
    }

    /// Reads the lists of an annotation file without a recipe; `labels` is the folder of panoptic PNGs, by default the file's
    /// name without its extension.
    ///
    /// # Errors
    /// As for [`SegmentCheck::open`].
    pub fn open_files(
        images: &Path,
        annotations: &Path,
        labels: Option<&Path>,
        task: SegmentTask,
    ) -> Result<Self, DataError> {
        let pngs = labels.map_or_else(|| annotations.with_extension(""), Path::to_owned);
        let files = Files {
            images: images.to_owned(),
            annotations: annotations.to_owned(),
            pngs: (task == SegmentTask::Panoptic).then_some(pngs),
            unseen: Unseen::Refused,
            wanted_by: "command line".into(),
        };
        let name = annotations.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
        // Folders of images and PNGs are beside the file's own as a rule.
        let folder = annotations.parent().unwrap_or(Path::new(""));
        let root = folder.parent().unwrap_or(folder);
        Self::of_lists(name, task, &files, None, &Search { root, key: None })
    }

    fn of_lists(
        name: String,
        task: SegmentTask,
        files: &Files,
        benchmark: Option<SegmentBenchmark>,
        search: &Search<'_>,
    ) -> Result<Self, DataError> {
        let Files { images, annotations, pngs, unseen, wanted_by } = files;
        if let Some(path) = [images, annotations].into_iter().find(|path| !path.exists()) {
            return Err(DataError::Missing { path: path.clone(), wanted_by: wanted_by.clone() });
        }
        if let Some(other) = task_of(annotations)?.filter(|found| *found != task) {
            let reason = format!("expected {task} annotations, got {other} ones: set task = \"{other}\"");
            return Err(DataError::record(annotations, "annotation 0", reason));
        }
        let mut findings = Findings::default();
        let mut hints = vec![];
        let source = match pngs {
            None => Source::Instances(Instances::read(annotations, images, &mut findings)?),
            Some(pngs) => {
                let set = Panoptic::read(annotations, [images, pngs], *unseen, &mut findings)?;
                let all_missing = set.missing_pngs > 0 && 2 * set.missing_pngs > set.tables.images.len();
                if let Some(name) = set.first_png.as_deref().filter(|_| all_missing) {
                    hints.extend(search.for_folder("labels", name, [pngs, images]));
                }
                Source::Panoptic(set)
            }
        };
        let mut check = Self { name, task, source, findings, hints };
        check.categories(annotations, benchmark);
        let missing: Vec<&Listed> = check.images().iter().filter(|image| !image.exists).collect();
        if let Some(first) = missing.first().filter(|_| 2 * missing.len() > check.images().len()) {
            let name = first.path.strip_prefix(images).unwrap_or(&first.path).to_string_lossy().into_owned();
            let labels = pngs.as_deref().unwrap_or(images);
            check.hints.extend(search.for_folder("images", &name, [images, labels]));
        }
        Ok(check)
    }

    /// Whether the categories make a table of classes, and the annotations use it.
    fn categories(&mut self, annotations: &Path, benchmark: Option<SegmentBenchmark>) {
        let (tables, used) = match &self.source {
            Source::Instances(set) => (&set.tables, &set.used),
            Source::Panoptic(set) => (&set.tables, &set.used),
            Source::Frames(_) => return,
        };
        self.hints.extend(hints::categories(&tables.categories, used));
        let wrong = if let Some(benchmark) = benchmark {
            benchmark::class_ids(benchmark, self.task, annotations, &tables.categories).err()
        } else {
            let all_things = self.task == SegmentTask::Instance;
            ClassTable::of_categories(annotations, &tables.categories, all_things).err()
        };
        if let Some(DataError::Record { record, reason, .. }) = wrong {
            self.findings.add(Kind::Categories, format!("{record}: {reason}"));
        }
    }

    fn images(&self) -> &[Listed] {
        match &self.source {
            Source::Instances(set) => &set.tables.images,
            Source::Panoptic(set) => &set.tables.images,
            Source::Frames(_) => &[],
        }
    }

    /// Number of images to look at.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Frames(frames) => frames.len(),
            _ => self.images().len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Image file of image `i`.
    pub fn image_path(&self, i: usize) -> PathBuf {
        match &self.source {
            Source::Frames(frames) => frames.image(i),
            _ => self.images()[i].path.clone(),
        }
    }

    /// Ids and names of the categories, in the order of the ids.
    pub fn category_names(&self) -> Vec<(u32, String)> {
        let of = |category: &Category| (category.id, category.name.clone());
        match &self.source {
            Source::Instances(set) => set.tables.categories.iter().map(of).collect(),
            Source::Panoptic(set) => set.tables.categories.iter().map(of).collect(),
            Source::Frames(_) => {
                let classes = benchmark::classes(SegmentBenchmark::Cityscapes, self.task);
                (0..).zip(classes.names()).map(|(id, name)| (id, name.to_owned())).collect()
            }
        }
    }

    /// Reads every image in parallel. `progress` is called after each, from any thread. Fingerprints are in the order of the
    /// images, `None` for those that cannot be read.
    pub fn run(self, progress: &(dyn Fn() + Sync)) -> (SegmentReport, Vec<Option<Fingerprint>>) {
        let look = |i| {
            let seen = self.look_at(i);
            progress();
            seen
        };
        let all: Vec<Seen> = (0..self.len()).into_par_iter().map(look).collect();
        self.finish(all)
    }

    fn look_at(&self, i: usize) -> Seen {
        let mut seen = Seen::default();
        if let Source::Frames(frames) = &self.source {
            let path = frames.image(i);
            seen.decode(&path);
            frames::look_at(frames, i, &mut seen);
            return seen;
        }
        let image = &self.images()[i];
        if image.exists {
            seen.decode(&image.path);
        }
        let [height, width] = image.size;
        if let Some((got_height, got_width)) =
            seen.size.filter(|got| *got != (height as usize, width as usize))
        {
            let text = format!(
                "image {}: expected {height}x{width} (HxW) as listed, got {} of {got_height}x{got_width}",
                image.id,
                image.path.display()
            );
            seen.add(Kind::SizeDiffers, text);
        }
        match &self.source {
            Source::Instances(set) => set.look_at(i, &mut seen),
            Source::Panoptic(set) => set.look_at(i, seen.size, &mut seen),
            Source::Frames(_) => {}
        }
        seen
    }

    /// Adds up what was seen of the images, in their order.
    fn finish(mut self, all: Vec<Seen>) -> (SegmentReport, Vec<Option<Fingerprint>>) {
        let mut totals = Totals { prints: Vec::with_capacity(all.len()), ..Totals::default() };
        let count = |(id, name)| CategoryCount { id, name, objects: 0, images: 0, pixels: 0 };
        totals.categories = self.category_names().into_iter().map(count).collect();
        let images = all.len();
        for (i, seen) in all.into_iter().enumerate() {
            let is_listed_well = self.images().get(i).is_none_or(|image| image.exists && !image.is_bad);
            totals.add(seen, is_listed_well, &mut self.findings);
        }
        for again in likeness::repeated(&totals.prints) {
            let [first, second] = [again.first, again.second].map(|i| self.image_path(i));
            if first == second {
                continue; // told of the list already
            }
            let text = format!("{} is the same file as {}", second.display(), first.display());
            self.findings.add(Kind::RepeatedImage, text);
        }
        self.hints.extend(hints::unreadable(totals.unreadable, images));
        if let Source::Frames(frames) = &self.source {
            self.hints.extend(frames::hint_of(frames, totals.unreadable));
        }
        let report = SegmentReport {
            name: self.name,
            task: self.task,
            images,
            good: totals.good,
            objects: totals.objects,
            empty_images: totals.empty_images,
            void_pixels: totals.void_pixels,
            pixels: totals.pixels,
            findings: self.findings.into_list(),
            hints: self.hints,
            categories: totals.categories,
            sizes: SizeCount::by_frequency(&totals.sizes),
        };
        (report, totals.prints)
    }
}

/// Sums over the images.
#[derive(Default)]
struct Totals {
    good: usize,
    objects: u64,
    empty_images: u64,
    unreadable: u64,
    void_pixels: u64,
    pixels: u64,
    categories: Vec<CategoryCount>,
    sizes: BTreeMap<(usize, usize), u64>,
    prints: Vec<Option<Fingerprint>>,
}

impl Totals {
    fn add(&mut self, seen: Seen, is_listed_well: bool, findings: &mut Findings) {
        let Seen { found, objects, void_pixels, size, print } = seen;
        let is_good = found.iter().all(|(kind, _)| kind.severity() != Severity::Error);
        self.good += usize::from(is_listed_well && is_good);
        self.unreadable += u64::from(found.iter().any(|(kind, _)| *kind == Kind::Unreadable));
        self.objects += objects.len() as u64;
        self.empty_images += u64::from(objects.is_empty());
        self.void_pixels += void_pixels;
        if let Some((height, width)) = size {
            *self.sizes.entry((height, width)).or_insert(0) += 1;
            self.pixels += (height * width) as u64;
        }
        for (class, pixels) in &objects {
            if let Some(count) = self.categories.get_mut(usize::from(*class)) {
                count.objects += 1;
                count.pixels += pixels;
            }
        }
        let classes: BTreeSet<u16> = objects.iter().map(|(class, _)| *class).collect();
        for class in classes {
            if let Some(count) = self.categories.get_mut(usize::from(class)) {
                count.images += 1;
            }
        }
        for (kind, text) in found {
            findings.add(kind, text);
        }
        self.prints.push(print);
    }
}

impl Search<'_> {
    /// The setting for files that are in another folder than the first of `others`, and not in the second.
    fn for_folder(&self, what: &str, name: &str, others: [&Path; 2]) -> Option<Hint> {
        let found = hints::folder_with(self.root, name, others)?;
        let setting = match self.key {
            Some(split) => format!("{}.{what} = \"{}\"", split.key(), found.display()),
            None => format!("--{what} {}", self.root.join(&found).display()),
        };
        Some(hints::hint(setting, format!("{name} is there, and not in {}", others[0].display())))
    }
}

impl Seen {
    /// Reads an image file: its size and fingerprint.
    fn decode(&mut self, path: &Path) {
        let mut bytes = Vec::new();
        match decode::read_into(path, &mut bytes).and_then(|()| decode::image_of(path, &bytes)) {
            Ok(image) => {
                self.size = Some((image.dim().0, image.dim().1));
                self.print = Some(Fingerprint::new(&bytes, &image));
            }
            Err(error) => self.add(Kind::Unreadable, error.full_message()),
        }
    }
}
