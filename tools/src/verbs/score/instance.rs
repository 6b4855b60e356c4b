//! `smalti score instance`.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;
use smalti_evaluation::instance::files::{FileScores, score_results};
use smalti_evaluation::instance::{GroundTruth, InstanceScores, IouType, MaxDets, Oddities, Ranked};
use smalti_evaluation::resample::PerImage;

use super::{ClassRow, Classes, Outcome, present, with_progress};
use crate::cli::{IouTypeArg, ScoreInstanceArgs};
use crate::output::percent;

/// Runs the verb.
pub fn run(args: &ScoreInstanceArgs) -> Result<()> {
    let kind = iou_type(args.iou_type);
    let max_dets = MaxDets::new(args.max_dets)?;
    let truth = GroundTruth::load(&args.gt, kind)?;
    let resampled = args.common.ci.is_some() || args.versus.is_some();
    let score = |pred: &Path| -> Result<Scored> {
        let found = with_progress(|progress| Ok(score_results(&truth, pred, max_dets, progress)?))?;
        let FileScores { scores, matched, oddities, .. } = found;
        let ranked = if resampled { Some(matched.into_ranked(&truth)?) } else { None };
        Ok(Scored { scores, ranked, oddities, images: truth.images() })
    };
    let scored = score(&args.pred)?;
    let other = args.versus.as_deref().map(score).transpose()?;
    drop(truth);
    present(&scored, other.as_ref().map(|other| other as &dyn Outcome), &args.common)
}

/// What the command line names.
pub(super) fn iou_type(arg: IouTypeArg) -> IouType {
    match arg {
        IouTypeArg::Segm => IouType::Segm,
        IouTypeArg::Bbox => IouType::Bbox,
        IouTypeArg::Boundary => IouType::Boundary,
    }
}

struct Scored {
    scores: InstanceScores,
    /// Only where images are resampled.
    ranked: Option<Ranked>,
    oddities: Oddities,
    images: usize,
}

impl Outcome for Scored {
    fn images(&self) -> usize {
        self.images
    }

    fn warnings(&self) -> Vec<String> {
        self.oddities.sentences()
    }

    fn metrics(&self) -> Vec<(&'static str, Option<f64>)> {
        self.scores.metrics.named().to_vec()
    }

    fn classes(&self) -> Classes {
        let header = vec!["AP %", "AP50 %", "AP75 %", "APs %", "APm %", "APl %", "AR100 %"];
        let rows = self.scores.classes.iter().map(|class| {
            let m = &class.metrics;
            let values = [m.ap, m.ap50, m.ap75, m.ap_small, m.ap_medium, m.ap_large, m.ar_third];
            ClassRow { name: class.name.clone(), key: m.ap, cells: values.map(percent).to_vec() }
        });
        Classes { header, rows: rows.collect() }
    }

    fn json(&self) -> Result<Value> {
        Ok(serde_json::to_value(&self.scores)?)
    }

    fn per_image(&self) -> Option<&dyn PerImage> {
        self.ranked.as_ref().map(|ranked| ranked as &dyn PerImage)
    }
}
