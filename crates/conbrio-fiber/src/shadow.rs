//! Whether a hardware shadow stack watches this thread's returns.
//!
//! Such a stack records return addresses as calls are made. A switch to another stack returns to
//! addresses it has not recorded, and the processor faults. corosensei does not maintain it, so we
//! refuse to start instead. See Documentation/arch/x86/shstk.rst and Documentation/arch/arm64/gcs.rst.

/// Asks the kernel about the calling thread.
pub(crate) fn is_active() -> bool {
    status().is_some_and(is_enabled)
}

/// Bit 0 is "enabled" on all architectures (`ARCH_SHSTK_SHSTK`, `PR_SHADOW_STACK_ENABLE`); the
/// others enable details of it.
fn is_enabled(status: u64) -> bool {
    status & 1 == 1
}

/// The features in force, or `None` where the kernel or the processor knows no shadow stack.
#[cfg(target_arch = "x86_64")]
fn status() -> Option<u64> {
    const ARCH_SHSTK_STATUS: libc::c_int = 0x5005;
    let mut status = 0u64;
    // SAFETY: `status` is writable; the request only reads the thread's features into it.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SHSTK_STATUS, &mut status) };
    (result == 0).then_some(status)
}

/// The features in force, or `None` where the kernel or the processor knows no shadow stack.
#[cfg(not(target_arch = "x86_64"))]
fn status() -> Option<u64> {
    const PR_GET_SHADOW_STACK_STATUS: libc::c_int = 74;
    let mut status = 0u64;
    // SAFETY: `status` is writable; the request only reads the thread's features into it.
    let result = unsafe { libc::prctl(PR_GET_SHADOW_STACK_STATUS, &mut status, 0, 0, 0) };
    (result == 0).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_enabling_bit_counts() {
        assert!(is_enabled(0b01));
        assert!(is_enabled(0b11));
        assert!(!is_enabled(0b10));
        assert!(!is_enabled(0));
    }
}
