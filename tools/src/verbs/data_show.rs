//! `smalti data show`.

use anyhow::Result;
use smalti_datasets::transform::Pipeline;
use smalti_datasets::{SemanticSet, sampler};

use super::data_config;
use crate::cli::ShowArgs;
use crate::draw::{self, Tile};
use crate::output;

/// Pairs of pictures side by side.
const PAIRS_A_ROW: usize = 2;
/// Larger images are shown smaller, so that a sheet of them can still be opened.
const MAX_SIDE: usize = 800;

/// Runs the verb.
pub fn run(args: &ShowArgs) -> Result<()> {
    let config = data_config(&args.data, "data show")?;
    let set = SemanticSet::open(&config, args.split.into(), args.data.data_root.as_deref())?;
    let pipeline = Pipeline::new(&config.augment);
    let count = usize::from(args.num).clamp(1, set.len());
    let mut tiles = Vec::new();
    for i in 0..count {
        let index = i * set.len() / count;
        let mut sample = set.load(index)?;
        if args.augment {
            sample = pipeline.apply(sample, &mut sampler::rng(args.seed, 0, index as u64));
        }
        let (height, width, _) = sample.image.dim();
        let (image, labels) = draw::reduce(&sample.image, &sample.labels, MAX_SIDE);
        let overlay = draw::overlay(&image, &labels, set.classes(), 0.65);
        let pair = draw::side_by_side(&[&image, &overlay]);
        let how = if args.augment { ", as trained on" } else { "" };
        let caption = format!("{}  {width}x{height}{how}", sample.name);
        tiles.push(Tile::new(caption, draw::with_legend(&pair, &sample.labels, set.classes())));
    }
    let rows: Vec<Vec<Tile>> = tiles.chunks(PAIRS_A_ROW).map(<[Tile]>::to_vec).collect();
    draw::write_png(&args.out, &draw::contact_sheet(&rows))?;
    output::line(&format!("{count} of {} images in {}", set.len(), args.out.display()));
    Ok(())
}
