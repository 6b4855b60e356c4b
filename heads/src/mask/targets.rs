//! What the criterion is told about each image of a batch: the classes and masks of its objects.

use tch::{Kind, Tensor};

use super::error::MaskError;

/// The objects of one image; none at all is legal.
///
/// All tensors are on the device of the predictions. Masks have the size of the network's (padded) input, the same one for
/// every image of a batch; padding belongs to no mask.
#[derive(Debug)]
pub struct MaskTarget {
    /// `[N]`, i64, contiguous class ids `0..K`.
    pub classes: Tensor,
    /// `[N, H, W]`, u8 or bool, 0 and 1.
    pub masks: Tensor,
    /// `[H, W]`, u8 or bool: 0 where nobody labelled, crowds and padding included. `None` = every pixel is labelled. Looked at only if
    /// [`super::criterion::MaskLossConfig::ignore_unlabelled`] is set.
    pub labelled: Option<Tensor>,
}

impl MaskTarget {
    /// Number of objects N.
    pub fn len(&self) -> i64 {
        self.classes.size().first().copied().unwrap_or(0)
    }

    /// Whether the image shows no object.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Number of objects in a batch.
pub fn count_masks(targets: &[MaskTarget]) -> i64 {
    targets.iter().map(MaskTarget::len).sum()
}

/// The targets of a batch, checked.
#[derive(Debug)]
pub(super) struct Targets<'a> {
    pub(super) images: &'a [MaskTarget],
    /// The class ids of every image on the host, where label tensors are put together.
    pub(super) classes: Vec<Vec<i64>>,
    /// `[B, H, W]`, if points off the labelled pixels do not count.
    pub(super) labelled: Option<Tensor>,
}

impl<'a> Targets<'a> {
    /// # Errors
    /// [`MaskError::Argument`] naming image and tensor.
    pub(super) fn check(
        images: &'a [MaskTarget],
        batch: i64,
        num_classes: i64,
        ignore_unlabelled: bool,
    ) -> Result<Self, MaskError> {
        if images.len() as i64 != batch {
            return Err(MaskError::argument(
                "targets",
                format!("one for each of {batch} images"),
                images.len(),
            ));
        }
        let mut classes = Vec::with_capacity(images.len());
        let mut common: Option<[i64; 2]> = None;
        for (image, target) in images.iter().enumerate() {
            let [objects, height, width] = target.masks.size()[..] else {
                let got = format!("{:?}", target.masks.size());
                return Err(MaskError::argument(format!("masks of image {image}"), "[N, H, W]", got));
            };
            check_kind(&target.masks, format!("masks of image {image}"))?;
            let size = *common.get_or_insert([height, width]);
            if size != [height, width] || height * width == 0 {
                let expected = format!("the size of the batch, {}x{} (HxW)", size[0], size[1]);
                let got = format!("{height}x{width}");
                return Err(MaskError::argument(format!("masks of image {image}"), expected, got));
            }
            classes.push(class_ids(image, target, objects, num_classes)?);
        }
        let labelled = match common {
            Some(size) if ignore_unlabelled => Some(stack_labelled(images, size)?),
            _ => None,
        };
        Ok(Self { images, classes, labelled })
    }
}

fn check_kind(mask: &Tensor, what: String) -> Result<(), MaskError> {
    match mask.kind() {
        Kind::Uint8 | Kind::Bool => Ok(()),
        kind => Err(MaskError::argument(what, "u8 or bool", format!("{kind:?}"))),
    }
}

fn class_ids(
    image: usize,
    target: &MaskTarget,
    objects: i64,
    num_classes: i64,
) -> Result<Vec<i64>, MaskError> {
    let what = || format!("classes of image {image}");
    if target.classes.size() != [objects] || target.classes.kind() != Kind::Int64 {
        let got = format!("{:?} {:?}", target.classes.kind(), target.classes.size());
        return Err(MaskError::argument(what(), format!("Int64 [{objects}], one for each mask"), got));
    }
    let ids = Vec::<i64>::try_from(&target.classes)?;
    match ids.iter().find(|id| !(0..num_classes).contains(*id)) {
        Some(id) => Err(MaskError::argument(what(), format!("0 to {}", num_classes - 1), id)),
        None => Ok(ids),
    }
}

// [B, H, W]
fn stack_labelled(images: &[MaskTarget], size: [i64; 2]) -> Result<Tensor, MaskError> {
    let maps = images.iter().enumerate().map(|(image, target)| {
        let Some(map) = &target.labelled else {
            return Ok(Tensor::ones(size, (Kind::Bool, target.masks.device())));
        };
        let what = format!("labelled pixels of image {image}");
        check_kind(map, what.clone())?;
        if map.size() != size {
            return Err(MaskError::argument(what, format!("{size:?}"), format!("{:?}", map.size())));
        }
        Ok(map.ne(0_i64))
    });
    Ok(Tensor::stack(&maps.collect::<Result<Vec<_>, MaskError>>()?, 0))
}
