//! Feeds damaged input to the readers, for as long as it is told to, and stops at the first finding: a panic, an input
//! that takes seconds or hundreds of megabytes, or an answer that a slow, plain reader does not confirm.
//!
//! ```sh
//! cargo run --release -p smalti-evaluation --example fuzz_readers -- --target rle --seconds 60 --seed 1
//! cargo run --release -p smalti-evaluation --example fuzz_readers -- --target rle --seed 1 --only 4711
//! ```
//!
//! Targets: rle, polygon, png_ids, coco_json, panoptic_json, checkpoints, or all of them in turn. An input depends on
//! the target, the seed and its number only; a finding prints all three and leaves the input in `target/fuzz`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints what it found")]

mod checkpoints;
mod coco_json;
mod mutate;
mod panoptic_json;
mod png_ids;
mod polygon;
mod rle;

use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mutate::Mutator;

/// What one reader is fed with, and what must hold.
trait Target {
    /// Good inputs to start from.
    fn corpus(&self) -> Vec<Vec<u8>>;
    /// Pieces that mean something to the reader.
    fn words(&self) -> &'static [&'static [u8]];
    /// Reads the input. `Err` is a finding; an input that the reader refuses is not.
    fn check(&mut self, input: &[u8]) -> Result<Verdict, String>;
}

/// What the reader said to one input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Read,
    Refused,
}

/// An input that takes longer is a finding.
const SLOW: Duration = Duration::from_secs(5);
/// Peak of the process in KiB that is a finding; no input here has a reason to take more.
const MEMORY: u64 = 400 * 1024;
const NAMES: [&str; 6] = ["rle", "polygon", "png_ids", "coco_json", "panoptic_json", "checkpoints"];

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    let watch = Arc::new(Watch::default());
    let watching = Arc::clone(&watch);
    thread::spawn(move || watching.run());
    let names: Vec<&str> =
        NAMES.into_iter().filter(|n| options.target == "all" || options.target == *n).collect();
    if names.is_empty() {
        return Err(
            format!("no target {}: expected all or one of {}", options.target, NAMES.join(", ")).into()
        );
    }
    for name in &names {
        let seconds = options.seconds / names.len() as u64;
        let mut target = target(name)?;
        run(name, target.as_mut(), &options, Duration::from_secs(seconds), &watch)?;
    }
    Ok(())
}

fn target(name: &str) -> Result<Box<dyn Target>, Box<dyn Error>> {
    Ok(match name {
        "rle" => Box::new(rle::Rles::default()),
        "polygon" => Box::new(polygon::Polygons::default()),
        "png_ids" => Box::new(png_ids::PngIds::default()),
        "checkpoints" => Box::new(checkpoints::Checkpoints),
        "coco_json" => Box::new(coco_json::CocoJson::new()?),
        _ => Box::new(panoptic_json::PanopticJson::new()?),
    })
}

fn run(
    name: &str,
    target: &mut dyn Target,
    options: &Options,
    time: Duration,
    watch: &Watch,
) -> Result<(), Box<dyn Error>> {
    let (corpus, words) = (target.corpus(), target.words());
    let began = Instant::now();
    let (mut done, mut read) = (0u64, 0u64);
    while options.only.is_some() || began.elapsed() < time {
        let number = options.only.unwrap_or(done);
        let input = Mutator::new(options.seed, number).input(&corpus, words);
        let again = format!("--target {name} --seed {} --only {number}", options.seed);
        watch.begin(&again, &input);
        let outcome = catch_unwind(AssertUnwindSafe(|| target.check(&input)));
        watch.end();
        let finding = match outcome {
            Ok(Ok(verdict)) => {
                read += u64::from(verdict == Verdict::Read);
                done += 1;
                if done.is_multiple_of(64) { too_much_memory() } else { None }
            }
            Ok(Err(finding)) => Some(finding),
            Err(_) => Some("it panicked".into()),
        };
        if let Some(finding) = finding {
            return Err(format!("{again}: {finding}; the input is in {}", keep(&input)?.display()).into());
        }
        if options.only.is_some() {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{name}: {done} inputs in {seconds:.0} s, {read} of them read, the others refused; no finding");
    Ok(())
}

/// Whether the process has ever been too large. The peak does not say which of the last inputs it was.
fn too_much_memory() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let peak: u64 =
        status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse().ok()?;
    (peak > MEMORY).then(|| {
        format!("the process has grown to {} MiB, at this or one of the 63 inputs before", peak / 1024)
    })
}

fn keep(input: &[u8]) -> std::io::Result<PathBuf> {
    let folder = PathBuf::from("target/fuzz");
    fs::create_dir_all(&folder)?;
    let path = folder.join("finding");
    fs::write(&path, input)?;
    Ok(path)
}

/// Ends the process when one input takes too long.
#[derive(Default)]
struct Watch {
    /// Number of inputs begun and ended: odd while one is being read.
    turns: AtomicU64,
    current: Mutex<(String, Vec<u8>)>,
}

impl Watch {
    fn begin(&self, again: &str, input: &[u8]) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.0.clear();
        current.0.push_str(again);
        current.1.clear();
        current.1.extend_from_slice(input);
        self.turns.fetch_add(1, Ordering::Release);
    }

    fn end(&self) {
        self.turns.fetch_add(1, Ordering::Release);
    }

    fn run(&self) {
        loop {
            let before = self.turns.load(Ordering::Acquire);
            thread::sleep(SLOW);
            if before % 2 == 1 && self.turns.load(Ordering::Acquire) == before {
                let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
                let kept = keep(&current.1).map_or_else(|e| e.to_string(), |p| p.display().to_string());
                eprintln!("{}: no end after {} s; the input is in {kept}", current.0, SLOW.as_secs());
                std::process::exit(1);
            }
        }
    }
}

struct Options {
    target: String,
    seconds: u64,
    seed: u64,
    only: Option<u64>,
}

impl Options {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let mut options = Self { target: "all".into(), seconds: 60, seed: 0, only: None };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--target" => options.target = value,
                "--seconds" => options.seconds = value.parse()?,
                "--seed" => options.seed = value.parse()?,
                "--only" => options.only = Some(value.parse()?),
                _ => return Err(format!("no option {name}: --target, --seconds, --seed, --only").into()),
            }
        }
        if options.only.is_some() && options.target == "all" {
            return Err("--only needs --target".into());
        }
        Ok(options)
    }
}
