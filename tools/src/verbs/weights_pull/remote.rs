//! The hub: a repository's list of files, and files into the cache. Everything that can go wrong on the way there.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Component, Path};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, Metadata};
use hf_hub::{Cache, Repo, RepoType};
use smalti_datasets::error::is_about_the_place;

use crate::output::{self, InputError, Progress};

use super::repository::Repository;
use super::settings::Settings;

/// A network that does not even connect in this time is none.
const CONNECT: Duration = Duration::from_secs(10);
/// The list of files is a small answer.
const ANSWER: Duration = Duration::from_secs(60);

/// A repository on the hub.
pub struct Remote<'a> {
    settings: &'a Settings,
    repository: &'a Repository,
    api: Api,
    cache: Cache,
}

/// What the hub says of a revision.
pub enum Answer {
    /// It is this commit, with these files.
    Listing { commit: String, files: Vec<String> },
    /// Nothing: it cannot be reached, for this reason.
    Silence(String),
}

/// What became of a file.
pub enum Fetched {
    /// The cache had it.
    Had,
    /// It came, but for `kept` of its `bytes` that an earlier download had left.
    Came { bytes: u64, kept: u64, seconds: f64 },
}

impl<'a> Remote<'a> {
    pub fn new(settings: &'a Settings, repository: &'a Repository) -> Result<Self> {
        let cache = Cache::new(settings.cache.clone());
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(settings.endpoint.clone())
            .with_token(settings.token.as_ref().map(|token| token.secret.clone()))
            .with_user_agent("smalti", env!("CARGO_PKG_VERSION"))
            .build()
            .context("setting up the connection")?;
        Ok(Self { settings, repository, api, cache })
    }

    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repository.id.clone(), RepoType::Model, revision.to_owned())
    }

    /// Asks for the revision's commit and files.
    ///
    /// # Errors
    /// A repository or revision that is not there or not open to who asks ([`InputError`]s); a hub that fails.
    pub fn list(&self) -> Result<Answer> {
        let endpoint = &self.settings.endpoint;
        let request = self.api.repo(self.repo(&self.repository.revision)).info_request();
        let request = request
            .config()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(ANSWER))
            .build();
        let mut response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(Answer::Silence(format!("{endpoint}: {}", reason(&error)))),
        };
        let status = response.status().as_u16();
        if status != 200 {
            let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok());
            return Err(self.refused(status, code.unwrap_or_default()));
        }
        let text = match response.body_mut().read_to_string() {
            Ok(text) => text,
            Err(error) => return Ok(Answer::Silence(format!("{endpoint}: {}", reason(&error)))),
        };
        let info: RepoInfo = serde_json::from_str(&text).map_err(|_| self.no_hub("its list of files"))?;
        if info.sha.is_empty() || !info.sha.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(self.no_hub("the commit in its list of files"));
        }
        let files = info.siblings.into_iter().map(|file| file.rfilename).collect();
        Ok(Answer::Listing { commit: info.sha, files })
    }

    /// Brings one file of a commit into the cache, whole or not at all.
    ///
    /// # Errors
    /// As [`list`](Self::list); a connection that breaks off, a folder that cannot be written to.
    pub fn fetch(&self, commit: &str, name: &str) -> Result<Fetched> {
        let link = self.repository.snapshot(commit).join(name);
        if link.is_file() {
            return Ok(Fetched::Had);
        }
        if link.is_symlink() {
            // To a file that someone cleared away; it would be in the new link's place.
            fs::remove_file(&link).with_context(|| link.display().to_string())?;
        }
        let repo = self.api.repo(self.repo(commit));
        let metadata = self.api.metadata(&repo.url(name)).map_err(|error| self.failed(name, error))?;
        self.check(&metadata, commit, name)?;
        let (etag, size) = (metadata.etag(), metadata.size() as u64);
        let blob = self.cache.repo(self.repo(commit)).blob_path(etag);
        output::create_dir(blob.parent().unwrap_or(&self.repository.folder))?;
        if fs::metadata(&blob).is_ok_and(|found| found.len() == size) {
            // Another revision's file with the same content.
            output::create_dir(&self.repository.snapshot(commit))?;
            let target = Path::new("../../blobs").join(etag);
            std::os::unix::fs::symlink(target, &link).with_context(|| link.display().to_string())?;
            return Ok(Fetched::Had);
        }
        let kept = kept(&blob, size).with_context(|| blob.display().to_string())?;
        let began = Instant::now();
        repo.download_with_progress(name, Bar::default()).map_err(|error| self.failed(name, error))?;
        let got = fs::metadata(&blob).with_context(|| blob.display().to_string())?.len();
        if got != size {
            for path in [&link, &blob] {
                fs::remove_file(path).with_context(|| path.display().to_string())?;
            }
            bail!("{name}: expected {size} bytes, got {got}; they were removed: run the same command again");
        }
        Ok(Fetched::Came { bytes: size, kept, seconds: began.elapsed().as_secs_f64() })
    }

    /// What a hub says of a file becomes paths in the cache.
    fn check(&self, metadata: &Metadata, commit: &str, name: &str) -> Result<()> {
        if metadata.commit_hash() != commit {
            return Err(self.no_hub(&format!("the commit of {name}")));
        }
        let etag = Path::new(metadata.etag());
        let plain = etag.components().all(|step| matches!(step, Component::Normal(_)));
        if etag.as_os_str().is_empty() || !plain {
            return Err(self.no_hub(&format!("the ETag of {name}")));
        }
        Ok(())
    }

    /// The hub answered with a status that is no success.
    fn refused(&self, status: u16, code: &str) -> anyhow::Error {
        let (id, revision, endpoint) =
            (&self.repository.id, &self.repository.revision, &self.settings.endpoint);
        let text = match (status, code) {
            (404, "RevisionNotFound") => {
                format!("{id}: no revision `{revision}` at {endpoint}/{id}/tree/main")
            }
            (404, _) | (401, "RepoNotFound") => format!(
                "{id}: no such repository with a revision `{revision}` at {endpoint}, or a private one ({status}); {}",
                self.access()
            ),
            (401 | 403, _) => format!(
                "{id}: {endpoint} does not hand it out ({status}): it is gated or private; accept its terms at {endpoint}/{id} if it \
                 has some; {}",
                self.access()
            ),
            (429, _) => return anyhow!("{id}: {endpoint} was asked too often (429); wait a while"),
            _ => return anyhow!("{id}: {endpoint} answered with status {status}"),
        };
        InputError::new(text).into()
    }

    /// What to do about a token.
    fn access(&self) -> String {
        match (&self.settings.token, &self.settings.token_file) {
            (Some(token), _) => format!("the token of {} has no access to it", token.origin),
            (None, Some(file)) => {
                format!("a token is read from HF_TOKEN, else from {}; there is none", file.display())
            }
            (None, None) => "a token is read from HF_TOKEN; there is none".into(),
        }
    }

    /// A file did not come.
    fn failed(&self, name: &str, error: ApiError) -> anyhow::Error {
        let again = "run the same command again: it goes on from there";
        match error {
            ApiError::RequestError(error) => match *error {
                ureq::Error::StatusCode(status) => self.refused(status, ""),
                error => anyhow!("{name}: the connection failed: {}; {again}", reason(&error)),
            },
            ApiError::IoError(error) if is_about_the_disk(error.kind()) => anyhow::Error::from(error)
                .context(format!("{}: writing {name} failed", self.repository.folder.display())),
            // Its kind may be one that elsewhere speaks of a file, so it is text here.
            ApiError::IoError(error) => {
                anyhow!("{name}: the connection broke off: {}; {again}", plain(&error))
            }
            ApiError::LockAcquisition(lock) => {
                anyhow!("{}: another program is fetching {name}: wait for it", lock.display())
            }
            ApiError::MissingHeader(_) | ApiError::InvalidHeader(_) | ApiError::ParseIntError(_) => {
                self.no_hub(&format!("{name} ({error})"))
            }
            error => anyhow::Error::from(error).context(name.to_owned()),
        }
    }

    fn no_hub(&self, what: &str) -> anyhow::Error {
        anyhow!(
            "{}: expected {what} as the Hugging Face hub sends it, got something else; is HF_ENDPOINT right, or does a proxy answer?",
            self.settings.endpoint
        )
    }
}

/// Bytes of a file that an earlier download left and this one goes on from.
///
/// One that has them all was stopped in its very last step; it would ask for bytes beyond the end, so it begins anew.
fn kept(blob: &Path, size: u64) -> io::Result<u64> {
    let part = blob.with_extension("part");
    let length = match fs::metadata(&part) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    if length < size {
        return Ok(length);
    }
    // The lock that downloads hold: another one may be in that last step just now.
    let lock = File::create(blob.with_extension("lock"))?;
    if lock.try_lock().is_ok() {
        fs::remove_file(&part)?;
    }
    Ok(0)
}

/// Whether the disk refused a file's bytes, rather than the network.
fn is_about_the_disk(kind: ErrorKind) -> bool {
    let network = [ErrorKind::UnexpectedEof, ErrorKind::InvalidData, ErrorKind::InvalidInput];
    is_about_the_place(kind) && !network.contains(&kind)
}

fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => plain(error),
        error => error.to_string(),
    }
}

/// The operating system's words without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// The progress of one file.
#[derive(Default)]
struct Bar {
    shown: Option<Progress>,
    moving: bool,
}

impl hf_hub::api::Progress for Bar {
    /// May come twice.
    fn init(&mut self, size: usize, name: &str) {
        self.shown.get_or_insert_with(|| Progress::bytes(name, size as u64));
    }

    /// The first time with the bytes that were there before.
    fn update(&mut self, size: usize) {
        let Some(shown) = &self.shown else { return };
        if std::mem::replace(&mut self.moving, true) {
            shown.inc(size as u64);
        } else {
            shown.set_position(size as u64);
        }
    }

    fn finish(&mut self) {
        if let Some(shown) = &self.shown {
            shown.clear(); // the line of the result follows
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::exit;

    fn with_remote(check: impl FnOnce(&Remote<'_>)) {
        let settings = Settings {
            endpoint: "http://hub".into(),
            cache: "/c".into(),
            offline: None,
            token: None,
            token_file: None,
        };
        let repository = Repository::new(&settings, "a/b", "main").unwrap();
        check(&Remote::new(&settings, &repository).unwrap());
    }

    #[test]
    fn a_full_disk_is_told_from_a_lost_connection() {
        with_remote(|remote| {
            let of = |kind: ErrorKind| remote.failed("x.bin", ApiError::IoError(kind.into()));
            let full = of(ErrorKind::StorageFull);
            assert!(exit::message(&full).starts_with("/c/models--a--b: writing x.bin failed: "));
            assert_eq!(exit::code(&full), 2);
            for kind in [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::TimedOut] {
                let lost = of(kind);
                assert!(exit::message(&lost).contains("x.bin: the connection broke off"), "{kind}");
                assert_eq!(exit::code(&lost), 1, "{kind}");
            }
        });
    }

    #[test]
    fn refusals_are_told_apart() {
        with_remote(|remote| {
            for (status, code, part, exit_code) in [
                (404, "RevisionNotFound", "no revision `main`", 2),
                (404, "", "no such repository with a revision `main`", 2),
                (401, "RepoNotFound", "no such repository", 2),
                (401, "GatedRepo", "accept its terms at http://hub/a/b", 2),
                (403, "", "a token is read from HF_TOKEN; there is none", 2),
                (429, "", "wait a while", 1),
                (502, "", "status 502", 1),
            ] {
                let error = remote.refused(status, code);
                let text = exit::message(&error);
                assert!(text.contains(part), "{status} {code}: {text}");
                assert_eq!(exit::code(&error), exit_code, "{text}");
            }
        });
    }

    #[test]
    fn an_earlier_download_is_kept_unless_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (blob, part) = (dir.path().join("abc"), dir.path().join("abc.part"));
        assert_eq!(kept(&blob, 10).unwrap(), 0);
        fs::write(&part, [0; 4]).unwrap();
        assert_eq!(kept(&blob, 10).unwrap(), 4);
        for length in [10, 11] {
            fs::write(&part, vec![0; length]).unwrap();
            assert_eq!(kept(&blob, 10).unwrap(), 0);
            assert!(!part.exists(), "{length}");
        }
        // Another download is about to finish.
        fs::write(&part, [0; 10]).unwrap();
        let lock = File::create(dir.path().join("abc.lock")).unwrap();
        lock.lock().unwrap();
        assert_eq!(kept(&blob, 10).unwrap(), 0);
        assert!(part.exists());
    }
}
