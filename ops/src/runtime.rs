//! Libtorch's run time beyond tch: random state, autocast, the fused optimiser step, denormals, facts.

use std::marker::PhantomData;

use tch::{Device, Tensor};

use crate::OpError;
use crate::native;

fn cuda_index(device: Device) -> i64 {
    match device {
        Device::Cuda(index) => index as i64,
        _ => -1,
    }
}

/// State of the device's default random generator, a byte tensor to hand to [`set_generator_state`] later.
pub fn generator_state(device: Device) -> Result<Tensor, OpError> {
    let mut out = std::ptr::null_mut();
    // SAFETY: on success `out` holds a new tensor that `from_ptr` takes over.
    unsafe {
        native::check("generator_state", native::smalti_generator_state(&raw mut out, cuda_index(device)))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// Puts the device's default generator into a state saved before.
///
/// # Errors
/// [`OpError::Native`] if `state` is not such a state.
pub fn set_generator_state(state: &Tensor, device: Device) -> Result<(), OpError> {
    // SAFETY: the tensor outlives the call, which copies from it.
    unsafe {
        native::check(
            "set_generator_state",
            native::smalti_set_generator_state(state.as_ptr(), cuda_index(device)),
        )
    }
}

/// A tensor of the same shape, dtype and strides without data, on libtorch's meta device: ops on it work out shapes only.
///
/// tch has no name for that device: do not call [`Tensor::device`] on it.
///
/// # Errors
/// [`OpError::Native`] if libtorch can not make one.
pub fn to_meta(tensor: &Tensor) -> Result<Tensor, OpError> {
    let mut out = std::ptr::null_mut();
    // SAFETY: the tensor outlives the call; on success `out` holds a new tensor that `from_ptr` takes over.
    unsafe {
        native::check("to_meta", native::smalti_to_meta(&raw mut out, tensor.as_ptr()))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// Whether ops must choose their deterministic form where they have a faster one that is not. Holds for the process. Only the
/// CUDA backward pass of `ms_deform_attn` has two forms; libtorch's own ops follow the same flag.
pub fn set_deterministic(on: bool) {
    // SAFETY: stores one flag.
    unsafe { native::smalti_set_deterministic(i32::from(on)) }
}

/// bf16 autocast on this thread, or none, for as long as the guard lives.
#[derive(Debug)]
pub struct Autocast {
    cuda: bool,
    before: bool,
    // Autocast is a setting of the thread, so the guard must not leave it.
    not_send: PhantomData<*const ()>,
}

impl Autocast {
    /// Turns bf16 autocast on for ops on `device`.
    pub fn bf16(device: Device) -> Result<Self, OpError> {
        let cuda = device.is_cuda();
        Ok(Self { cuda, before: switch_autocast(cuda, true)?, not_send: PhantomData })
    }

    /// Turns autocast off for ops on `device`: for what must keep its precision inside a network that runs with it.
    pub fn off(device: Device) -> Result<Self, OpError> {
        let cuda = device.is_cuda();
        Ok(Self { cuda, before: switch_autocast(cuda, false)?, not_send: PhantomData })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // Turning it back can only fail where turning it on failed before.
        let _ = switch_autocast(self.cuda, self.before);
    }
}

fn switch_autocast(cuda: bool, enable: bool) -> Result<bool, OpError> {
    let mut before = 0;
    // SAFETY: writes one integer through a valid pointer.
    let message = unsafe { native::smalti_autocast(i32::from(cuda), i32::from(enable), &raw mut before) };
    // SAFETY: the return value of an extension function.
    unsafe { native::check("autocast", message)? };
    Ok(before != 0)
}

/// Hyper-parameters of one AdamW step.
#[derive(Debug, Clone, Copy)]
pub struct AdamwStep {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the first and second moment.
    pub betas: (f64, f64),
    /// Decoupled weight decay.
    pub decay: f64,
    /// Added to the denominator.
    pub epsilon: f64,
}

/// One AdamW update in place over tensors with equal hyper-parameters (libtorch's fused kernel).
///
/// All slices have one length: parameters, gradients and moments of equal shapes, and for each parameter a 0-dimensional f32
/// step counter, which the call increments.
///
/// # Errors
/// [`OpError::Argument`] if lengths differ, [`OpError::Native`] if shapes or dtypes do.
pub fn fused_adamw(
    parameters: &[Tensor],
    gradients: &[Tensor],
    first_moments: &[Tensor],
    second_moments: &[Tensor],
    steps: &[Tensor],
    step: AdamwStep,
) -> Result<(), OpError> {
    let lengths = [gradients.len(), first_moments.len(), second_moments.len(), steps.len()];
    if lengths.iter().any(|&n| n != parameters.len()) {
        return Err(OpError::Argument {
            op: "fused_adamw",
            what: "lists".to_string(),
            expected: format!("{} entries each", parameters.len()),
            got: format!("{lengths:?}"),
        });
    }
    let pointers = |list: &[Tensor]| list.iter().map(Tensor::as_ptr).collect::<Vec<_>>();
    let [p, g, m, v, s] = [parameters, gradients, first_moments, second_moments, steps].map(pointers);
    // SAFETY: five arrays of `len` live tensors; the call keeps none of the pointers.
    unsafe {
        let message = native::smalti_fused_adamw(
            parameters.len() as i64,
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            s.as_ptr(),
            step.rate,
            step.betas.0,
            step.betas.1,
            step.decay,
            step.epsilon,
        );
        native::check("fused_adamw", message)
    }
}

/// Makes the CPU treat denormal numbers as zero on this thread and on threads started from it later (they slow small
/// gradients down tenfold). Returns whether the CPU can.
pub fn flush_denormals(on: bool) -> bool {
    // SAFETY: sets a control bit of this thread.
    unsafe { native::smalti_flush_denormals(i32::from(on)) != 0 }
}

/// Gives memory that was freed back to the operating system, so that the process's size says what is in use.
pub fn release_freed_memory() {
    // SAFETY: the C library returns pages that hold no allocation.
    unsafe { native::smalti_release_freed_memory() }
}

/// Libtorch's version and the CPU instruction set that its own kernels use.
#[derive(Debug, Clone)]
pub struct RuntimeFacts {
    /// Such as `2.11.0`.
    pub version: String,
    /// Such as `AVX512`.
    pub cpu_capability: String,
}

/// Facts about the libtorch in use.
pub fn runtime_facts() -> Result<RuntimeFacts, OpError> {
    let (mut version, mut capability) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: on success both pointers hold strings that the extension allocated for us.
    unsafe {
        native::check("runtime_facts", native::smalti_runtime_facts(&raw mut version, &raw mut capability))?;
        Ok(RuntimeFacts {
            version: native::take_string(version),
            cpu_capability: native::take_string(capability),
        })
    }
}
