//! The message of a stack overflow, and who gets the faults that are none.
//!
//! Owns the process's SIGSEGV and SIGBUS handler once it is installed, and an alternate stack for
//! threads that have none. A fault counts as an overflow when both the address and the stack
//! pointer lie in the same slot of a slab and the address is in its guard. A stray pointer into
//! somebody else's guard is not an overflow; it goes on, like every other fault, to the handler
//! that was there before. (C code that steps over its whole guard may land in a neighbour's, and
//! is then reported under the neighbour's name.)
//!
//! Everything the handler calls is async-signal-safe: no lock, no allocation, no formatting
//! machinery, write(2) and abort(3) only.

use std::ffi::c_int;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::fatal;
use crate::stack::{label_of_slot, registry};

/// What the overflow message calls the task on a stack. See [`Stack::set_label`].
///
/// It stores where the text is, not the text: whoever sets a label keeps both alive.
///
/// [`Stack::set_label`]: crate::Stack::set_label
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Label {
    name: *const u8,
    name_bytes: usize,
}

// SAFETY: a label is two numbers. Only the fault handler follows the pointer, under the promise
// given to `Stack::set_label`, and it only reads text that nobody changes.
unsafe impl Send for Label {}
// SAFETY: as for `Send`.
unsafe impl Sync for Label {}

impl Label {
    /// A label that shows `name`.
    #[must_use]
    pub const fn new(name: &str) -> Label {
        Label { name: name.as_ptr(), name_bytes: name.len() }
    }
}

/// Installs the handler that explains an overflow of a task's stack. Once per process; later calls
/// do nothing.
///
/// The process still ends, by SIGABRT, after a line on standard error. Faults that are no such
/// overflow go to the handlers that were installed before. A thread needs an alternate stack for
/// the handler to run on ([`AlternateStack`]); threads of the standard library have one.
///
/// # Errors
///
/// When the system refuses the handler.
pub fn install_overflow_handler() -> io::Result<()> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    for (signal, previous) in [(libc::SIGSEGV, &PREVIOUS_SEGV), (libc::SIGBUS, &PREVIOUS_BUS)] {
        if !previous.load(Ordering::Relaxed).is_null() {
            continue;
        }
        // Remembered first: a fault may arrive the moment the handler is in place.
        let action = Box::leak(Box::new(current_action(signal)?));
        previous.store(action, Ordering::Release);
        if let Err(error) = install(signal) {
            previous.store(ptr::null_mut(), Ordering::Release);
            return Err(error);
        }
    }
    Ok(())
}

/// Makes sure that the calling thread has an alternate signal stack, while this value lives.
///
/// Without one a stack overflow kills the process in silence, since there is no stack left for
/// the handler that would explain it. A stack that the thread has already is left alone.
///
/// ```compile_fail,E0277
/// fn needs_send<T: Send>() {}
/// needs_send::<conbrio_fiber::AlternateStack>();
/// ```
#[derive(Debug)]
#[must_use = "the alternate stack goes when this value is dropped"]
pub struct AlternateStack {
    /// The mapping, guard page included, if it was necessary to make one.
    mapping: Option<(NonNull<libc::c_void>, usize)>,
    not_send: PhantomData<*mut ()>,
}

impl AlternateStack {
    /// Gives the calling thread an alternate stack unless it has one.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub fn new() -> io::Result<AlternateStack> {
        if !is_disabled(&exchange_alternate(None)?) {
            return Ok(AlternateStack { mapping: None, not_send: PhantomData });
        }
        let bytes = alternate_bytes();
        let mapping = map_with_guard(bytes)?;
        // Owned from here on: an error below unmaps it again.
        let this = AlternateStack {
            mapping: Some((mapping, bytes + page_bytes())),
            not_send: PhantomData,
        };
        let stack = libc::stack_t {
            // SAFETY: the mapping is one page longer than the stack, and the guard comes first.
            ss_sp: unsafe { mapping.as_ptr().byte_add(page_bytes()) },
            ss_flags: 0,
            ss_size: bytes,
        };
        exchange_alternate(Some(&stack))?;
        Ok(this)
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        let Some((mapping, bytes)) = self.mapping else {
            return;
        };
        // Somebody may have put another in its place; that one is not ours to take away.
        let is_ours = exchange_alternate(None).is_ok_and(|current| {
            current.ss_sp.addr().wrapping_sub(mapping.as_ptr().addr()) < bytes
        });
        if is_ours {
            let none = libc::stack_t {
                ss_sp: ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: alternate_bytes(),
            };
            if exchange_alternate(Some(&none)).is_err() {
                // Still in use (dropped inside a signal handler), so the memory has to stay.
                return;
            }
        }
        // SAFETY: mapped by `new` with this length, and no longer the thread's alternate stack.
        unsafe { libc::munmap(mapping.as_ptr(), bytes) };
    }
}

/// Sets the alternate stack, if there is one to set, and returns the one before.
fn exchange_alternate(stack: Option<&libc::stack_t>) -> io::Result<libc::stack_t> {
    let mut before = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    let stack = stack.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both pointers are null or valid for the call; the memory behind a new stack is
    // owned by an `AlternateStack`, which replaces it before it is unmapped.
    match unsafe { libc::sigaltstack(stack, &mut before) } {
        0 => Ok(before),
        _ => Err(io::Error::last_os_error()),
    }
}

fn is_disabled(stack: &libc::stack_t) -> bool {
    stack.ss_flags & libc::SS_DISABLE != 0
}

fn map_with_guard(bytes: usize) -> io::Result<NonNull<libc::c_void>> {
    let total = bytes + page_bytes();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new private mapping without MAP_FIXED disturbs no other memory.
    let start = unsafe { libc::mmap(ptr::null_mut(), total, libc::PROT_NONE, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the pages above the guard of the mapping made just now.
    let result = unsafe {
        let stack = start.byte_add(page_bytes());
        libc::mprotect(stack, bytes, libc::PROT_READ | libc::PROT_WRITE)
    };
    if result != 0 {
        let error = io::Error::last_os_error();
        // SAFETY: mapped above and not handed out.
        unsafe { libc::munmap(start, total) };
        return Err(error);
    }
    Ok(NonNull::new(start).expect("mmap without MAP_FIXED does not return page 0"))
}

/// The kernel's own frame, which is large where vector registers are, and room for two handlers.
fn alternate_bytes() -> usize {
    // SAFETY: getauxval(3) only reads the auxiliary vector.
    let frame_bytes = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
    (frame_bytes + HANDLER_ROOM_BYTES).next_multiple_of(page_bytes())
}

fn page_bytes() -> usize {
    crate::stack::page_bytes()
}

fn current_action(signal: c_int) -> io::Result<libc::sigaction> {
    let mut action = default_action();
    // SAFETY: `action` is writable; a null new action only asks.
    match unsafe { libc::sigaction(signal, ptr::null(), &mut action) } {
        0 => Ok(action),
        _ => Err(io::Error::last_os_error()),
    }
}

fn install(signal: c_int) -> io::Result<()> {
    let mut action = default_action();
    action.sa_sigaction = on_fault as extern "C" fn(_, _, _) as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the action is complete, and `on_fault` keeps to what a signal handler may do.
    match unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn default_action() -> libc::sigaction {
    // SAFETY: all-zero is a valid sigaction: SIG_DFL, an empty mask and no flags.
    unsafe { mem::zeroed() }
}

/// The handler. Its own frame stays small, because the alternate stack that the standard library
/// gives its threads is, and the previous handler runs on top of it.
extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: errno is thread-local; the interrupted code must find it as it was.
    let errno = unsafe { *libc::__errno_location() };
    if is_fault(info) {
        // SAFETY: the kernel passes valid structures to a handler installed with SA_SIGINFO, and
        // this signal has an address.
        let (address, stack_pointer) =
            unsafe { ((*info).si_addr().addr(), stack_pointer(context)) };
        if let Some(slot) = overflowed_slot(address, stack_pointer) {
            report_overflow(slot);
        }
    }
    chain(signal, info, context);
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Whether the signal comes from a memory access, and not from kill(2).
fn is_fault(info: *const libc::siginfo_t) -> bool {
    // SAFETY: as in `on_fault`. Codes above zero are the kernel's own.
    unsafe { (*info).si_code > 0 }
}

/// The slot whose guard was hit by code running on that same slot.
fn overflowed_slot(address: usize, stack_pointer: Option<usize>) -> Option<registry::Slot> {
    let slot = registry::find_slot(address)?;
    let is_in_guard = address < slot.start + slot.guard_bytes;
    let is_on_slot = stack_pointer.is_none_or(|sp| (slot.start..slot.end).contains(&sp));
    (is_in_guard && is_on_slot).then_some(slot)
}

#[cold]
#[inline(never)]
fn report_overflow(slot: registry::Slot) -> ! {
    let mut line = Line::new();
    // SAFETY: the fault happened on this thread, in the guard of this slot and with the stack
    // pointer on it, so the slot is carved and its fiber is the one that was running here.
    let label = unsafe { label_of_slot(slot.end).as_ref() };
    match label {
        None => line.push(b"conbrio: a task"),
        Some(label) => {
            line.push(b"conbrio: task '");
            // SAFETY: whoever set the label keeps its text alive (`Stack::set_label`).
            line.push_text(unsafe { std::slice::from_raw_parts(label.name, label.name_bytes) });
            line.push(b"'");
        }
    }
    line.push(b" has overflowed its stack of ");
    line.push_kib(slot.end - slot.start - slot.guard_bytes);
    line.push(ADVICE);
    fatal::write_stderr(line.as_bytes());
    // SAFETY: abort(3) takes no arguments and is async-signal-safe.
    unsafe { libc::abort() }
}

/// Does what would have happened without our handler.
#[inline(never)]
fn chain(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let slot = if signal == libc::SIGBUS { &PREVIOUS_BUS } else { &PREVIOUS_SEGV };
    // Pairs with the Release store in `install_overflow_handler`.
    let previous = slot.load(Ordering::Acquire);
    // SAFETY: actions are leaked boxes, stored before the handler was installed.
    let previous = unsafe { *previous };
    match previous.sa_sigaction {
        libc::SIG_DFL => restore_default(signal, info),
        // The kernel does not let a fault be ignored, and ends the process.
        libc::SIG_IGN if is_fault(info) => restore_default(signal, info),
        libc::SIG_IGN => {}
        handler => call_previous(signal, handler, &previous, info, context),
    }
}

/// Takes our handler away. A fault happens again on return and ends the process; a signal that
/// was sent has to be sent again.
fn restore_default(signal: c_int, info: *const libc::siginfo_t) {
    let action = default_action();
    // SAFETY: the action is complete; both calls are async-signal-safe.
    unsafe {
        libc::sigaction(signal, &action, ptr::null_mut());
        if !is_fault(info) {
            libc::raise(signal);
        }
    }
}

fn call_previous(
    signal: c_int,
    handler: usize,
    previous: &libc::sigaction,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let mut mask_before = default_action().sa_mask;
    let mut only_signal = default_action().sa_mask;
    // SAFETY: all of these are async-signal-safe and get valid pointers. The handler is a
    // function of the type its flags announce, because the kernel would have called it so.
    unsafe {
        if previous.sa_flags & libc::SA_RESETHAND != 0 {
            libc::sigaction(signal, &default_action(), ptr::null_mut());
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &previous.sa_mask, &mut mask_before);
        if previous.sa_flags & libc::SA_NODEFER != 0 {
            libc::sigaddset(&mut only_signal, signal);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &only_signal, ptr::null_mut());
        }
        if previous.sa_flags & libc::SA_SIGINFO != 0 {
            type WithInfo = extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);
            mem::transmute::<usize, WithInfo>(handler)(signal, info, context);
        } else {
            mem::transmute::<usize, extern "C" fn(c_int)>(handler)(signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &mask_before, ptr::null_mut());
    }
}

/// The stack pointer of the interrupted code, where we know how to read it.
///
/// # Safety
///
/// `context` is what the kernel passed to a handler installed with `SA_SIGINFO`.
unsafe fn stack_pointer(context: *const libc::c_void) -> Option<usize> {
    let context = context.cast::<libc::ucontext_t>();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: by the caller's promise.
    let stack_pointer = Some(unsafe { (*context).uc_mcontext.gregs[libc::REG_RSP as usize] });
    #[cfg(target_arch = "aarch64")]
    // SAFETY: by the caller's promise.
    let stack_pointer = Some(unsafe { (*context).uc_mcontext.sp });
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let stack_pointer: Option<u64> = {
        _ = context;
        None
    };
    stack_pointer.map(|stack_pointer| stack_pointer as usize)
}

/// A message put together without allocation; what does not fit is cut off.
struct Line {
    buf: [u8; 512],
    /// 0 <= len <= buf.len()
    len: usize,
}

impl Line {
    fn new() -> Line {
        Line { buf: [0; 512], len: 0 }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    fn push(&mut self, text: &[u8]) {
        for &byte in text.iter().take(self.buf.len() - self.len) {
            self.buf[self.len] = byte;
            self.len += 1;
        }
    }

    /// Appends a name somebody else chose: not too long, and without line breaks and escapes.
    fn push_text(&mut self, text: &[u8]) {
        for &byte in text.iter().take(NAME_BYTES_MAX) {
            self.push(&[if byte.is_ascii_control() { b'?' } else { byte }]);
        }
        if text.len() > NAME_BYTES_MAX {
            self.push(b"...");
        }
    }

    fn push_kib(&mut self, bytes: usize) {
        let mut rest = bytes / 1024;
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            // Ends: a `usize` has at most twenty digits.
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(&digits[first..]);
        self.push(b" KiB");
    }
}

/// The actions before ours; null until it is installed. Stored with Release, loaded with Acquire.
static PREVIOUS_SEGV: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());
static PREVIOUS_BUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

const ADVICE: &[u8] = b"; raise it with Builder::stack_size or n.task(..).stack_size(..), or run \
    deep code in cx.on_thread_stack\n";

const NAME_BYTES_MAX: usize = 128;
const HANDLER_ROOM_BYTES: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_off_where_the_buffer_ends() {
        let mut line = Line::new();
        (0..100).for_each(|_| line.push(b"0123456789"));
        assert_eq!(line.as_bytes().len(), 512);
    }

    #[test]
    fn names_are_shortened_and_lose_their_control_characters() {
        let mut line = Line::new();
        line.push_text(b"a\nb\x1b[0m");
        assert_eq!(line.as_bytes(), b"a?b?[0m");
        let mut line = Line::new();
        line.push_text(&[b'x'; 1000]);
        assert_eq!(line.as_bytes().len(), NAME_BYTES_MAX + 3);
        assert!(line.as_bytes().ends_with(b"..."));
    }

    #[test]
    fn sizes_are_written_in_kib() {
        let text = |bytes| {
            let mut line = Line::new();
            line.push_kib(bytes);
            String::from_utf8(line.as_bytes().to_vec()).unwrap()
        };
        assert_eq!(text(64 << 10), "64 KiB");
        assert_eq!(text(0), "0 KiB");
        assert_eq!(text(1 << 36), "67108864 KiB");
    }

    #[test]
    fn an_alternate_stack_that_is_there_already_is_kept() {
        let before = exchange_alternate(None).unwrap();
        assert!(!is_disabled(&before), "threads of the standard library have one");
        let stack = AlternateStack::new().unwrap();
        assert!(stack.mapping.is_none());
        drop(stack);
        assert_eq!(exchange_alternate(None).unwrap().ss_sp, before.ss_sp);
    }

    #[test]
    fn a_thread_without_an_alternate_stack_gets_one_for_a_while() {
        let before = exchange_alternate(None).unwrap();
        let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ..before };
        exchange_alternate(Some(&none)).unwrap();
        let stack = AlternateStack::new().unwrap();
        assert!(stack.mapping.is_some());
        assert!(exchange_alternate(None).unwrap().ss_size >= HANDLER_ROOM_BYTES);
        drop(stack);
        assert!(is_disabled(&exchange_alternate(None).unwrap()));
        exchange_alternate(Some(&before)).unwrap();
    }
}
