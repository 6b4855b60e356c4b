//! `smalti data show`.

mod picks;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use ndarray::{Array2, Axis};
use smalti_datasets::sample::{SegmentMasks, SegmentedSample};
use smalti_datasets::transform::Pipeline;
use smalti_datasets::transform::segments::{SegmentPipeline, SegmentView};
use smalti_datasets::{
    ClassTable, DataConfig, DataError, Image, Mixture, SegmentDataConfig, SegmentSet, SegmentTask,
    SemanticSet, Split, sampler,
};

use self::picks::{Pick, picks};
use super::{DataTable, data_table, no_label_maps, noun};
use crate::cli::ShowArgs;
use crate::draw::{self, Piece, Tile};
use crate::output;
use crate::report::{Document, Part, Picture, Section};

/// Pairs of pictures side by side.
const PAIRS_A_ROW: usize = 2;
/// Larger images are shown smaller, so that a sheet of them can still be opened.
const MAX_SIDE: usize = 800;

/// A picture with what it shows.
struct Shown {
    caption: String,
    picture: Image,
}

/// Runs the verb.
pub fn run(args: &ShowArgs) -> Result<()> {
    let (shown, of) = match data_table(&args.data)? {
        DataTable::Semantic(config) => semantic(args, &config)?,
        DataTable::Segments(config, task) => segments(args, &config, task)?,
        DataTable::Classification(_) => bail!(no_label_maps(&args.data, "data show")),
    };
    let count = shown.len();
    if args.out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("html")) {
        write_page(&args.out, args.data.name(), &shown)?;
    } else {
        let tiles: Vec<Tile> = shown.into_iter().map(|one| Tile::new(one.caption, one.picture)).collect();
        let rows: Vec<Vec<Tile>> = tiles.chunks(PAIRS_A_ROW).map(<[Tile]>::to_vec).collect();
        draw::write_png(&args.out, &draw::contact_sheet(&rows))?;
    }
    output::line(&format!("{count} of {of} images in {}", args.out.display()));
    Ok(())
}

fn semantic(args: &ShowArgs, config: &DataConfig) -> Result<(Vec<Shown>, usize)> {
    let split: Split = args.split.into();
    let data_root = args.data.data_root.as_deref();
    let set = SemanticSet::open(config, split, data_root)?;
    let images = match split {
        Split::Train => set.mix(config, data_root)?,
        Split::Val => alone(set, SemanticSet::len),
    };
    let pipeline = Pipeline::new(&config.augment);
    let mut shown = Vec::new();
    for Pick { index, of } in picks(&images, args.num) {
        let (set, own_index) = images.at(index);
        let mut sample = set.load(own_index)?;
        if args.augment {
            sample = pipeline.apply(sample, &mut sampler::rng(args.seed, 0, index as u64));
        }
        let (height, width, _) = sample.image.dim();
        let (image, labels) = draw::reduce(&sample.image, &sample.labels, MAX_SIDE);
        let overlay = draw::overlay(&image, &labels, set.classes(), 0.65);
        let pair = draw::side_by_side(&[&image, &overlay]);
        let how = if args.augment { ", as trained on" } else { "" };
        let caption = format!("{of}{}  {width}x{height}{how}", sample.name);
        shown.push(Shown { caption, picture: draw::with_legend(&pair, &sample.labels, set.classes()) });
    }
    Ok((shown, images.len()))
}

/// Image beside segments; with `--augment`, segments as they are beside those that training sees.
fn segments(args: &ShowArgs, config: &SegmentDataConfig, task: SegmentTask) -> Result<(Vec<Shown>, usize)> {
    // Files without a recipe are those of training.
    let split = if args.data.annotations.is_some() { Split::Train } else { args.split.into() };
    let data_root = args.data.data_root.as_deref();
    let set = SegmentSet::open(config, task, split, data_root)?;
    let images = match split {
        Split::Train => set.mix(config, data_root)?,
        Split::Val => alone(set, SegmentSet::len),
    };
    let pipeline = SegmentPipeline::new(&config.augment);
    let noun = noun(task);
    let mut shown = Vec::new();
    for Pick { index, of } in picks(&images, args.num) {
        let (set, own_index) = images.at(index);
        let sample = set.load(own_index)?;
        let (height, width, _) = sample.image.dim();
        let before = draw::pieces(&sample.image, &pieces_of(&sample, set.classes())?, MAX_SIDE);
        let mut caption = format!("{of}{}  {width}x{height}, {} {noun}", sample.name, sample.segments.len());
        let picture = if args.augment {
            let view = pipeline.apply(sample, &mut sampler::rng(args.seed, 0, index as u64))?;
            let (_, height, width) = view.targets.masks.dim();
            let left = view.targets.classes.len();
            caption = format!("{caption}; as trained on {width}x{height}, {left}");
            let padded = padded(&view);
            let after = draw::pieces(&padded, &pieces_of_view(&view, set.classes()), MAX_SIDE);
            draw::side_by_side(&[&before, &after])
        } else {
            draw::side_by_side(&[&draw::pieces(&sample.image, &[], MAX_SIDE), &before])
        };
        shown.push(Shown { caption, picture });
    }
    Ok((shown, images.len()))
}

/// A set that nothing is mixed with.
fn alone<S>(set: S, len: fn(&S) -> usize) -> Mixture<S> {
    let images = len(&set);
    Mixture::one(Arc::new(set), images)
}

fn piece(classes: &ClassTable, class: u16, is_crowd: bool, mask: Array2<u8>) -> Piece {
    let info = classes.get(usize::from(class));
    Piece {
        name: info.map_or_else(String::new, |info| info.name.clone()),
        color: info.map_or([128; 3], |info| info.color),
        is_thing: info.is_some_and(|info| info.is_thing),
        is_crowd,
        mask,
    }
}

fn pieces_of(sample: &SegmentedSample, classes: &ClassTable) -> Result<Vec<Piece>, DataError> {
    let (height, width, _) = sample.image.dim();
    let mask = |number: usize| match &sample.masks {
        SegmentMasks::Each(masks) => Ok(masks[number].to_rle([height as u32, width as u32])?.decode()),
        SegmentMasks::Map(map) => Ok(map.mapv(|of| u8::from(usize::from(of) == number))),
    };
    let of = |(number, segment): (usize, &smalti_datasets::sample::Segment)| {
        Ok(piece(classes, segment.class, segment.crowd, mask(number)?))
    };
    sample.segments.iter().enumerate().map(of).collect()
}

fn pieces_of_view(view: &SegmentView, classes: &ClassTable) -> Vec<Piece> {
    let masks = view.targets.masks.axis_iter(Axis(0));
    view.targets
        .classes
        .iter()
        .zip(masks)
        .map(|(&class, mask)| piece(classes, class, false, mask.to_owned()))
        .collect()
}

/// The image with its padding, which is grey here: the mean that normalisation makes 0.
fn padded(view: &SegmentView) -> Image {
    let (_, height, width) = view.targets.masks.dim();
    let (h, w, _) = view.image.dim();
    let mut out = Image::from_elem((height.max(h), width.max(w), 3), 120);
    out.slice_mut(ndarray::s![..h, ..w, ..]).assign(&view.image);
    out
}

fn write_page(path: &Path, title: String, shown: &[Shown]) -> Result<()> {
    let picture = |one: &Shown| -> Result<Picture> {
        let png = draw::png_bytes(&one.picture)?;
        Ok(Picture { title: one.caption.clone(), caption: String::new(), png })
    };
    let pictures = shown.iter().map(picture).collect::<Result<Vec<_>>>()?;
    let section = Section { title: "Pictures".into(), parts: vec![Part::Pictures(pictures)] };
    let document = Document { kind: "Smalti data set", title, sections: vec![section] };
    Ok(document.write_html(path)?)
}
