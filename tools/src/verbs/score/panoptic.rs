//! `smalti score panoptic`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use smalti_evaluation::panoptic::{
    PanopticDirs, PanopticImages, PanopticOptions, PanopticResult, PanopticScores, score_files,
};
use smalti_evaluation::resample::PerImage;

use super::{ClassRow, Classes, Outcome, present, with_progress};
use crate::cli::ScorePanopticArgs;
use crate::output::{percent, thousands};

/// Runs the verb.
pub fn run(args: &ScorePanopticArgs) -> Result<()> {
    let scored = Scored::of(args, &args.pred, args.pred_dir.as_ref())?;
    let other = match &args.versus {
        Some(json) => Some(Scored::of(args, json, args.versus_dir.as_ref())?),
        None => None,
    };
    present(&scored, other.as_ref().map(|other| other as &dyn Outcome), &args.common)
}

struct Scored {
    counted: PanopticResult,
    scores: PanopticScores,
    images: Option<PanopticImages>,
}

impl Scored {
    fn of(args: &ScorePanopticArgs, pred: &Path, pred_dir: Option<&PathBuf>) -> Result<Self> {
        let dir = |given: Option<&PathBuf>, json: &Path| {
            given.cloned().unwrap_or_else(|| PanopticDirs::beside(json))
        };
        let dirs = PanopticDirs {
            gt_json: args.gt.clone(),
            gt_dir: dir(args.gt_dir.as_ref(), &args.gt),
            pred_json: pred.to_owned(),
            pred_dir: dir(pred_dir, pred),
        };
        let keep_images = args.common.resamples(args.versus.is_some());
        let options = PanopticOptions { boundary: args.boundary, keep_images };
        let counted = with_progress(|progress| Ok(score_files(&dirs, options, progress)?))?;
        Ok(Self { scores: counted.quality.finish(), images: counted.quality.images(), counted })
    }
}

impl Outcome for Scored {
    fn images(&self) -> usize {
        self.counted.quality.num_images()
    }

    fn warnings(&self) -> Vec<String> {
        self.counted.warnings.clone()
    }

    fn metrics(&self) -> Vec<(&'static str, Option<f64>)> {
        self.scores.metrics.named().to_vec()
    }

    fn classes(&self) -> Classes {
        let header = vec!["PQ %", "SQ %", "RQ %", "TP", "FP", "FN", "kind"];
        let rows = self.scores.classes.iter().zip(self.scores.labels()).map(|(class, name)| {
            let mut cells = [class.pq, class.sq, class.rq].map(percent).to_vec();
            cells.extend([class.tp, class.fp, class.fn_].map(thousands));
            cells.push(if class.class.is_thing { "thing" } else { "stuff" }.into());
            ClassRow { name, key: class.pq, cells }
        });
        Classes { header, rows: rows.collect() }
    }

    fn json(&self) -> Result<Value> {
        Ok(serde_json::to_value(&self.scores)?)
    }

    fn per_image(&self) -> Option<&dyn PerImage> {
        self.images.as_ref().map(|images| images as &dyn PerImage)
    }
}
