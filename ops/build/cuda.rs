//! The CUDA half of the extension, built where libtorch has one: kernels by nvcc, launchers by the C++ compiler.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::{env, fs};

use crate::cudart::{self, LIBRARY};

/// Architectures of a build that is not for this machine alone, newest last; the newest also as PTX for those to come.
const ALL: &[&str] = &["80", "86", "89", "90", "100", "120"];

/// Launchers of all ops, below `csrc`.
pub const LAUNCHERS: &[&str] = &["neighborhood_attention/launch_cuda.cpp", "ms_deform_attn/launch_cuda.cpp"];

/// Folders of the CUDA toolkit that this build uses.
pub struct Toolkit {
    nvcc: PathBuf,
    pub include: PathBuf,
}

impl Toolkit {
    /// CUDA_HOME, then what `make setup` lays out, then nvcc on the path; none if `SMALTI_CUDA_ARCHS=none` asks for a build
    /// whose ops run on the CPU only.
    pub fn find() -> Option<Self> {
        println!("cargo:rerun-if-env-changed=CUDA_HOME");
        println!("cargo:rerun-if-env-changed=SMALTI_CUDA_ARCHS");
        if env::var("SMALTI_CUDA_ARCHS").is_ok_and(|list| list == "none") {
            return None;
        }
        let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
        let own = manifest.join("../third_party/nvcc");
        println!("cargo:rerun-if-changed={}", own.join("bin/nvcc").display());
        let on_path = || {
            let paths = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&paths)
                .find(|folder| folder.join("nvcc").exists())?
                .parent()
                .map(Path::to_path_buf)
        };
        let home = env::var_os("CUDA_HOME")
            .map(PathBuf::from)
            .into_iter()
            .chain(Some(own))
            .find(|home| home.join("bin/nvcc").exists())
            .or_else(on_path);
        let Some(home) = home else {
            panic!(
                "libtorch has CUDA, but there is no nvcc to build the kernels with; run `make setup` or set CUDA_HOME"
            )
        };
        Some(Self { nvcc: home.join("bin/nvcc"), include: home.join("include") })
    }

    /// Compiles the kernels; the objects.
    pub fn compile_kernels(&self) -> Vec<PathBuf> {
        let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
        let jobs = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1);
        let flags = architecture_flags(&architectures());
        let mut objects = Vec::new();
        for files in kernels().chunks(jobs) {
            let running: Vec<_> = files.iter().map(|file| self.start(file, &out, &flags)).collect();
            for (mut nvcc, object) in running {
                let done = nvcc.wait();
                assert!(done.is_ok_and(|status| status.success()), "nvcc failed for {}", object.display());
                objects.push(object);
            }
        }
        objects
    }

    fn start(&self, source: &Path, out: &Path, architectures: &[String]) -> (Child, PathBuf) {
        // Files of different ops may share a name.
        let name = source.with_extension("o").to_string_lossy().replace(['/', '\\'], "_");
        let object = out.join(name);
        let mut nvcc = Command::new(&self.nvcc);
        nvcc.args(["-std=c++17", "-O3", "--expt-relaxed-constexpr", "-Xcompiler", "-fPIC"]);
        for flag in architectures {
            nvcc.arg("-gencode").arg(flag);
        }
        nvcc.arg("-c").arg(source).arg("-o").arg(&object);
        let child =
            nvcc.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", self.nvcc.display()));
        (child, object)
    }
}

/// Links the CUDA runtime that libtorch loads; without one in its reach the toolkit's, which the system must then find.
pub fn link_runtime(libtorch_lib: &Path, toolkit: &Toolkit) {
    let home = toolkit.include.parent().unwrap_or(&toolkit.include);
    let of_toolkit =
        || ["lib", "lib64"].map(|lib| home.join(lib)).into_iter().find(|lib| lib.join(LIBRARY).exists());
    let Some(folder) = cudart::folder(libtorch_lib).or_else(of_toolkit) else {
        panic!("no {LIBRARY} beside libtorch or in {}; run `make setup`", home.display())
    };
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!("cargo:rustc-link-lib=dylib:+verbatim={LIBRARY}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
}

/// The kernels of all ops: `csrc/<op>/cuda/*.cu`.
fn kernels() -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let read = fs::read_dir(folder).into_iter().flatten().flatten();
        read.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let of_op = |op: PathBuf| entries(&op.join("cuda"));
    let is_kernel = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "cu");
    let mut files: Vec<_> =
        entries(Path::new("csrc")).into_iter().flat_map(of_op).filter(is_kernel).collect();
    files.sort();
    files
}

/// `SMALTI_CUDA_ARCHS` ("90" or "80,90" or "all"), else those of the GPUs here, else all.
fn architectures() -> Vec<String> {
    let all = || ALL.iter().map(ToString::to_string).collect();
    match env::var("SMALTI_CUDA_ARCHS") {
        Ok(list) if list != "all" => list.split(',').map(|arch| arch.trim().to_string()).collect(),
        Ok(_) => all(),
        Err(_) => of_this_machine().unwrap_or_else(all),
    }
}

fn of_this_machine() -> Option<Vec<String>> {
    let output = Command::new("nvidia-smi")
        .args(["--query-gpu=compute_cap", "--format=csv,noheader"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let mut archs: Vec<String> = text.lines().map(|line| line.trim().replace('.', "")).collect();
    archs.sort_by_key(|arch| arch.parse::<u32>().unwrap_or(0));
    archs.dedup();
    (!archs.is_empty()).then_some(archs)
}

/// Machine code for each architecture, and PTX of the newest, which later GPUs compile when they load it.
fn architecture_flags(archs: &[String]) -> Vec<String> {
    let code = archs.iter().map(|arch| format!("arch=compute_{arch},code=sm_{arch}"));
    let ptx = archs.last().map(|arch| format!("arch=compute_{arch},code=compute_{arch}"));
    code.chain(ptx).collect()
}
