//! One record of a COCO file: an image, a category, an annotation or a result, read without building a tree.
//!
//! Accepts what Python's reader accepts: `NaN` and `Infinity` as numbers, and of a key that occurs twice the last value.

use jiter::{Jiter, JiterError, JiterErrorType, NumberAny, NumberInt, Peek};
use smalti_datasets::DataError;
use smalti_datasets::polygon;
use smalti_datasets::rle::Spans;

use super::params::ImageId;

/// What is wrong with a record.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Byte in the text that was read.
    pub(super) at: usize,
    /// Expected and got.
    pub(super) reason: String,
}

impl Wrong {
    pub(super) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }

    pub(super) fn of(err: &JiterError) -> Self {
        let reason = match &err.error_type {
            JiterErrorType::WrongType { expected, actual } => format!("expected {expected}, got {actual}"),
            JiterErrorType::JsonError(kind) => format!("not valid JSON: {kind}"),
        };
        Self { at: err.index, reason }
    }
}

impl From<JiterError> for Wrong {
    fn from(err: JiterError) -> Self {
        Self::of(&err)
    }
}

/// The keys that are looked at; everything else is only checked to be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Id,
    ImageId,
    CategoryId,
    Score,
    Area,
    IsCrowd,
    Bbox,
    Segmentation,
    Height,
    Width,
    Name,
    Other,
}

impl Key {
    fn of(name: &str) -> Self {
        match name {
            "id" => Self::Id,
            "image_id" => Self::ImageId,
            "category_id" => Self::CategoryId,
            "score" => Self::Score,
            "area" => Self::Area,
            "iscrowd" => Self::IsCrowd,
            "bbox" => Self::Bbox,
            "segmentation" => Self::Segmentation,
            "height" => Self::Height,
            "width" => Self::Width,
            "name" => Self::Name,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::ImageId => "image_id",
            Self::CategoryId => "category_id",
            Self::Score => "score",
            Self::Area => "area",
            Self::IsCrowd => "iscrowd",
            Self::Bbox => "bbox",
            Self::Segmentation => "segmentation",
            Self::Height => "height",
            Self::Width => "width",
            Self::Name => "name",
            Self::Other => "",
        }
    }
}

/// The box of a record.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum Bbox {
    #[default]
    Absent,
    /// `[]`, which the reference takes for "no box" in the first result.
    Empty,
    /// `[x, y, width, height]`.
    Box([f64; 4]),
}

/// The form in which a mask was given; its content is in the record's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Form {
    #[default]
    Absent,
    Polygons,
    Compressed([u32; 2]),
    Uncompressed([u32; 2]),
}

/// A record in buffers that are kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Byte of the text at which it starts.
    pub(super) at: usize,
    pub(super) id: Option<ImageId>,
    pub(super) image: Option<ImageId>,
    pub(super) category: Option<i64>,
    pub(super) score: Option<f64>,
    pub(super) area: Option<f64>,
    pub(super) crowd: bool,
    pub(super) bbox: Bbox,
    pub(super) height: Option<u32>,
    pub(super) width: Option<u32>,
    pub(super) name: Option<String>,
    form: Form,
    text: String,
    counts: Vec<u32>,
    xy: Vec<f64>,
    /// End of each part in `xy`.
    ends: Vec<usize>,
}

/// Reads all records of a block, see [`smalti_datasets::json_blocks::Block::text`]. Of an error the number of the record
/// in the block is given as well.
pub(super) fn each_record(
    text: &[u8],
    wanted: &[Key],
    record: &mut Record,
    mut visit: impl FnMut(usize, &mut Record) -> Result<(), Wrong>,
) -> Result<(), (usize, Wrong)> {
    let mut jiter = Jiter::new(text).with_allow_inf_nan();
    let mut index = 0;
    let mut next = jiter.next_array().map_err(|err| (0, Wrong::of(&err)))?;
    while next.is_some() {
        record.read(&mut jiter, wanted).and_then(|()| visit(index, record)).map_err(|err| (index, err))?;
        next = jiter.array_step().map_err(|err| (index, Wrong::of(&err)))?;
        index += 1;
    }
    jiter.finish().map_err(|err| (index, Wrong::of(&err)))
}

/// Checks that a value nobody needs is JSON.
pub(super) fn check_value(text: &[u8]) -> Result<(), Wrong> {
    let mut jiter = Jiter::new(text).with_allow_inf_nan();
    jiter.next_skip()?;
    Ok(jiter.finish()?)
}

impl Record {
    fn read(&mut self, jiter: &mut Jiter<'_>, wanted: &[Key]) -> Result<(), Wrong> {
        let peek = jiter.peek()?;
        self.at = jiter.current_index();
        (self.id, self.image, self.name) = (None, None, None);
        (self.category, self.score, self.area) = (None, None, None);
        (self.height, self.width) = (None, None);
        (self.crowd, self.bbox, self.form) = (false, Bbox::Absent, Form::Absent);
        if peek != Peek::Object {
            return Err(Wrong::new(self.at, format!("expected an object, got {}", kind(peek))));
        }
        let mut key = jiter.known_object()?.map(Key::of);
        while let Some(found) = key {
            if wanted.contains(&found) {
                let at = jiter.current_index();
                self.field(found, jiter).map_err(|err| {
                    Wrong::new(err.at.max(at), format!("`{}`: {}", found.name(), err.reason))
                })?;
            } else {
                jiter.next_skip()?;
            }
            key = jiter.next_key()?.map(Key::of);
        }
        Ok(())
    }

    fn field(&mut self, key: Key, jiter: &mut Jiter<'_>) -> Result<(), Wrong> {
        match key {
            Key::Id => self.id = Some(image_id(jiter)?),
            Key::ImageId => self.image = Some(image_id(jiter)?),
            Key::CategoryId => self.category = Some(integer(jiter)?),
            Key::Score => self.score = Some(number(jiter)?),
            Key::Area => self.area = Some(number(jiter)?),
            Key::IsCrowd => {
                let peek = jiter.peek()?;
                self.crowd = match peek {
                    Peek::True | Peek::False => jiter.known_bool(peek)?,
                    _ => integer(jiter)? != 0,
                };
            }
            Key::Bbox => self.bbox = bbox(jiter)?,
            Key::Segmentation => self.mask(jiter)?,
            Key::Height => self.height = Some(size(jiter)?),
            Key::Width => self.width = Some(size(jiter)?),
            Key::Name => self.name = Some(jiter.next_str()?.to_owned()),
            Key::Other => jiter.next_skip()?,
        }
        Ok(())
    }

    fn mask(&mut self, jiter: &mut Jiter<'_>) -> Result<(), Wrong> {
        let peek = jiter.peek()?;
        match peek {
            Peek::Array => self.polygons(jiter),
            Peek::Object => self.runs(jiter),
            _ => Err(Wrong::new(
                jiter.current_index(),
                format!("expected polygons or run lengths, got {}", kind(peek)),
            )),
        }
    }

    fn polygons(&mut self, jiter: &mut Jiter<'_>) -> Result<(), Wrong> {
        self.xy.clear();
        self.ends.clear();
        let mut part = jiter.known_array()?;
        while part.is_some() {
            let mut coordinate = jiter.next_array()?;
            while let Some(peek) = coordinate {
                self.xy.push(jiter.known_float(peek)?);
                coordinate = jiter.array_step()?;
            }
            self.ends.push(self.xy.len());
            part = jiter.array_step()?;
        }
        self.form = Form::Polygons;
        Ok(())
    }

    fn runs(&mut self, jiter: &mut Jiter<'_>) -> Result<(), Wrong> {
        let at = jiter.current_index();
        let mut shape = None;
        let mut is_text = None;
        let mut key = jiter.known_object()?.map(str::to_owned);
        while let Some(name) = key {
            match (name.as_str(), jiter.peek()?) {
                ("size", _) => shape = Some(height_and_width(jiter)?),
                ("counts", Peek::Array) => {
                    self.counts.clear();
                    let mut run = jiter.known_array()?;
                    while run.is_some() {
                        self.counts.push(size(jiter)?);
                        run = jiter.array_step()?;
                    }
                    is_text = Some(false);
                }
                ("counts", _) => {
                    self.text.clear();
                    self.text.push_str(jiter.next_str()?);
                    is_text = Some(true);
                }
                _ => jiter.next_skip()?,
            }
            key = jiter.next_key()?.map(str::to_owned);
        }
        self.form = match (shape, is_text) {
            (Some(shape), Some(true)) => Form::Compressed(shape),
            (Some(shape), Some(false)) => Form::Uncompressed(shape),
            (None, _) => return Err(Wrong::new(at, "expected run lengths with a `size`, got none")),
            (_, None) => return Err(Wrong::new(at, "expected run lengths with `counts`, got none")),
        };
        Ok(())
    }

    /// Whether there is a mask in one of its forms.
    pub(super) fn has_mask(&self) -> bool {
        self.form != Form::Absent
    }

    /// Takes the box for the mask, as the reference does with results that have boxes only.
    pub(super) fn mask_from_box(&mut self, [x, y, width, height]: [f64; 4]) {
        let (right, bottom) = (x + width, y + height);
        self.xy.clear();
        self.xy.extend([x, y, x, bottom, right, bottom, right, y]);
        self.ends.clear();
        self.ends.push(8);
        self.form = Form::Polygons;
    }

    /// The area of the mask, and nothing else of it where that is faster; see [`Record::draw`].
    pub(super) fn measure(&self, image: Option<[u32; 2]>, out: &mut Spans) -> Result<(), Wrong> {
        if let Form::Compressed(size) = self.form {
            return out.read_area(size, &self.text).map_err(|err| self.wrong_mask(&err));
        }
        self.draw(image, out)
    }

    /// The mask as spans. `image` is the size on which polygons are drawn.
    pub(super) fn draw(&self, image: Option<[u32; 2]>, out: &mut Spans) -> Result<(), Wrong> {
        let wrong = |err: DataError| self.wrong_mask(&err);
        match self.form {
            Form::Absent => return Err(Wrong::new(self.at, "expected a `segmentation`, got none")),
            Form::Compressed(size) => out.read_compressed(size, &self.text).map_err(wrong)?,
            Form::Uncompressed(size) => out.read_counts(size, &self.counts).map_err(wrong)?,
            Form::Polygons => {
                let Some(size) = image else {
                    let reason = "`segmentation`: a polygon, but its image has no `height` and `width`";
                    return Err(Wrong::new(self.at, reason));
                };
                polygon::check(self.ends.first().copied()).map_err(wrong)?;
                let starts = std::iter::once(0).chain(self.ends.iter().copied());
                let parts = starts.zip(&self.ends).map(|(start, &end)| &self.xy[start..end]);
                out.read_polygons(size, parts).map_err(wrong)?;
            }
        }
        Ok(())
    }

    fn wrong_mask(&self, err: &DataError) -> Wrong {
        Wrong::new(self.at, format!("`segmentation`: {err}"))
    }
}

fn image_id(jiter: &mut Jiter<'_>) -> Result<ImageId, Wrong> {
    if jiter.peek()? == Peek::String {
        return Ok(ImageId::Text(jiter.known_str()?.to_owned()));
    }
    integer(jiter).map(ImageId::Number)
}

/// A whole number, also where it is written as `3.0`.
fn integer(jiter: &mut Jiter<'_>) -> Result<i64, Wrong> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    let peek = jiter.peek()?;
    let at = jiter.current_index();
    if !peek.is_num() {
        return Err(Wrong::new(at, format!("expected a whole number, got {}", kind(peek))));
    }
    match jiter.known_number(peek)? {
        NumberAny::Int(NumberInt::Int(value)) => Ok(value),
        NumberAny::Float(value) if value.fract() == 0.0 && value.abs() <= EXACT => Ok(value as i64),
        NumberAny::Float(value) => Err(Wrong::new(at, format!("expected a whole number, got {value}"))),
    }
}

fn number(jiter: &mut Jiter<'_>) -> Result<f64, Wrong> {
    let peek = jiter.peek()?;
    if !peek.is_num() {
        return Err(Wrong::new(jiter.current_index(), format!("expected a number, got {}", kind(peek))));
    }
    Ok(jiter.known_float(peek)?)
}

/// A count or length in pixels.
fn size(jiter: &mut Jiter<'_>) -> Result<u32, Wrong> {
    let value = integer(jiter)?;
    let at = jiter.current_index();
    u32::try_from(value)
        .map_err(|_| Wrong::new(at, format!("expected a number of pixels up to 2^32, got {value}")))
}

/// `[H, W]`.
fn height_and_width(jiter: &mut Jiter<'_>) -> Result<[u32; 2], Wrong> {
    let at = jiter.current_index();
    let mut found = [0; 2];
    let mut n = 0;
    let mut next = jiter.next_array()?;
    while next.is_some() {
        let value = size(jiter)?;
        if let Some(place) = found.get_mut(n) {
            *place = value;
        }
        n += 1;
        next = jiter.array_step()?;
    }
    if n == 2 { Ok(found) } else { Err(Wrong::new(at, format!("`size`: expected 2 numbers, got {n}"))) }
}

fn bbox(jiter: &mut Jiter<'_>) -> Result<Bbox, Wrong> {
    let mut found = [0.0; 4];
    let mut n = 0;
    let mut next = jiter.next_array()?;
    while next.is_some() {
        let value = number(jiter)?;
        if let Some(place) = found.get_mut(n) {
            *place = value;
        }
        n += 1;
        next = jiter.array_step()?;
    }
    match n {
        0 => Ok(Bbox::Empty),
        4 => Ok(Bbox::Box(found)),
        _ => Err(Wrong::new(jiter.current_index(), format!("expected 4 numbers, got {n}"))),
    }
}

fn kind(peek: Peek) -> &'static str {
    match peek {
        Peek::Null => "null",
        Peek::True | Peek::False => "a truth value",
        Peek::String => "text",
        Peek::Array => "a list",
        Peek::Object => "an object",
        _ if peek.is_num() => "a number",
        _ => "no JSON value",
    }
}
