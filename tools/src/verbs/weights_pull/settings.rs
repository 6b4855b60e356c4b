//! What the environment says about hub, cache and token, by the names that Hugging Face's libraries gave it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use smalti_checkpoints::hub;

use crate::output::InputError;

const HUB: &str = "https://huggingface.co";

/// Where to ask, where to put files, and who asks.
#[derive(Debug)]
pub struct Settings {
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// The folder of all repositories.
    pub cache: PathBuf,
    /// The variable that forbids the network, if one does.
    pub offline: Option<&'static str>,
    /// Who asks.
    pub token: Option<Token>,
    /// Where a token is looked for.
    pub token_file: Option<PathBuf>,
}

/// A secret of the hub's, and where it was found.
pub struct Token {
    pub secret: String,
    pub origin: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token of {}", self.origin) // never the secret
    }
}

impl Settings {
    /// `variable` looks up an environment variable.
    ///
    /// # Errors
    /// [`InputError`]s: no home to have a cache in, an address that is none.
    pub fn new(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let is_on = |name: &str| {
            let text = set(name).unwrap_or_default().to_string_lossy().to_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&text.as_str())
        };
        let Some(cache) = hub::cache(&variable) else {
            bail!(InputError::new("no folder for the hub's cache: set HF_HOME, HF_HUB_CACHE or HOME"));
        };
        let cache = std::path::absolute(&cache).with_context(|| cache.display().to_string())?;
        let endpoint = set("HF_ENDPOINT").map_or(HUB.into(), |text| text.to_string_lossy().into_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
            let text = format!("HF_ENDPOINT: expected an address such as {HUB}, got `{endpoint}`");
            bail!(InputError::new(text));
        }
        let token_file = set("HF_TOKEN_PATH")
            .map(PathBuf::from)
            .or_else(|| hub::home(&variable).map(|home| home.join("token")));
        let token = if is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            None
        } else {
            let named = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
                .into_iter()
                .find_map(|name| Token::new(&set(name)?.to_string_lossy(), name.into()));
            named.or_else(|| Token::read(token_file.as_deref()?))
        };
        let offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| is_on(name));
        Ok(Self { endpoint, cache, offline, token, token_file })
    }
}

impl Token {
    fn new(text: &str, origin: String) -> Option<Self> {
        let secret = text.trim();
        (!secret.is_empty()).then(|| Self { secret: secret.to_owned(), origin })
    }

    fn read(path: &Path) -> Option<Self> {
        Self::new(&std::fs::read_to_string(path).ok()?, path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[(&str, &str)]) -> Result<Settings> {
        Settings::new(|name| {
            set.iter().find(|(other, _)| *other == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_variables_mean_what_they_mean_to_the_hub_s_libraries() {
        let settings = with(&[("HOME", "/none")]).unwrap();
        assert_eq!(settings.endpoint, HUB);
        assert_eq!(settings.cache, Path::new("/none/.cache/huggingface/hub"));
        assert_eq!(settings.token_file.unwrap(), Path::new("/none/.cache/huggingface/token"));
        assert!(settings.token.is_none() && settings.offline.is_none());

        let settings =
            with(&[("HF_HOME", "/none"), ("HF_ENDPOINT", "http://mirror/"), ("HF_HUB_OFFLINE", "yes")])
                .unwrap();
        assert_eq!(settings.endpoint, "http://mirror");
        assert_eq!(settings.cache, Path::new("/none/hub"));
        assert_eq!(settings.offline, Some("HF_HUB_OFFLINE"));
        assert_eq!(with(&[("HF_HOME", "/f"), ("HF_HUB_OFFLINE", "0")]).unwrap().offline, None);

        let error = with(&[("HF_HOME", "/f"), ("HF_ENDPOINT", "mirror")]).unwrap_err().to_string();
        assert!(error.contains("HF_ENDPOINT: expected an address such as https://"), "{error}");
        assert!(with(&[]).unwrap_err().to_string().contains("set HF_HOME"));
    }

    #[test]
    fn a_token_comes_from_a_variable_or_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        std::fs::write(dir.path().join("token"), "of_a_file\n").unwrap();
        let token = with(&[("HF_HOME", home)]).unwrap().token.unwrap();
        assert_eq!(token.secret, "of_a_file");
        assert!(token.origin.ends_with("/token"));
        assert!(!format!("{token:?}").contains("of_a_file"));
        let token = with(&[("HF_HOME", home), ("HF_TOKEN", " given ")]).unwrap().token.unwrap();
        assert_eq!((token.secret.as_str(), token.origin.as_str()), ("given", "HF_TOKEN"));
        let quiet = with(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).unwrap();
        assert!(quiet.token.is_none());
    }
}
