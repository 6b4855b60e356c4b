//! Strict reading of recipes: a TOML file plus `--set path=value` overrides, into any config struct.
//!
//! Errors name the file and line, or the override, and the dotted key, with the nearest valid name for a mistyped one.

mod explain;
mod locate;
mod overrides;

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::DataError;
use overrides::Override;

/// A parsed recipe with its overrides applied.
#[derive(Debug, Clone)]
pub struct Recipe {
    path: PathBuf,
    text: String,
    value: toml::Table,
    overrides: Vec<Override>,
}

impl Recipe {
    /// Reads a recipe file and applies `overrides` in order, each `path=value`: a dotted path (array elements by index,
    /// the index behind the last appends) and a TOML value; what is no TOML value is a string.
    ///
    /// # Errors
    /// A missing or unreadable file, invalid TOML, an override that is malformed or leads through something that is no
    /// table.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, DataError> {
        let text = fs::read_to_string(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => {
                DataError::Missing { path: path.to_owned(), wanted_by: "recipe".into() }
            }
            _ => DataError::Io { path: path.to_owned(), action: "reading the recipe", source },
        })?;
        Self::from_text(text, path, overrides)
    }

    /// Like [`Recipe::load`], of text that is in memory already; `path` is only named in errors.
    pub fn from_text(text: impl Into<String>, path: &Path, overrides: &[String]) -> Result<Self, DataError> {
        let text = text.into();
        let mut value: toml::Table = toml::from_str(&text).map_err(|err| syntax_error(path, &text, &err))?;
        let overrides = overrides
            .iter()
            .map(|argument| overrides::apply(&mut value, argument))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { path: path.to_owned(), text, value, overrides })
    }

    /// The recipe file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything in the recipe, overrides applied.
    pub fn value(&self) -> &toml::Table {
        &self.value
    }

    /// Reads the whole recipe as a `T`.
    ///
    /// # Errors
    /// [`DataError::Recipe`] for the first key that is unknown, missing or of a wrong type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        self.read(&toml::Value::Table(self.value.clone()), &[])
    }

    /// Reads one top-level table as a `T` and leaves the others alone.
    ///
    /// # Errors
    /// As for [`Recipe::parse`]; also if there is no such table.
    pub fn table<T: DeserializeOwned>(&self, name: &str) -> Result<T, DataError> {
        if let Some(value) = self.value.get(name) {
            return self.read(value, &[name.to_owned()]);
        }
        let there: Vec<&str> = self.value.keys().map(String::as_str).collect();
        let hint = explain::suggestion(name, &there, "`", "the file has");
        Err(self.error(&[], format!("missing table [{name}]{hint}")))
    }

    fn read<T: DeserializeOwned>(&self, value: &toml::Value, prefix: &[String]) -> Result<T, DataError> {
        serde_path_to_error::deserialize(value.clone()).map_err(|err| {
            let segments = locate::segments(value, err.path());
            let found = explain::explain(value, segments, err.inner().message(), prefix);
            self.error(&found.key, found.reason)
        })
    }

    /// An error at a key: blamed on the last override that set it, else on its line in the file.
    fn error(&self, key: &[String], reason: String) -> DataError {
        if let Some(set) = self.overrides.iter().rev().find(|set| key.starts_with(&set.path)) {
            return DataError::Recipe { origin: format!("--set {}", set.argument), line: None, reason };
        }
        let line = locate::line_of(&self.text, key);
        DataError::Recipe { origin: self.path.display().to_string(), line, reason }
    }
}

fn syntax_error(path: &Path, text: &str, err: &toml::de::Error) -> DataError {
    DataError::Recipe {
        origin: path.display().to_string(),
        line: err.span().map(|span| locate::line_at(text, span.start)),
        reason: format!("invalid TOML: {}", err.message().trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AugmentConfig, DataConfig, OwnFiles, SetFiles};
    use serde::Deserialize;

    const TEXT: &str = r#"# a recipe
name = "demo"

[data]
root = "camvid"
[data.train]
list = "train.txt"
[data.loader]
batch_size = 4

[[data.augment]]
op = "flip"
prob = 0.5
[[data.augment]]
op = "random_crop"
size = [8, 8]

[model.backbone]
family = "nat"
depths = [3, 4]
"#;

    fn recipe(text: &str, overrides: &[&str]) -> Result<Recipe, DataError> {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        Recipe::from_text(text, Path::new("demo.toml"), &overrides)
    }

    fn data(overrides: &[&str]) -> Result<DataConfig, String> {
        recipe(TEXT, overrides).unwrap().table("data").map_err(|err| err.to_string())
    }

    fn own(cfg: &DataConfig) -> &OwnFiles {
        let SetFiles::Own(files) = &cfg.files else { panic!("no benchmark") };
        files
    }

    /// The message for `TEXT` with one piece replaced.
    fn broken(from: &str, to: &str) -> String {
        assert!(TEXT.contains(from));
        let recipe = match recipe(&TEXT.replacen(from, to, 1), &[]) {
            Ok(recipe) => recipe,
            Err(err) => return err.to_string(),
        };
        recipe.table::<DataConfig>("data").unwrap_err().to_string()
    }

    #[test]
    fn reads_and_overrides() {
        let cfg =
            data(&["data.loader.batch_size=2", "data.root=other place", "data.augment.0.prob=1"]).unwrap();
        assert_eq!((cfg.loader.batch_size, own(&cfg).root.to_str()), (2, Some("other place")));
        assert!(matches!(&cfg.augment[0], AugmentConfig::Flip(flip) if flip.prob == 1.0));
        let cfg = data(&["data.val.list=v.txt", "data.val.list=w.txt", "data.augment.2={op='photometric'}"])
            .unwrap();
        assert_eq!(own(&cfg).val.list.as_ref().unwrap().to_str(), Some("w.txt"), "later wins");
        assert_eq!(cfg.augment.len(), 3);
        assert_eq!(
            data(&["data.augment=[]", "data.normalize.mean=[0, 0, 0.5]"]).unwrap().normalize.mean[2],
            0.5
        );
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        assert_eq!(
            broken("list =", "lits ="),
            "demo.toml:7: unknown key `data.train.lits`; did you mean `list`?"
        );
        assert_eq!(
            broken("prob", "porb"),
            "demo.toml:13: unknown key `data.augment.0.porb`; did you mean `prob`?"
        );
        let far = broken("list =", "zebra =");
        assert_eq!(
            far,
            "demo.toml:7: unknown key `data.train.zebra`; valid keys: `list`, `images`, `labels`"
        );
        let table = broken("[data.loader]", "[data.laoder]");
        assert_eq!(table, "demo.toml:8: unknown key `data.laoder`; did you mean `loader`?");
        let set = data(&["data.augment.1.cat_max=0.5"]).unwrap_err();
        assert_eq!(
            set,
            "--set data.augment.1.cat_max=0.5: unknown key `data.augment.1.cat_max`; did you mean `cat_max_ratio`?"
        );
    }

    #[test]
    fn unknown_values_name_the_nearest() {
        let op = broken("\"flip\"", "\"flop\"");
        assert_eq!(op, "demo.toml:12: `data.augment.0.op`: unknown value \"flop\"; did you mean \"flip\"?");
    }

    #[test]
    fn wrong_types_say_expected_and_got() {
        let number = broken("batch_size = 4", "batch_size = \"four\"");
        assert_eq!(
            number,
            "demo.toml:9: `data.loader.batch_size`: expected a whole number not below 0, got string \"four\""
        );
        let negative = broken("batch_size = 4", "batch_size = -4");
        assert!(
            negative.ends_with("`data.loader.batch_size`: expected a whole number not below 0, got -4"),
            "{negative}"
        );
        let tagged = broken("prob = 0.5", "prob = \"half\"");
        assert_eq!(tagged, "demo.toml:13: `data.augment.0.prob`: expected a number, got string \"half\"");
        let length = broken("[8, 8]", "[8, 8, 8]");
        assert_eq!(
            length,
            "demo.toml:16: `data.augment.1.size`: expected an array of length 2, got length 3"
        );
        let element = broken("[8, 8]", "[8, true]");
        assert_eq!(
            element,
            "demo.toml:16: `data.augment.1.size.1`: expected a whole number not below 0, got true"
        );
        let table = broken("[data.loader]\nbatch_size = 4", "loader = 3");
        assert!(table.ends_with("`data.train.loader`; valid keys: `list`, `images`, `labels`"), "{table}");
        let set = data(&["data.loader=3"]).unwrap_err();
        assert_eq!(set, "--set data.loader=3: `data.loader`: expected a table, got 3");
        let mean = |value: &str| data(&[&format!("data.normalize.mean={value}")]).unwrap_err();
        assert!(
            mean("[1, 2]").ends_with("`data.normalize.mean`: expected an array of length 3, got length 2")
        );
        assert!(
            mean("[1, 2, 3, 4]").contains("`data.normalize.mean`: expected "),
            "{}",
            mean("[1, 2, 3, 4]")
        );
        assert!(
            mean("[1, 2, 'x']").ends_with("`data.normalize.mean.2`: expected a number, got string \"x\"")
        );
        assert!(
            data(&["data.ignore_label=300"])
                .unwrap_err()
                .ends_with("expected a whole number from 0 to 255, got 300")
        );
        assert!(data(&["data.reduce_zero_label=1"]).unwrap_err().ends_with("expected true or false, got 1"));
    }

    #[test]
    fn missing_keys_and_tables() {
        assert_eq!(broken("root = \"camvid\"\n", ""), "demo.toml:4: missing key `data.root`");
        assert_eq!(broken("op = \"flip\"\n", ""), "demo.toml:11: missing key `data.augment.0.op`");
        assert_eq!(broken("size = [8, 8]\n", ""), "demo.toml:14: missing key `data.augment.1.size`");
        let none = recipe("[date]\n", &[]).unwrap().table::<DataConfig>("data").unwrap_err().to_string();
        assert_eq!(none, "demo.toml: missing table [data]; did you mean `date`?");
    }

    #[test]
    fn whole_recipes_into_nested_tagged_enums() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only the errors matter")]
        struct Run {
            name: String,
            data: DataConfig,
            model: Model,
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only the errors matter")]
        struct Model {
            backbone: Backbone,
        }
        #[derive(Debug, Deserialize)]
        #[serde(tag = "family", rename_all = "snake_case")]
        enum Backbone {
            #[expect(dead_code, reason = "only the errors matter")]
            Nat(Nat),
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only the errors matter")]
        struct Nat {
            depths: [u32; 2],
        }
        let error = |set: &str| recipe(TEXT, &[set]).unwrap().parse::<Run>().unwrap_err().to_string();
        recipe(TEXT, &[]).unwrap().parse::<Run>().unwrap();
        assert!(error("nmae=x").ends_with("unknown key `nmae`; did you mean `name`?"));
        assert!(
            error("model.backbone.depths=[1, 2.5]")
                .contains("`model.backbone.depths.1`: expected a whole number")
        );
        assert!(
            error("model.backbone.family=nta")
                .contains("`model.backbone.family`: unknown value \"nta\"; did you mean")
        );
        assert!(
            error("model.backbone.dephts=1")
                .contains("unknown key `model.backbone.dephts`; did you mean `depths`?")
        );
        assert!(error("name=3").ends_with("`name`: expected a string, got 3"));
    }

    #[test]
    fn syntax_and_file_errors() {
        let text = broken("size = [8, 8]", "size = [8, 8");
        assert!(text.starts_with("demo.toml:1") && text.contains("invalid TOML: "), "{text}");
        let none = Recipe::load(Path::new("no/such.toml"), &[]).unwrap_err().to_string();
        assert_eq!(none, "no/such.toml: no such file or folder (recipe)");
    }

    #[test]
    fn malformed_overrides() {
        let error = |set: &str| recipe(TEXT, &[set]).unwrap_err().to_string();
        assert_eq!(error("data.root"), "--set data.root: expected path=value");
        assert_eq!(
            error("=3"),
            "--set =3: expected path=value with a dotted path such as data.loader.batch_size"
        );
        assert!(error("a..b=3").contains("dotted path"));
        assert_eq!(error("data.root.x=3"), "--set data.root.x=3: `data.root` is a string, not a table");
        assert_eq!(
            error("data.augment.5.prob=0"),
            "--set data.augment.5.prob=0: `data.augment` has 2 elements, no index `5`"
        );
        assert!(error("data.augment.x.prob=0").contains("no index `x`"));
        assert!(error("data.normalize.mean=[1, 2").contains("invalid TOML value"));
    }
}
