//! What `smalti bench loader` loads: the pipelines of the papers on benchmarks as they lie on disk.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use smalti_datasets::segment_set::{SegmentBenchmark, SegmentFiles};
use smalti_datasets::transform::resize_filter::ResizeFilter;
use smalti_datasets::transform::segments::{LargeScaleJitterConfig, SegmentAugmentConfig, SegmentEvalConfig};
use smalti_datasets::{
    AugmentConfig, Benchmark, BenchmarkFiles, DataConfig, FlipConfig, LoaderConfig, Mix, NormalizeConfig,
    PhotometricConfig, RandomCropConfig, RandomResizeConfig, SegmentDataConfig, SetFiles,
};

use crate::cli::LoaderSet;

/// Mask2Former's large-scale jitter (`COCOInstanceNewBaselineDatasetMapper`, `COCOPanopticNewBaselineDatasetMapper`).
pub fn lsj(set: LoaderSet, folder: Option<&Path>) -> Result<SegmentDataConfig> {
    let benchmark = match set {
        LoaderSet::Ade20k => SegmentBenchmark::Ade20k,
        LoaderSet::Cityscapes => SegmentBenchmark::Cityscapes,
        LoaderSet::Coco => SegmentBenchmark::Coco,
    };
    Ok(SegmentDataConfig {
        files: SegmentFiles::Benchmark { benchmark, root: absolute(folder)? },
        mix: Mix::default(),
        loader: LoaderConfig::default(),
        normalize: NormalizeConfig::default(),
        augment: vec![
            SegmentAugmentConfig::Flip(FlipConfig::default()),
            SegmentAugmentConfig::LargeScaleJitter(LargeScaleJitterConfig {
                size: [1024, 1024],
                scale: [0.1, 2.0],
                filter: ResizeFilter::Pil,
            }),
        ],
        eval: SegmentEvalConfig::default(),
    })
}

/// mmsegmentation's pipeline of ADE20K with crops of 512 (`configs/_base_/datasets/ade20k.py`).
pub fn ade(set: LoaderSet, folder: Option<&Path>) -> Result<DataConfig> {
    let benchmark = match set {
        LoaderSet::Ade20k => Benchmark::Ade20k,
        LoaderSet::Cityscapes => Benchmark::Cityscapes,
        LoaderSet::Coco => Benchmark::CocoPanoptic,
    };
    Ok(DataConfig {
        files: SetFiles::Benchmark(BenchmarkFiles { benchmark, root: absolute(folder)? }),
        mix: Mix::default(),
        loader: LoaderConfig::default(),
        normalize: NormalizeConfig::default(),
        augment: vec![
            AugmentConfig::RandomResize(RandomResizeConfig {
                scale: Some([2048, 512]),
                short_edge: None,
                ratio_range: [0.5, 2.0],
            }),
            AugmentConfig::RandomCrop(RandomCropConfig {
                size: [512, 512],
                cat_max_ratio: 0.75,
                class_balanced: 0.0,
            }),
            AugmentConfig::Flip(FlipConfig::default()),
            AugmentConfig::Photometric(PhotometricConfig::default()),
        ],
        eval: None,
    })
}

/// A folder as the shell means it: below the working folder, not below the data root.
fn absolute(folder: Option<&Path>) -> Result<Option<PathBuf>> {
    let absolute =
        |folder: &Path| std::path::absolute(folder).with_context(|| format!("{}: --data", folder.display()));
    folder.map(absolute).transpose()
}
