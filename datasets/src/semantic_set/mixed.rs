//! Semantic sets mixed for training: the further ones take over the first one's class ids.

use std::path::Path;
use std::sync::Arc;

use super::SemanticSet;
use crate::config::{DataConfig, Mix, SetFiles, Split};
use crate::mixture::{Part, class_ids};
use crate::{DataError, Mixture};

impl SemanticSet {
    /// This training set and behind it those of `[[data.mix]]`, whose classes are matched with its own by name.
    ///
    /// # Errors
    /// As for [`SemanticSet::open`]; a class that this set lacks; shares so far from the sizes that an epoch gets too long.
    pub fn mix(self, cfg: &DataConfig, data_root: Option<&Path>) -> Result<Mixture<Self>, DataError> {
        if cfg.mix.sets.is_empty() {
            let images = self.len();
            return Ok(Mixture::one(Arc::new(self), images));
        }
        let part = |set: Self, files: &SetFiles, weight| {
            let images = set.len();
            Part { name: files.to_string(), set: Arc::new(set), images, weight }
        };
        let mut parts = Vec::with_capacity(1 + cfg.mix.sets.len());
        for (i, mixed) in cfg.mix.sets.iter().enumerate() {
            let key = Mix::<SetFiles>::key(i);
            let mut set = Self::open_files(&mixed.files, &key, Split::Train, data_root)?;
            set.take_classes_of(&self, &key)?;
            parts.push(part(set, &mixed.files, mixed.weight));
        }
        parts.insert(0, part(self, &cfg.files, cfg.mix.weight));
        Mixture::new(parts)
    }

    fn take_classes_of(&mut self, first: &Self, key: &str) -> Result<(), DataError> {
        // Class files need not say what a thing is, and nothing here asks.
        let ids = class_ids(key, (&first.classes, &first.root), (&self.classes, &self.root), false)?;
        self.mapping.rename(&ids);
        self.classes.rename(&first.classes);
        Ok(())
    }
}
