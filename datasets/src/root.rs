//! Where a set lies: `data.root` below a base folder that the user chooses once.

use std::env;
use std::path::{Path, PathBuf};

use crate::DataError;

/// Where `data.root` is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRoot {
    base: PathBuf,
    said_by: &'static str,
}

impl DataRoot {
    /// The base folder by `--data-root` if given, else `$SMALTI_DATA` if set and not empty, else `./data`.
    pub fn new(data_root: Option<&Path>) -> Self {
        Self::with_env(data_root, env::var_os("SMALTI_DATA").map(PathBuf::from))
    }

    fn with_env(data_root: Option<&Path>, env: Option<PathBuf>) -> Self {
        let env = env.filter(|path| !path.as_os_str().is_empty());
        match (data_root, env) {
            (Some(path), _) => Self { base: path.to_owned(), said_by: "--data-root" },
            (None, Some(path)) => Self { base: path, said_by: "$SMALTI_DATA" },
            (None, None) => Self { base: PathBuf::from("data"), said_by: "the default ./data" },
        }
    }

    /// The folder of a set. An absolute `root` stands for itself.
    ///
    /// # Errors
    /// [`DataError::Missing`] if it is no folder, saying where the base came from and how to name another.
    pub fn resolve(&self, root: &Path) -> Result<PathBuf, DataError> {
        let path = self.base.join(root); // an absolute `root` replaces the base
        if path.is_dir() {
            return Ok(path);
        }
        let wanted_by = if root.is_absolute() {
            "data.root; is it mounted, or is the path mistyped?".to_owned()
        } else {
            let by = self.said_by;
            let root = root.display();
            format!(
                "data.root = \"{root}\" below {by}; pass --data-root DIR, set SMALTI_DATA=DIR or make data.root absolute"
            )
        };
        Err(DataError::Missing { path, wanted_by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_root_order_and_message() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("set")).unwrap();
        let env = Some(dir.path().to_owned());
        let found = DataRoot::with_env(None, env.clone()).resolve(Path::new("set")).unwrap();
        assert_eq!(found, dir.path().join("set"));
        let absolute =
            DataRoot::with_env(Some(Path::new("elsewhere")), None).resolve(&dir.path().join("set"));
        assert_eq!(absolute.unwrap(), dir.path().join("set"));
        // --data-root wins over the environment, even where it leads nowhere.
        let err =
            DataRoot::with_env(Some(Path::new("elsewhere")), env).resolve(Path::new("set")).unwrap_err();
        let text = err.to_string();
        assert!(
            text.contains("elsewhere") && text.contains("below --data-root; pass --data-root DIR"),
            "{text}"
        );
        let text = DataRoot::with_env(None, Some(PathBuf::new()))
            .resolve(Path::new("none"))
            .unwrap_err()
            .to_string();
        assert!(text.contains("the default ./data"), "{text}");
    }
}
