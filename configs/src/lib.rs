//! One TOML file describes one run: the config structs of every crate, composed and checked across fields.
//!
//! Recipes lie beside this crate's source in `configs/<data set>/<model>.toml`. There is no inheritance between them: what is
//! absent has the documented default of its struct.

mod any;
mod classification;
mod mask;
mod protocol;
mod run;
mod semantic_mask;

pub use any::AnyRun;
pub use classification::ClassificationRun;
pub use mask::MaskRun;
pub use protocol::{Protocol, ProtocolSet, TestSize};
pub use run::{ConfigError, RunConfig, Task};
pub use semantic_mask::SemanticMaskRun;
