//! `smalti data synth`.

use std::time::Instant;

use anyhow::Result;
use smalti_datasets::synth::{SynthOptions, generate};

use crate::cli::SynthArgs;
use crate::output::{self, Progress};

/// Runs the verb.
pub fn run(args: &SynthArgs) -> Result<()> {
    let options = SynthOptions {
        out: args.out.clone(),
        images: args.images,
        val_images: args.val_images,
        size: args.size,
        seed: args.seed,
        layout: args.layout.into(),
    };
    let start = Instant::now();
    let bar = Progress::new("draw", (options.images + options.val_images) as u64);
    let summary = generate(&options, &|_, _| bar.inc(1))?;
    if summary.reused {
        bar.clear();
        output::line(&format!("{}: this very set is there already", args.out.display()));
        return Ok(());
    }
    bar.finish();
    output::line(&format!(
        "{}: {} training and {} validation images of {}x{}, {} classes, {} objects, in {}",
        args.out.display(),
        summary.images,
        summary.val_images,
        args.size.0,
        args.size.1,
        summary.classes,
        summary.instances + summary.val_instances,
        output::duration(start.elapsed().as_secs_f64())
    ));
    Ok(())
}
