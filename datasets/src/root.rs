//! Where a set lies: `data.root` below a base folder that the user chooses once, or one of the places known of a benchmark.

use std::env;
use std::iter;
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::benchmarks::Benchmark;

/// Where `data.root` is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRoot {
    base: PathBuf,
    said_by: &'static str,
    /// Bases of benchmarks, the first one first.
    of_benchmarks: Vec<PathBuf>,
}

impl DataRoot {
    /// The base folder by `--data-root` if given, else `$SMALTI_DATA` if set and not empty, else `./data`. Benchmarks are
    /// looked for in `--data-root` alone if given, else in `$SMALTI_DATA` and `$DETECTRON2_DATASETS` where they are set, and
    /// in `./data` without the former.
    pub fn new(data_root: Option<&Path>) -> Self {
        let [smalti, detectron2] =
            ["SMALTI_DATA", "DETECTRON2_DATASETS"].map(|name| env::var_os(name).map(PathBuf::from));
        Self::with_env(data_root, smalti, detectron2)
    }

    fn with_env(data_root: Option<&Path>, smalti: Option<PathBuf>, detectron2: Option<PathBuf>) -> Self {
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        let detectron2 = detectron2.filter(is_set);
        let (base, said_by, of_benchmarks) = match (data_root, smalti.filter(is_set)) {
            (Some(path), _) => (path.to_owned(), "--data-root", vec![path.to_owned()]),
            (None, Some(path)) => {
                let all = iter::once(path.clone()).chain(detectron2).collect();
                (path, "$SMALTI_DATA", all)
            }
            (None, None) => {
                let path = PathBuf::from("data");
                let all = detectron2.into_iter().chain([path.clone()]).collect();
                (path, "the default ./data", all)
            }
        };
        Self { base, said_by, of_benchmarks }
    }

    /// The folder of a set. An absolute `root` stands for itself.
    ///
    /// # Errors
    /// [`DataError::Missing`] if it is no folder, saying where the base came from and how to name another.
    pub fn resolve(&self, root: &Path) -> Result<PathBuf, DataError> {
        let path = self.base.join(root); // an absolute `root` replaces the base
        if path.is_dir() {
            return Ok(path);
        }
        let wanted_by = if root.is_absolute() {
            "data.root; is it mounted, or is the path mistyped?".to_owned()
        } else {
            let by = self.said_by;
            let root = root.display();
            format!(
                "data.root = \"{root}\" below {by}; pass --data-root DIR, set SMALTI_DATA=DIR or make data.root absolute"
            )
        };
        Err(DataError::Missing { path, wanted_by })
    }

    /// The folder of a benchmark: `root` if given, else the first of [`Benchmark::folders`] that is there, in each base in
    /// turn. An absolute `root` stands for itself.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if none is there, with every place that was looked at and how to name another.
    pub fn resolve_benchmark(&self, benchmark: Benchmark, root: Option<&Path>) -> Result<PathBuf, DataError> {
        self.resolve_named(benchmark.name(), benchmark.folders(), root)
    }

    /// [`Self::resolve_benchmark`] of the one called `name`, which is looked for in `folders`.
    pub(crate) fn resolve_named(
        &self,
        name: &str,
        folders: &[&str],
        root: Option<&Path>,
    ) -> Result<PathBuf, DataError> {
        let names: Vec<&Path> = match root {
            Some(root) => vec![root],
            None => folders.iter().map(Path::new).collect(),
        };
        let below = |base: &PathBuf| names.iter().map(|name| base.join(name)).collect::<Vec<_>>();
        let mut places: Vec<PathBuf> = self.of_benchmarks.iter().flat_map(below).collect();
        places.dedup(); // an absolute `root` is the same in every base
        if let Some(found) = places.iter().find(|place| place.is_dir()) {
            return Ok(found.clone());
        }
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        let (field, remedy) = match root {
            Some(_) => ("data.root", "is it mounted, or is the path mistyped?"),
            None => (
                "data.benchmark",
                "pass --data-root DIR, set SMALTI_DATA=DIR or DETECTRON2_DATASETS=DIR, or name the folder as data.root",
            ),
        };
        let expected = format!("the folder of {name} at {}", places.join(" or "));
        Err(DataError::invalid(field, expected, format!("no such folder; {remedy}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_root_order_and_message() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("set")).unwrap();
        let env = Some(dir.path().to_owned());
        let found = DataRoot::with_env(None, env.clone(), None).resolve(Path::new("set")).unwrap();
        assert_eq!(found, dir.path().join("set"));
        let absolute =
            DataRoot::with_env(Some(Path::new("elsewhere")), None, None).resolve(&dir.path().join("set"));
        assert_eq!(absolute.unwrap(), dir.path().join("set"));
        // --data-root wins over the environment, even where it leads nowhere.
        let err = DataRoot::with_env(Some(Path::new("elsewhere")), env, None)
            .resolve(Path::new("set"))
            .unwrap_err();
        let text = err.to_string();
        assert!(
            text.contains("elsewhere") && text.contains("below --data-root; pass --data-root DIR"),
            "{text}"
        );
        let text = DataRoot::with_env(None, Some(PathBuf::new()), None)
            .resolve(Path::new("none"))
            .unwrap_err()
            .to_string();
        assert!(text.contains("the default ./data"), "{text}");
    }

    #[test]
    fn benchmarks_are_found_where_others_keep_them() {
        let dir = tempfile::tempdir().unwrap();
        let at = |below: &str| dir.path().join(below);
        for folder in
            ["ours/ade/ADEChallengeData2016", "d2/ADEChallengeData2016", "d2/coco", "given/cityscapes"]
        {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        let (ours, d2, given) = (Some(at("ours")), Some(at("d2")), at("given"));
        let root = DataRoot::with_env(None, ours.clone(), d2.clone());
        let find = |root: &DataRoot, benchmark| root.resolve_benchmark(benchmark, None).ok();
        assert_eq!(find(&root, Benchmark::Ade20k), Some(at("ours/ade/ADEChallengeData2016")));
        assert_eq!(find(&root, Benchmark::CocoPanoptic), Some(at("d2/coco")));
        assert_eq!(find(&root, Benchmark::Cityscapes), None);
        let alone = DataRoot::with_env(None, None, d2.clone());
        assert_eq!(find(&alone, Benchmark::Ade20k), Some(at("d2/ADEChallengeData2016")));
        // --data-root is the only place where it is given.
        let root = DataRoot::with_env(Some(&given), ours, d2);
        assert_eq!(find(&root, Benchmark::Cityscapes), Some(at("given/cityscapes")));
        assert_eq!(find(&root, Benchmark::CocoPanoptic), None);
        assert_eq!(
            root.resolve_benchmark(Benchmark::CocoPanoptic, Some(&at("d2/coco"))).unwrap(),
            at("d2/coco")
        );
    }

    #[test]
    fn every_place_looked_at_is_named() {
        let root = DataRoot::with_env(None, Some("/none".into()), Some("/d2".into()));
        let error = root.resolve_benchmark(Benchmark::CocoPanoptic, None).unwrap_err().to_string();
        assert_eq!(
            error,
            "`data.benchmark`: expected the folder of coco_panoptic at /none/coco or /d2/coco, got no such folder; pass \
             --data-root DIR, set SMALTI_DATA=DIR or DETECTRON2_DATASETS=DIR, or name the folder as data.root"
        );
        let error =
            root.resolve_benchmark(Benchmark::Ade20k, Some(Path::new("/x/ade"))).unwrap_err().to_string();
        assert_eq!(
            error,
            "`data.root`: expected the folder of ade20k at /x/ade, got no such folder; is it mounted, or is the path mistyped?"
        );
    }
}
