//! Builds the C++ extension with `cc` against the libtorch that torch-sys links, and passes the run path on to this
//! crate's own tests (see `rpath.rs` for every other crate).

#![allow(clippy::print_stdout)] // how build scripts talk to cargo

mod cuda;
mod cudart;

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=csrc");
    println!("cargo:rerun-if-changed=build");
    // Set by torch-sys, whose build script runs first.
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        panic!("torch-sys told no libtorch folder; run `make setup`")
    };
    let include = lib.parent().unwrap_or(&lib).join("include");
    assert!(
        include.join("torch/csrc/api/include/torch/torch.h").exists(),
        "no libtorch headers under {}; run `make setup`",
        include.display()
    );

    // Clippy links nothing, and has a build folder of its own: two minutes of C++ would serve nobody.
    if env::var_os("RUSTC_WORKSPACE_WRAPPER").is_some_and(|wrapper| is_clippy(&wrapper)) {
        return;
    }

    let mut kernels = vec![("baseline", &[][..])];
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        kernels.push(("avx2", &["-mavx2", "-mfma", "-mf16c"][..]));
        let avx512: &[&str] = &[
            "-mavx512f",
            "-mavx512vl",
            "-mavx512dq",
            "-mavx512bw",
            "-mfma",
            "-mf16c",
            "-mprefer-vector-width=512",
        ];
        kernels.push(("avx512", avx512));
    }
    for (isa, flags) in kernels {
        let mut build = cpp();
        build.define("SMALTI_ISA", isa);
        // Sums over channels may be reordered so that they vectorise; infinities and NaN keep their meaning.
        for flag in ["-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-fno-math-errno"] {
            build.flag(flag);
        }
        for flag in flags {
            build.flag(flag);
        }
        build.opt_level(3);
        build.file("csrc/neighborhood_attention/cpu/kernel.cpp").file("csrc/ms_deform_attn/cpu/kernel.cpp");
        build.compile(&format!("smalti_kernels_{isa}"));
    }

    let mut build = cpp();
    // The same bits on every machine, whether it has fused multiply-adds or not.
    build.flag("-ffp-contract=off");
    // System headers, so that warnings show our code only.
    for folder in [include.clone(), include.join("torch/csrc/api/include")] {
        build.flag("-isystem").flag(folder);
    }
    for file in [
        "cpu_dispatch.cpp",
        "neighborhood_attention/op.cpp",
        "neighborhood_attention/launch_cpu.cpp",
        "neighborhood_attention/cpu/units.cpp",
        "ms_deform_attn/op.cpp",
        "ms_deform_attn/launch_cpu.cpp",
        "recompute/recompute.cpp",
        "runtime/runtime.cpp",
        "runtime/allocator.cpp",
        "copies/copies.cpp",
        "linear/linear.cpp",
        "convolution/convolution.cpp",
        "points/sample_masks.cpp",
        "counting/flops.cpp",
        "counting/footprint.cpp",
        "counting/without_data.cpp",
    ] {
        build.file(format!("csrc/{file}"));
    }
    let toolkit = if lib.join("libtorch_cuda.so").exists() { cuda::Toolkit::find() } else { None };
    if let Some(toolkit) = toolkit {
        build.objects(toolkit.compile_kernels());
        build.flag("-isystem").flag(&toolkit.include);
        cuda::link_runtime(&lib, &toolkit);
        build.files(cuda::LAUNCHERS.iter().map(|file| format!("csrc/{file}")));
    }
    // Operators register themselves when the library is loaded; nothing calls into the files that do it.
    build.link_lib_modifier("+whole-archive");
    build.compile("smalti_ops");

    link_path(&lib);
}

fn is_clippy(wrapper: &OsStr) -> bool {
    Path::new(wrapper).file_stem().is_some_and(|name| name == "clippy-driver")
}

fn cpp() -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").pic(true).warnings(true).extra_warnings(false);
    build
}

fn link_path(lib: &Path) {
    println!("cargo:rustc-link-search=native={}", lib.display());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
    if lib.join("libtorch_cuda.so").exists() {
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed,-ltorch_cuda,-lc10_cuda,--as-needed");
    }
}
