//! Indexes kept from one run to the next, so that a large annotation file is parsed once on a machine.
//!
//! A file is taken for the one that was indexed if its path, size, time of change and 64 blocks of it spread from the first
//! byte to the last are the same: hashing all of COCO's training annotations would take longer than all the rest of opening
//! them. Copies that keep the time of change are told by the blocks in all likelihood; a record that is not where the index
//! says is found when it is read. What is kept ends with a hash of itself and is written under another name first, so it is
//! whole or taken for absent. Everything that does not fit is built anew and replaced.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::codec::{self, Stored};
use super::index::Index;
use crate::coco::AtomicFile;
use crate::error::DataError;

/// What kept files start with; the last byte counts the versions of their form.
const MAGIC: &[u8; 8] = b"SMALTIX\x02";

/// Bytes of the hash at the end.
const HASH: usize = blake3::OUT_LEN;

/// Blocks of an annotation file that are looked at, and bytes of one.
const BLOCKS: u64 = 64;
const BLOCK: u64 = 4096;

/// Smaller annotation files are parsed each time: that takes less than a tenth of a second.
const WORTH_KEEPING: u64 = 8 << 20;

/// Where indexes of annotation files are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexCache {
    folder: Option<PathBuf>,
    /// Bytes of the smallest annotation file whose index is kept.
    least: u64,
}

impl IndexCache {
    /// In `$SMALTI_CACHE`, else `smalti` in `$XDG_CACHE_HOME` or `~/.cache`; nowhere if none of these is set. Only indexes of
    /// files of 8 MiB and more are kept.
    pub fn from_env() -> Self {
        Self::with_env(|name| env::var_os(name).map(PathBuf::from))
    }

    fn with_env(var: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let set = |name: &str| var(name).filter(|path| !path.as_os_str().is_empty());
        let caches = || {
            let xdg = set("XDG_CACHE_HOME").filter(|path| path.is_absolute()); // others are to be ignored
            xdg.or_else(|| Some(set("HOME")?.join(".cache")))
        };
        let folder = set("SMALTI_CACHE").or_else(|| Some(caches()?.join("smalti")));
        Self { folder, least: WORTH_KEEPING }
    }

    /// In this folder, indexes of files of any size.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()), least: 0 }
    }

    /// Nowhere.
    pub fn none() -> Self {
        Self { folder: None, least: 0 }
    }

    /// The index of an annotation file: as kept, or as `build` makes it.
    ///
    /// # Errors
    /// Those of `build`. An index that cannot be kept is only warned of.
    pub(super) fn open<T: Stored>(
        &self,
        annotations: &Path,
        build: impl FnOnce() -> Result<Index<T>, DataError>,
    ) -> Result<Index<T>, DataError> {
        // A file that cannot be looked at is for `build` to complain of.
        let Some((folder, key)) = self.folder.as_deref().zip(Key::of(annotations).ok()) else {
            return build();
        };
        if key.size < self.least {
            return build();
        }
        let kept = folder.join("annotations").join(key.file_name(T::KIND));
        if let Some(index) = read(&kept, &key) {
            tracing::debug!("index of {} read from {}", annotations.display(), kept.display());
            return Ok(index);
        }
        let index = build()?;
        // One that was changed while it was read is not the one that `key` stands for.
        if Key::of(annotations).is_ok_and(|now| now == key) {
            match write(&kept, &key, &index) {
                Ok(()) => tracing::debug!("index of {} kept as {}", annotations.display(), kept.display()),
                Err(error) => tracing::warn!(
                    "the index of {} is made anew each time: {}; set SMALTI_CACHE to a folder that can be written",
                    annotations.display(),
                    error.full_message()
                ),
            }
        }
        Ok(index)
    }
}

/// What tells an annotation file from another, or from itself at another time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    /// Absolute, links followed.
    path: PathBuf,
    size: u64,
    /// Time of change, in nanoseconds since 1970; 0 before.
    changed: u128,
    /// Of the blocks that are looked at.
    hash: [u8; HASH],
}

impl Key {
    fn of(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let mut file = File::open(&path)?;
        let about = file.metadata()?;
        let size = about.len();
        let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut hasher = blake3::Hasher::new();
        let mut block = Vec::with_capacity(BLOCK as usize);
        let last = size.saturating_sub(BLOCK);
        for number in 0..BLOCKS {
            block.clear();
            file.seek(SeekFrom::Start(last * number / (BLOCKS - 1)))?;
            file.by_ref().take(BLOCK).read_to_end(&mut block)?;
            hasher.update(&block);
        }
        Ok(Self { path, size, changed, hash: hasher.finalize().into() })
    }

    /// Name of the file for the index: a set's path stays its path, so a changed set replaces its index.
    fn file_name(&self, kind: u8) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[kind]).update(self.path.as_os_str().as_encoded_bytes());
        format!("{}.index", &hasher.finalize().to_hex()[..32])
    }

    /// What a kept file starts with.
    fn head(&self) -> Vec<u8> {
        let path = self.path.as_os_str().as_encoded_bytes();
        let mut head = MAGIC.to_vec();
        head.extend((path.len() as u32).to_le_bytes());
        head.extend_from_slice(path);
        head.extend(self.size.to_le_bytes());
        head.extend(self.changed.to_le_bytes());
        head.extend(self.hash);
        head
    }
}

/// The index that is kept for `key`, if it is there and whole.
fn read<T: Stored>(path: &Path, key: &Key) -> Option<Index<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!("{}: not read, the index is made anew: {error}", path.display());
            return None;
        }
    };
    let why = match open(&bytes, key) {
        Ok(index) => return Some(index),
        Err(why) => why,
    };
    tracing::info!("{}: {why}; the index of {} is made anew", path.display(), key.path.display());
    None
}

fn open<T: Stored>(bytes: &[u8], key: &Key) -> Result<Index<T>, &'static str> {
    let damaged = "damaged";
    let (content, hash) = bytes.split_last_chunk::<HASH>().ok_or(damaged)?;
    if blake3::hash(content) != *hash {
        return Err(damaged);
    }
    let index = content.strip_prefix(key.head().as_slice()).ok_or("the annotations have changed")?;
    codec::decode(index).ok_or(damaged)
}

fn write<T: Stored>(path: &Path, key: &Key, index: &Index<T>) -> Result<(), DataError> {
    let mut bytes = key.head();
    codec::encode(index, &mut bytes).map_err(|source| DataError::Json { path: path.to_owned(), source })?;
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(DataError::io(folder, "creating the folder"))?;
    }
    let mut file = AtomicFile::create(path)?;
    file.bytes(&bytes)?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::super::codec::tests::sample;
    use super::super::index::Instance;
    use super::*;

    /// An annotation file of 600 kB and a cache.
    struct Case {
        dir: TempDir,
        built: Cell<u32>,
    }

    impl Case {
        fn new() -> Self {
            let case = Self { dir: tempfile::tempdir().unwrap(), built: Cell::new(0) };
            case.write(|_| ());
            case
        }

        fn write(&self, change: impl FnOnce(&mut Vec<u8>)) {
            let mut text: Vec<u8> = (0..600_000u32).map(|i| (i % 251) as u8).collect();
            change(&mut text);
            fs::write(self.annotations(), text).unwrap();
            self.set_time(1000);
        }

        fn set_time(&self, seconds: u64) {
            let file = File::options().write(true).open(self.annotations()).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        }

        fn annotations(&self) -> PathBuf {
            self.dir.path().join("a.json")
        }

        fn kept(&self) -> PathBuf {
            let folder = self.dir.path().join("cache/annotations");
            let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let only = files.next().unwrap();
            assert_eq!(files.next(), None, "neither a second index nor a temporary file");
            only
        }

        /// Opens the index and says whether it had to be built.
        fn is_built(&self) -> bool {
            let before = self.built.get();
            let build = || {
                self.built.set(before + 1);
                Ok(sample())
            };
            let cache = IndexCache::at(self.dir.path().join("cache"));
            assert_eq!(cache.open::<Instance>(&self.annotations(), build).unwrap(), sample());
            self.built.get() > before
        }
    }

    #[test]
    fn an_index_is_built_once() {
        let case = Case::new();
        assert_eq!([case.is_built(), case.is_built(), case.is_built()], [true, false, false]);
        case.kept();
    }

    #[test]
    fn a_changed_annotation_file_is_noticed() {
        let case = Case::new();
        let same_size_and_time: [fn(&mut Vec<u8>); 3] =
            [|text| text[0] ^= 1, |text| text[599_999] ^= 1, |text| text[300_000..330_000].fill(7)];
        for change in same_size_and_time {
            case.write(|_| ());
            assert!(case.is_built() && !case.is_built());
            case.write(change);
            assert!(case.is_built() && !case.is_built());
        }
        case.set_time(1001);
        assert!(case.is_built() && !case.is_built());
        case.write(|text| text.extend([1; 10]));
        assert!(case.is_built() && !case.is_built());
        case.kept();
    }

    #[test]
    fn small_files_and_folders_that_cannot_be_written_are_no_matter() {
        let case = Case::new();
        let file = case.dir.path().join("file");
        fs::write(&file, "").unwrap();
        let small = IndexCache { least: 600_001, ..IndexCache::at(case.dir.path().join("cache")) };
        for cache in [IndexCache::at(file.join("below")), IndexCache::none(), small] {
            assert_eq!(cache.open::<Instance>(&case.annotations(), || Ok(sample())).unwrap(), sample());
        }
        assert!(!case.dir.path().join("cache").exists());
    }

    #[test]
    fn an_index_that_cannot_be_built_is_not_kept() {
        let case = Case::new();
        let cache = IndexCache::at(case.dir.path().join("cache"));
        let wrong = || Err(DataError::record(Path::new("a.json"), "image 1", "wrong"));
        assert!(cache.open::<Instance>(&case.annotations(), wrong).is_err());
        assert!(case.is_built());
    }

    #[test]
    fn the_folder_is_the_users_choice() {
        let folder = |vars: &[(&str, &str)]| {
            let var = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
            IndexCache::with_env(var).folder
        };
        let all = [("SMALTI_CACHE", "mine"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(folder(&all), Some("mine".into()));
        assert_eq!(folder(&all[1..]), Some("/x/smalti".into()));
        assert_eq!(folder(&all[2..]), Some("/h/.cache/smalti".into()));
        assert_eq!(folder(&[("SMALTI_CACHE", ""), ("XDG_CACHE_HOME", "x")]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever happens to a kept index, the one that is opened is right, and the next run finds it whole.
        #[test]
        fn a_damaged_index_is_built_anew(
            place in any::<prop::sample::Index>(),
            change in 1u8..=255,
            cut in proptest::bool::ANY,
        ) {
            let case = Case::new();
            prop_assert!(case.is_built());
            let mut bytes = fs::read(case.kept()).unwrap();
            let place = place.index(bytes.len());
            if cut {
                bytes.truncate(place);
            } else {
                bytes[place] ^= change;
            }
            fs::write(case.kept(), bytes).unwrap();
            prop_assert!(case.is_built());
            prop_assert!(!case.is_built());
        }
    }
}
