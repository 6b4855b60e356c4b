//! `smalti doctor`: what this machine and build can do, each native op against its reference, and the one thing to fix.

use std::process::Command;

use anyhow::{Result, bail};
use serde::Serialize;
use smalti::cli::DoctorArgs;
use smalti::output::{self, Rows};
use smalti_ops::runtime::runtime_facts;
use smalti_ops::self_test::{self, SelfTest};
use tch::{Cuda, Device, Kind};

/// The libtorch that tch of this build pairs with.
const LIBTORCH: &str = "2.11.0";

#[derive(Serialize)]
struct Diagnosis {
    smalti: &'static str,
    libtorch: String,
    libtorch_path: String,
    libtorch_cpu_kernels: String,
    cpu: String,
    cpu_features: Vec<&'static str>,
    cores: usize,
    threads: i32,
    memory_gib: f64,
    driver: Option<String>,
    gpus: Vec<String>,
    devices: Vec<String>,
    ops: Vec<OpResult>,
    to_fix: Option<String>,
}

#[derive(Serialize)]
struct OpResult {
    op: &'static str,
    dtype: &'static str,
    device: String,
    passed: bool,
    allowed: f64,
    forward_error: f64,
    backward_error: f64,
    native_ms: f64,
    reference_ms: f64,
}

/// Runs the verb; fails (exit 1) when something needs fixing.
pub fn run(args: &DoctorArgs) -> Result<()> {
    let diagnosis = diagnose()?;
    print(&diagnosis);
    if let Some(path) = &args.json {
        output::write_json(path, &diagnosis)?;
    }
    if let Some(text) = diagnosis.to_fix {
        bail!("to fix: {text}");
    }
    output::line("nothing to fix");
    Ok(())
}

fn diagnose() -> Result<Diagnosis> {
    let facts = runtime_facts()?;
    let cuda = Cuda::device_count();
    let mut devices = vec![Device::Cpu];
    devices.extend((0..cuda as usize).map(Device::Cuda));
    let mut ops = Vec::new();
    let mut not_run = None;
    for &device in &devices {
        match self_test::run(device) {
            Ok(tests) => ops.extend(tests.iter().map(|test| op_result(test, device))),
            Err(error) => {
                not_run = Some(format!(
                    "the native ops do not run on {} ({error}): build them for it with `make setup && make build`",
                    format!("{device:?}").to_lowercase()
                ));
            }
        }
    }
    let gpus = gpus();
    let mut diagnosis = Diagnosis {
        smalti: env!("CARGO_PKG_VERSION"),
        libtorch: facts.version,
        libtorch_path: library_path("libtorch_cpu.so"),
        libtorch_cpu_kernels: facts.cpu_capability,
        cpu: field("/proc/cpuinfo", "model name"),
        cpu_features: cpu_features(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        threads: tch::get_num_threads(),
        memory_gib: kib("/proc/meminfo", "MemTotal") / 1024.0 / 1024.0,
        driver: driver(),
        gpus,
        devices: devices.iter().map(|device| format!("{device:?}").to_lowercase()).collect(),
        ops,
        to_fix: None,
    };
    diagnosis.to_fix = to_fix(&diagnosis).or(not_run);
    Ok(diagnosis)
}

/// The first thing that does not fit, with its remedy.
fn to_fix(d: &Diagnosis) -> Option<String> {
    if d.libtorch.split('+').next() != Some(LIBTORCH) {
        return Some(format!(
            "libtorch is {}, this build pairs with {LIBTORCH}: unset LIBTORCH, run `make setup`, build again",
            d.libtorch
        ));
    }
    if let Some(op) = d.ops.iter().find(|op| !op.passed) {
        return Some(format!(
            "{} ({}) on {} differs from its reference (forward {:.1e}, backward {:.1e}, allowed {:.0e}): its kernels are \
             miscompiled for this device; rebuild with `cargo clean -p smalti-ops && make build`",
            op.op, op.dtype, op.device, op.forward_error, op.backward_error, op.allowed
        ));
    }
    if !d.gpus.is_empty() && d.devices.len() == 1 {
        return Some(
            "this machine has a GPU but libtorch sees none: run `SMALTI_LIBTORCH=cuda make setup && make build`".into(),
        );
    }
    if d.threads as usize > d.cores {
        return Some(format!(
            "{} threads on {} cores slow each other down: unset OMP_NUM_THREADS or set it to {}",
            d.threads, d.cores, d.cores
        ));
    }
    None
}

fn op_result(test: &SelfTest, device: Device) -> OpResult {
    OpResult {
        op: test.op,
        dtype: if test.kind == Kind::Float { "f32" } else { "bf16" },
        allowed: test.tolerance(),
        device: format!("{device:?}").to_lowercase(),
        passed: test.passed(),
        forward_error: test.forward_error,
        backward_error: test.backward_error,
        native_ms: test.native.as_secs_f64() * 1e3,
        reference_ms: test.reference.as_secs_f64() * 1e3,
    }
}

fn print(d: &Diagnosis) {
    let mut rows = Rows::new(["what", "found"]).text_column(1);
    rows.push(["smalti", d.smalti]);
    rows.push(["libtorch".to_string(), format!("{}, {}", d.libtorch, d.libtorch_path)]);
    rows.push(["CPU".to_string(), d.cpu.clone()]);
    rows.push(["CPU features".to_string(), d.cpu_features.join(" ")]);
    rows.push(["libtorch kernels", &d.libtorch_cpu_kernels]);
    rows.push(["threads".to_string(), format!("{} on {} cores", d.threads, d.cores)]);
    rows.push(["memory".to_string(), format!("{:.1} GiB", d.memory_gib)]);
    rows.push(["NVIDIA driver", d.driver.as_deref().unwrap_or("none")]);
    rows.push(["GPUs".to_string(), if d.gpus.is_empty() { "none".into() } else { d.gpus.join("; ") }]);
    rows.push(["devices".to_string(), d.devices.join(", ")]);
    rows.print();

    let header = [
        "op",
        "dtype",
        "device",
        "self-test",
        "forward error",
        "backward error",
        "native ms",
        "reference ms",
    ];
    let mut rows = Rows::new(header).text_column(1).text_column(2).text_column(3);
    for op in &d.ops {
        rows.push([
            op.op.to_string(),
            op.dtype.to_string(),
            op.device.clone(),
            if op.passed { "passed" } else { "FAILED" }.to_string(),
            format!("{:.1e}", op.forward_error),
            format!("{:.1e}", op.backward_error),
            format!("{:.2}", op.native_ms),
            format!("{:.2}", op.reference_ms),
        ]);
    }
    rows.print();
}

/// Value of the first `key : value` line of a file under /proc.
fn field(path: &str, key: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_string());
    value.unwrap_or_else(|| "unknown".to_string())
}

fn kib(path: &str, key: &str) -> f64 {
    field(path, key).trim_end_matches("kB").trim().parse().unwrap_or(f64::NAN)
}

/// Where a loaded library lies, by the memory map of this process.
fn library_path(name: &str) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let path =
        maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.ends_with(name));
    path.unwrap_or("not found").to_string()
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let mut features = Vec::new();
    macro_rules! check {
        ($($name:tt),*) => { $(if std::arch::is_x86_feature_detected!($name) { features.push($name); })* };
    }
    check!(
        "sse4.2",
        "avx",
        "avx2",
        "fma",
        "f16c",
        "avx512f",
        "avx512bw",
        "avx512dq",
        "avx512vl",
        "avx512bf16"
    );
    features
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}

/// Version of the kernel module, without asking any library.
fn driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let words: Vec<&str> = text.lines().next()?.split_whitespace().collect();
    words
        .iter()
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
        .map(ToString::to_string)
}

/// Names and memory of the GPUs, by `nvidia-smi`.
fn gpus() -> Vec<String> {
    let query = ["--query-gpu=name,memory.total", "--format=csv,noheader"];
    match Command::new("nvidia-smi").args(query).output() {
        Ok(out) if out.status.success() => {
            String::from_utf8_lossy(&out.stdout).lines().map(str::to_string).collect()
        }
        _ => Vec::new(),
    }
}
