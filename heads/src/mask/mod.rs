//! Mask2Former: masks and classes from queries, and what turns them into losses and results.
//!
//! Paper: Cheng et al., Masked-attention Mask Transformer for Universal Image Segmentation, CVPR 2022,
//! <https://arxiv.org/abs/2112.01527>. Reference code: facebookresearch/Mask2Former, licence MIT.

pub mod assignment;
pub mod criterion;
pub mod error;
pub mod matcher;
pub mod points;
pub mod post;
pub mod targets;
