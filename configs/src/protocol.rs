//! Official evaluation protocols of the benchmarks by name: set, classes and sizes of images. The split is that for
//! validation.
//!
//! Sizes are those that the published networks are tested at: facebookresearch/Mask2Former 9b0651c, `configs` (MIT), and
//! SHI-Labs/Neighborhood-Attention-Transformer d334f5b, `segmentation/configs` (MIT).

use smalti_datasets::segment_set::{SegmentBenchmark, SegmentFiles};
use smalti_datasets::transform::segments::SegmentEvalConfig;
use smalti_datasets::{Benchmark, BenchmarkFiles, ClassTable, DataConfig, SegmentTask, SetFiles, Split};

use crate::{AnyRun, ConfigError, Task};

/// A benchmark with the results that are scored on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolSet {
    /// The class of every pixel.
    Semantic(Benchmark),
    /// Instances or panoptic segments.
    Segments(SegmentBenchmark, SegmentTask),
}

/// Sizes at which images enter a network, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestSize {
    /// Length that the shorter edge is resized to.
    pub short_edge: u32,
    /// Limit of the longer edge, which wins.
    pub max_long_edge: u32,
}

/// One official protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// `<benchmark>-<task>`.
    pub name: &'static str,
    /// What is evaluated on.
    pub set: ProtocolSet,
    /// The sizes in use, the usual one first: on ADE20K published networks are tested as they were trained, at 512 or 640.
    pub sizes: &'static [TestSize],
}

const COCO: TestSize = TestSize { short_edge: 800, max_long_edge: 1333 };
const CITYSCAPES: TestSize = TestSize { short_edge: 1024, max_long_edge: 2048 };
const ADE20K_512: TestSize = TestSize { short_edge: 512, max_long_edge: 2048 };
const ADE20K_640: TestSize = TestSize { short_edge: 640, max_long_edge: 2560 };

const PROTOCOLS: [Protocol; 9] = {
    use SegmentTask::{Instance, Panoptic};
    const fn pixels(name: &'static str, benchmark: Benchmark, sizes: &'static [TestSize]) -> Protocol {
        Protocol { name, set: ProtocolSet::Semantic(benchmark), sizes }
    }
    const fn segments(
        name: &'static str,
        benchmark: SegmentBenchmark,
        task: SegmentTask,
        sizes: &'static [TestSize],
    ) -> Protocol {
        Protocol { name, set: ProtocolSet::Segments(benchmark, task), sizes }
    }
    [
        segments("coco-panoptic", SegmentBenchmark::Coco, Panoptic, &[COCO]),
        segments("coco-instance", SegmentBenchmark::Coco, Instance, &[COCO]),
        pixels("coco-semantic", Benchmark::CocoPanoptic, &[COCO]),
        segments("ade20k-panoptic", SegmentBenchmark::Ade20k, Panoptic, &[ADE20K_640, ADE20K_512]),
        segments("ade20k-instance", SegmentBenchmark::Ade20k, Instance, &[ADE20K_640, ADE20K_512]),
        pixels("ade20k-semantic", Benchmark::Ade20k, &[ADE20K_512, ADE20K_640]),
        segments("cityscapes-panoptic", SegmentBenchmark::Cityscapes, Panoptic, &[CITYSCAPES]),
        segments("cityscapes-instance", SegmentBenchmark::Cityscapes, Instance, &[CITYSCAPES]),
        pixels("cityscapes-semantic", Benchmark::Cityscapes, &[CITYSCAPES]),
    ]
};

/// Keys of a recipe that a protocol decides.
const DECIDED: [&str; 12] = [
    "task",
    "data.benchmark",
    "data.root",
    "data.classes",
    "data.ignore_label",
    "data.reduce_zero_label",
    "data.train",
    "data.val",
    "data.eval.short_edge",
    "data.eval.max_long_edge",
    "inference.short_edge",
    "inference.max_edge",
];

impl Protocol {
    /// All of them.
    pub const ALL: &'static [Self] = &PROTOCOLS;

    /// The protocol of this name.
    ///
    /// # Errors
    /// [`ConfigError::Across`] with the names that there are.
    pub fn find(name: &str) -> Result<&'static Self, ConfigError> {
        Self::ALL.iter().find(|protocol| protocol.name == name).ok_or_else(|| ConfigError::Across {
            field: "--benchmark",
            expected: format!("one of {}", names(|_| true)),
            got: format!("{name:?}"),
        })
    }

    /// What is predicted.
    pub fn task(&self) -> Task {
        match self.set {
            ProtocolSet::Semantic(_) => Task::Semantic,
            ProtocolSet::Segments(_, task) => task.into(),
        }
    }

    /// The official classes in order of their ids.
    pub fn classes(&self) -> ClassTable {
        match self.set {
            ProtocolSet::Semantic(benchmark) => benchmark.classes(),
            ProtocolSet::Segments(benchmark, task) => benchmark.classes(task),
        }
    }

    /// What is evaluated on, in words: the folder of the images below the benchmark's own.
    pub fn images(&self) -> String {
        let folder = match self.set {
            ProtocolSet::Semantic(benchmark) => benchmark.image_folder(Split::Val),
            ProtocolSet::Segments(benchmark, _) => benchmark.image_folder(Split::Val),
        };
        folder.display().to_string()
    }

    /// Puts set and sizes into a network's recipe, and leaves the rest as it is. A recipe on the same benchmark keeps its
    /// `data.root`, one that already has one of [`Protocol::sizes`] keeps that. Returns the size.
    ///
    /// # Errors
    /// [`ConfigError::Across`] for a recipe of another task, with the protocols that fit it.
    pub fn configure(&self, run: &mut AnyRun) -> Result<TestSize, ConfigError> {
        match (run, self.set) {
            (AnyRun::Semantic(run), ProtocolSet::Semantic(benchmark)) => {
                read_from(&mut run.data, benchmark);
                let size = self.size(run.inference.short_edge, run.inference.max_edge);
                run.inference.short_edge = Some(size.short_edge.into());
                run.inference.max_edge = Some(size.max_long_edge.into());
                Ok(size)
            }
            (AnyRun::SemanticMask(run), ProtocolSet::Semantic(benchmark)) => {
                read_from(&mut run.data, benchmark);
                Ok(self.resize(run.data.eval.get_or_insert_default()))
            }
            (AnyRun::Mask(run), ProtocolSet::Segments(benchmark, task)) if run.segments() == task => {
                let root = match &run.data.files {
                    SegmentFiles::Benchmark { benchmark: own, root } if *own == benchmark => root.clone(),
                    _ => None,
                };
                run.data.files = SegmentFiles::Benchmark { benchmark, root };
                Ok(self.resize(&mut run.data.eval))
            }
            (run, _) => Err(self.other_task(run.task())),
        }
    }

    /// Refuses `path=value` overrides of what the protocol decides.
    ///
    /// # Errors
    /// [`ConfigError::Across`] naming the first.
    pub fn check_overrides(&self, overrides: &[String]) -> Result<(), ConfigError> {
        let below = |path: &str, of: &str| path.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'));
        let decided =
            |path: &&str| DECIDED.iter().any(|key| path == key || below(path, key) || below(key, path));
        let paths = overrides.iter().map(|text| text.split_once('=').map_or(text.as_str(), |(path, _)| path));
        match paths.map(str::trim).find(decided) {
            None => Ok(()),
            Some(path) => Err(ConfigError::Across {
                field: "--set",
                expected: format!("a key that `--benchmark {}` does not decide", self.name),
                got: path.to_owned(),
            }),
        }
    }

    /// Sets the sizes of a Mask2Former's images.
    fn resize(&self, eval: &mut SegmentEvalConfig) -> TestSize {
        let size = self.size(eval.short_edge.map(i64::from), eval.max_long_edge.map(i64::from));
        eval.short_edge = Some(size.short_edge);
        eval.max_long_edge = Some(size.max_long_edge);
        size
    }

    fn size(&self, short_edge: Option<i64>, max_long_edge: Option<i64>) -> TestSize {
        let is_own = |size: &&TestSize| {
            (short_edge, max_long_edge) == (Some(size.short_edge.into()), Some(size.max_long_edge.into()))
        };
        *self.sizes.iter().find(is_own).unwrap_or(&self.sizes[0])
    }

    fn other_task(&self, task: Task) -> ConfigError {
        let fitting = match names(|protocol| protocol.task() == task) {
            none if none.is_empty() => "for which there is no such protocol".to_owned(),
            fitting => format!("for which there are {fitting}"),
        };
        ConfigError::Across {
            field: "task",
            expected: format!("\"{}\" for `--benchmark {}`", self.task().name(), self.name),
            got: format!("\"{}\", {fitting}", task.name()),
        }
    }
}

/// Takes label maps from a benchmark, in the folder that is already named if it is the same.
fn read_from(data: &mut DataConfig, benchmark: Benchmark) {
    let root = match &data.files {
        SetFiles::Benchmark(files) if files.benchmark == benchmark => files.root.clone(),
        _ => None,
    };
    data.files = SetFiles::Benchmark(BenchmarkFiles { benchmark, root });
}

/// The names of these protocols, with commas between.
fn names(which: impl Fn(&Protocol) -> bool) -> String {
    let names: Vec<&str> =
        Protocol::ALL.iter().filter(|protocol| which(protocol)).map(|protocol| protocol.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use smalti_datasets::recipe::Recipe;

    use super::*;

    const BACKBONE: &str = "model.backbone = { family = \"nat\", variant = \"nano\" }";

    fn run(text: &str) -> AnyRun {
        let recipe =
            Recipe::from_text(format!("{text}\n{BACKBONE}\n"), Path::new("a.toml"), &[]).expect("TOML");
        AnyRun::from_recipe(&recipe).expect("a valid recipe")
    }

    fn configured(name: &str, text: &str) -> Result<(AnyRun, TestSize), String> {
        let mut run = run(text);
        let size = Protocol::find(name).and_then(|protocol| protocol.configure(&mut run));
        size.map(|size| (run, size)).map_err(|error| error.to_string())
    }

    #[test]
    fn protocols_are_called_by_benchmark_and_task() {
        let classes = [133, 80, 133, 150, 100, 150, 19, 8, 19];
        for (protocol, classes) in Protocol::ALL.iter().zip(classes) {
            let (benchmark, task) = protocol.name.split_once('-').expect("two parts");
            let named = match protocol.set {
                ProtocolSet::Semantic(set) => set.name().trim_end_matches("_panoptic"),
                ProtocolSet::Segments(set, _) => set.name(),
            };
            assert_eq!((benchmark, task), (named, protocol.task().name()));
            assert_eq!(protocol.classes().len(), classes, "{}", protocol.name);
            assert_eq!(Protocol::find(protocol.name).expect("known"), protocol);
        }
        let unknown = Protocol::find("coco").expect_err("no task").to_string();
        assert!(
            unknown.starts_with("`--benchmark`: expected one of coco-panoptic, coco-instance, "),
            "{unknown}"
        );
        assert!(unknown.ends_with("cityscapes-semantic, got \"coco\""), "{unknown}");
    }

    #[test]
    fn set_and_sizes_are_replaced_and_nothing_else() {
        let text = "task = \"instance\"\ndata = { root = \"mine\", eval = { short_edge = 64, filter = \"torch\" } }\n\
                    inference = { max_instances = 7 }";
        let (found, size) = configured("coco-instance", text).expect("fits");
        assert_eq!(size, COCO);
        let expected = "task = \"instance\"\ninference = { max_instances = 7 }\n\
                        data = { benchmark = \"coco\", eval = { short_edge = 800, max_long_edge = 1333, filter = \"torch\" } }";
        assert_eq!(found, run(expected));

        let text = "data = { benchmark = \"ade20k\" }\nmodel.head = {}";
        let (found, size) = configured("cityscapes-semantic", text).expect("fits");
        assert_eq!(size, CITYSCAPES);
        let expected =
            "data = { benchmark = \"cityscapes\", eval = { short_edge = 1024, max_long_edge = 2048 } }";
        assert_eq!(found, run(&format!("{expected}\nmodel.head = {{}}")));

        let text = "data = { benchmark = \"cityscapes\", root = \"x\" }\ninference.slide = { crop = [64, 64], stride = [32, 32] }";
        let (found, _) = configured("cityscapes-semantic", text).expect("fits");
        assert_eq!(found, run(&format!("{text}\ninference.short_edge = 1024\ninference.max_edge = 2048")));
        let (found, _) = configured("ade20k-semantic", text).expect("fits");
        assert!(found.to_toml().contains("benchmark = \"ade20k\"") && !found.to_toml().contains("root"));
    }

    #[test]
    fn ade20k_has_two_sizes() {
        let size = |name: &str, text: &str| configured(name, text).expect("fits").1.short_edge;
        let semantic = "data.benchmark = \"ade20k\"";
        assert_eq!(size("ade20k-semantic", semantic), 512);
        assert_eq!(
            size(
                "ade20k-semantic",
                &format!("{semantic}\ninference = {{ short_edge = 640, max_edge = 2560 }}")
            ),
            640
        );
        assert_eq!(size("ade20k-semantic", &format!("{semantic}\ninference.short_edge = 640")), 512);
        let panoptic = "task = \"panoptic\"\ndata.benchmark = \"ade20k\"";
        assert_eq!(size("ade20k-panoptic", panoptic), 640);
        assert_eq!(
            size(
                "ade20k-panoptic",
                &format!("{panoptic}\ndata.eval = {{ short_edge = 512, max_long_edge = 2048 }}")
            ),
            512
        );
    }

    #[test]
    fn other_tasks_and_decided_keys_are_refused() {
        let error = configured("coco-panoptic", "data.benchmark = \"ade20k\"").expect_err("semantic");
        assert_eq!(
            error,
            "`task`: expected \"panoptic\" for `--benchmark coco-panoptic`, got \"semantic\", for which there are \
             coco-semantic, ade20k-semantic, cityscapes-semantic"
        );
        let panoptic = "task = \"panoptic\"\ndata.benchmark = \"coco\"";
        assert!(configured("coco-instance", panoptic).expect_err("panoptic").contains("coco-panoptic, "));

        let protocol = Protocol::find("coco-instance").expect("known");
        let check = |text: &str| protocol.check_overrides(&["train.seed=3".into(), text.into()]);
        for open in [
            "data.loader.workers=2",
            "inference.max_instances=9",
            "data.eval.filter=torch",
            "data.normalize.mean=[0, 0, 0]",
        ] {
            check(open).expect(open);
        }
        for decided in
            ["data.eval.short_edge=64", "data.root=x", "data.val.images=x", "data.eval={}", "task=panoptic"]
        {
            let error = check(decided).expect_err(decided).to_string();
            assert!(
                error.starts_with("`--set`: expected a key that `--benchmark coco-instance` does not"),
                "{error}"
            );
        }
    }
}
