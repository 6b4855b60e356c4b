//! Trainer, optimiser, schedules, checkpoints and metric logs. Knows traits and tasks, never a model family's name.

pub mod atomic;
pub mod batch;
pub mod checkpoint;
pub mod classification;
pub mod env;
pub mod error;
pub mod events;
pub mod feed;
pub mod init;
pub mod mask;
pub mod metrics_log;
pub mod optim;
mod overlap;
pub mod precision;
pub mod run_dir;
pub mod safetensors_io;
pub mod schedule;
pub mod semantic;
pub mod semantic_mask;
pub mod signals;
pub mod task;
pub mod trainer;

pub use batch::TrainBatch;
pub use classification::ClassificationTask;
pub use error::TrainError;
pub use feed::Feed;
pub use init::InitConfig;
pub use mask::MaskTask;
pub use optim::{LrFactor, Optimizer, OptimizerConfig};
pub use precision::Precision;
pub use semantic::{PixelTask, SemanticTask};
pub use semantic_mask::SemanticMaskTask;
pub use task::{Counts, Evaluation, Task};
pub use trainer::{Observer, OnNonFinite, TrainConfig, Trainer};
