//! Native tensor operations on libtorch: neighborhood attention, the parts of libtorch's run time that tch lacks, and a counter
//! of the arithmetic that runs.
//!
//! Every op is a checked public function (`neighborhood_attention::neighborhood_attention_2d`) over a C++ kernel in
//! `csrc/`, with a slow reference in plain tch beside it. C++ exceptions arrive as [`OpError::Native`].

// The one crate that may: it is the border to C++. Every block says why it is sound.
#![allow(unsafe_code)]

pub mod bench_cases;
mod convolution;
pub mod copies;
mod error;
pub mod flops;
pub mod isa;
pub mod ms_deform_attn;
mod native;
pub mod neighborhood_attention;
mod recompute;
pub mod runtime;
mod sample_masks;
pub mod self_test;
pub mod without_data;

pub use convolution::conv2d_relu;
pub use error::OpError;
pub use ms_deform_attn::ms_deform_attn;
pub use neighborhood_attention::{Window1d, Window2d, neighborhood_attention_1d, neighborhood_attention_2d};
pub use recompute::recompute;
pub use sample_masks::sample_masks;
