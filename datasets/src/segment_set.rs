//! Instance and panoptic sets: images with their segments, as they lie on disk. One's own have annotation files in COCO's
//! form, benchmarks are read as their authors hand them out.
//!
//! | set | instances | panoptic |
//! | --- | --- | --- |
//! | own, COCO 2017 | COCO instance file; masks stay polygons or run lengths | COCO panoptic file and its PNGs |
//! | ADE20K | instance file of `data prepare ade20k-instances` | files of `data prepare ade20k-panoptic` |
//! | Cityscapes | things of `instanceIds` | `instanceIds` |
//!
//! Class ids are positions in the order of the categories' ids; of benchmarks, in their official tables, whatever the file
//! lists. Crowds are kept and marked. Masks come one by one ([`SegmentMasks::Each`]) from instance files, as a map
//! ([`SegmentMasks::Map`]) from all others.
//!
//! An annotation file is parsed once, on all cores; what is kept of it in memory is small (16 bytes an instance or a segment, 64
//! and its names an image), and is written to an [`IndexCache`] for the next run.

mod annotation_file;
mod benchmark;
mod cache;
pub mod check;
mod cityscapes;
mod codec;
mod config;
mod evaluation;
mod index;
mod instances;
mod listing;
mod mixed;
mod panoptic;
mod record;
pub mod stats;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Split;
use crate::sample::{Segment, SegmentMasks, SegmentedSample};
use crate::segment_source::Segmented;
use crate::semantic_set::name_of;
use crate::{ClassTable, DataError, DataRoot, decode, stage};
use benchmark::Files;
use cityscapes::Frames;
use index::{ImageEntry, Index};
use instances::Masks;
use panoptic::Unseen;

pub use cache::IndexCache;
pub use config::{AnnotatedFiles, AnnotatedSplit, SegmentBenchmark, SegmentDataConfig, SegmentFiles};
pub use evaluation::{SegmentEvalSample, StatedSegment};
pub use record::RecordId;

/// Which segments of a set are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentTask {
    /// Single objects; their masks may overlap.
    Instance,
    /// Objects and stuff; every pixel belongs to one segment or to none.
    Panoptic,
}

impl fmt::Display for SegmentTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instance => "instance",
            Self::Panoptic => "panoptic",
        })
    }
}

/// One split of a set: images, classes, and where the masks are. Pixels and masks are read on demand.
#[derive(Debug)]
pub struct SegmentSet {
    root: PathBuf,
    task: SegmentTask,
    split: Split,
    benchmark: Option<SegmentBenchmark>,
    classes: ClassTable,
    source: Source,
    /// Images past these are left out.
    first: Option<u32>,
}

/// Where segments and their masks come from.
#[derive(Debug)]
enum Source {
    Instances { set: Annotated<index::Instance>, masks: Masks },
    Panoptic { set: Annotated<index::Segment>, pngs: PathBuf, unseen: Unseen },
    Cityscapes(Frames),
}

/// Where the files of a split should be.
#[derive(Debug)]
struct Place {
    root: PathBuf,
    benchmark: Option<SegmentBenchmark>,
    /// Of Cityscapes, which has no annotation file, none.
    files: Option<Files>,
}

impl Place {
    /// `key` is the dotted name of the table that names the files of the split.
    fn find(
        files: &SegmentFiles,
        key: &str,
        task: SegmentTask,
        split: Split,
        data_root: Option<&Path>,
    ) -> Result<Self, DataError> {
        let data_root = DataRoot::new(data_root);
        match files {
            SegmentFiles::Benchmark { benchmark, root } => {
                let benchmark = *benchmark;
                let root = data_root.resolve_named(benchmark.name(), benchmark.folders(), root.as_deref())?;
                let files = match benchmark {
                    SegmentBenchmark::Cityscapes => None,
                    SegmentBenchmark::Coco => Some(benchmark::coco_files(&root, task, split)),
                    SegmentBenchmark::Ade20k => Some(benchmark::ade20k_files(&root, task, split)),
                };
                Ok(Self { root, benchmark: Some(benchmark), files })
            }
            SegmentFiles::Own(own) => {
                let root = data_root.resolve(&own.root)?;
                let paths = own.split(split).paths(task, key)?;
                let annotations = root.join(paths.annotations);
                let pngs =
                    paths.labels.map_or_else(|| annotations.with_extension(""), |path| root.join(path));
                let files = Files {
                    images: root.join(paths.images),
                    annotations,
                    pngs: (task == SegmentTask::Panoptic).then_some(pngs),
                    unseen: Unseen::Refused,
                    wanted_by: key.to_owned(),
                };
                Ok(Self { root, benchmark: None, files: Some(files) })
            }
        }
    }
}

/// Images with an annotation file.
#[derive(Debug)]
struct Annotated<T> {
    images: PathBuf,
    annotations: PathBuf,
    index: Index<T>,
    /// Class id of each of the index's categories.
    class_ids: Vec<u16>,
}

impl SegmentSet {
    /// Finds the files of a split and reads what its annotations say, or an index that was kept of them
    /// ([`IndexCache::from_env`]). Images keep the order of the annotation file; Cityscapes' are sorted by name.
    ///
    /// # Errors
    /// Missing files and folders; of annotation files all that does not fit together: ids that stand there twice, annotations
    /// of images or categories that are not listed, images without a panoptic entry, classes that are not the benchmark's.
    pub fn open(
        cfg: &SegmentDataConfig,
        task: SegmentTask,
        split: Split,
        data_root: Option<&Path>,
    ) -> Result<Self, DataError> {
        Self::open_with(cfg, task, split, data_root, &IndexCache::from_env())
    }

    /// Like [`SegmentSet::open`], with a choice of where the index is kept.
    ///
    /// # Errors
    /// As for [`SegmentSet::open`].
    pub fn open_with(
        cfg: &SegmentDataConfig,
        task: SegmentTask,
        split: Split,
        data_root: Option<&Path>,
        cache: &IndexCache,
    ) -> Result<Self, DataError> {
        Self::open_files(&cfg.files, split.key(), task, split, data_root, cache)
    }

    /// [`Self::open_with`] of files that the table `key` names.
    fn open_files(
        files: &SegmentFiles,
        key: &str,
        task: SegmentTask,
        split: Split,
        data_root: Option<&Path>,
        cache: &IndexCache,
    ) -> Result<Self, DataError> {
        let own = files;
        let Place { root, benchmark, files } = Place::find(files, key, task, split, data_root)?;
        let (source, classes) = if let Some(files) = files {
            Source::open(files, benchmark, cache)?
        } else {
            let frames = Frames::find(&root, task, split)?;
            (Source::Cityscapes(frames), benchmark::classes(SegmentBenchmark::Cityscapes, task))
        };
        let first = match own {
            SegmentFiles::Own(own) => own.split(split).first,
            SegmentFiles::Benchmark { .. } => None,
        };
        let set = Self { root, task, split, benchmark, classes, source, first };
        if set.is_empty() {
            let field = if set.benchmark.is_some() { "data.benchmark" } else { key };
            let got = format!("none in {}", set.root.display());
            return Err(DataError::invalid(field, "at least one image", got));
        }
        Ok(set)
    }

    /// Both splits, training first, which must have the same classes.
    ///
    /// # Errors
    /// As for [`SegmentSet::open`]; [`DataError::Record`] where the classes differ.
    pub fn open_both(
        cfg: &SegmentDataConfig,
        task: SegmentTask,
        data_root: Option<&Path>,
    ) -> Result<[Self; 2], DataError> {
        let train = Self::open(cfg, task, Split::Train, data_root)?;
        let val = Self::open(cfg, task, Split::Val, data_root)?;
        let words = |found: Option<&str>| found.map_or("none".to_owned(), |name| format!("{name:?}"));
        for id in 0..train.classes.len().max(val.classes.len()) {
            let name = |set: &Self| words(set.classes.get(id).map(|class| class.name.as_str()));
            let (expected, got) = (name(&train), name(&val));
            if expected != got {
                let reason =
                    format!("expected {expected} as in {}, got {got}", train.annotations().display());
                return Err(DataError::record(&val.annotations(), format!("class {id}"), reason));
            }
        }
        Ok([train, val])
    }

    /// The classes alone: those of a benchmark are known without any file, others are those of the validation split.
    ///
    /// # Errors
    /// As for [`SegmentSet::open`].
    pub fn class_table(
        cfg: &SegmentDataConfig,
        task: SegmentTask,
        data_root: Option<&Path>,
    ) -> Result<ClassTable, DataError> {
        match &cfg.files {
            SegmentFiles::Benchmark { benchmark, .. } => Ok(benchmark::classes(*benchmark, task)),
            SegmentFiles::Own(_) => Ok(Self::open(cfg, task, Split::Val, data_root)?.classes),
        }
    }

    /// Number of images, also of those without a segment.
    pub fn len(&self) -> usize {
        let all = match &self.source {
            Source::Instances { set, .. } => set.index.images.len(),
            Source::Panoptic { set, .. } => set.index.images.len(),
            Source::Cityscapes(frames) => frames.len(),
        };
        self.first.map_or(all, |first| all.min(first as usize))
    }

    /// Whether there is no image; never after [`SegmentSet::open`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of image `i`: its path below the root, with forward slashes and without the extension.
    pub fn name(&self, i: usize) -> String {
        name_of(&self.root, &self.image_path(i))
    }

    /// Id of image `i`, which results are handed in under.
    pub fn image_id(&self, i: usize) -> RecordId {
        match &self.source {
            Source::Instances { set, .. } => set.index.images[i].id.clone(),
            Source::Panoptic { set, .. } => set.index.images[i].id.clone(),
            Source::Cityscapes(frames) => RecordId::Text(frames.id(i).into()),
        }
    }

    /// Height and width of image `i`: as the annotation file lists them; of Cityscapes, which has none, as its file says.
    ///
    /// # Errors
    /// As [`decode::size`].
    pub fn image_size(&self, i: usize) -> Result<[usize; 2], DataError> {
        let [height, width] = match &self.source {
            Source::Instances { set, .. } => set.index.images[i].size,
            Source::Panoptic { set, .. } => set.index.images[i].size,
            Source::Cityscapes(frames) => return decode::size(&frames.image(i)),
        };
        Ok([height as usize, width as usize])
    }

    /// Image file of image `i`.
    pub fn image_path(&self, i: usize) -> PathBuf {
        match &self.source {
            Source::Instances { set, .. } => set.image_path(i),
            Source::Panoptic { set, .. } => set.image_path(i),
            Source::Cityscapes(frames) => frames.image(i),
        }
    }

    /// The classes; their number is K.
    pub fn classes(&self) -> &ClassTable {
        &self.classes
    }

    /// Folder of the set.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which segments it has.
    pub fn task(&self) -> SegmentTask {
        self.task
    }

    /// Which split this is.
    pub fn split(&self) -> Split {
        self.split
    }

    /// The benchmark that this is, if it is one.
    pub fn benchmark(&self) -> Option<SegmentBenchmark> {
        self.benchmark
    }

    /// The segments of image `i` without their pixels, as [`SegmentSet::load`] has them, but with those that the panoptic
    /// annotations of ADE20K list without a pixel. Reads a file for Cityscapes, none for others.
    ///
    /// # Errors
    /// Of Cityscapes, instance ids that cannot be read.
    pub fn segments(&self, i: usize) -> Result<Vec<Segment>, DataError> {
        Ok(match &self.source {
            Source::Instances { set, .. } => self.instances(set, i),
            Source::Panoptic { set, .. } => self.panoptic(set, set.index.objects(i)),
            Source::Cityscapes(frames) => frames.read(i)?.0,
        })
    }

    /// Reads image `i` with its segments. Masks of instance files are checked: they can be drawn on the image.
    ///
    /// # Errors
    /// Unreadable files; sizes that differ; masks that are none; segments of a PNG that are not listed, or listed ones that it
    /// lacks; an annotation file that has changed since it was opened.
    pub fn load(&self, i: usize) -> Result<SegmentedSample, DataError> {
        self.read(i, |unseen| unseen)
    }

    /// As [`SegmentSet::load`]; `unseen` says what to make of segments without a pixel where the set says something.
    fn read(&self, i: usize, unseen: impl FnOnce(Unseen) -> Unseen) -> Result<SegmentedSample, DataError> {
        let path = self.image_path(i);
        let image = decode::image(&path)?;
        let size = (image.dim().0, image.dim().1);
        stage::enter!(ANNOTATIONS);
        let (segments, masks) = match &self.source {
            Source::Instances { set, masks } => {
                set.entry_of_size(i, size, &path)?;
                let masks = masks.read(&set.index, i)?;
                (self.instances(set, i), SegmentMasks::Each(masks))
            }
            Source::Panoptic { set, pngs, unseen: of_set } => {
                let entry = set.entry_of_size(i, size, &path)?;
                let png = pngs.join(&*entry.png);
                let (segments, map) = panoptic::read_png(&png, set.index.objects(i), unseen(*of_set))?;
                check_size(png, map.dim(), &path, size)?;
                (self.panoptic(set, &segments), SegmentMasks::Map(map))
            }
            Source::Cityscapes(frames) => {
                let (segments, map) = frames.read(i)?;
                check_size(frames.label_file(i), map.dim(), &path, size)?;
                (segments, SegmentMasks::Map(map))
            }
        };
        Ok(SegmentedSample { name: name_of(&self.root, &path), image, segments, masks })
    }

    fn instances(&self, set: &Annotated<index::Instance>, i: usize) -> Vec<Segment> {
        let objects = set.index.objects(i).iter();
        objects.map(|object| self.segment(set.class_ids[usize::from(object.class)], object.crowd)).collect()
    }

    fn panoptic(&self, set: &Annotated<index::Segment>, objects: &[index::Segment]) -> Vec<Segment> {
        let segment =
            |object: &index::Segment| self.segment(set.class_ids[usize::from(object.class)], object.crowd);
        objects.iter().map(segment).collect()
    }

    fn segment(&self, class: u16, crowd: bool) -> Segment {
        let thing = self.classes.get(class.into()).is_some_and(|class| class.is_thing);
        Segment { class, thing, crowd }
    }

    /// The annotation file; of Cityscapes the folder of the set.
    fn annotations(&self) -> PathBuf {
        match &self.source {
            Source::Instances { set, .. } => set.annotations.clone(),
            Source::Panoptic { set, .. } => set.annotations.clone(),
            Source::Cityscapes(_) => self.root.clone(),
        }
    }
}

impl Segmented for SegmentSet {
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn load(&self, index: usize) -> Result<SegmentedSample, DataError> {
        Self::load(self, index)
    }
}

fn check_size(
    labels: PathBuf,
    got: (usize, usize),
    image: &Path,
    expected: (usize, usize),
) -> Result<(), DataError> {
    if got == expected {
        return Ok(());
    }
    Err(DataError::SizeMismatch { labels, image: image.to_owned(), expected, got })
}

impl Source {
    /// Opens an annotation file, panoptic if it has PNGs, and says which classes it has.
    fn open(
        files: Files,
        benchmark: Option<SegmentBenchmark>,
        cache: &IndexCache,
    ) -> Result<(Self, ClassTable), DataError> {
        let Files { images, annotations, pngs, unseen, wanted_by } = files;
        for path in [Some(&images), Some(&annotations), pngs.as_ref()].into_iter().flatten() {
            if !path.exists() {
                return Err(DataError::Missing { path: path.clone(), wanted_by });
            }
        }
        let folder = images.clone();
        let image_folder = (folder.as_path(), "image");
        Ok(match pngs {
            None => {
                let index = cache.open(&annotations, || instances::index(&annotations))?;
                let masks = Masks::open(&annotations)?;
                let (set, classes) =
                    Annotated::new(images, annotations, index, benchmark, SegmentTask::Instance)?;
                let names = set.index.images.iter().map(|image| &*image.file_name);
                listing::check(image_folder, names, |i| set.record(i))?;
                (Self::Instances { set, masks }, classes)
            }
            Some(pngs) => {
                let index = cache.open(&annotations, || panoptic::index(&annotations))?;
                let (set, classes) =
                    Annotated::new(images, annotations, index, benchmark, SegmentTask::Panoptic)?;
                let images = &set.index.images;
                let (found, labels) = rayon::join(
                    || {
                        listing::check(image_folder, images.iter().map(|image| &*image.file_name), |i| {
                            set.record(i)
                        })
                    },
                    || {
                        let folder = (pngs.as_path(), "panoptic PNG");
                        listing::check(folder, images.iter().map(|image| &*image.png), |i| set.record(i))
                    },
                );
                found.and(labels)?;
                (Self::Panoptic { set, pngs, unseen }, classes)
            }
        })
    }
}

impl<T> Annotated<T> {
    fn new(
        images: PathBuf,
        annotations: PathBuf,
        index: Index<T>,
        benchmark: Option<SegmentBenchmark>,
        task: SegmentTask,
    ) -> Result<(Self, ClassTable), DataError> {
        let (class_ids, classes) = if let Some(benchmark) = benchmark {
            let class_ids = benchmark::class_ids(benchmark, task, &annotations, &index.categories)?;
            (class_ids, benchmark::classes(benchmark, task))
        } else {
            let all_things = task == SegmentTask::Instance;
            let classes = ClassTable::of_categories(&annotations, &index.categories, all_things)?;
            ((0..classes.len() as u16).collect(), classes)
        };
        Ok((Self { images, annotations, index, class_ids }, classes))
    }

    fn image_path(&self, i: usize) -> PathBuf {
        self.images.join(&*self.index.images[i].file_name)
    }

    /// How messages call image `i`.
    fn record(&self, i: usize) -> String {
        format!("image {} of {}", self.index.images[i].id, self.annotations.display())
    }

    /// The entry of image `i`, which has the size of its file.
    fn entry_of_size(&self, i: usize, got: (usize, usize), path: &Path) -> Result<&ImageEntry, DataError> {
        let entry = &self.index.images[i];
        let [height, width] = entry.size;
        if got == (height as usize, width as usize) {
            return Ok(entry);
        }
        let (got_height, got_width) = got;
        let reason = format!(
            "expected {height}x{width} (HxW) as listed, got {} of {got_height}x{got_width}",
            path.display()
        );
        Err(DataError::record(&self.annotations, format!("image {}", entry.id), reason))
    }
}
