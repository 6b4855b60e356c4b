//! What was seen of the images, added up: of an image itself nothing is kept but its fingerprint.

use std::collections::{BTreeMap, BTreeSet};

use super::Seen;
use super::report::{Findings, Kind, Severity};
use crate::likeness::Fingerprint;

/// Sums over some images that stand side by side in the set.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) good: usize,
    pub(super) objects: u64,
    pub(super) empty_images: u64,
    pub(super) unreadable: u64,
    pub(super) void_pixels: u64,
    pub(super) pixels: u64,
    /// By class.
    pub(super) classes: Vec<ClassTotals>,
    /// Images by height and width.
    pub(super) sizes: BTreeMap<(usize, usize), u64>,
    pub(super) findings: Findings,
    /// Of each image, `None` where it cannot be read.
    pub(super) prints: Vec<Option<Fingerprint>>,
}

/// Sums of one class.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct ClassTotals {
    pub(super) objects: u64,
    pub(super) images: u64,
    pub(super) pixels: u64,
}

impl Totals {
    pub(super) fn new(classes: usize) -> Self {
        Self { classes: vec![ClassTotals::default(); classes], ..Self::default() }
    }

    pub(super) fn add(&mut self, seen: Seen, is_listed_well: bool) {
        let Seen { found, objects, void_pixels, size, print } = seen;
        let is_good = found.iter().all(|(kind, _)| kind.severity() != Severity::Error);
        self.good += usize::from(is_listed_well && is_good);
        self.unreadable += u64::from(found.iter().any(|(kind, _)| *kind == Kind::Unreadable));
        self.objects += objects.len() as u64;
        self.empty_images += u64::from(objects.is_empty());
        self.void_pixels += void_pixels;
        if let Some((height, width)) = size {
            *self.sizes.entry((height, width)).or_insert(0) += 1;
            self.pixels += (height * width) as u64;
        }
        for (class, pixels) in &objects {
            if let Some(count) = self.classes.get_mut(usize::from(*class)) {
                count.objects += 1;
                count.pixels += pixels;
            }
        }
        let present: BTreeSet<u16> = objects.iter().map(|(class, _)| *class).collect();
        for class in present {
            if let Some(count) = self.classes.get_mut(usize::from(class)) {
                count.images += 1;
            }
        }
        for (kind, text) in found {
            self.findings.add(kind, text);
        }
        self.prints.push(print);
    }

    /// Adds the sums over the images behind these.
    pub(super) fn merge(&mut self, behind: Self) {
        let Self { good, objects, empty_images, unreadable, void_pixels, pixels, .. } = behind;
        self.good += good;
        self.objects += objects;
        self.empty_images += empty_images;
        self.unreadable += unreadable;
        self.void_pixels += void_pixels;
        self.pixels += pixels;
        for (sum, more) in self.classes.iter_mut().zip(behind.classes) {
            sum.objects += more.objects;
            sum.images += more.images;
            sum.pixels += more.pixels;
        }
        for (size, images) in behind.sizes {
            *self.sizes.entry(size).or_insert(0) += images;
        }
        self.findings.merge(behind.findings);
        self.prints.extend(behind.prints);
    }
}
