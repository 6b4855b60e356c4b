//! Readers, synthetic data, transforms and the loader: plain arrays in, plain arrays out. Knows no tensor library.

pub mod benchmarks;
pub mod check;
pub mod cityscapes;
pub mod classes;
pub mod coco;
pub mod config;
pub mod decode;
mod each_image;
pub mod error;
mod histogram;
pub mod image_folder;
pub mod json_blocks;
pub mod label_png;
pub mod likeness;
pub mod loader;
pub mod mixture;
pub mod polygon;
mod pool;
pub mod prepare;
pub mod recipe;
pub mod rle;
pub mod root;
pub mod sample;
pub mod sampler;
pub mod segment_set;
pub mod segment_source;
pub mod semantic_set;
mod shard;
pub mod stage;
pub mod stats;
pub mod synth;
pub mod transform;

pub use benchmarks::Benchmark;
pub use check::{CheckReport, check};
pub use classes::{ClassInfo, ClassTable};
pub use config::{
    AugmentConfig, BenchmarkFiles, DataConfig, FlipConfig, FlipDirection, LoaderConfig, Mix, Mixed,
    NormalizeConfig, OnCorrupt, OwnFiles, PhotometricConfig, RandomCropConfig, RandomResizeConfig, SetFiles,
    Split, SplitConfig,
};
pub use error::DataError;
pub use image_folder::{ImageBatch, ImageDataConfig, ImageFolder, ImageSource};
pub use loader::{EvalLoader, Loader, SemanticSource, Source};
pub use mixture::Mixture;
pub use recipe::Recipe;
pub use root::DataRoot;
pub use sample::{Batch, EvalSample, IGNORE, Image, LabelMap, NormalizedSample, Sample};
pub use segment_set::{IndexCache, SegmentDataConfig, SegmentEvalSample, SegmentSet, SegmentTask};
pub use segment_source::{SegmentSource, Segmented};
pub use semantic_set::{Problem, SemanticSet};
pub use shard::Shard;
pub use stats::{SetStats, stats};
