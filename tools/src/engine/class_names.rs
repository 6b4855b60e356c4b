//! Whether two lists of names mean the same classes: spellings differ a little from code base to code base.

use smalti_datasets::ClassTable;

/// Share of names that has to agree with a benchmark's.
const ALIKE: f64 = 0.8;

/// Whether these are the classes of a benchmark, in its order.
pub fn alike(names: &[String], classes: &ClassTable) -> bool {
    let same = names.iter().zip(classes.names()).filter(|(a, b)| plain(a) == plain(b)).count();
    names.len() == classes.len() && same as f64 >= ALIKE * names.len() as f64
}

/// The first synonym of a name, its letters and digits alone, in lower case.
pub fn plain(name: &str) -> String {
    let first = name.split([',', ';']).next().unwrap_or_default();
    first.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
