//! A hub on this machine: enough of HTTP and of the hub's answers for one client that asks one thing at a time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A commit's files by their names.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What the hub has and how it behaves.
#[derive(Default)]
pub struct State {
    /// By `OWNER/NAME@REVISION`: the commit.
    pub commits: BTreeMap<String, String>,
    /// By commit.
    pub files: BTreeMap<String, Files>,
    /// Files are handed out for this token alone.
    pub token: Option<String>,
    /// The next file of this name breaks off after so many bytes.
    pub break_off: Option<(String, usize)>,
    /// Lines `PATH RANGE` of what was asked for, the oldest first.
    pub asked: Vec<String>,
}

/// A hub that listens as long as the test's process lives.
pub struct Hub {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let hub = Self { endpoint: endpoint.clone(), state: Arc::clone(&state) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away is its own affair.
                let _ = answer(&stream.unwrap(), &endpoint, &state);
            }
        });
        hub
    }

    /// Puts files into a revision.
    pub fn add(&self, id: &str, revision: &str, commit: &str, files: &[(&str, &Path)]) {
        let read = |(name, path): &(&str, &Path)| ((*name).to_owned(), std::fs::read(path).unwrap());
        self.with(|state| {
            for name in [revision, commit] {
                state.commits.insert(format!("{id}@{name}"), commit.to_owned());
            }
            state.files.insert(commit.to_owned(), files.iter().map(read).collect());
        });
    }

    pub fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().unwrap())
    }

    /// What was asked for since the last time.
    pub fn asked(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.asked))
    }
}

/// The hash that names a file.
pub fn etag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

struct Request {
    path: String,
    range: Option<(usize, Option<usize>)>,
    token: Option<String>,
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut request = Request { path, range: None, token: None };
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "range" => {
                let (from, to) = value.strip_prefix("bytes=")?.split_once('-')?;
                request.range = Some((from.parse().ok()?, to.parse().ok()));
            }
            "authorization" => request.token = value.strip_prefix("Bearer ").map(str::to_owned),
            _ => {}
        }
    }
    Some(request)
}

fn answer(stream: &TcpStream, endpoint: &str, state: &Mutex<State>) -> Option<()> {
    let request = read(stream)?;
    let mut state = state.lock().unwrap();
    let range = request.range.map_or(String::new(), |(from, to)| {
        format!(" {from}-{}", to.map(|to| to.to_string()).unwrap_or_default())
    });
    state.asked.push(format!("{}{range}", request.path));
    let path = request.path.trim_start_matches('/');
    if let Some(listed) = path.strip_prefix("api/models/") {
        let (id, revision) = listed.split_once("/revision/")?;
        return list(stream, &state, id, &revision.replace("%2F", "/"));
    }
    // Large files are elsewhere: `resolve` leads there, to addresses that need no token.
    let (rest, elsewhere) = match path.strip_prefix("elsewhere/") {
        Some(rest) => (rest, true),
        None => (path, false),
    };
    if !elsewhere && state.token.is_some() && request.token != state.token {
        let (status, code) = if request.token.is_some() { (403, "") } else { (401, "GatedRepo") };
        return send(stream, status, &[("X-Error-Code", code)], b"");
    }
    let (id, rest) = rest.split_once("/resolve/")?;
    let (revision, name) = rest.split_once('/')?;
    let Some(commit) = state.commits.get(&format!("{id}@{revision}")).cloned() else {
        return send(stream, 404, &[("X-Error-Code", "RevisionNotFound")], b"");
    };
    let Some(bytes) = state.files[&commit].get(name).cloned() else {
        return send(stream, 404, &[("X-Error-Code", "EntryNotFound")], b"");
    };
    let etag = format!("\"{}\"", etag(&bytes));
    if !name.ends_with("json") && !elsewhere {
        let location = format!("{endpoint}/elsewhere/{path}");
        let headers = [("Location", location.as_str()), ("X-Linked-Etag", &etag), ("X-Repo-Commit", &commit)];
        return send(stream, 302, &headers, b"");
    }
    let (from, to) = request.range?;
    if from >= bytes.len() {
        return send(stream, 416, &[], b"");
    }
    let to = to.map_or(bytes.len(), |last| (last + 1).min(bytes.len()));
    let content_range = format!("bytes {from}-{}/{}", to - 1, bytes.len());
    let headers =
        [("ETag", etag.as_str()), ("X-Repo-Commit", &commit), ("Content-Range", content_range.as_str())];
    let body = &bytes[from..to];
    let until = match &state.break_off {
        Some((broken, until)) if broken == name && body.len() > 1 => Some(*until),
        _ => None,
    };
    if let Some(until) = until {
        state.break_off = None;
        return send_part(stream, 206, &headers, body, until);
    }
    send(stream, 206, &headers, body)
}

fn list(stream: &TcpStream, state: &State, id: &str, revision: &str) -> Option<()> {
    let Some(commit) = state.commits.get(&format!("{id}@{revision}")) else {
        let is_known = state.commits.keys().any(|name| name.starts_with(&format!("{id}@")));
        // The real hub does not say whether a private repository is there.
        let (status, code) = if is_known { (404, "RevisionNotFound") } else { (401, "RepoNotFound") };
        return send(stream, status, &[("X-Error-Code", code)], b"{\"error\": \"not found\"}");
    };
    let files: Vec<_> =
        state.files[commit].keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
    let text = serde_json::json!({ "id": id, "sha": commit, "siblings": files }).to_string();
    send(stream, 200, &[], text.as_bytes())
}

fn send(stream: &TcpStream, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Option<()> {
    send_part(stream, status, headers, body, body.len())
}

/// Promises all of the body, sends its beginning and hangs up.
fn send_part(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
    until: usize,
) -> Option<()> {
    let mut head =
        format!("HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body[..until]).ok()
}
