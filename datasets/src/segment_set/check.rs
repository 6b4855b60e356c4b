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
mod totals;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::benchmark::{self, Files};
use super::cityscapes::Frames;
use super::panoptic::Unseen;
use super::{Place, SegmentBenchmark, SegmentDataConfig, SegmentFiles, SegmentTask};
use crate::check::Hint;
use crate::classes::ClassTable;
use crate::coco::Category;
use crate::config::Split;
use crate::each_image;
use crate::error::DataError;
use crate::json_blocks::JsonBlocks;
use crate::likeness::{Copies, Fingerprint};
use crate::stats::SizeCount;
use instances::Instances;
use panoptic::Panoptic;
use report::Findings;
use tables::Listed;
use totals::{ClassTotals, Totals};

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
        let classes = self.category_names().len();
        let add = |totals: &mut Totals, i: usize| {
            let is_listed_well = self.images().get(i).is_none_or(|image| image.exists && !image.is_bad);
            totals.add(self.look_at(i), is_listed_well);
            progress();
        };
        let totals = each_image::add_up(self.len(), || Totals::new(classes), add, Totals::merge);
        self.finish(totals)
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

    fn finish(mut self, totals: Totals) -> (SegmentReport, Vec<Option<Fingerprint>>) {
        self.findings.merge(totals.findings);
        self.repeated(&totals.prints);
        let images = self.len();
        self.hints.extend(hints::unreadable(totals.unreadable, images));
        if let Source::Frames(frames) = &self.source {
            self.hints.extend(frames::hint_of(frames, totals.unreadable));
        }
        let count = |((id, name), of): ((u32, String), ClassTotals)| CategoryCount {
            id,
            name,
            objects: of.objects,
            images: of.images,
            pixels: of.pixels,
        };
        let report = SegmentReport {
            images,
            good: totals.good,
            objects: totals.objects,
            empty_images: totals.empty_images,
            void_pixels: totals.void_pixels,
            pixels: totals.pixels,
            categories: self.category_names().into_iter().zip(totals.classes).map(count).collect(),
            sizes: SizeCount::by_frequency(&totals.sizes),
            name: self.name,
            task: self.task,
            findings: self.findings.into_list(),
            hints: self.hints,
        };
        (report, totals.prints)
    }

    /// Tells of files with the same bytes, of each once, however many copies there are.
    fn repeated(&mut self, prints: &[Option<Fingerprint>]) {
        for copies in Copies::among(prints, |i| self.image_path(i)) {
            self.findings.add(Kind::RepeatedImage, copies.to_string());
        }
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
        match Fingerprint::of_file(path) {
            Ok((size, print)) => {
                self.size = Some(size);
                self.print = Some(print);
            }
            Err(error) => self.add(Kind::Unreadable, error.full_message()),
        }
    }
}
