//! Official scores of any protocol, as they are printed and written.

use anyhow::Result;
use serde_json::Value;
use smalti::output::{self, Rows, percent};
use smalti_evaluation::cityscapes;
use smalti_evaluation::instance::InstanceScores;
use smalti_evaluation::panoptic::PanopticScores;
use smalti_evaluation::semantic::SemanticScores;

/// Classes that a table lists; the JSON has all.
const LISTED: usize = 40;

/// Scores of one protocol.
#[derive(Debug)]
pub struct Official {
    columns: Vec<&'static str>,
    /// Of every class its name and the values of the columns, fractions.
    classes: Vec<(String, Vec<Option<f64>>)>,
    means: Vec<(&'static str, Option<f64>)>,
    /// What `smalti score --json` writes.
    pub json: Value,
}

impl Official {
    /// Panoptic quality.
    pub fn of_panoptic(scores: &PanopticScores) -> Result<Self> {
        let rows = scores.labels().into_iter().zip(&scores.classes);
        Ok(Self {
            columns: vec!["PQ %", "SQ %", "RQ %"],
            classes: rows.map(|(name, class)| (name, vec![class.pq, class.sq, class.rq])).collect(),
            means: scores.metrics.named().to_vec(),
            json: serde_json::to_value(scores)?,
        })
    }

    /// COCO's average precision.
    pub fn of_instances(scores: &InstanceScores) -> Result<Self> {
        let row = |class: &smalti_evaluation::instance::InstanceClass| {
            let metrics = &class.metrics;
            (class.name.clone(), vec![metrics.ap, metrics.ap50, metrics.ap75])
        };
        Ok(Self {
            columns: vec!["AP %", "AP50 %", "AP75 %"],
            classes: scores.classes.iter().map(row).collect(),
            means: scores.metrics.named().to_vec(),
            json: serde_json::to_value(scores)?,
        })
    }

    /// Mean IoU.
    pub fn of_labels(scores: &SemanticScores) -> Result<Self> {
        let metrics = &scores.metrics;
        Ok(Self {
            columns: vec!["IoU %", "Acc %"],
            classes: scores.classes.iter().map(|of| (of.name.clone(), vec![of.iou, of.acc])).collect(),
            means: vec![
                ("mIoU", metrics.m_iou),
                ("mAcc", metrics.m_acc),
                ("aAcc", metrics.a_acc),
                ("fwIoU", metrics.fw_iou),
            ],
            json: serde_json::to_value(scores)?,
        })
    }

    /// Cityscapes' pixel-level scores; groups of classes follow the classes.
    pub fn of_pixels(scores: &cityscapes::PixelScores) -> Result<Self> {
        let categories =
            scores.categories.iter().map(|of| (format!("category {}", of.name), vec![of.iou, of.iiou]));
        let classes = scores.classes.iter().map(|of| (of.name.to_owned(), vec![of.iou, of.iiou]));
        Ok(Self {
            columns: vec!["IoU %", "iIoU %"],
            classes: classes.chain(categories).collect(),
            means: scores.named().to_vec(),
            json: serde_json::to_value(scores)?,
        })
    }

    /// Cityscapes' instance-level scores.
    pub fn of_objects(scores: &cityscapes::InstanceScores) -> Result<Self> {
        let row = |of: &cityscapes::instance::InstanceClassScores| (of.name.to_owned(), vec![of.ap, of.ap50]);
        Ok(Self {
            columns: vec!["AP %", "AP50 %"],
            classes: scores.classes.iter().map(row).collect(),
            means: vec![("AP", scores.ap), ("AP50", scores.ap50)],
            json: serde_json::to_value(scores)?,
        })
    }

    /// Per-class table and means.
    pub fn print(&self) {
        let mut rows = Rows::new(std::iter::once("class").chain(self.columns.iter().copied()));
        for (name, values) in self.classes.iter().take(LISTED) {
            rows.push(std::iter::once(name.clone()).chain(values.iter().map(|value| percent(*value))));
        }
        rows.print();
        if let Some(more @ 1..) = self.classes.len().checked_sub(LISTED) {
            output::line(&format!("and {more} more classes; --json FILE has all"));
        }
        let means: Vec<String> =
            self.means.iter().map(|(name, value)| format!("{name} {} %", percent(*value))).collect();
        output::line(&means.join("   "));
    }
}
