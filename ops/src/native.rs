//! The C functions of `csrc/` and the two conversions at the border: tensors and messages.

use std::ffi::{CStr, c_char, c_int, c_void};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::OpError;

/// How `csrc/border.h` marks a refused argument, and what lies between its parts.
const REFUSAL: char = '\x1e';
const FIELD: char = '\x1f';

unsafe extern "C" {
    pub(crate) fn smalti_na2d(
        out: *mut *mut C_tensor,
        q: *const C_tensor,
        k: *const C_tensor,
        v: *const C_tensor,
        bias: *const C_tensor,
        window: *const i64,
        dilation: *const i64,
        scale: f64,
    ) -> *mut c_char;
    pub(crate) fn smalti_ms_deform_attn(
        out: *mut *mut C_tensor,
        value: *const C_tensor,
        reference: *const C_tensor,
        offsets: *const C_tensor,
        logits: *const C_tensor,
        sizes: *const i64,
        levels: i64,
    ) -> *mut c_char;
    pub(crate) fn smalti_conv2d_relu(
        out: *mut *mut C_tensor,
        input: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        residual: *const C_tensor,
        stride: i64,
        padding: i64,
    ) -> *mut c_char;
    pub(crate) fn smalti_sample_masks(
        out: *mut *mut C_tensor,
        masks: *const C_tensor,
        which: *const C_tensor,
        points: *const C_tensor,
    ) -> *mut c_char;
    pub(crate) fn smalti_recompute(
        out: *mut *mut C_tensor,
        input: *const C_tensor,
        segment: *mut c_void,
        run: unsafe extern "C" fn(*mut c_void, *mut C_tensor) -> *mut C_tensor,
        drop: unsafe extern "C" fn(*mut c_void),
    ) -> *mut c_char;
    pub(crate) fn smalti_force_isa(isa: c_int);
    pub(crate) fn smalti_free_message(message: *mut c_char);
    pub(crate) fn smalti_generator_state(out: *mut *mut C_tensor, cuda_index: i64) -> *mut c_char;
    pub(crate) fn smalti_set_generator_state(state: *const C_tensor, cuda_index: i64) -> *mut c_char;
    pub(crate) fn smalti_autocast(cuda: c_int, enable: c_int, was_enabled: *mut c_int) -> *mut c_char;
    pub(crate) fn smalti_fused_adamw(
        count: i64,
        parameters: *const *const C_tensor,
        gradients: *const *const C_tensor,
        first_moments: *const *const C_tensor,
        second_moments: *const *const C_tensor,
        steps: *const *const C_tensor,
        rate: f64,
        beta1: f64,
        beta2: f64,
        decay: f64,
        epsilon: f64,
    ) -> *mut c_char;
    pub(crate) fn smalti_copies_staging(out: *mut *mut C_tensor, bytes: i64) -> *mut c_char;
    pub(crate) fn smalti_copies_send(
        out: *mut *mut C_tensor,
        event: *mut *mut c_void,
        staging: *const C_tensor,
        bytes: i64,
        cuda_index: i64,
    ) -> *mut c_char;
    pub(crate) fn smalti_copies_finish(event: *const c_void) -> *mut c_char;
    pub(crate) fn smalti_copies_receive(copy: *const C_tensor, event: *const c_void) -> *mut c_char;
    pub(crate) fn smalti_copies_forget(event: *mut c_void);
    pub(crate) fn smalti_to_meta(out: *mut *mut C_tensor, tensor: *const C_tensor) -> *mut c_char;
    pub(crate) fn smalti_without_data(on: c_int, was_on: *mut c_int) -> *mut c_char;
    pub(crate) fn smalti_footprint_begin() -> i64;
    pub(crate) fn smalti_footprint_peak() -> i64;
    pub(crate) fn smalti_flops_begin() -> *mut c_char;
    pub(crate) fn smalti_flops_end(table: *mut *mut c_char) -> *mut c_char;
    pub(crate) fn smalti_set_deterministic(on: c_int);
    pub(crate) fn smalti_release_freed_memory();
    pub(crate) fn smalti_flush_denormals(on: c_int) -> c_int;
    pub(crate) fn smalti_runtime_facts(
        version: *mut *mut c_char,
        capability: *mut *mut c_char,
    ) -> *mut c_char;
}

/// Takes over a string that the extension allocated.
///
/// # Safety
/// `text` is a NUL-terminated string from the extension's `strdup`, not freed yet.
pub(crate) unsafe fn take_string(text: *mut c_char) -> String {
    // SAFETY: by the contract above; the copy is made before the string is freed.
    unsafe {
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        smalti_free_message(text);
        copy
    }
}

/// Turns the message of an extension function into a result.
///
/// # Safety
/// `message` is the return value of an extension function: null or a string it allocated.
pub(crate) unsafe fn check(op: &'static str, message: *mut c_char) -> Result<(), OpError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: not null, so it is a message by the contract above.
    let message = unsafe { take_string(message) };
    if let Some(refusal) = message.strip_prefix(REFUSAL) {
        let mut fields = refusal.splitn(3, FIELD).map(str::to_string);
        let mut next = || fields.next().unwrap_or_default();
        return Err(OpError::Argument { op, what: next(), expected: next(), got: next() });
    }
    // libtorch appends a C++ stack trace to its messages; the first line says what is wrong.
    let message = message.lines().next().unwrap_or_default().to_string();
    Err(OpError::Native { op, message })
}

/// The pointer of a tensor, or null for none.
pub(crate) fn pointer(tensor: Option<&Tensor>) -> *const C_tensor {
    tensor.map_or(std::ptr::null(), Tensor::as_ptr)
}
