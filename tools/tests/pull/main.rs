//! `smalti weights pull` from outside, against a hub that the tests run themselves: what it fetches, prints and refuses, and
//! that `inspect` and `convert` read what it leaves in the cache.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions may fail the test that calls them

mod server;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use server::{Hub, etag};

/// The commit of most tests.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Hugging Face's Swin: config.json and model.safetensors.
fn swin(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../heads/tests/layouts/hf_swin").join(file)
}

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/tests/fixtures/read").join(file)
}

/// A home of its own, and the hub that it knows.
struct Place {
    dir: tempfile::TempDir,
    endpoint: String,
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new(endpoint: &str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), endpoint: endpoint.to_owned() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The folder of `tiny/swin` in the cache.
    fn swin(&self) -> PathBuf {
        self.path().join("home/hub/models--tiny--swin")
    }

    fn run(&self, words: &[&str], set: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smalti"));
        // Neither the hub nor the proxy nor the token of whoever runs the tests.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_uppercase();
            if text.starts_with("HF_")
                || text.starts_with("HUGGING")
                || text.ends_with("_PROXY")
                || text.ends_with("_OFFLINE")
            {
                command.env_remove(&name);
            }
        }
        command
            .current_dir(self.path())
            .args(words)
            .env("HF_HOME", self.path().join("home"))
            .env("HF_ENDPOINT", &self.endpoint)
            .env("OMP_NUM_THREADS", "1")
            .envs(set.iter().copied());
        let out = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
    }

    /// Runs what must succeed; returns stdout.
    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let ran = self.run(words, &[]);
        assert_eq!(ran.code, Some(0), "{words:?}\n{}\n{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    fn pull(&self, id: &str) -> String {
        self.ok(&["weights", "pull", id])
    }

    /// Runs what must end with a code and a message of few lines that has all parts.
    #[track_caller]
    fn fails(&self, code: i32, words: &[&str], set: &[(&str, &str)], parts: &[&str]) {
        let ran = self.run(&[&["weights"], words].concat(), set);
        assert_eq!(ran.code, Some(code), "{words:?}\n{}\n{}", ran.stdout, ran.stderr);
        for part in parts {
            assert!(ran.stderr.contains(part), "{words:?}: no `{part}` in\n{}", ran.stderr);
        }
        let error = &ran.stderr[ran.stderr.find("error: ").unwrap()..];
        assert!(error.lines().count() <= 8 && !error.contains("panicked"), "{error}");
    }
}

/// A hub with `tiny/swin`, and more beside its weights than is wanted.
fn hub_with_swin() -> Hub {
    let hub = Hub::start();
    let (weights, config) = (swin("model.safetensors"), swin("config.json"));
    let files: [(&str, &Path); 5] = [
        ("model.safetensors", &weights),
        ("pytorch_model.bin", &weights),
        ("config.json", &config),
        ("preprocessor_config.json", &config),
        ("README.md", &config),
    ];
    hub.add("tiny/swin", "main", COMMIT, &files);
    hub
}

#[test]
fn a_repository_is_pulled_once_and_converts_to_the_same_bits() {
    let hub = hub_with_swin();
    let place = Place::new(&hub.endpoint);
    let printed = place.pull("tiny/swin");
    let snapshot = place.swin().join("snapshots").join(COMMIT);
    let bytes = std::fs::read(swin("model.safetensors")).unwrap();
    let size = format!("model.safetensors: {:.2} MB in ", bytes.len() as f64 / 1e6);
    let next = format!("next: smalti weights convert {} swin", snapshot.display());
    for part in ["config.json: ", "preprocessor_config.json: in the cache", &size, &next] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let mut there: Vec<_> = snapshot.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    assert_eq!(there, ["config.json", "model.safetensors", "preprocessor_config.json"]);
    let link = std::fs::read_link(snapshot.join("model.safetensors")).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(etag(&bytes)));
    assert_eq!(std::fs::read(snapshot.join("model.safetensors")).unwrap(), bytes);
    assert_eq!(std::fs::read_to_string(place.swin().join("refs/main")).unwrap(), COMMIT);
    assert!(!hub.asked().iter().any(|line| line.contains("pytorch_model") || line.contains("README")));

    // The second time the hub is asked for its list alone.
    let printed = place.pull("tiny/swin");
    assert!(printed.contains("model.safetensors: in the cache") && printed.contains(&next), "{printed}");
    assert_eq!(hub.asked(), ["/api/models/tiny/swin/revision/main"]);

    let printed = place.ok(&["weights", "inspect", "tiny/swin"]);
    assert!(printed.contains("looks like Swin"), "{printed}");
    place.ok(&["weights", "convert", "tiny/swin", "pulled"]);
    place.ok(&["weights", "convert", snapshot.to_str().unwrap(), "snapshot"]);
    place.ok(&["weights", "convert", swin("").to_str().unwrap(), "plain"]);
    for file in ["model.safetensors", "config.toml"] {
        let of = |folder: &str| std::fs::read(place.path().join(folder).join(file)).unwrap();
        assert!(of("pulled") == of("plain") && of("snapshot") == of("plain"), "{file}");
    }
    assert_eq!(hub.asked(), Vec::<String>::new());
}

#[test]
fn weights_in_parts_and_pickles_are_pulled() {
    let hub = Hub::start();
    let names = [
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    let paths = names.map(|name| fixture("sharded").join(name));
    let files: Vec<_> = names.iter().copied().zip(paths.iter().map(PathBuf::as_path)).collect();
    hub.add("tiny/parts", "main", "aaa1", &files);
    hub.add("tiny/pickle", "v1.0", "bbb2", &[("pytorch_model.bin", &fixture("zip.pth"))]);
    hub.add("tiny/cut", "main", "ccc3", &files[..2]);
    let place = Place::new(&hub.endpoint);

    let printed = place.pull("tiny/parts");
    assert!(names.iter().all(|name| printed.contains(name)), "{printed}");
    let printed = place.ok(&["weights", "inspect", "tiny/parts"]);
    assert!(printed.contains("shards with an index") && printed.contains("in 2 files"), "{printed}");

    place.ok(&["weights", "pull", "tiny/pickle", "--revision", "v1.0"]);
    let printed = place.ok(&["weights", "inspect", "tiny/pickle"]);
    assert!(printed.contains("snapshots/bbb2/pytorch_model.bin: torch (zip)"), "{printed}");

    let part = "names model-00002-of-00002.safetensors, which the repository has not";
    place.fails(2, &["pull", "tiny/cut"], &[], &[part]);
    assert!(!place.path().join("home/hub/models--tiny--cut/refs/main").exists());
}

#[test]
fn what_did_not_change_is_not_fetched_again() {
    let hub = hub_with_swin();
    let place = Place::new(&hub.endpoint);
    place.pull("tiny/swin");
    let (weights, config) = (swin("model.safetensors"), fixture("sharded/model.safetensors.index.json"));
    let files: [(&str, &Path); 2] = [("model.safetensors", &weights), ("config.json", &config)];
    hub.add("tiny/swin", "main", "fedc", &files);
    hub.asked();
    let printed = place.pull("tiny/swin");
    assert!(printed.contains("model.safetensors: in the cache"), "{printed}");
    assert!(hub.asked().iter().all(|line| !line.contains("safetensors") || line.ends_with(" 0-0")));
    let snapshot = place.swin().join("snapshots/fedc");
    assert!(std::fs::read(snapshot.join("model.safetensors")).unwrap() == std::fs::read(&weights).unwrap());
    assert_eq!(std::fs::read(snapshot.join("config.json")).unwrap(), std::fs::read(&config).unwrap());
    let printed = place.ok(&["weights", "inspect", "tiny/swin"]);
    assert!(printed.contains("snapshots/fedc/model.safetensors"), "the newer one: {printed}");
}

#[test]
fn a_download_that_broke_off_goes_on() {
    let hub = hub_with_swin();
    hub.with(|state| state.break_off = Some(("model.safetensors".into(), 1000)));
    let place = Place::new(&hub.endpoint);
    place.fails(
        1,
        &["pull", "tiny/swin"],
        &[],
        &["model.safetensors: the connection broke off", "run the same command again"],
    );
    let bytes = std::fs::read(swin("model.safetensors")).unwrap();
    let blob = place.swin().join("blobs").join(etag(&bytes));
    assert!(!blob.exists() && !place.swin().join("refs/main").exists(), "nothing looks finished");
    assert!(!place.swin().join("snapshots").join(COMMIT).join("model.safetensors").exists());
    assert_eq!(std::fs::read(blob.with_extension("part")).unwrap(), bytes[..1000]);
    hub.asked();
    let printed = place.pull("tiny/swin");
    assert!(printed.contains("0.00 MB of them from an earlier pull"), "{printed}");
    assert!(hub.asked().iter().any(|line| line.ends_with("/model.safetensors 1000-")));
    assert_eq!(std::fs::read(&blob).unwrap(), bytes);

    // Stopped when all had come, but before the file got its name; the link is there from before.
    std::fs::rename(&blob, blob.with_extension("part")).unwrap();
    place.pull("tiny/swin");
    assert_eq!(std::fs::read(&blob).unwrap(), bytes);
    assert!(!blob.with_extension("part").exists());
    assert!(place.swin().join("snapshots").join(COMMIT).join("model.safetensors").is_file());
}

#[test]
fn refusals_say_what_to_do() {
    let hub = hub_with_swin();
    hub.add("tiny/empty", "main", "abc", &[("tf_model.h5", &swin("config.json"))]);
    let place = Place::new(&hub.endpoint);
    let fails = |words: &[&str], set: &[(&str, &str)], parts: &[&str]| {
        place.fails(2, &[&["pull"], words].concat(), set, parts);
    };
    fails(&["swin"], &[], &["swin: expected a repository as OWNER/NAME"]);
    fails(&["tiny/swin", "--revision", "a b"], &[], &["--revision a b: expected a branch"]);
    fails(&["tiny/swim"], &[], &["tiny/swim: no such repository", "HF_TOKEN"]);
    fails(&["tiny/swin", "--revision", "v9"], &[], &["tiny/swin: no revision `v9`"]);
    fails(
        &["tiny/empty"],
        &[],
        &[
            "expected model.safetensors or model.safetensors.index.json or pytorch_model.bin",
            "got tf_model.h5",
        ],
    );
    hub.with(|state| state.token = Some("let me in".into()));
    fails(&["tiny/swin"], &[], &["(401)", "accept its terms at http", "home/token; there is none"]);
    fails(&["tiny/swin"], &[("HF_TOKEN", "wrong")], &["(403)", "the token of HF_TOKEN has no access"]);
    std::fs::create_dir_all(place.path().join("home")).unwrap();
    std::fs::write(place.path().join("home/token"), "let me in\n").unwrap();
    place.pull("tiny/swin");
    assert!(place.swin().join("refs/main").is_file());
}

#[test]
fn without_a_network_it_says_where_files_go() {
    let hub = hub_with_swin();
    let place = Place::new(&hub.endpoint);
    let folder = place.swin().join("snapshots/main");
    let parts =
        ["tiny/swin: HF_HUB_OFFLINE is set", folder.to_str().unwrap(), "config.json", "into any folder"];
    place.fails(2, &["pull", "tiny/swin"], &[("HF_HUB_OFFLINE", "1")], &parts);
    assert_eq!(hub.asked(), Vec::<String>::new());
    assert!(!place.swin().exists());
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{unused}");
    let refused = format!("{nobody}: Connection refused");
    let parts = ["tiny/swin: ", &refused, folder.to_str().unwrap(), "into any folder"];
    place.fails(2, &["pull", "tiny/swin"], &[("HF_ENDPOINT", &nobody)], &parts);
    let parts = ["run `smalti weights pull tiny/swin`", folder.to_str().unwrap()];
    place.fails(2, &["convert", "tiny/swin", "out"], &[], &parts);
    place.fails(2, &["inspect", "tiny/swin"], &[], &parts);

    // Put there by hand, as the message says.
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(swin("model.safetensors"), folder.join("model.safetensors")).unwrap();
    for set in [("HF_HUB_OFFLINE", "1"), ("HF_ENDPOINT", nobody.as_str())] {
        let ran = place.run(&["weights", "pull", "tiny/swin"], &[set]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains("this is what the cache has"), "{}", ran.stderr);
        assert!(ran.stdout.contains(folder.to_str().unwrap()), "{}", ran.stdout);
    }
    place.ok(&["weights", "inspect", "tiny/swin"]);
}

#[test]
fn an_address_that_is_no_hub_is_told() {
    let hub = hub_with_swin();
    hub.with(|state| state.commits.insert("tiny/swin@main".into(), "../..".into()));
    hub.with(|state| state.files.insert("../..".into(), server::Files::new()));
    let place = Place::new(&hub.endpoint);
    place.fails(1, &["pull", "tiny/swin"], &[], &["the commit in its list of files", "is HF_ENDPOINT right"]);
    place.fails(
        2,
        &["pull", "tiny/swin"],
        &[("HF_ENDPOINT", "huggingface.co")],
        &["expected an address such as"],
    );
    assert!(!place.swin().exists());
}
