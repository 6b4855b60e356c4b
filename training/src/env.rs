//! `env.json`: what a run ran on and with, so that its numbers can be placed and repeated.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Variables that change results or speed; others may hold secrets and are not recorded.
const VARIABLES: [&str; 16] = [
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "KMP_AFFINITY",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "PYTORCH_CUDA_ALLOC_CONF",
    "RANK",
    "RAYON_NUM_THREADS",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_ID",
    "SLURM_JOB_NODELIST",
    "SLURM_RESTART_COUNT",
    "WORLD_SIZE",
];

/// What the caller knows about a start of the run.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    /// Seed of the run.
    pub seed: u64,
    /// Device, such as `cpu` or `cuda:0 NVIDIA H200`.
    pub device: &'a str,
    /// Version of the libtorch loaded, such as `2.11.0`.
    pub libtorch: &'a str,
    /// Steps completed before this start; 0 for a new run.
    pub resumed_from: u64,
}

/// One start of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvInfo {
    /// When, as `2026-01-31T12:00:00Z`.
    pub started: String,
    /// Steps completed before this start.
    pub resumed_from: u64,
    /// The command line, word by word.
    pub command: Vec<String>,
    /// The folder it was given in.
    pub working_dir: Option<String>,
    /// Seed of the run.
    pub seed: u64,
    /// Versions of smalti, libtorch and tch.
    pub versions: BTreeMap<String, String>,
    /// The commit of the folder it was started in, if that is a git work tree.
    pub git: Option<GitInfo>,
    /// The machine.
    pub host: HostInfo,
    /// Those environment variables, of a short fixed list, that are set.
    pub environment: BTreeMap<String, String>,
}

/// A git work tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitInfo {
    /// Full hash of the commit.
    pub commit: String,
    /// Whether tracked files differ from it.
    pub dirty: bool,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInfo {
    /// Its name.
    pub name: String,
    /// Operating system and architecture, such as `linux x86_64`.
    pub system: String,
    /// CPU model as the system names it.
    pub cpu: Option<String>,
    /// Logical CPUs that this process may use.
    pub cpus: usize,
    /// Memory of the machine in bytes.
    pub memory_bytes: Option<u64>,
    /// Threads of libtorch within one op.
    pub torch_threads: i32,
    /// Device, as the caller names it.
    pub device: String,
}

impl EnvInfo {
    /// Looks at the machine, the process and the current folder. What cannot be found out is left out.
    pub fn collect(start: &Start<'_>) -> Self {
        let versions =
            [("smalti", env!("CARGO_PKG_VERSION")), ("libtorch", start.libtorch), ("tch", "0.24.0")];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            started: utc(SystemTime::now()),
            resumed_from: start.resumed_from,
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            working_dir: std::env::current_dir().ok().map(|dir| dir.to_string_lossy().into_owned()),
            seed: start.seed,
            versions: versions.into_iter().map(owned).collect(),
            git: git_info(),
            host: HostInfo {
                name: host_name(),
                system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
                cpu: cpu_model(),
                cpus: std::thread::available_parallelism().map_or(1, usize::from),
                memory_bytes: memory_bytes(),
                torch_threads: tch::get_num_threads(),
                device: start.device.to_owned(),
            },
            environment: VARIABLES
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
                .collect(),
        }
    }
}

/// The machine's name, safe in a file name; `localhost` if it has none.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    let name: String = name.trim().chars().filter(|&c| safe(c)).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn git_info() -> Option<GitInfo> {
    let commit = git(&["rev-parse", "--verify", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(GitInfo { commit, dirty: !changes.is_empty() })
}

/// What a git command prints; `None` without git or outside a work tree.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// `2026-01-31T12:00:00Z`.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970-01-01, by the Gregorian calendar. Years are counted from
/// March here, so that the leap day comes last.
const fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let era = days / 146_097; // 400 years
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_of_known_moments() {
        let at = |seconds: u64| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_234_567_890), "2009-02-13T23:31:30Z");
        assert_eq!(at(4_102_444_799), "2099-12-31T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z"); // 2100 is no leap year
    }

    #[test]
    fn says_what_ran_where_and_survives_json() {
        let info = EnvInfo::collect(&Start { seed: 7, device: "cpu", libtorch: "2.11.0", resumed_from: 300 });
        assert_eq!(info.versions["libtorch"], "2.11.0");
        assert!(!info.command.is_empty());
        assert!(info.host.cpus > 0 && info.host.torch_threads > 0);
        assert!(!info.host.name.contains('/'));
        let text = serde_json::to_string(&info).unwrap();
        assert_eq!(serde_json::from_str::<EnvInfo>(&text).unwrap(), info);
    }
}
