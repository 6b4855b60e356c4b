//! The page itself: head, sections, and what is in them apart from curves and classes.

use std::fmt::{self, Display, Formatter};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

use super::banner::Banner;
use super::classes::{FinalScores, Mosaic, ranked};
use super::curves::Curves;
use super::log::RunLog;
use super::text::{Esc, UNDEFINED, percent};
use super::{Picture, ReportError, ReportInputs};

pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("script.js");
/// The page may load nothing at all; what is inline is all there is.
pub(super) const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
/// Scores that get a card of their own; the others follow in a line.
const CARDS: usize = 4;
/// More classes than this are folded away.
const MOST_OPEN_CLASSES: usize = 40;
/// Pictures narrower than this are enlarged with sharp pixels.
const SMALL_PICTURE: u32 = 320;
/// Facts of more characters than this, such as commands, need more than a column.
const LONG_FACT: usize = 60;

/// The page as text.
pub fn render(log: Option<&RunLog>, inputs: &ReportInputs) -> Result<String, ReportError> {
    let pictures = inputs.pictures.iter().map(SizedPicture::check).collect::<Result<Vec<_>, _>>()?;
    Ok(Page { log, inputs, pictures }.to_string())
}

struct Page<'a> {
    log: Option<&'a RunLog>,
    inputs: &'a ReportInputs,
    pictures: Vec<SizedPicture<'a>>,
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let inputs = self.inputs;
        let title = Esc(&inputs.title);
        writeln!(f, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />")?;
        writeln!(f, "<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\" />")?;
        writeln!(f, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />")?;
        writeln!(f, "<meta name=\"color-scheme\" content=\"light dark\" />")?;
        writeln!(f, "<meta name=\"generator\" content=\"smalti {}\" />", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "<link rel=\"icon\" href=\"data:,\" />\n<title>{title} · Smalti</title>")?;
        writeln!(f, "<style>\n{STYLE}</style>\n</head>\n<body>\n<header>")?;
        let headline = inputs.metrics.first().and_then(|metric| metric.1);
        write!(f, "{}", Banner { laid: headline.unwrap_or(1.0) })?;
        writeln!(f, "<p class=\"kind\">Smalti run report</p>\n<h1>{title}</h1>")?;
        if !inputs.subtitle.is_empty() {
            writeln!(f, "<p class=\"subtitle\">{}</p>", Esc(&inputs.subtitle))?;
        }
        writeln!(f, "{}</header>\n<main>", Scores(&inputs.metrics))?;
        self.write_sections(f)?;
        writeln!(f, "</main>\n<footer>Written by smalti {}.</footer>", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "<script>\n{SCRIPT}</script>\n</body>\n</html>")
    }
}

impl Page<'_> {
    fn write_sections(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let inputs = self.inputs;
        if let Some(log) = self.log {
            section(f, "Curves", &Curves(log))?;
        }
        self.write_classes(f)?;
        if !self.pictures.is_empty() {
            writeln!(f, "<section>\n<h2>Pictures</h2>\n<div class=\"pictures\">")?;
            for picture in &self.pictures {
                write!(f, "{picture}")?;
            }
            writeln!(f, "</div>\n</section>")?;
        }
        if !inputs.next.is_empty() {
            section(f, "Next", &Commands(&inputs.next))?;
        }
        if !inputs.facts.is_empty() {
            section(f, "Run", &Facts(&inputs.facts))?;
        }
        if !inputs.config_toml.is_empty() {
            let config = Toml(&inputs.config_toml);
            writeln!(f, "<section>\n<details><summary>Resolved configuration</summary>")?;
            writeln!(f, "<pre class=\"toml\"><code>{config}</code></pre></details>\n</section>")?;
        }
        Ok(())
    }

    fn write_classes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rows = ranked(&self.inputs.classes.rows);
        let mosaic = Mosaic { rows: &rows, eval: self.log.map_or(&[], |log| log.eval.as_slice()) };
        let has_mosaic = mosaic.is_worth_showing();
        if rows.is_empty() && !has_mosaic {
            return Ok(());
        }
        writeln!(f, "<section>\n<h2>Classes</h2>")?;
        let folded = rows.len() > MOST_OPEN_CLASSES;
        if folded {
            writeln!(f, "<details><summary>All {} classes</summary>", rows.len())?;
        }
        if !rows.is_empty() {
            writeln!(f, "<h3>Final scores <span class=\"note\">percent, best first</span></h3>")?;
            write!(f, "{}", FinalScores { columns: &self.inputs.classes.columns, rows: &rows })?;
        }
        if has_mosaic {
            writeln!(
                f,
                "<h3>How each class was learned <span class=\"note\">percent at each evaluation</span></h3>"
            )?;
            write!(f, "{mosaic}")?;
        }
        writeln!(f, "{}</section>", if folded { "</details>\n" } else { "" })
    }
}

fn section(f: &mut Formatter<'_>, title: &str, content: &dyn Display) -> fmt::Result {
    write!(f, "<section>\n<h2>{title}</h2>\n{content}</section>\n")
}

/// The headline scores.
struct Scores<'a>(&'a [(String, Option<f64>)]);

impl Display for Scores<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let (cards, others) = self.0.split_at(self.0.len().min(CARDS));
        write!(f, "<dl class=\"scores\">")?;
        for (name, score) in cards {
            let unit = if score.is_some_and(f64::is_finite) { "<small>%</small>" } else { "" };
            write!(f, "<div><dt>{}</dt><dd>{}{unit}", Esc(name), percent(*score, 2))?;
            match meaning(name) {
                Some(meaning) => write!(f, "<span>{meaning}</span></dd></div>")?,
                None => write!(f, "</dd></div>")?,
            }
        }
        writeln!(f, "</dl>")?;
        if others.is_empty() {
            return Ok(());
        }
        write!(f, "<dl class=\"others\">")?;
        for (name, score) in others {
            let hint = meaning(name).unwrap_or_default();
            write!(f, "<div title=\"{hint}\"><dt>{}</dt><dd>{}</dd></div>", Esc(name), percent(*score, 2))?;
        }
        writeln!(f, "</dl>")
    }
}

/// What a score is, for those who do not know its short name.
fn meaning(metric: &str) -> Option<&'static str> {
    Some(match metric {
        "top1" => "images whose class is the likeliest",
        "top5" => "images whose class is among the five likeliest",
        "mIoU" => "mean intersection over union",
        "mAcc" => "mean accuracy of the classes",
        "aAcc" => "pixels labelled right",
        "fwIoU" => "IoU weighted by class frequency",
        "mDice" => "mean Dice coefficient",
        "mFscore" => "mean F1 score",
        "mPrecision" => "mean precision",
        "mRecall" => "mean recall",
        "d2_mIoU" | "d2_fwIoU" | "d2_mAcc" | "d2_pAcc" => "as detectron2 counts it",
        "PQ" => "panoptic quality",
        "SQ" => "segmentation quality",
        "RQ" => "recognition quality",
        "AP" => "average precision, IoU 0.50 to 0.95",
        "AP50" => "average precision at IoU 0.50",
        "AP75" => "average precision at IoU 0.75",
        _ => return None,
    })
}

/// A picture whose size was read from its header.
pub(super) struct SizedPicture<'a> {
    picture: &'a Picture,
    width: u32,
    height: u32,
}

impl<'a> SizedPicture<'a> {
    pub(super) fn check(picture: &'a Picture) -> Result<Self, ReportError> {
        // Signature, then the IHDR chunk: length, name, width and height as big-endian u32.
        let number = |at: usize| Some(u32::from_be_bytes(picture.png.get(at..at + 4)?.try_into().ok()?));
        let is_png =
            picture.png.starts_with(b"\x89PNG\r\n\x1a\n") && picture.png.get(12..16) == Some(b"IHDR");
        match (number(16), number(20)) {
            (Some(width), Some(height)) if is_png => Ok(Self { picture, width, height }),
            _ => Err(ReportError::NotPng {
                title: picture.title.clone(),
                got: format!(
                    "{} bytes that start with {:02x?}",
                    picture.png.len(),
                    &picture.png[..picture.png.len().min(8)]
                ),
            }),
        }
    }
}

impl Display for SizedPicture<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { picture, width, height } = *self;
        let class = match f64::from(width) / f64::from(height.max(1)) {
            ratio if ratio > 5.0 => " class=\"strip\"",
            ratio if ratio > 2.0 => " class=\"wide\"",
            _ if width < SMALL_PICTURE => " class=\"small\"",
            _ => "",
        };
        let (title, data) = (Esc(&picture.title), Base64Display::new(&picture.png, &STANDARD));
        write!(f, "<figure{class}><img src=\"data:image/png;base64,{data}\" ")?;
        write!(f, "width=\"{width}\" height=\"{height}\" alt=\"{title}\" /><figcaption><b>{title}</b>")?;
        if !picture.caption.is_empty() {
            write!(f, " {}", Esc(&picture.caption))?;
        }
        writeln!(f, "</figcaption></figure>")
    }
}

/// Commands in blocks of their own; a click selects one, or a button copies it.
struct Commands<'a>(&'a [String]);

impl Display for Commands<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "<div class=\"commands\">")?;
        for block in self.0 {
            let (remarks, commands): (Vec<&str>, Vec<&str>) =
                block.trim().lines().partition(|line| line.trim_start().starts_with('#'));
            write!(f, "<div>")?;
            for remark in remarks {
                write!(f, "<p>{}</p>", Esc(remark.trim_start_matches(['#', ' '])))?;
            }
            writeln!(f, "<pre class=\"command\"><code>{}</code></pre></div>", Esc(&commands.join("\n")))?;
        }
        writeln!(f, "</div>")
    }
}

/// Facts as a list of terms in columns; long values get a row of their own.
struct Facts<'a>(&'a [(String, String)]);

impl Display for Facts<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "<dl class=\"facts\">")?;
        for (key, value) in self.0 {
            let value = if value.is_empty() { UNDEFINED } else { value };
            let class = if value.chars().count() > LONG_FACT { " class=\"long\"" } else { "" };
            writeln!(f, "<div{class}><dt>{}</dt><dd>{}</dd></div>", Esc(key), Esc(value))?;
        }
        writeln!(f, "</dl>")
    }
}

/// TOML with its tables, keys and comments set apart, line by line.
struct Toml<'a>(&'a str);

impl Display for Toml<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for line in self.0.trim_end().lines() {
            let is_key = |key: &str| {
                !key.is_empty()
                    && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
            };
            match line.split_once(" = ") {
                _ if line.starts_with('[') && line.ends_with(']') => writeln!(f, "<b>{}</b>", Esc(line))?,
                _ if line.trim_start().starts_with('#') => writeln!(f, "<i>{}</i>", Esc(line))?,
                Some((key, value)) if is_key(key) => writeln!(f, "<u>{}</u> = {}", Esc(key), Esc(value))?,
                _ => writeln!(f, "{}", Esc(line))?,
            }
        }
        Ok(())
    }
}
