//! Build script of every crate that links libtorch: binaries and tests find the library by rpath, never by an
//! environment variable, and keep libtorch_cuda where it exists (the linker would drop it as unused, and then
//! no GPU is ever seen).

#![allow(clippy::print_stdout)] // how build scripts talk to cargo

mod cudart;

use std::path::Path;

fn main() {
    // Changes of libtorch rerun torch-sys, whose output this script sees; nothing else matters here.
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    // Of the two binaries in tools only one may load libtorch.
    let key = match std::env::var("CARGO_PKG_NAME").as_deref() {
        Ok("smalti") => "rustc-link-arg-bin=smalti-torch",
        _ => "rustc-link-arg",
    };
    println!("cargo:{key}=-Wl,-rpath,{lib}");
    if Path::new(&lib).join("libtorch_cuda.so").exists() {
        println!("cargo:{key}=-Wl,--no-as-needed,-ltorch_cuda,-lc10_cuda,--as-needed");
        if let Some(folder) = cudart::folder(Path::new(&lib)) {
            println!("cargo:{key}=-Wl,-rpath,{}", folder.display());
        }
    }
}
